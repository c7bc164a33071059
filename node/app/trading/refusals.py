"""The orders to which a market said no and signed that: it keeps to it for as long as they could be matched.

An asset that holds such a no sells the energy elsewhere. Whoever kept the refused parcel back could bring it again once
the market would take it, and the energy would be sold twice. So each is a fact on disk before its no goes out, and is
forgotten a day after the order's end. That takes room for everybody who signs orders to be refused, and there is an end
to it: where `MOST` are remembered, no more is signed, and an order without a signed no binds its asset alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import structlog

from keys import messages as m
from keys.parcel import MAX_LIFETIME
from node.app.core import Core
from node.services.market.netting import DAY

__all__ = ["MOST", "Refusals", "matched_until"]

_log = structlog.get_logger(__name__)

REFUSED = "market_refused"
"""Namespace of facts: why an order was refused, until when it is remembered, and when it was said, by its id."""

MOST: Final = 100_000
_PRUNE_S: Final = 3_600


class _Said(NamedTuple):
    """Seconds UTC."""

    until: int
    at: int


def matched_until(order: m.Offer | m.Request) -> int:
    """The last second in which a contract could be made of an order, seconds UTC."""
    return min(order.deadline, order.end)


class Refusals:
    """Of one market."""

    def __init__(self, core: Core, most: int = MOST) -> None:
        self._core = core
        self._most = most
        self._known: dict[bytes, _Said] | None = None
        self._pruned = 0

    async def of(self, orders: Collection[bytes]) -> Mapping[bytes, str]:
        """Why those of these were refused that were."""
        known = await self._all()
        names = [key.hex() for key in orders if key in known]
        found = await self._core.storage.memory.facts.many(REFUSED, names) if names else {}
        return {bytes.fromhex(name): reason for name, (reason, _, _) in found.items()}

    async def room(self, wanted: int) -> bool:
        """Whether so many more can be remembered."""
        known, now = await self._all(), self._core.clock.now()
        if len(known) + wanted > self._most or now >= self._pruned + _PRUNE_S:
            self._pruned = now
            await self._forget([key for key, said in known.items() if said.until < now])
        if len(known) + wanted > self._most:
            # A parcel from before such a no is taken from nobody any more.
            await self._forget([key for key, said in known.items() if said.at + MAX_LIFETIME + DAY < now])
        return len(known) + wanted <= self._most

    async def keep(self, refused: Mapping[bytes, tuple[str, int]]) -> None:
        """On disk when it returns: by order why, and `matched_until`."""
        known, now = await self._all(), self._core.clock.now()
        said = {key: (reason, _Said(until + DAY, now)) for key, (reason, until) in refused.items()}
        facts = [(REFUSED, key.hex(), [reason, *times]) for key, (reason, times) in said.items()]
        await self._core.storage.memory.keep((), facts)
        known.update({key: times for key, (_, times) in said.items()})

    async def _all(self) -> dict[bytes, _Said]:
        if self._known is None:
            found = await self._core.storage.memory.facts.all(REFUSED)
            self._known = {bytes.fromhex(name): _Said(until, at) for name, (_, until, at) in found.items()}
        return self._known

    async def _forget(self, gone: Collection[bytes]) -> None:
        known = await self._all()
        await self._core.storage.memory.facts.forget(REFUSED, [key.hex() for key in gone])
        for key in gone:
            known.pop(key, None)
