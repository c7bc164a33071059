"""The orders that a market took, kept at hand: what was signed, by whom, and where its sender is. None of it changes.

How much of an order is filled and whether it is still open does change: that is read from the views, never here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from keys import messages as m
from node.app.core import Core
from node.app.trading.matchfeed import Signed
from node.projection.order import Order

__all__ = ["KnownOrders"]

_MOST: Final = 20_000
"""Orders at hand; each contract is looked at some ten times in its life, most of them soon after each other."""


class KnownOrders:
    def __init__(self, core: Core) -> None:
        self._core = core
        self._orders: dict[bytes, Order] = {}
        self._signed: dict[bytes, Signed] = {}

    async def many(self, keys: Collection[bytes]) -> dict[bytes, Order]:
        """Those that were taken in here, by id."""
        missing = [key for key in keys if key not in self._orders]
        if missing:
            found = await self._core.storage.views.many(Order, missing)
            # Of one that came by the chain alone nothing is known yet but that it is filled.
            self._orders |= {key: order for key, order in found.items() if order.terms is not None}
            while len(self._orders) > _MOST + len(keys):
                del self._orders[next(iter(self._orders))]
        return {key: order for key in keys if (order := self._orders.get(key)) is not None}

    async def one(self, key: bytes) -> Order | None:
        return (await self.many((key,))).get(key)

    def note(self, order_id: bytes, signed: Signed) -> None:
        """What was signed, by whoever has read it already."""
        self._signed[order_id] = signed
        if len(self._signed) > _MOST:
            del self._signed[next(iter(self._signed))]

    def signed(self, order: Order) -> Signed | None:
        """What was signed; None for an order that is known by the chain alone."""
        found = self._signed.get(order.order_id)
        if found is None and order.terms is not None:
            message, domain = m.from_stored(order.body)
            if isinstance(message, m.Offer | m.Request):
                found = (message, domain)
                self.note(order.order_id, found)
        return found
