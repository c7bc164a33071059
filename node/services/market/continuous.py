"""The default engine: a continuous book, price first, then time, with partial fills and remainders (A-1).

Orders that take everybody go through the fast book. The first order with conditions moves the slot into the book that
understands them; both give plain orders the same fills.
"""

from __future__ import annotations

from collections.abc import Iterable

from node.services.market.book import Book, Resting
from node.services.market.constrained import ConstrainedBook
from node.services.market.engine import EngineKind, Fill, Quote, Slot

__all__ = ["CONTINUOUS", "ContinuousEngine"]


class ContinuousEngine:
    """Fills are at the offer's price, as the seed has it."""

    def __init__(self, _slot: Slot) -> None:
        self._book = Book()
        self._waiting: dict[bytes, tuple[Quote, Resting]] = {}
        self._choosy: ConstrainedBook | None = None

    def add(self, order: Quote) -> Iterable[Fill]:
        if self._choosy is None:
            if not order.particulars.choosy:
                return self._plain(order)
            self._choosy = self._moved()
        return self._choosy.add(order)

    def _plain(self, order: Quote) -> list[Fill]:
        mark = Resting(order.key, order.party, order.sells, order.price, order.wh, order.seq)
        fills = self._book.submit(mark)
        for fill in fills:
            other = fill.request if order.sells else fill.offer
            if not self._waiting[other][1].left:
                del self._waiting[other]
        if mark.left:
            self._waiting[order.key] = (order, mark)
        return fills

    def _moved(self) -> ConstrainedBook:
        """What waits in the fast book does not cross, so it goes over without a fill; the order in time stays."""
        book = ConstrainedBook()
        for order, mark in self._waiting.values():
            done = order.wh - mark.left
            book.add(
                Quote(
                    order.key,
                    order.party,
                    order.sells,
                    order.price,
                    mark.left,
                    order.seq,
                    order.filled + done,
                    order.particulars,
                )
            )
        self._waiting.clear()
        self._book = Book()
        return book

    def cancel(self, key: bytes) -> None:
        if self._choosy is not None:
            self._choosy.cancel(key)
            return
        known = self._waiting.pop(key, None)
        if known is not None:
            self._book.cancel(known[1])

    def tick(self, _now: int) -> Iterable[Fill]:
        return ()


CONTINUOUS = EngineKind(
    ContinuousEngine, "continuous book: price, then time, at the offer's price; partial fills", conditions=True
)
