"""style.md 9: stored values begin with type and version and are read strictly, for ever."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.projection.aggregates import KINDS
from node.projection.base import Effect, Event, State
from node.projection.codec import CODEC, Codec, _read
from node.projection.effects import EFFECTS
from node.projection.errors import CodecError
from node.projection.events import EVENTS
from node.projection.order import Order
from tests.unit.node.projection.kit import granted

STORED = st.one_of(*(st.from_type(kind) for kind in (*EVENTS, *EFFECTS, *(k.state for k in KINDS.values()))))


def _base(value: Any) -> type[Any]:
    return next(base for base in (Event, Effect, State) if isinstance(value, base))


@given(STORED)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    text = CODEC.encode(value)
    assert CODEC.decode(text, _base(value)) == value
    assert CODEC.encode(CODEC.decode(text, _base(value))) == text


@given(STORED)
def test_the_text_is_json_with_sorted_keys_and_no_spaces(value: Any) -> None:
    text = CODEC.encode(value)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("size", [2**53, 2**63, 2**64 - 1, 2**64, 10**30, 10**400])
@pytest.mark.parametrize("name", ["a", "\u00e9\x7f\x00", "\U00010000", "\ud800", "\udc00\ud800"])
def test_numbers_and_texts_that_the_quick_reader_does_not_read_come_back_as_they_were(size: int, name: str) -> None:
    codec = Codec({ReceivedThing: 1})
    for signed in (size, -size):
        text = codec.encode(ReceivedThing(name, signed))
        assert text.isascii()
        assert codec.decode(text, Event) == ReceivedThing(name, signed)


@given(STORED, st.data())
def test_both_readers_take_the_same_texts(value: Any, data: st.DataObject) -> None:
    text = CODEC.encode(value)
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(len(text), at + 2)))
    put = data.draw(
        st.sampled_from(["", "0", "9" * 20, "-", ".0", "e1", ",", "]", "}", "NaN", "\\ud800", "\ufeff", "\x00"])
    )
    changed, base = text[:at] + put + text[end:], _base(value)
    try:
        slowly = CODEC._decoded(_read(changed), base)
    except CodecError:
        with pytest.raises(CodecError):
            CODEC.decode(changed, base)
        return
    assert CODEC.decode(changed, base) == slowly


def _broken(change: Any) -> str:
    document = json.loads(CODEC.encode(granted(5)))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(v=2),
        lambda d: d.update(v=0),
        lambda d: d.update(v=True),
        lambda d: d.update(type="Nothing"),
        lambda d: d.update(type=[]),
        lambda d: d.update(extra=1),
        lambda d: d.pop("v"),
        lambda d: d["data"].update(extra=1),
        lambda d: d["data"].pop("owner"),
        lambda d: d["data"].update(start="1000"),
        lambda d: d["data"].update(start=True),
        lambda d: d["data"].update(start=1.0),
        lambda d: d["data"].update(owner="0x00"),
        lambda d: d["data"].update(owner="0"),
        lambda d: d["data"].update(owner="AB"),
        lambda d: d["data"].update(owner=None),
        lambda d: d["data"].update(sids="ab"),
        lambda d: d["data"].update(sids=[1]),
        lambda d: d["data"].update(block=[5, "ab"]),
        lambda d: d["data"]["block"].update(number=None),
    ],
)
def test_anything_else_is_refused(change: Any) -> None:
    with pytest.raises(CodecError):
        CODEC.decode(_broken(change), Event)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"type":"LoggedGranted","v":1}', "1"])
def test_what_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(CodecError):
        CODEC.decode(text, Event)


@given(st.text())
def test_no_text_does_anything_but_raise_codec_error(text: str) -> None:
    with pytest.raises(CodecError):
        CODEC.decode(text, Event)


def test_an_event_is_never_read_as_an_effect() -> None:
    with pytest.raises(CodecError, match="no Effect"):
        CODEC.decode(CODEC.encode(granted(5)), Effect)


@dataclass(frozen=True, slots=True)
class ReceivedThing(Event):
    """The third version of a class: `name` was `title` in the first, `size` is new since the third."""

    name: str
    size: int


def test_old_versions_are_lifted_step_by_step() -> None:
    codec = Codec(
        {ReceivedThing: 3},
        {
            ("ReceivedThing", 1): lambda data: {"name": data["title"]},
            ("ReceivedThing", 2): lambda data: {**data, "size": 0},
        },
    )
    assert codec.decode('{"type":"ReceivedThing","v":1,"data":{"title":"a"}}', Event) == ReceivedThing("a", 0)
    assert codec.decode('{"type":"ReceivedThing","v":2,"data":{"name":"b"}}', Event) == ReceivedThing("b", 0)
    with pytest.raises(CodecError):
        codec.decode('{"type":"ReceivedThing","v":4,"data":{}}', Event)


def test_a_foreign_class_is_not_stored() -> None:
    with pytest.raises(CodecError):
        CODEC.encode(ReceivedThing("a", 1))


def test_an_order_from_before_its_time_was_kept_is_the_same_order() -> None:
    """M-21, M-22: what a replay knows and a stored state does not makes no difference between the two."""
    order = Order(b"\x01" * 32, at=1_700_000_000)
    document = json.loads(CODEC.encode(order))
    assert document["v"] == 5
    for later in ("at", "refused"):
        del document["data"][later]
    read = CODEC.decode(json.dumps({**document, "v": 2}), State)
    assert isinstance(read, Order)
    assert read.at == 0
    assert read == order
