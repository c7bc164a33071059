"""Price history: what was traded in each slot, and for how much. Made of contracts, so it can be made anew from them.

A contract that is not final yet is kept by itself, because a reorg may take it back; a final one is added up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["PriceHistory", "SlotPrices", "Traded"]

MOST_SLOTS: Final = 3_000
"""A month of quarter hours; the contracts themselves are kept for ever."""

Times = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Traded:
    """One contract: Wh, minor units per kWh, and the minor units that all of it costs."""

    times: Times
    wh: int
    price: int
    amount: int


@dataclass(frozen=True, slots=True)
class SlotPrices:
    """One time of delivery: the unit prices (A-17) and the total. `mean` is weighted with energy, rounded down."""

    times: Times
    contracts: int
    wh: int
    amount: int
    low: int
    high: int
    weighted: int

    @property
    def mean(self) -> int:
        return self.weighted // self.wh if self.wh else 0


def _joined(before: SlotPrices | None, each: Traded) -> SlotPrices:
    if before is None:
        return SlotPrices(each.times, 1, each.wh, each.amount, each.price, each.price, each.wh * each.price)
    return SlotPrices(
        each.times,
        before.contracts + 1,
        before.wh + each.wh,
        before.amount + each.amount,
        min(before.low, each.price),
        max(before.high, each.price),
        before.weighted + each.wh * each.price,
    )


class PriceHistory:
    """By time of delivery; the oldest go when there are more than `most`."""

    def __init__(self, most: int = MOST_SLOTS) -> None:
        self._most = most
        self._final: dict[Times, SlotPrices] = {}
        self._open: dict[bytes, Traded] = {}
        self.moved: set[Times] = set()

    def knows(self, contract_id: bytes) -> bool:
        """Whether it is one that may still be taken back."""
        return contract_id in self._open

    def made(self, contract_id: bytes, traded: Traded) -> None:
        """A contract at first sight; told again, it changes nothing."""
        if self._open.get(contract_id) != traded:
            self._open[contract_id] = traded
            self.moved.add(traded.times)

    def undone(self, contract_id: bytes) -> None:
        """A reorg took it back."""
        gone = self._open.pop(contract_id, None)
        if gone is not None:
            self.moved.add(gone.times)

    def final(self, contract_id: bytes) -> None:
        """A contract that was seen stands for good."""
        traded = self._open.pop(contract_id, None)
        if traded is not None:
            self.add(traded)

    def add(self, traded: Traded) -> None:
        """A final contract that was not seen before, while the history is made anew."""
        if self.full and traded.times < self.oldest:
            return
        self._final[traded.times] = _joined(self._final.get(traded.times), traded)
        if len(self._final) > self._most:
            del self._final[min(self._final)]

    @property
    def full(self) -> bool:
        """Whether older slots find no place."""
        return len(self._final) >= self._most

    @property
    def oldest(self) -> Times:
        return min(self._final, default=(0, 0))

    def slots(self, since: int = 0, until: int = 2**63) -> Iterator[SlotPrices]:
        """What was traded for deliveries that begin in [since, until), in the order of time."""
        found = {times: prices for times, prices in self._final.items() if since <= times[0] < until}
        for each in self._open.values():
            if since <= each.times[0] < until:
                found[each.times] = _joined(found.get(each.times), each)
        return (found[times] for times in sorted(found))

    def slot(self, times: Times) -> SlotPrices | None:
        """One time of delivery."""
        found = self._final.get(times)
        for each in self._open.values():
            if each.times == times:
                found = _joined(found, each)
        return found
