"""A continuous order book: price first, then time, with partial fills and residuals. Whole Wh and minor units only.

The book is a mutable structure beside the projection: it is fed in the order of the journal and gives the same fills
when it is fed the same again. It proposes; `matching.check_fill` decides (market.md, Matching).

Costs: an order O(log levels) at worst and O(1) at a price that is in the book, a fill O(1), a cancellation O(1)
amortised, whatever the size of the book.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import Final

from node.services.market.engine import Fill, Level
from node.services.market.errors import OrderRefused

__all__ = ["Book", "Fill", "Level", "Resting"]

_SWEEP_AT: Final = 4_096
"""Cancelled orders that may lie in the book before it is swept, or as many as were left by the last time."""


class Resting:
    """One order as the book holds it, and the mark by which it is cancelled. `left` is what is not filled yet, in Wh.

    `sells` tells an offer from a request, `price` is in minor units per kWh, `party` is whom it may not trade with,
    `seq` is its place in time among equal prices.
    """

    __slots__ = ("key", "left", "party", "price", "sells", "seq")

    def __init__(self, key: bytes, party: bytes, sells: bool, price: int, wh: int, seq: int = 0) -> None:
        self.key = key
        self.party = party
        self.sells = sells
        self.price = price
        self.left = wh
        self.seq = seq


class _Side:
    """One side of the book. `sign` is 1 where low prices come first (offers), -1 where high ones do (requests)."""

    __slots__ = ("heap", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, deque[Resting]] = {}
        self.heap: list[int] = []

    def add(self, order: Resting) -> None:
        level = self.levels.get(order.price)
        if level is None:
            self.levels[order.price] = deque((order,))
            heappush(self.heap, self.sign * order.price)
        elif level[-1].seq <= order.seq:
            level.append(order)
        else:  # it was here before, and comes back with its place
            place = len(level)
            while place and level[place - 1].seq > order.seq:
                place -= 1
            level.insert(place, order)

    def sweep(self) -> int:
        """Forget what was cancelled or filled; how many orders are left."""
        kept = {price: deque(o for o in level if o.left) for price, level in self.levels.items()}
        self.levels = {price: level for price, level in kept.items() if level}
        self.heap = [self.sign * price for price in self.levels]
        heapify(self.heap)
        return sum(map(len, self.levels.values()))


class Book:
    """Offers and requests of one market and one delivery slot. Fills are at the offer's price, as the seed has it.

    An order never trades with another of its own party: it passes over it and leaves it its place.
    """

    def __init__(self) -> None:
        self._offers = _Side(1)
        self._requests = _Side(-1)
        self._dead = 0
        self._sweep_at = _SWEEP_AT

    def submit(self, order: Resting) -> list[Fill]:
        """Match what can be matched now; the rest waits in the book. Raises OrderRefused.

        The caller hands each order in once: the journal, not the book, knows which keys were there before.
        """
        if order.left <= 0:
            raise OrderRefused("An order needs at least one Wh.", field="energy")
        if order.price < 0:
            raise OrderRefused("A price is not negative.", field="price")
        fills: list[Fill] = []
        mine, other = (self._offers, self._requests) if order.sells else (self._requests, self._offers)
        heap, levels, limit = other.heap, other.levels, other.sign * order.price
        own: list[int] = []  # prices at which only this party's own orders are left
        while order.left and heap and heap[0] <= limit:
            price = other.sign * heap[0]
            level = levels[price]
            self._take(order, level, fills)
            if not level:
                del levels[price]
                heappop(heap)
            elif order.left:
                own.append(heappop(heap))
        for signed in own:
            heappush(heap, signed)
        if order.left:
            mine.add(order)
        return fills

    def _take(self, order: Resting, level: deque[Resting], fills: list[Fill]) -> None:
        """Fill from the front of one level until the order is done or only its party's own orders are left."""
        passed: list[Resting] = []
        while order.left and level:
            first = level[0]
            if not first.left:
                level.popleft()
                self._dead -= 1
                continue
            if first.party == order.party:
                passed.append(level.popleft())
                continue
            wh = min(first.left, order.left)
            first.left -= wh
            order.left -= wh
            offer, request = (order, first) if order.sells else (first, order)
            fills.append(Fill(offer.key, request.key, wh, offer.price))
            if not first.left:
                level.popleft()
        level.extendleft(reversed(passed))

    def cancel(self, order: Resting) -> int:
        """Take what is left of an order out of the book; returns it in Wh, 0 if nothing was left."""
        left, order.left = order.left, 0
        if left:
            self._dead += 1
            if self._dead > self._sweep_at:
                self._sweep()
        return left

    def _sweep(self) -> None:
        kept = self._offers.sweep() + self._requests.sweep()
        self._dead, self._sweep_at = 0, max(_SWEEP_AT, kept)

    @property
    def best_offer(self) -> int | None:
        """The lowest price asked."""
        return next((level.price for level in self.depth(sells=True, most=1)), None)

    @property
    def best_request(self) -> int | None:
        """The highest price bid."""
        return next((level.price for level in self.depth(sells=False, most=1)), None)

    def depth(self, *, sells: bool, most: int | None = None) -> tuple[Level, ...]:
        """The levels of one side, the best first."""
        side = self._offers if sells else self._requests
        found: list[Level] = []
        for price in sorted(side.levels, reverse=not sells):
            live = [order.left for order in side.levels[price] if order.left]
            if live:
                found.append(Level(price, sum(live), len(live)))
            if len(found) == most:
                break
        return tuple(found)

    def orders(self) -> Iterator[Resting]:
        """Everything that waits, in no particular order."""
        levels: Iterable[deque[Resting]] = chain(self._offers.levels.values(), self._requests.levels.values())
        return (order for level in levels for order in level if order.left)
