"""Where the writer, its sealer and a stream's parameters draw their lines: the last allowed, the first refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from channels.checkpoint import Checkpoint
from channels.envelope import MAX_PLAINTEXT
from channels.errors import LeafExpired, LeafNotStarted, StalePrepared, UsageError
from channels.gate import Evidence, Gate
from channels.position import Position
from channels.sealer import Sealed
from channels.slots import OPEN_END, OPEN_SLOT, FormerWriter
from channels.stores.records import WriterRecord
from channels.writer import Join, Writer
from channels.writer_state import WriterState
from tests.unit.channels.world import (
    ADDRESS,
    STREAM_KEY,
    World,
    at,
    evidence,
    hashed,
    masters,
    params,
    sign_commit,
)


def test_an_open_grant_is_open_whatever_a_slot_lasts() -> None:
    hours = replace(params(), slot_seconds=900)
    assert hours.granted_slots(hours.genesis, OPEN_END) == (0, OPEN_SLOT)
    assert hours.granted_slots(hours.genesis, OPEN_END - 1)[1] < OPEN_SLOT


def test_a_former_writer_has_its_own_key_and_no_former_ones() -> None:
    nobody = replace(params(), stream_public=b"")
    now = replace(nobody, former=(FormerWriter(ADDRESS, STREAM_KEY.public_bytes, 3),))
    assert [now.keyed(epoch) for epoch in (3, 4)] == [True, False]
    assert now.at(3) == params()
    assert now.at(4) == now


def test_a_restored_writer_is_what_its_store_has_of_it() -> None:
    world = World.start(0, readers=2)
    snapshot = world.writer.snapshot()
    prepared = world.prepare(1, [1])
    world.writer.apply(prepared, sign_commit(prepared.message))
    record = WriterRecord(snapshot, (world.writer.change_of(prepared).to_bytes(),), world.writer.progress())
    for saved in (world.writer.snapshot(), record):
        again = Writer.restore(world.writer.params, masters(), STREAM_KEY, hashed("two")[:16], saved)
        assert again.snapshot() == world.writer.snapshot()


def test_a_writer_is_restored_from_its_very_first_commit_and_with_what_blocks_it() -> None:
    writer = World.start(0).writer
    fresh = Writer(writer.params, masters(), STREAM_KEY, hashed("inst")[:16])
    first = World(fresh).prepare(0, joins=[Join(0, OPEN_SLOT)] * 3)
    fresh.apply(first, sign_commit(first.message))
    fresh.block_sealing([2, 1])
    record = WriterRecord(b"", (fresh.change_of(first).to_bytes(),), fresh.progress())
    state = WriterState.from_record(record)
    assert (state.revoked, state.epoch, state.active) == ({1, 2}, 1, 0)
    assert state.to_bytes() == fresh.snapshot()


def test_a_leaf_that_is_gone_is_watched_no_longer() -> None:
    world = World.start(0)
    [leaf] = world.commit(1, joins=[Join(1, OPEN_SLOT)])
    assert world.writer.state.starts[leaf] == 1
    world.commit(1, removed=[leaf])
    assert leaf not in world.writer.state.starts
    assert world.writer.state.adopted is False


def test_a_snapshot_keeps_what_a_new_writer_has_to_do_and_whom_a_revocation_names() -> None:
    old = World.start(0, readers=2).writer
    live = old.state.tree.live_leaves()
    adopted = WriterState.after_writer_change(1, old.head, old.state.tree.depth, live, old.position)
    assert WriterState.from_bytes(adopted.to_bytes()).adopted
    again = Writer.restore(params(), masters("new"), STREAM_KEY, hashed("new")[:16], adopted.to_bytes())
    world = World(again)
    with pytest.raises(UsageError, match="removes all leaves"):
        world.prepare(1, [0])
    old.block_sealing([1, 2])
    saved = WriterState.from_bytes(old.snapshot())
    assert (saved.revoked, saved.adopted) == ({1, 2}, False)
    assert saved.log.first_slots() == old.state.log.first_slots()


def test_first_slots_come_back_from_a_snapshot_each() -> None:
    world = World.start(7, readers=1)
    for slot in (300, 70_000, 17_000_000):
        world.commit(slot)
    saved = WriterState.from_bytes(world.writer.snapshot())
    assert saved.log.first_slots() == (7, 300, 70_000, 17_000_000)


def test_the_callers_gate_counts() -> None:
    narrow = Gate(max_skew=5)
    writer = Writer(params(), masters(), STREAM_KEY, hashed("inst")[:16], gate=narrow)
    assert writer._sealer.gate is narrow
    assert Writer(params(), masters(), STREAM_KEY, hashed("inst")[:16])._sealer.gate == Gate()
    again = Writer.restore(params(), masters(), STREAM_KEY, hashed("inst")[:16], writer.snapshot(), gate=narrow)
    assert again._sealer.gate is narrow


def test_a_commit_of_the_right_epoch_after_another_one_is_stale() -> None:
    """A second copy of the writer went another way: what it prepared does not follow here."""
    here, there = World.start(0, readers=3), World.start(0, readers=3)
    here.commit(1, removed=[1])
    there.commit(1, removed=[2])
    prepared = there.prepare(2)
    assert prepared.epoch == here.writer.epoch + 1
    with pytest.raises(StalePrepared):
        here.writer.apply(prepared, sign_commit(prepared.message))
    assert here.writer.epoch == 2


def test_an_epoch_is_activated_again_in_silence_and_none_goes_back() -> None:
    world = World.start(0)
    world.commit(1)
    world.seal(1, b"reading")
    assert world.writer.activate(2) == (), "after a reorg the same commit is included again"
    for wrong in (1, 3):
        with pytest.raises(UsageError, match="cannot follow"):
            world.writer.activate(wrong)


def test_the_first_slot_never_goes_back_behind_the_first_commit_or_what_was_sealed() -> None:
    world = World.start(5)
    with pytest.raises(UsageError, match="never decreases: 4 after 5"):
        world.prepare(4)
    world.seal(8, b"reading")
    with pytest.raises(UsageError, match="never decreases: 7 after 8"):
        world.prepare(7)
    assert world.prepare(8).epoch == 2


def test_a_grant_that_is_over_is_named_with_its_leaf() -> None:
    world = World.start(0, readers=1)
    [leaf] = world.commit(1, joins=[Join(1, 9)])
    assert world.prepare(8).epoch == 3
    with pytest.raises(LeafExpired, match="a grant ends with slot 9: remove it") as found:
        world.prepare(9)
    assert found.value.leaf == leaf


def test_the_meters_clock_counts_among_the_clocks_that_a_grant_has_to_reach() -> None:
    """All clocks must have reached the start of every grant: a reading from before it would be opened by its reader."""
    world = World.start(0)
    [leaf] = world.commit(1, joins=[Join(1, OPEN_SLOT)])
    world.seal(1, b"a reading", second=1)
    with pytest.raises(LeafNotStarted) as found:
        world.writer.seal([(at(0, 59), b"from before")], evidence(at(1, 2)))
    assert found.value.leaf == leaf
    for gateway, block in ((at(0, 59), at(1)), (at(1), at(0, 59))):
        with pytest.raises(LeafNotStarted):
            world.writer.seal([(at(1), b"a clock is late")], Evidence(gateway, block))


def test_nothing_and_the_longest_plaintext_can_be_sealed() -> None:
    world = World.start(0, readers=1)
    assert world.writer.seal([], evidence(at(0))) == Sealed([], ())
    longest = bytes(MAX_PLAINTEXT)
    assert [reading.plaintext for reading in world.welcome(1).open(world.seal(0, longest)).readings] == [longest]
    with pytest.raises(UsageError, match="at most"):
        world.seal(0, bytes(MAX_PLAINTEXT + 1))


def test_the_very_first_slot_can_be_empty() -> None:
    world = World.start(0)
    [data] = world.writer.close_slot(0)
    found = Checkpoint.decode(data)
    assert (found.epoch, found.slot, found.first_seq, found.count) == (1, 0, 1, 0)


def test_a_checkpoint_moves_only_what_is_covered() -> None:
    world = World.start(0)
    world.seal(3, b"one", b"two")
    before = world.writer.position
    [_] = world.writer.close_slot(3)
    assert world.writer.position == Position(1, 3, 2, before.last_hash, 2)
    assert Position.from_bytes(world.writer.position.to_bytes()) == world.writer.position


def test_what_was_sealed_under_an_epoch_is_covered_under_it() -> None:
    """The mark on disk is older than the state: its envelopes are of the epoch before the active one."""
    world = World.start(0)
    world.seal(1, b"one", b"two")
    mark = world.writer.position
    world.commit(2)
    again = Writer.restore(params(), masters(), STREAM_KEY, hashed("two")[:16], world.writer.snapshot(), mark)
    [data] = again.shutdown()
    found = Checkpoint.decode(data)
    assert (found.epoch, found.slot, found.first_seq, found.count) == (1, 1, 1, 2)
    reader = World.start(0, readers=1).welcome(1)
    assert len(reader.open(world.envelopes).readings) == 2
    assert reader.accept_checkpoint(data).final == ((1, 2),)
