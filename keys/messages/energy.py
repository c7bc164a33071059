"""Messages of the EnergyToken (sources, readings, shares, claims) and the permit that its ERC-20 side and others take.

Counters are whole watt-hours, shares are counted, tokens are milliwatt-hours. `device` is an address whatever the curve
of the device's key: the last 20 bytes of the keccak256 of the public key's x and y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from keys.eip712 import Domain, Struct
from keys.messages.base import DEADLINE, Message

__all__ = [
    "ClaimEnergy",
    "IssueShares",
    "MeterReset",
    "PauseSource",
    "Permit",
    "Reading",
    "RegisterSource",
    "TransferShares",
    "energy_domain",
]


@dataclass(frozen=True, slots=True)
class RegisterSource(Message):
    """Records a source of energy; signed by owner, device and registrar. `shares` go to the owner, 0 for later."""

    STRUCT: ClassVar[Struct] = Struct(
        "RegisterSource(uint64 source,address owner,address device,uint64 initialCounter,uint48 maxPowerW,"
        f"uint64 shares,{DEADLINE})"
    )

    source: int
    owner: bytes
    device: bytes
    initial_counter: int
    max_power_w: int
    shares: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class IssueShares(Message):
    """Issues the shares of a source that has none; signed by its owner, who gets them. Once and for all."""

    STRUCT: ClassVar[Struct] = Struct(f"IssueShares(address owner,uint64 source,uint64 shares,{DEADLINE})")

    owner: bytes
    source: int
    shares: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class MeterReset(Message):
    """Another meter, counter or key; signed by owner, the (new) device and registrar.

    `old_final` settles the old counter; readings of the new one count from `new_initial`, numbered above `index`.
    """

    STRUCT: ClassVar[Struct] = Struct(
        "MeterReset(uint64 source,address owner,address device,uint32 index,uint64 oldFinal,uint64 newInitial,"
        f"uint48 maxPowerW,{DEADLINE})"
    )

    source: int
    owner: bytes
    device: bytes
    index: int
    old_final: int
    new_initial: int
    max_power_w: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class PauseSource(Message):
    """Stops or resumes the readings of a source; signed by its owner or the registrar, who each end their own pause."""

    STRUCT: ClassVar[Struct] = Struct(f"PauseSource(address account,uint64 source,bool paused,{DEADLINE})")

    account: bytes
    source: int
    paused: bool
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Reading(Message):
    """The counter of a source at a time, signed by its device. Index and time rise, so it needs no nonce."""

    STRUCT: ClassVar[Struct] = Struct("Reading(uint64 source,uint32 index,uint64 counterWh,uint40 meterTime)")

    source: int
    index: int
    counter_wh: int
    meter_time: int


@dataclass(frozen=True, slots=True)
class TransferShares(Message):
    """Moves shares of a source; signed by their holder. What they earned so far stays with the holder."""

    STRUCT: ClassVar[Struct] = Struct(
        f"TransferShares(address holder,address receiver,uint64 source,uint64 shares,{DEADLINE})"
    )

    holder: bytes
    receiver: bytes
    source: int
    shares: int
    nonce: int
    deadline: int


@dataclass(frozen=True, slots=True)
class ClaimEnergy(Message):
    """Pays a holder what the shares earned. Needs no signature: it pays nobody else, so anybody may bring it."""

    STRUCT: ClassVar[Struct] = Struct("ClaimEnergy(address holder,uint64 source)")

    holder: bytes
    source: int


@dataclass(frozen=True, slots=True)
class Permit(Message):
    """Lets a spender take tokens; signed by their owner (ERC-2612). The nonce counts up, unlike all others."""

    STRUCT: ClassVar[Struct] = Struct(
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
    )

    owner: bytes
    spender: bytes
    value: int
    nonce: int
    deadline: int


def energy_domain(chain_id: int, address: bytes) -> Domain:
    """The domain of the EnergyToken at `address` (20 bytes) on a chain."""
    return Domain("Wattpact EnergyToken", "1", chain_id, address)
