"""Entries and trees of a netting (contracts.md, Market: net)."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.nettings import decode_entries, encode_entries, leaf_of, merkle_path, merkle_root

entry_lists = st.dictionaries(st.integers(1, 2**32 - 1), st.integers(0, 2**88 - 1), max_size=20).map(
    lambda found: sorted(found.items())
)


@settings(deadline=None)
@given(entry_lists)
def test_entries_come_back(entries: list[tuple[int, int]]) -> None:
    data = encode_entries(entries)
    assert len(data) == 16 * len(entries)
    assert decode_entries(data) == entries


def test_an_entry_is_number_and_amount() -> None:
    assert encode_entries([(3, 600)]).hex() == "00000003" + "000000000000000000000258"


@pytest.mark.parametrize("entries", [[(0, 1)], [(2, 1), (2, 1)], [(3, 1), (2, 1)], [(2**32, 1)]])
def test_what_the_contract_refuses_is_refused(entries: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="does not come after"):
        encode_entries(entries)


@pytest.mark.parametrize("amount", [-1, 2**88])
def test_amounts_fit_a_balance(amount: int) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        encode_entries([(1, amount)])


def test_half_an_entry_is_none() -> None:
    with pytest.raises(ValueError, match="no whole number"):
        decode_entries(bytes(17))


def climb(leaf: bytes, path: list[bytes]) -> bytes:
    """What the contract computes: pairs in ascending order."""
    for sibling in path:
        leaf = keccak(leaf + sibling if leaf < sibling else sibling + leaf)
    return leaf


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_every_leaf_has_its_path(count: int, data: st.DataObject) -> None:
    leaves = [leaf_of(bytes([index])) for index in range(count)]
    index = data.draw(st.integers(0, count - 1))
    assert climb(leaves[index], merkle_path(leaves, index)) == merkle_root(leaves)
    assert climb(leaf_of(b"stranger"), merkle_path(leaves, index)) != merkle_root(leaves)


def test_no_leaf_no_tree() -> None:
    with pytest.raises(ValueError, match="at least one"):
        merkle_root([])
    with pytest.raises(IndexError):
        merkle_path([bytes(32)], 1)


def test_a_leaf_is_hashed_twice() -> None:
    assert leaf_of(b"line") == keccak(keccak(b"line"))
