"""What only time shows: revocations that nobody answered, checkpoints that are due (channels.md 3, and 4 rule 6)."""

from __future__ import annotations

from channels.alarms import MissingCheckpoint
from channels.checkpoint import Checkpoint
from channels.codec import ByteReader, ByteWriter
from channels.watch import CHECKPOINT_DELAY, REVOCATION_DELAY, Revocation, Watch
from tests.unit.channels.world import SLOT, at, hashed, params


def watch() -> Watch:
    return Watch(params())


def test_only_a_commit_that_reflects_the_revocation_answers_it() -> None:
    found = watch()
    found.entered(1, 0, 50)
    found.revocation(100, at(3))
    found.entered(2, 4, 99)
    assert found.revocations == [Revocation(100, at(3))]
    found.entered(3, 4, 100)
    assert found.revocations == [Revocation(100, at(3), 3)]
    found.entered(4, 5, 200)
    assert found.revocations == [Revocation(100, at(3), 3)], "answered once"


def test_a_revocation_that_is_told_twice_is_one() -> None:
    found = watch()
    found.revocation(100, at(3))
    found.entered(2, 4, 100)
    found.revocation(100, at(9))
    assert found.revocations == [Revocation(100, at(3), 2)]


def test_data_under_an_epoch_of_before_is_stale_after_the_delay() -> None:
    found = watch()
    found.revocation(100, at(3))
    late = at(3) + REVOCATION_DELAY
    assert found.stale(2, 0, late) is None
    assert found.stale(2, 0, late + 1) == at(3)
    assert found.stale(2, 3 + REVOCATION_DELAY // SLOT, None) is None
    assert found.stale(2, 4 + REVOCATION_DELAY // SLOT, None) == at(3), "its own slot says that it is late"
    found.entered(3, 4, 100)
    assert found.stale(2, 0, late + 1) == at(3)
    assert found.stale(3, 0, late + 1) is None


def test_the_newest_revocations_are_remembered() -> None:
    found = watch()
    for block in range(200):
        found.revocation(block, at(0))
    assert [seen.block for seen in found.revocations] == list(range(136, 200))


def test_a_slot_with_data_is_due_once_and_covered_by_its_last_number() -> None:
    found = watch()
    found.entered(1, 0, 0)
    found.data(1, 0, 5)
    found.data(1, 0, 3)
    due = at(1) + CHECKPOINT_DELAY
    assert found.missing(due) == ()
    assert found.missing(due + 1) == (MissingCheckpoint(1, 0, ()),)
    assert found.missing(due + 2) == (), "said once"
    found.covered([(1, 4)])
    assert found.uncovered == {(1, 0): 5}
    found.covered([(5, 5)])
    assert found.uncovered == {}
    found.data(1, 0, 6)
    assert found.missing(due + 3) == (MissingCheckpoint(1, 0, ()),), "what came after is due again"
    found.covered([(6, 9)])
    assert found.uncovered == {}


def test_the_first_silent_slot_is_due_also_after_slot_0() -> None:
    """Dropping all of a slot and its checkpoint does not go unnoticed."""
    found = watch()
    assert found.missing(at(100)) == (), "nothing was ever there"
    found.entered(1, 0, 0)
    found.entered(4, 0, 0)
    found.checkpoint(Checkpoint(hashed("sid"), 1, 0, 1, 0, bytes(32), bytes(32)))
    due = at(2) + CHECKPOINT_DELAY
    assert found.missing(due) == ()
    assert found.missing(due + 1) == (MissingCheckpoint(4, 1, ()),)
    found.left(5)
    assert found.missing(at(50)) == (), "a reader that was removed waits for nothing"


def test_a_forged_slot_far_ahead_silences_nothing() -> None:
    """Attack: a member seals one envelope of the year 2099, so that no slot before it would ever be missed."""
    found = watch()
    found.entered(1, 0, 0)
    found.checkpoint(Checkpoint(hashed("sid"), 1, 0, 1, 0, bytes(32), bytes(32)))
    found.data(1, 2**32 - 3, 7)
    assert found.missing(at(2) + CHECKPOINT_DELAY + 1) == (MissingCheckpoint(1, 1, ()),)
    for slot in range(5000):
        found.data(1, slot, slot + 1)
    assert len(found.uncovered) == 4096
    assert max(slot for _, slot in found.uncovered) == 4095, "the nearest slots are kept"


def test_first_slots_are_bounded_and_keep_the_newest() -> None:
    found = watch()
    for epoch in range(1, 8194):
        found.entered(epoch, epoch, 0)
    assert len(found.first_slots) == 4096
    assert max(found.first_slots) == 8193
    assert min(found.first_slots) == 4098
    found.entered(8194, 8194, 0)
    assert len(found.first_slots) == 4097


def test_a_stored_watch_is_the_same() -> None:
    found = watch()
    found.entered(1, 3, 0)
    found.revocation(7, 8)
    found.data(1, 4, 9)
    found.left(2)
    out = ByteWriter()
    found.write(out)
    again = Watch.read(params(), ByteReader(out.done()))
    for name in ("first_slots", "revocations", "uncovered", "last_slot", "end_epoch"):
        assert getattr(again, name) == getattr(found, name)
