"""The one text of a parcel's fields: quick reader and writer against the standard library and the one for RFC 8785."""

from __future__ import annotations

import json
from enum import Enum, IntEnum, StrEnum
from typing import Any, NamedTuple, NoReturn
from uuid import UUID

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from keys.errors import ParcelMalformed
from keys.nesting import nesting
from keys.parcel import MAX_DEPTH, _canonical, _parse

SAFE = 2**53 - 1


class Colour(StrEnum):
    RED = "red"


class Number(IntEnum):
    TWO = 2


class Other(Enum):
    THING = "thing"


class Pair(NamedTuple):
    first: int
    second: int


def slowly_written(value: object) -> bytes | None:
    """What the library for RFC 8785 makes of it, once it was seen that every reader reads it alike."""
    try:
        plain = json.dumps(value, allow_nan=False)
        written = bytes(rfc8785.dumps(value))  # type: ignore[arg-type]
    except (TypeError, ValueError, RecursionError):
        return None
    return written if slowly_read(plain.encode()) is not None else None


def slowly_read(data: bytes) -> Any:
    """By the standard parser, which hands every number over as it is spelled; None for what is refused."""

    def integer(text: str) -> int:
        if len(text) > 17 or not -SAFE <= int(text) <= SAFE:
            raise ValueError
        return int(text)

    def refuse(_: str) -> NoReturn:
        raise ValueError

    if nesting(data) > MAX_DEPTH:
        return None
    try:
        return json.loads(data.decode(), parse_int=integer, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None


def slowly_parsed(data: bytes) -> Any:
    found = slowly_read(data)
    return found if isinstance(found, dict) and slowly_written(found) == data else None


def written(value: object) -> bytes | None:
    try:
        return _canonical(value)
    except ParcelMalformed:
        return None


def parsed(data: bytes) -> Any:
    try:
        return _parse(data)
    except ParcelMalformed:
        return None


# Characters that are escaped, that sort differently by code point and by UTF-16, and halves of a pair.
ODD = st.sampled_from('\x00\x1f\x7f"\\/\b\n\u2028\u00e9\ue000\uffff\U00010000\U0010ffff\ud800\udc00')
TEXTS = st.text(max_size=8) | st.text(ODD | st.sampled_from("ab"), max_size=4)
INTEGERS = st.integers() | st.sampled_from([SAFE, SAFE + 1, -SAFE, -SAFE - 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1])
GOOD = st.none() | st.booleans() | st.integers(-SAFE, SAFE) | TEXTS
ANY = (
    GOOD
    | INTEGERS
    | st.floats()
    | st.binary(max_size=3)
    | st.sampled_from([Colour.RED, Number.TWO, Other.THING, UUID(int=7), {1}, object()])
)


def documents(leaves: st.SearchStrategy[Any], names: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    inner = st.recursive(
        leaves,
        lambda each: st.lists(each, max_size=4) | st.tuples(each, each) | st.dictionaries(names, each, max_size=4),
        max_leaves=12,
    )
    return st.dictionaries(names, inner, max_size=5)


def nested(levels: int, innermost: object) -> object:
    for _ in range(levels):
        innermost = [innermost]
    return innermost


@given(documents(GOOD, TEXTS))
def test_what_has_one_spelling_is_written_as_the_library_for_rfc_8785_writes_it(document: dict[str, Any]) -> None:
    assert written(document) == slowly_written(document)


@given(documents(ANY, TEXTS | st.integers() | st.none()))
@example({"a": float("nan")})
@example({"a": 1.0})
@example({"a": -0.0})
@example({1: 2})
@example({"a": Colour.RED, "b": [Number.TWO], "c": (1, True)})
@example({"a": Other.THING})
@example({"a": UUID(int=7)})
@example({"\ue000": 1, "\U00010000": 2})
def test_what_is_refused_by_the_standard_writer_is_refused(document: dict[Any, Any]) -> None:
    assert written(document) == (slowly_written(document) if all_names_are_texts(document) else None)


def all_names_are_texts(value: Any) -> bool:
    """The standard writer makes texts of other names, so two of them could become one."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and all_names_are_texts(item) for name, item in value.items())
    return not isinstance(value, list | tuple) or all(all_names_are_texts(item) for item in value)


def test_a_name_is_a_text_and_nothing_else_and_a_list_has_no_names() -> None:
    assert written({Colour.RED: 1}) is None
    assert written({"a": Pair(1, 2)}) is None


@given(documents(GOOD, TEXTS), st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_any_spelling_of_json_is_read_where_the_standard_reader_finds_it_canonical(
    document: dict[str, Any], escaped: bool, separators: tuple[str, str], in_order: bool
) -> None:
    text = json.dumps(document, ensure_ascii=escaped, separators=separators, sort_keys=in_order)
    data = text.encode("utf-8", "surrogatepass")
    assert parsed(data) == slowly_parsed(data)


@given(documents(GOOD, TEXTS), st.data())
def test_changed_texts_are_read_where_the_standard_reader_reads_them(
    document: dict[str, Any], data: st.DataObject
) -> None:
    canonical = slowly_written(document)
    if canonical is None:
        return
    assert parsed(canonical) == slowly_parsed(canonical) == json.loads(canonical)
    at = data.draw(st.integers(0, len(canonical)))
    end = data.draw(st.integers(at, min(len(canonical), at + 3)))
    put = data.draw(
        st.sampled_from([b"", b"0", b"-", b".5", b"e1", b"E+2", b",", b"]", b"}", b"\xff", b"NaN", b"\x00"])
    )
    changed = canonical[:at] + put + canonical[end:]
    assert parsed(changed) == slowly_parsed(changed)


@pytest.mark.parametrize("levels", [*range(MAX_DEPTH - 3, MAX_DEPTH + 3), 253, 254, 255, 1023, 1024, 1025, 100_000])
@pytest.mark.parametrize("innermost", [1, {}, [], "[", 1.5])
def test_levels_end_where_they_ended(levels: int, innermost: object) -> None:
    """A body is one level below the text that is parsed, which has the fields around it, too."""
    document = {"a": nested(levels, innermost)}
    text = b'{"a":' + b"[" * levels + json.dumps(innermost).encode() + b"]" * levels + b"}"
    assert written(document) == (slowly_written(document) if nesting(text) < MAX_DEPTH else None)
    assert parsed(text) == slowly_parsed(text)


@pytest.mark.parametrize(
    "text",
    [
        r'{"a":"\u00e9"}',
        r'{"a":"\/"}',
        r'{"a":"\u001F"}',
        '{"b":1,"a":1}',
        '{"a":-0}',
        '{"a":1.0}',
        '{"a":1.5}',
        '{"a":[0.1]}',
        '{"a":-1e-7}',
        '{"a":1,"a":1}',
        r'{"a":"\ud800"}',
        '{"a":9007199254740992}',
        '{"a":18446744073709551616}',
        '{"a":1e2}',
        '{"a":1e+30}',
        '{"a":NaN}',
        '{ "a":1}',
        r'{"a":"\u0061"}',
        '\ufeff{"a":1}',
        '{"\ue000":1,"\U00010000":2}',
        "[1]",
        "",
    ],
)
def test_other_spellings_are_not_canonical(text: str) -> None:
    assert slowly_parsed(text.encode()) is None
    with pytest.raises(ParcelMalformed):
        _parse(text.encode())


def test_names_stand_in_the_order_of_utf_16() -> None:
    assert parsed('{"\U00010000":2,"\ue000":1}'.encode()) == {"\U00010000": 2, "\ue000": 1}
