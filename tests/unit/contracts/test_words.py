"""The reader of whole words against eth_abi: the same values, and refusals where eth_abi refuses."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from hypothesis import given
from hypothesis import strategies as st

from contracts.codec import as_bytes
from contracts.errors import MalformedData
from contracts.words import reader_of

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "address": st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex()),
    "bool": st.booleans(),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes4": st.binary(min_size=4, max_size=4),
    "uint8": st.integers(0, 2**8 - 1),
    "uint40": st.integers(0, 2**40 - 1),
    "uint256": st.integers(0, 2**256 - 1),
}
_KINDS = [*_VALUES, *(f"{kind}[]" for kind in _VALUES)]


def _value(kind: str) -> st.SearchStrategy[Any]:
    return st.lists(_VALUES[kind[:-2]], max_size=4) if kind.endswith("[]") else _VALUES[kind]


_DATA = st.lists(st.sampled_from(_KINDS), min_size=1, max_size=5).flatmap(
    lambda kinds: st.tuples(st.just(tuple(kinds)), st.tuples(*map(_value, kinds)))
)


def _by_eth_abi(types: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    return tuple(as_bytes(kind, value) for kind, value in zip(types, decode(types, data), strict=True))


@given(_DATA)
def test_values_are_those_of_eth_abi(sample: tuple[tuple[str, ...], tuple[Any, ...]]) -> None:
    types, values = sample
    data = encode(types, values)
    read = reader_of(types)
    assert read is not None
    assert read(data) == _by_eth_abi(types, data)


@given(_DATA, st.data())
def test_damaged_data_gives_what_eth_abi_gives_or_is_refused(
    sample: tuple[tuple[str, ...], tuple[Any, ...]], choose: st.DataObject
) -> None:
    types, values = sample
    data = bytearray(encode(types, values))
    data[choose.draw(st.integers(0, len(data) - 1))] ^= choose.draw(st.integers(1, 255))
    cut = bytes(data[: choose.draw(st.integers(0, len(data)))])
    read = reader_of(types)
    assert read is not None
    for damaged in (bytes(data), cut):
        try:
            expected = _by_eth_abi(types, damaged)
        except (DecodingError, OverflowError):
            with pytest.raises(MalformedData):
                read(damaged)
            continue
        try:
            assert read(damaged) == expected
        except MalformedData:
            # Stricter in one thing: a list must not begin inside the head.
            assert any(kind.endswith("[]") for kind in types)


def test_other_types_are_left_to_eth_abi() -> None:
    for kind in ("string", "bytes", "int8", "uint7", "bytes33", "(uint8,uint8)", "uint8[2]"):
        assert reader_of((kind,)) is None


def test_a_list_that_claims_more_than_there_is_costs_nothing() -> None:
    read = reader_of(("bytes32[]",))
    assert read is not None
    with pytest.raises(MalformedData):
        read((32).to_bytes(32) + (2**255).to_bytes(32))
