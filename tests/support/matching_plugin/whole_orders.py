"""A matching engine of one's own: an offer and a request are matched when they are of the same size, whole or not."""

from __future__ import annotations

from collections.abc import Iterable

from node.services.market.engine import EngineKind, Fill, Quote, Slot

__all__ = ["ENGINE"]


class WholeOrders:
    """The oldest partner of the same size whose price suits; the price is the offer's."""

    def __init__(self, _slot: Slot) -> None:
        self._waiting: dict[bytes, Quote] = {}

    def add(self, order: Quote) -> Iterable[Fill]:
        for other in self._waiting.values():
            if other.sells is order.sells or other.party == order.party or other.wh != order.wh:
                continue
            offer, request = (order, other) if order.sells else (other, order)
            if offer.price <= request.price:
                del self._waiting[other.key]
                return [Fill(offer.key, request.key, order.wh, offer.price)]
        self._waiting[order.key] = order
        return []

    def cancel(self, key: bytes) -> None:
        self._waiting.pop(key, None)

    def tick(self, now: int) -> Iterable[Fill]:
        return []


ENGINE = EngineKind(WholeOrders, "orders of the same size, whole")
