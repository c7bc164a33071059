"""The strict rule of the seed, one offer to one request (A-1): less energy wanted than offered, at a price above the
offered one; the contract takes the request's energy at the offer's price, and neither order is matched again.

The seed names no order among several partners that would do; the oldest one is taken.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.services.market.engine import EngineKind, Fill, Quote, Slot

__all__ = ["SEED_1TO1", "SeedEngine"]


class SeedEngine:
    """Every order is looked at in turn, as in the seed; for small markets."""

    def __init__(self, _slot: Slot) -> None:
        self._waiting: dict[bytes, Quote] = {}

    def add(self, order: Quote) -> Iterable[Fill]:
        if order.filled:
            return ()  # what is left of it goes to nobody
        for other in sorted(self._waiting.values(), key=lambda each: (each.seq, each.key)):
            if other.sells is order.sells or other.party == order.party:
                continue
            offer, request = (order, other) if order.sells else (other, order)
            if request.wh < offer.wh and offer.price < request.price:
                del self._waiting[other.key]
                return (Fill(offer.key, request.key, request.wh, offer.price),)
        self._waiting[order.key] = order
        return ()

    def cancel(self, key: bytes) -> None:
        self._waiting.pop(key, None)

    def tick(self, _now: int) -> Iterable[Fill]:
        return ()


SEED_1TO1 = EngineKind(SeedEngine, "one offer to one request: strictly less energy, strictly lower price, no remainder")
