"""What an asset keeps of its contracts in markets that net: day by day, so that what went by costs nothing any more.

Read at the start is what is open: a contract until it is agreed what counts of it, or until three days after its end.
All others are read with their day when somebody asks for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from node.app.memory import Fact
from node.services.market.netting import DAY
from node.storage.facts import Facts
from node.wire.settlement import NetContractMade

__all__ = ["DUES", "REPORTS", "AssetNetBook", "Held"]

MADE, REPORTS = "asset_net_contract", "asset_net_report"
"""Namespaces of facts, by contract: as the market told it; what this asset reported, and whether that arrived."""

DUES = "asset_net_due"
"""Namespace of facts: Wh that count of a contract, and what is owed, once this asset agreed to it."""

OPEN, DAYS = "asset_net_open", "asset_net_days"
"""Namespaces of facts: contracts that are open, with their day; and days that have contracts."""

LATE_S = 3 * 86_400
AT_HAND = 40
"""Days; what a netting left out is looked at for 30 of them."""


@dataclass(slots=True)
class Held:
    """A contract as this asset has it. `said`: Wh reported (`wh`), whether it was `sent`, and `refused`; `due`: Wh that
    count and what is owed for them, once it is agreed."""

    made: NetContractMade
    said: dict[str, Any] | None = None
    due: tuple[int, int] | None = None

    @property
    def day(self) -> int:
        return self.made.start // DAY


class AssetNetBook:
    """Of one asset, in all its markets."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._held: dict[bytes, Held] = {}
        self._days: dict[int, dict[bytes, Held]] = {}
        self._whole: set[int] = set()
        self._open: set[bytes] | None = None
        self._one = asyncio.Lock()

    async def opened(self) -> dict[bytes, Held]:
        """Those that are open."""
        if self._open is None:
            async with self._one:
                if self._open is None:
                    found = {bytes.fromhex(name) for name in await self._facts.all(OPEN)}
                    await self._load(found)
                    self._open = found
        return {key: self._held[key] for key in self._open if key in self._held}

    async def day(self, day: int) -> dict[bytes, Held]:
        """All of one day, by contract."""
        await self.opened()
        if day not in self._whole:
            async with self._one:
                await self._load({bytes.fromhex(name) for name in await self._facts.all(_names(day))})
                self._whole.add(day)
                self._forget(day)
        return dict(self._days.get(day, {}))

    async def one(self, contract_id: bytes) -> Held | None:
        """A contract of whatever day; None for one that this asset did not take."""
        await self.opened()
        if contract_id not in self._held:
            await self._load({contract_id})
        return self._held.get(contract_id)

    async def counted(self, contracts: Collection[bytes]) -> tuple[int, int] | None:
        """Wh that count of contracts, and what is owed for them; None while it is not agreed of one."""
        dues = [held.due for key in contracts if (held := await self.one(key)) is not None]
        known = [due for due in dues if due is not None]
        return (sum(wh for wh, _ in known), sum(owed for _, owed in known)) if len(known) == len(dues) else None

    async def newest(self, most: int = 500) -> dict[bytes, Held]:
        """The newest ones, by whole days, and a few more of the last day than asked for."""
        found: dict[bytes, Held] = {}
        for day in sorted(map(int, await self._facts.all(DAYS)), reverse=True):
            found |= await self.day(day)
            if len(found) >= most:
                break
        return found

    def known(self, contract_id: bytes) -> Held | None:
        """One that is at hand."""
        return self._held.get(contract_id)

    def add(self, contract_id: bytes, made: NetContractMade) -> tuple[Fact, ...]:
        """A contract that is taken; it counts from here on. Returns what is to be kept."""
        name, day = contract_id.hex(), made.start // DAY
        self._put(contract_id, Held(made))
        if self._open is not None:
            self._open.add(contract_id)
        return (
            (MADE, name, made.to_json()),
            (_names(day), name, 1),
            (OPEN, name, day),
            (DAYS, str(day), 1),
        )

    def over(self, contracts: Collection[bytes], now: int) -> tuple[Fact, ...]:
        """Those among them with which nothing is left to do are not open any more. Returns what is to be kept."""
        gone = list[bytes]()
        for key in contracts:
            held = self._held.get(key)
            if self._open is not None and key in self._open and held is not None and _is_over(held, now):
                self._open.discard(key)
                gone.append(key)
        return tuple((OPEN, key.hex(), None) for key in gone)

    async def _load(self, wanted: Collection[bytes]) -> None:
        names = [key.hex() for key in wanted if key not in self._held]
        if not names:
            return
        made, said, dues = [await self._facts.many(space, names) for space in (MADE, REPORTS, DUES)]
        for name, body in made.items():
            due = dues.get(name)
            held = Held(NetContractMade.model_validate(body), said.get(name), (due[0], due[1]) if due else None)
            self._put(bytes.fromhex(name), held)

    def _put(self, contract_id: bytes, held: Held) -> None:
        """What is at hand already is newer than what was read."""
        held = self._held.setdefault(contract_id, held)
        self._days.setdefault(held.day, {})[contract_id] = held

    def _forget(self, asked: int) -> None:
        """The oldest days are read again when they are asked for."""
        while len(self._whole) > AT_HAND:
            oldest = min(self._whole - {asked})
            self._whole.discard(oldest)
            held = self._days.pop(oldest, {})
            for key in list(held):
                if key not in (self._open or ()):
                    del held[key], self._held[key]
            if held:
                self._days[oldest] = held


def _is_over(held: Held, now: int) -> bool:
    sent = held.said is not None and bool(held.said["sent"])
    return (sent and held.due is not None) or held.made.end + LATE_S < now


def _names(day: int) -> str:
    """Namespace of facts: the contracts of one day."""
    return f"asset_net_day_{day}"
