"""Commits, paths and the key tree at their limits: what is refused, what ends first, and who can follow."""

from __future__ import annotations

import struct

import pytest

from channels.commit import MAX_DEPTH, _decode_removed, _decode_wraps, encode_signed
from channels.errors import CommitRejected, FormatError, LeafError, LeafExpired
from channels.kdf import KEY_BYTES
from channels.path import Path
from channels.plan import Backlog, CommitStep, Leaving, SealStep, plan
from channels.rekey import TreeUpdate
from channels.slots import OPEN_SLOT
from channels.tree import DEAD, KeyTree, TreeDelta, earliest_leaf
from channels.wrapping import CommitKeys, FreshSecrets
from channels.writer import Join
from tests.unit.channels.world import World, hashed

SID = hashed("sid")


def ranges(*items: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(">IH", *item) for item in items)


def wrap(level: int, index: int) -> bytes:
    return struct.pack(">BI40s", level, index, bytes(40))


def test_removed_ranges_are_as_long_as_they_can_be_and_never_overlap() -> None:
    full = (0, 65_535)
    assert _decode_removed(ranges(full, (65_535, 10)), 1 << 20) == (full, (65_535, 10))
    for wrong in (((0, 10), (10, 5)), ((0, 10), (9, 5)), (full, (65_534, 5)), (full, (5, 10)), ((5, 0),)):
        with pytest.raises(FormatError):
            _decode_removed(ranges(*wrong), 1 << 20)


def test_a_wrap_names_a_node_below_the_root() -> None:
    assert len(_decode_wraps(wrap(0, 7) + wrap(2, 1), 3)) == 2
    for level, index in ((3, 0), (4, 0), (9, 0), (0, 8), (2, 2)):
        with pytest.raises(FormatError, match="names no node"):
            _decode_wraps(wrap(level, index), 3)


def test_a_second_signature_is_there_exactly_where_the_version_asks_for_it() -> None:
    unsigned = World.start(0).prepare(0).unsigned
    assert encode_signed(unsigned, bytes(65), b"") == unsigned + bytes(65)
    for signature, second in ((bytes(64), b""), (bytes(65), b"XXXX"), (bytes(65), bytes(3309))):
        with pytest.raises(FormatError):
            encode_signed(unsigned, signature, second)


def test_whoever_stays_beside_a_long_removed_range_follows() -> None:
    """The nearest removed leaf of a range decides how far up the path is renewed, on either side of it."""
    for stays in range(8):
        world = World.start(0, readers=7)
        reader = world.welcome(stays)
        world.commit(1, removed=[leaf for leaf in range(8) if leaf != stays])
        reader.process_commit(world.commits[-1], world.registry)
        assert [r.plaintext for r in reader.open(world.seal(1, b"alone")).readings] == [b"alone"]
    for first, last in ((0, 5), (1, 5), (2, 6), (0, 6)):
        world = World.start(0, readers=7)
        stay = [leaf for leaf in range(8) if not first <= leaf <= last]
        readers = [world.welcome(leaf) for leaf in stay]
        world.commit(1, removed=range(first, last + 1))
        for reader in readers:
            reader.process_commit(world.commits[-1], world.registry)
            assert reader.epoch == 2


def test_a_path_needs_the_wrap_to_it() -> None:
    with pytest.raises(LeafError):
        Path(2, [bytes(32)] * 2)
    with pytest.raises(CommitRejected, match=r"no wrap for node \(1, 1\)"):
        Path(2, [bytes(32)] * 3)._climb([(0, 1)], CommitKeys(SID, 2), {})


def updated(depth: int, added: list[tuple[int, int]], tree: KeyTree | None = None) -> TreeDelta:
    fresh = FreshSecrets.of(hashed("T"), 1, bytes(32), 0, b"")
    update = TreeUpdate(tree or KeyTree(0), CommitKeys(SID, 1), fresh)
    update.change([], added, depth)
    return update.delta


def test_leaves_and_ends_are_added_within_their_ranges() -> None:
    delta = updated(3, [(0, 0), (7, DEAD - 1)])
    assert (delta.ends[0, 0], delta.ends[0, 7], delta.n_live) == (0, DEAD - 1, 2)
    assert updated(MAX_DEPTH, [(5, 9)]).depth == MAX_DEPTH
    for depth, leaf, end in ((3, 8, 5), (3, 15, 5), (3, -1, 5), (3, 0, DEAD), (3, 0, -1), (3, 8, DEAD)):
        with pytest.raises(LeafError, match="out of range"):
            updated(depth, [(leaf, end)])
    for depth in (MAX_DEPTH + 1, 1):
        with pytest.raises(LeafError, match="cannot become"):
            updated(depth, [], KeyTree(2))


def test_every_node_knows_which_leaf_below_ends_first() -> None:
    """Whatever the order of the ends is: a grant that is over must be found."""
    for ends in ([50, 100, 70, 90], [100, 50, 90, 70], [90, 70, 50, 100], [90, 100, 70, 50]):
        tree = KeyTree(0)
        delta = updated(2, list(enumerate(ends)))
        tree.apply(delta)
        assert earliest_leaf(tree) == (50, ends.index(50))
        assert [tree.end(1, index) for index in (0, 1)] == [min(ends[:2]), min(ends[2:])]
        assert tree.end(2, 0) == 50
    assert earliest_leaf(KeyTree(4)) == (DEAD, 0)
    for leaf in range(16):
        tree = KeyTree(4)
        tree.adopt(range(16), 100)
        tree.set_end(leaf, 7)
        assert earliest_leaf(tree) == (7, leaf)


def test_a_grant_that_ends_before_its_neighbour_holds_up_the_next_commit() -> None:
    world = World.start(0)
    first, _ = world.commit(1, joins=[Join(1, 9), Join(1, OPEN_SLOT)])
    with pytest.raises(LeafExpired) as found:
        world.prepare(9)
    assert found.value.leaf == first


def test_a_stored_tree_has_levels_that_fit_each_other() -> None:
    tree = KeyTree(0)
    tree.apply(updated(2, [(0, 5), (3, 6)]))
    keys, ends = tree.dump()
    again = KeyTree.load(keys, ends)
    assert again.dump() == (keys, ends)
    dead = b"\xff" * 4
    assert ends[0][:16] == b"\x00\x00\x00\x05" + dead + dead + b"\x00\x00\x00\x06", "big endian, on any machine"
    assert (again.n_live, again.path_keys(3)) == (2, tree.path_keys(3))
    for level in range(3):
        for wrong_keys, wrong_ends in (
            (keys[level] + bytes(KEY_BYTES), ends[level]),
            (keys[level], ends[level] + b"\xff" * 4),
            (bytes(KEY_BYTES * (5 - level)), b"\xff" * (4 * (5 - level)) if level else b"\xff" * 20),
        ):
            changed = [*keys[:level], wrong_keys, *keys[level + 1 :]], [*ends[:level], wrong_ends, *ends[level + 1 :]]
            with pytest.raises(LeafError, match="do not fit"):
                KeyTree.load(*changed)


def test_what_is_due_at_the_present_slot_is_planned_after_its_readings_and_nothing_goes_back() -> None:
    leaving = [Leaving(b"A", 6)]
    assert plan(leaving, [], [Backlog(5, 5, 5)], Backlog(5, 5, 6)) == (SealStep(5), CommitStep(5, (b"A",), ()))
    assert plan(leaving, [], [Backlog(5, 5, 5)], Backlog(4, 4, 6)) == (SealStep(5),), "the clock went back"
