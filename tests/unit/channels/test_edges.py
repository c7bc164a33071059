"""Edges of the protocol's smaller rules, each a place where one spot changed would go unnoticed otherwise."""

from __future__ import annotations

import pytest

from channels.checkpoint import Checkpoint
from channels.errors import FormatError, ReaderRemoved, UsageError
from channels.gate import MAX_SKEW_LIMIT
from channels.position import Position
from channels.reader_state import snapshot_reader
from channels.readings import MAX_READINGS, Measurement, decode_batch, encode_batch
from channels.rebuild import rebuild_writer
from channels.slots import OPEN_SLOT
from channels.tree import DEAD, KeyTree, TreeDelta, earliest_leaf
from channels.writer import Changes, Join
from channels.writer_state import WriterState
from tests.unit.channels.world import SLOT, STREAM_KEY, World, hashed, masters, sign_commit


def points(checkpoints: tuple[bytes, ...]) -> list[tuple[int, int, int, int]]:
    """(epoch, slot, first seq, count) of each."""
    found = [Checkpoint.verify(data, STREAM_KEY.public_bytes) for data in checkpoints]
    return [(each.epoch, each.slot, each.first_seq, each.count) for each in found]


def test_a_slot_is_closed_once_and_an_empty_one_says_so() -> None:
    world = World.start(3)
    writer = world.writer
    assert points(writer.close_slot(2)) == [], "before the epoch's first slot"
    assert points(writer.close_slot(3)) == [(1, 3, 1, 0)]
    world.seal(4, b"a", b"b")
    assert points(writer.close_slot(3)) == [], "data lies behind it already"
    assert points(writer.close_slot(4)) == [(1, 4, 1, 2)]
    assert points(writer.close_slot(4)) == []
    assert points(writer.close_slot(5)) == [(1, 5, 3, 0)]
    world.seal(6, b"c")
    assert points(writer.close_slot(8)) == [(1, 6, 3, 1), (1, 8, 4, 0)]
    world.commit(9, removed=[0], active=False)
    assert points(writer.close_slot(9)) == [(1, 9, 4, 0)]
    assert points(writer.close_slot(10)) == [], "it may belong to the epoch that waits for the chain"
    assert points(writer.shutdown()) == []


def varint(*groups: int) -> bytes:
    return bytes(groups)


def test_numbers_have_one_spelling_and_an_end() -> None:
    good = encode_batch([Measurement(0, 0, 0, {"1-0:1.8.1": 1, "1-0:1.8.2": 2})])
    assert decode_batch(good)[0].values == {"1-0:1.8.1": 1, "1-0:1.8.2": 2}
    head, values = b"\x00\x01\x01", b"\x02\x01\x02\x02\x04"
    assert head + b"\x00\x00\x00\x00" + values == good
    for bad in (
        head + b"\x80\x00" + good[4:],  # 0 in two bytes
        head + b"\x81\x80\x00" + good[4:],  # 1 in three
        head + b"\x00\x00\x00\x00" + b"\x02\x01\x02\x01\x04",  # one code twice
        head + b"\x00\x00\x00\x00" + b"\x02\x02\x02\x01\x04",  # codes not in order
        head + b"\x00\x00\x00\x00" + b"\x01\x00\x02",  # code 0
        head + b"\xff" * 10 + b"\x01" + good[4:],  # a number without end
        b"\x00\x01\x00",
        b"\x00\x01" + bytes([MAX_READINGS + 1]) + good[3:] * (MAX_READINGS + 1),
    ):
        with pytest.raises(FormatError):
            decode_batch(bad)


@pytest.mark.parametrize(
    ("edge", "beyond"),
    [
        (Measurement(2**40 - 1, 0, 0, {}), Measurement(2**40, 0, 0, {})),
        (Measurement(0, 2**40 - 1, 0, {}), Measurement(0, 2**40, 0, {})),
        (Measurement(0, 0, 0, {}), Measurement(-1, 0, 0, {})),
        (Measurement(0, 0, 255, {}), Measurement(0, 0, 256, {})),
        (Measurement(0, 0, 0, {}, 2**32 - 1), Measurement(0, 0, 0, {}, 2**32)),
        (Measurement(0, 0, 0, {}, 900, 0), Measurement(0, 0, 0, {}, 900, -1)),
        (Measurement(0, 0, 0, {}, 900, 1000), Measurement(0, 0, 0, {}, 900, 1001)),
        (Measurement(0, 0, 0, {"1-0:1.8.1": 2**63 - 1}), Measurement(0, 0, 0, {"1-0:1.8.1": 2**63})),
        (Measurement(0, 0, 0, {"1-0:1.8.1": 1 - 2**63}), Measurement(0, 0, 0, {"1-0:1.8.1": -(2**63)})),
        (Measurement(0, 0, 0, {}), Measurement(0, 0, 0, {}, 0, 999)),
        (Measurement(0, 0, 0, {}), Measurement(0, 0, 0, {}, 0, 1000, {"1-0:1.8.1": 1})),
    ],
)
def test_the_last_value_that_fits_fits_and_the_next_does_not(edge: Measurement, beyond: Measurement) -> None:
    assert decode_batch(encode_batch([edge])) == (edge,)
    with pytest.raises(UsageError):
        encode_batch([beyond])


