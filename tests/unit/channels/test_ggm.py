"""The time tree: exact covers (channels.md 6: covers exact for every interval of 64 slots and for every pair)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.errors import FormatError, NoKey
from channels.ggm import DEPTH, LEAVES, Cover, CoverNode, minimal_nodes
from channels.kdf import kdf, sha256

ROOT = sha256(b"root")
SLOTS = 64


def naive_leaf(root: bytes, leaf: int) -> bytes:
    for bit in range(DEPTH - 1, -1, -1):
        root = kdf(root, b"ggm", bytes([leaf >> bit & 1]))
    return root


@pytest.mark.parametrize("leaf", [0, 1, 2, 2**31 - 1, 2**31, 2**32 - 1])
def test_leaf_is_the_walk_from_the_root(leaf: int) -> None:
    assert Cover.whole(ROOT).leaf(leaf) == naive_leaf(ROOT, leaf)


@given(st.lists(st.integers(0, LEAVES - 1), min_size=1, max_size=8))
def test_the_kept_path_never_changes_an_answer(leaves: list[int]) -> None:
    cover = Cover.whole(ROOT)
    for leaf in [*leaves, leaves[0], min(leaves[0] + 1, LEAVES - 1)]:
        assert cover.leaf(leaf) == naive_leaf(ROOT, leaf)


def derivable(nodes: tuple[CoverNode, ...]) -> set[int]:
    """The slots below SLOTS that raw nodes derive, by their right keys: each node tried as itself and nothing else."""
    found = set()
    for node in nodes:
        for leaf in range(max(node.first, 0), min(node.end, SLOTS)):
            if Cover((node,)).leaf(leaf) == LEAF_KEYS[leaf]:
                found.add(leaf)
    return found


LEAF_KEYS = [naive_leaf(ROOT, leaf) for leaf in range(SLOTS)]
WHOLE = Cover.whole(ROOT)


def test_covers_are_exact_for_every_interval() -> None:
    for start, end in itertools.combinations_with_replacement(range(SLOTS + 1), 2):
        nodes = WHOLE.interval(start, end)
        assert derivable(nodes) == set(range(start, end))
        assert sum(node.end - node.first for node in nodes) == end - start
        length = max(end - start, 1)
        assert len(nodes) <= max(2 * (length - 1).bit_length(), 1)


def test_two_covers_yield_their_union() -> None:
    """A coalition pools nodes: no key of one is an ancestor of a slot outside both."""
    keys = {(start, end): {n.key for n in WHOLE.interval(start, end)} for start, end in INTERVALS}
    spans = {(start, end): {(n.level, n.index) for n in WHOLE.interval(start, end)} for start, end in INTERVALS}
    for one, two in itertools.combinations(INTERVALS, 2):
        pooled = spans[one] | spans[two]
        slots = {leaf for level, index in pooled for leaf in range(index << level, (index + 1) << level)}
        assert slots == set(range(*one)) | set(range(*two))
        assert len(keys[one] | keys[two]) == len(pooled)


INTERVALS = [(a, b) for a in range(0, SLOTS, 3) for b in range(a + 1, SLOTS + 1, 5)]


@given(st.integers(0, LEAVES), st.integers(0, LEAVES))
def test_minimal_nodes_tile_the_interval(one: int, two: int) -> None:
    start, end = min(one, two), max(one, two)
    at = start
    for level, index in minimal_nodes(start, end):
        assert index << level == at
        at = (index + 1) << level
    assert at == end or start == end


def test_a_year_of_quarter_hours_takes_at_most_20_nodes() -> None:
    """channels.md 5."""
    year = 35_040
    assert max(len(WHOLE.interval(start, start + year)) for start in range(1000, 1064)) <= 20


@given(st.sets(st.integers(0, 63), min_size=1), st.integers(0, 63), st.integers(0, 64))
def test_without_takes_away_and_joined_gives_back(held: set[int], start: int, end: int) -> None:
    cover = Cover(node for leaf in held for node in WHOLE.interval(leaf, leaf + 1))
    gone = cover.without(start, max(start, end))
    left = held - set(range(start, end))
    assert {leaf for leaf in range(64) if leaf in gone} == left
    for leaf in range(64):
        if leaf in left:
            assert gone.leaf(leaf) == LEAF_KEYS[leaf]
        else:
            with pytest.raises(NoKey):
                gone.leaf(leaf)
    again = gone.joined(WHOLE.interval(start, max(start, end)))
    assert {leaf for leaf in range(64) if leaf in again} == left | set(range(start, end))


def test_overlapping_nodes_and_impossible_ones_are_refused() -> None:
    with pytest.raises(FormatError):
        Cover((*WHOLE.interval(0, 8), *WHOLE.interval(4, 5)))
    for level, index, key in [(33, 0, ROOT), (0, LEAVES, ROOT), (32, 1, ROOT), (0, 0, b"short")]:
        with pytest.raises(FormatError):
            CoverNode(level, index, key)
    with pytest.raises(FormatError):
        list(minimal_nodes(0, LEAVES + 1))
