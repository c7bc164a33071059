"""Calldata put together by ourselves against eth_abi: the same bytes, and eth_abi's judgement of everything odd."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_abi.exceptions import EncodingError
from hypothesis import given
from hypothesis import strategies as st

from contracts.codec import encode_call, encode_values
from contracts.errors import Misfit
from contracts.packing import packer_of

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "address": st.binary(min_size=20, max_size=20),
    "bool": st.booleans(),
    "bytes": st.binary(max_size=70),
    "bytes32": st.binary(min_size=32, max_size=32),
    "bytes4": st.binary(min_size=4, max_size=4),
    "string": st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40),
    "uint8": st.integers(0, 2**8 - 1),
    "uint40": st.integers(0, 2**40 - 1),
    "uint256": st.integers(0, 2**256 - 1),
}


def _samples(kinds: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, Any]]:
    return kinds.flatmap(lambda kind: st.tuples(st.just(kind), _VALUES[kind]))


def _lists(inner: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.tuples(inner, st.integers(0, 3)).map(lambda drawn: (f"{drawn[0][0]}[]", [drawn[0][1]] * drawn[1]))


def _structs(inner: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
    return st.lists(inner, min_size=1, max_size=4).map(
        lambda parts: (f"({','.join(kind for kind, _ in parts)})", tuple(value for _, value in parts))
    )


_ANY = st.recursive(
    _samples(st.sampled_from(sorted(_VALUES))), lambda inner: _lists(inner) | _structs(inner), max_leaves=8
)


@given(st.lists(_ANY, min_size=1, max_size=4))
def test_the_bytes_are_those_of_eth_abi(sample: list[tuple[str, Any]]) -> None:
    types, values = tuple(kind for kind, _ in sample), [value for _, value in sample]
    pack = packer_of(types)
    assert pack is not None
    assert pack(values) == encode(types, values)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("address", bytes(19)),
        ("address", bytes(21)),
        ("bool", 1),
        ("bytes", "text"),
        ("bytes32", bytes(33)),
        ("uint8", 256),
        ("uint8", -1),
        ("uint8", True),
        ("uint256", 2**256),
        ("uint256", 1.0),
        ("string", b"bytes"),
        ("string", "\ud800"),
        ("bytes32[]", b"\x01" * 32),
        ("bytes32[]", [bytes(33)]),
        ("(uint8,uint8)", (1,)),
        ("(uint8,uint8)", (1, 2, 3)),
    ],
)
def test_what_does_not_fit_is_refused_by_eth_abi(kind: str, value: Any) -> None:
    pack = packer_of((kind,))
    assert pack is not None
    with pytest.raises(Misfit):
        pack([value])
    with pytest.raises((EncodingError, UnicodeEncodeError)):
        encode_values([kind], [value])


@pytest.mark.parametrize(
    ("kind", "value"), [("address", "0x" + "11" * 20), ("bytes32", b"short"), ("int8", -1), ("uint8[2]", [1, 2])]
)
def test_what_only_eth_abi_converts_is_still_encoded(kind: str, value: Any) -> None:
    assert encode_call(b"\x01\x02\x03\x04", [kind], [value]) == b"\x01\x02\x03\x04" + encode([kind], [value])
