"""A pairing of one owner with one device, by its hash: final before it acts, over at first sight of an unpairing.

A device hash carries a fresh salt and serves one pairing: after an unpairing it is over for good, a reorg included,
and the same device pairs again under a new hash. So a stolen gateway cannot come back by a reorg.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import Block, Event, Peer, State, StateIndex, Step
from node.projection.effects import NotifyDevicePaired, NotifyDeviceUnpaired, NotifyPairingUndone
from node.projection.errors import ContradictingFact, WrongAggregate
from node.projection.events import (
    LoggedDevicePaired,
    LoggedDeviceUnpaired,
    LoggedFinalized,
    LoggedRolledBack,
    ReceivedPairing,
)
from node.projection.machine import Machine

__all__ = ["DEVICE_MACHINE", "Device", "DeviceStatus", "LocalPairing", "index_device", "reduce_device"]


class DeviceStatus(StrEnum):
    """`known`: paired locally, not on chain. `seen`: on chain, not final."""

    NONE = "none"
    KNOWN = "known"
    SEEN = "seen"
    PAIRED = "paired"
    UNPAIRED = "unpaired"


_N, _K, _S, _P = DeviceStatus.NONE, DeviceStatus.KNOWN, DeviceStatus.SEEN, DeviceStatus.PAIRED
_UNPAIRED = frozenset({DeviceStatus.UNPAIRED})
DEVICE_MACHINE = Machine(
    "device",
    _N,
    {
        (_N, ReceivedPairing): frozenset({_K}),
        (_N, LoggedDevicePaired): frozenset({_S}),
        (_K, LoggedDevicePaired): frozenset({_S}),
        (_S, LoggedFinalized): frozenset({_P}),
        (_S, LoggedRolledBack): frozenset({_N, _K}),
        (_S, LoggedDeviceUnpaired): _UNPAIRED,
        (_P, LoggedRolledBack): frozenset({_N, _K}),
        (_P, LoggedDeviceUnpaired): _UNPAIRED,
    },
)


@dataclass(frozen=True, slots=True)
class LocalPairing:
    """What both sides keep and the chain does not hold."""

    salt: bytes
    peer: Peer
    label: str
    at: int


@dataclass(frozen=True, slots=True)
class Device(State):
    device_hash: bytes
    status: DeviceStatus = DeviceStatus.NONE
    owner: bytes = bytes(20)
    device: bytes = bytes(20)
    local: LocalPairing | None = None
    paired: Block | None = None
    unpaired: Block | None = None


def _same(device: Device, owner: bytes, address: bytes) -> None:
    if device.status is not _N and (device.owner, device.device) != (owner, address):
        raise ContradictingFact("one device hash names two pairings")


def _met(device: Device, event: ReceivedPairing) -> Step[Device]:
    _same(device, event.owner, event.device)
    if device.local is not None:
        return Step(device)
    local = LocalPairing(event.salt, event.peer, event.label, event.at)
    status = DEVICE_MACHINE.move(device.status, event, _K) if device.status is _N else device.status
    return Step(replace(device, status=status, owner=event.owner, device=event.device, local=local))


def _paired(device: Device, event: LoggedDevicePaired) -> Step[Device]:
    _same(device, event.owner, event.device)
    if device.status is DeviceStatus.UNPAIRED:
        return Step(replace(device, paired=event.block))
    if device.paired is not None:
        if device.paired != event.block:
            raise ContradictingFact("one pairing stands on chain twice")
        return Step(device)
    status = DEVICE_MACHINE.move(device.status, event, _S)
    return Step(replace(device, status=status, owner=event.owner, device=event.device, paired=event.block))


def _unpaired(device: Device, event: LoggedDeviceUnpaired) -> Step[Device]:
    if device.status is DeviceStatus.UNPAIRED:
        return Step(replace(device, unpaired=device.unpaired or event.block))
    if device.status not in (_S, _P) or device.owner != event.owner:
        return Step(device)
    status = DEVICE_MACHINE.move(device.status, event, DeviceStatus.UNPAIRED)
    notice = NotifyDeviceUnpaired(device.device_hash, device.owner)
    return Step(replace(device, status=status, unpaired=event.block), (notice,))


def _rolled_back(device: Device, event: LoggedRolledBack) -> Step[Device]:
    height = event.ancestor_height
    paired = device.paired if device.paired and device.paired.number <= height else None
    unpaired = device.unpaired if device.unpaired and device.unpaired.number <= height else None
    after = replace(device, paired=paired, unpaired=unpaired)
    if device.status not in (_S, _P) or paired is not None:
        return Step(after)
    if device.local is not None:
        after = replace(after, status=DEVICE_MACHINE.move(device.status, event, _K))
    else:
        after = Device(device.device_hash, DEVICE_MACHINE.move(device.status, event, _N))
    return Step(after, (NotifyPairingUndone(device.device_hash),))


def reduce_device(device: Device, event: Event) -> Step[Device]:
    match event:
        case ReceivedPairing():
            return _met(device, event)
        case LoggedDevicePaired():
            return _paired(device, event)
        case LoggedDeviceUnpaired():
            return _unpaired(device, event)
        case LoggedRolledBack():
            return _rolled_back(device, event)
        case LoggedFinalized():
            if device.status is not _S or device.paired is None or device.paired.number > event.height:
                return Step(device)
            status = DEVICE_MACHINE.move(device.status, event, _P)
            notice = NotifyDevicePaired(device.device_hash, device.owner, device.device)
            return Step(replace(device, status=status), (notice,))
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a device")


def index_device(device: Device) -> StateIndex:
    blocks = [block.number for block in (device.paired, device.unpaired) if block is not None]
    waiting = device.paired.number if device.status is _S and device.paired else None
    links = () if device.status is _N else (("owner", device.owner), ("device", device.device))
    return StateIndex(device.status.value, max(blocks, default=None), waiting, None, links)
