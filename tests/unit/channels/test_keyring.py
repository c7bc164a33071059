"""What a reader holds, and what retention destroys: after `forget` not even a thief derives a forgotten slot's key."""

from __future__ import annotations

import pytest

from channels.errors import NoKey
from channels.ggm import LEAVES, Cover
from channels.history import Covers
from channels.keyring import Keyring
from channels.masters import slot_root
from tests.unit.channels.world import hashed

SID = hashed("sid")
EPOCHS = Cover.whole(hashed("epoch tree"))


def ring(*epochs: int, covered: bool = False) -> Keyring:
    """A reader that was sent these epoch secrets, or given them by a cover of closed epochs."""
    made = Keyring(SID)
    for epoch in epochs:
        if covered:
            made.add_covers(Covers(EPOCHS.interval(epoch, epoch + 1), ()))
        else:
            made.add_epoch(epoch, EPOCHS.leaf(epoch))
    return made


def slot_key(epoch: int, slot: int) -> bytes:
    return Cover.whole(slot_root(EPOCHS.leaf(epoch), SID, epoch)).leaf(slot)


def opened(found: Keyring, places: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """The places whose key is held, each of them the right one."""
    held = set()
    for epoch, slot in places:
        if not found.holds(epoch, slot):
            with pytest.raises(NoKey):
                found.slot_key(epoch, slot)
            continue
        assert found.slot_key(epoch, slot) == slot_key(epoch, slot)
        held.add((epoch, slot))
    return held


@pytest.mark.parametrize("covered", [False, True])
def test_retention_destroys_exactly_the_slots_before_it(covered: bool) -> None:
    """Epochs 1, 2, 3 begin with slots 0, 10, 20; slot 10 is split between two, so epoch 1 may hold data of it.

    An epoch of a cover that begins where retention ends, or later, stays whole: nothing of it is older.
    """
    first_slots = {1: 0, 2: 10, 3: 20}
    everything = [(epoch, slot) for epoch in (1, 2, 3) for slot in (0, 5, 9, 10, 11, 15, 19, 20, 25, 1000)]
    for before in (0, 5, 10, 11, 15, 20, 21, 30):
        found = ring(1, 2, 3, covered=covered)
        found.forget(before, first_slots)
        wanted = {
            (epoch, slot)
            for epoch, slot in everything
            if (slot >= before or (covered and first_slots[epoch] >= before))
            and not (epoch + 1 in first_slots and first_slots[epoch + 1] < before)
        }
        assert opened(found, everything) == wanted, before


@pytest.mark.parametrize("covered", [False, True])
def test_what_is_forgotten_is_in_no_node_that_is_left(covered: bool) -> None:
    """channels.md 6: the attack is on the raw nodes, not on the interface that refuses politely."""
    found = ring(1, 2, covered=covered)
    found.forget(12, {1: 0, 2: 10})
    covers = found.covers()
    assert covers.epochs == ()
    assert [epoch for epoch, _ in covers.slots] == [2]
    leaves = {node.first for _, nodes in covers.slots for node in nodes}
    assert min(leaves) == 12
    assert all(node.key != EPOCHS.leaf(2) and node.level < 32 for _, nodes in covers.slots for node in nodes)


def test_an_epoch_that_no_commit_is_known_for_keeps_its_secret() -> None:
    sent = ring(1, 2)
    sent.forget(50, {1: 0})
    assert (sent.holds(2, 49), sent.holds(2, 50)) == (False, True), "a slot tree can be punctured without its commit"
    found = ring(1, 2, covered=True)
    found.forget(50, {1: 0})
    assert not found.holds(1, 49)
    assert found.holds(1, 50)
    assert found.holds(2, 0)
    found.forget(60, {1: 0, 2: 60})
    assert found.holds(1, 60), "slot 60 may be split between the two"
    assert found.holds(2, 0), "epoch 2 begins where retention ends: nothing of it is older"
    found.forget(61, {1: 0, 2: 60})
    assert not found.holds(1, 61)
    assert not found.holds(2, 60)
    assert found.holds(2, 61)


def test_a_cover_of_a_part_is_forgotten_too() -> None:
    nodes = Cover.whole(slot_root(EPOCHS.leaf(7), SID, 7)).interval(100, 200)
    found = Keyring(SID)
    found.add_covers(Covers((), ((7, nodes),)))
    assert [found.holds(7, slot) for slot in (99, 100, 199, 200)] == [False, True, True, False]
    found.forget(150, {})
    assert (found.holds(7, 149), found.holds(7, 150)) == (False, True)
    found.forget(200, {})
    assert found.covers() == Covers((), ())


def test_nothing_is_held_outside_the_trees() -> None:
    found = ring(0, 1)
    assert found.holds(0, 0)
    assert found.holds(1, LEAVES - 1)
    for epoch, slot in ((1, LEAVES), (LEAVES, 0), (1, -1), (-1, 1)):
        assert not found.holds(epoch, slot)


def test_an_erasure_takes_every_earlier_epoch_whole_however_it_is_held() -> None:
    """channels.md 4 rule 11: as nodes of the epoch tree, as a slot tree nobody looked into, or as slots."""
    places = [(epoch, slot) for epoch in range(6) for slot in (0, 4, 5, 9, LEAVES - 1)]
    later = {(epoch, slot) for epoch, slot in places if epoch == 5 or (epoch == 4 and slot >= 5)}
    for covered in (False, True):
        found = ring(0, 1, 2, 3, 4, 5, covered=covered)
        found.erase(4, 5)
        assert opened(found, places) == later
    slots = ring(0, 1, 2, 3, 4, 5)
    assert len(opened(slots, places)) == len(places), "each slot tree was looked into"
    slots.erase(4, 5)
    assert opened(slots, places) == later
