"""permissions.md 2: pairing is final before it acts, unpairing acts at once and for good."""

from __future__ import annotations

import pytest

from node.projection import effects as f
from node.projection import events as e
from node.projection.base import Effect, Event
from node.projection.device import Device, DeviceStatus, reduce_device
from node.projection.errors import ContradictingFact
from tests.unit.node.projection.kit import HOME, OWNER, STRANGER, address, block, h32

D, BOX = h32("d"), address("b")
MET = e.ReceivedPairing(D, OWNER, BOX, h32("z"), HOME, "meter cupboard", 1)
PAIRED = e.LoggedDevicePaired(block(5), OWNER, D, BOX)
UNPAIRED = e.LoggedDeviceUnpaired(block(8), OWNER, D)


def fold(*events: Event) -> tuple[Device, list[Effect]]:
    device = Device(D)
    effects: list[Effect] = []
    for event in events:
        step = reduce_device(device, event)
        device = step.state
        effects.extend(step.effects)
    return device, effects


def test_pairing_acts_at_finality() -> None:
    seen, effects = fold(MET, PAIRED)
    assert (seen.status, effects) == (DeviceStatus.SEEN, [])
    paired, effects = fold(MET, PAIRED, e.LoggedFinalized(5, 1))
    assert (paired.status, effects) == (DeviceStatus.PAIRED, [f.NotifyDevicePaired(D, OWNER, BOX)])


def test_local_facts_may_come_before_or_after_the_chain() -> None:
    """architecture.md: the private log is replayed after the chain when a database is rebuilt."""
    assert fold(MET, PAIRED, e.LoggedFinalized(5, 1))[0] == fold(PAIRED, e.LoggedFinalized(5, 1), MET, MET)[0]


def test_unpairing_is_at_once_and_survives_a_reorg() -> None:
    out, effects = fold(MET, PAIRED, e.LoggedFinalized(5, 1), UNPAIRED, UNPAIRED)
    assert (out.status, effects[-1]) == (DeviceStatus.UNPAIRED, f.NotifyDeviceUnpaired(D, OWNER))
    again = e.LoggedDevicePaired(block(9, "b"), OWNER, D, BOX)
    still, effects = fold(MET, PAIRED, UNPAIRED, e.LoggedRolledBack(4), again, e.LoggedFinalized(99, 1))
    assert still.status is DeviceStatus.UNPAIRED
    assert f.NotifyDevicePaired(D, OWNER, BOX) not in effects


def test_nobody_else_unpairs() -> None:
    other = e.LoggedDeviceUnpaired(block(8), STRANGER, D)
    assert fold(MET, PAIRED, e.LoggedFinalized(5, 1), other)[0].status is DeviceStatus.PAIRED
    assert fold(UNPAIRED)[0] == Device(D)


def test_a_reorg_undoes_the_pairing_but_not_what_both_sides_know() -> None:
    known, effects = fold(MET, PAIRED, e.LoggedFinalized(5, 1), e.LoggedRolledBack(4))
    assert (known.status, effects[-1]) == (DeviceStatus.KNOWN, f.NotifyPairingUndone(D))
    assert known.local is not None
    assert fold(PAIRED, e.LoggedRolledBack(4))[0] == Device(D)


def test_one_hash_for_two_devices_is_a_contradiction() -> None:
    with pytest.raises(ContradictingFact):
        fold(MET, e.LoggedDevicePaired(block(5), OWNER, D, STRANGER))