def test_a_log_with_named_leaves_and_a_deeper_tree_rebuilds_byte_for_byte() -> None:
    world = World.start(0, readers=2)
    for changes, depth in (
        (Changes(1, 5, (), (Join(0, OPEN_SLOT, 13), Join(0, 40, 9))), 6),
        (Changes(2, 6, (9,), (Join(1, 50, 9),)), 0),
    ):
        prepared = world.writer.prepare(changes, depth)
        world.commits.append(world.writer.apply(prepared, sign_commit(prepared.message)))
        world.include(prepared)
    members = [*world.members.values()]
    for leaf, end in ((13, OPEN_SLOT), (9, 50)):
        template = members[0]
        members.append(type(template)(hashed("g", leaf), template.reader_key_hash, leaf, 1, end, 2))
    again = rebuild_writer(
        world.writer.params, masters(), STREAM_KEY, bytes(16), world.commits, members, 99, world.writer.position
    )
    assert again.state.tree.depth == 6
    assert again.state.tree.dump() == world.writer.state.tree.dump()
    assert again.active_epoch == 3, "what the chain shows of later epochs is not this writer's"


@pytest.mark.parametrize("ahead", [-1, 0, 1])
def test_a_rebuilt_writer_watches_starts_that_some_clock_may_not_have_reached(ahead: int) -> None:
    first = 200
    watched = first - MAX_SKEW_LIMIT // SLOT - 1
    world = World.start(0)
    [leaf] = world.commit(first, joins=[Join(watched + ahead, OPEN_SLOT)])
    again = rebuild_writer(
        world.writer.params, masters(), STREAM_KEY, bytes(16), world.commits, list(world.members.values()), 2
    )
    expected = {leaf: watched + ahead} if ahead >= 0 else {}
    for writer in (world.writer, again):
        assert {found: start for found, start in writer.state.starts.items() if found == leaf} == expected


def test_a_new_writer_begins_after_the_old_one() -> None:
    position = Position(7, 5, 9, hashed("last"), 8)
    alone = WriterState.after_writer_change(7, hashed("head"), 0, [], position)
    assert (alone.adopted, alone.log.origin, alone.epoch, alone.active) == (False, 8, 7, 7)
    one = WriterState.after_writer_change(7, hashed("head"), 2, [3], position)
    assert (one.adopted, one.position, one.head) == (True, position, hashed("head"))
    assert one.tree.live_leaves() == [3]
    assert [one.tree.end(level, 3 >> level) for level in range(3)] == [OPEN_SLOT] * 3
    assert earliest_leaf(one.tree) == (OPEN_SLOT, 3)


def test_end_slots_reach_the_root_from_both_sides() -> None:
    tree = KeyTree(2)
    ends = {(0, leaf): 50 + leaf for leaf in range(4)}
    ends |= {(1, 0): 50, (1, 1): 52, (2, 0): 50}
    tree.apply(TreeDelta(2, 4, {node: hashed(node) for node in ends}, ends))
    tree.set_end(3, 10)
    assert [tree.end(1, 0), tree.end(1, 1), tree.end(2, 0)] == [50, 10, 10]
    assert earliest_leaf(tree) == (10, 3)
    tree.set_end(3, 99)
    tree.set_end(0, 99)
    assert [tree.end(1, 0), tree.end(1, 1), tree.end(2, 0)] == [51, 52, 51]
    assert earliest_leaf(tree) == (51, 1)
    assert tree.end(0, 9) == tree.end(5, 0) == DEAD
    keys, stored = tree.dump()
    assert tree.stored_bytes() >= sum(map(len, keys)) + sum(map(len, stored))


def test_a_reader_that_was_away_when_it_was_removed_takes_what_came_before() -> None:
    world = World.start(0, readers=1)
    leaf, reader = world.join(1)
    world.commit(2)
    before = world.seal(2, b"still ours")
    world.commit(3, removed=[leaf])
    after = world.seal(3, b"not ours")
    world.commit(4)
    with pytest.raises(ReaderRemoved) as gone:
        reader.catch_up(world.commits[2:], world.registry)
    assert gone.value.epoch == reader.removed_in == 4
    assert reader.epoch == 3
    assert [reading.plaintext for reading in reader.open([*before, *after]).readings] == [b"still ours"]
    stands = snapshot_reader(reader)
    with pytest.raises(ReaderRemoved):
        reader.process_commit(world.commits[-1], world.registry)
    assert snapshot_reader(reader) == stands
