"""Types of the EnergyToken, and the permit of both tokens (ERC-2612)."""

from __future__ import annotations

from scripts.message_types import DEADLINE, ContractMessages

__all__ = ["ENERGY"]

ENERGY = ContractMessages(
    name="EnergyToken",
    domain="Wattpact EnergyToken",
    address="0x2345678901abcdef2345678901abcdef23456789",
    messages={
        "RegisterSource(uint64 source,address owner,address device,uint64 initialCounter,uint48 maxPowerW,"
        f"uint64 shares,{DEADLINE})": ("owner", "device", "registrar"),
        f"IssueShares(address owner,uint64 source,uint64 shares,{DEADLINE})": ("owner",),
        "MeterReset(uint64 source,address owner,address device,uint32 index,uint64 oldFinal,uint64 newInitial,"
        f"uint48 maxPowerW,{DEADLINE})": ("owner", "device", "registrar"),
        f"PauseSource(address account,uint64 source,bool paused,{DEADLINE})": ("account",),
        "Reading(uint64 source,uint32 index,uint64 counterWh,uint40 meterTime)": ("device",),
        f"TransferShares(address holder,address receiver,uint64 source,uint64 shares,{DEADLINE})": ("holder",),
        "ClaimEnergy(address holder,uint64 source)": ("holder",),
        "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)": ("owner",),
    },
)
