"""What the market and a matching engine say to each other: orders in, cancellations, the clock; proposed fills out.

An engine is a plug-in (entry points of the group `wattpact.matching`, `engines.py`) and serves one time of delivery of
one market. It is fed in the order of the journal and must answer the same when it is fed the same: no clock, no chance.
Whatever it proposes is checked against the signed orders before anybody is bound by it (`matching.check_fill`), so a
wrong or hostile engine can withhold a match, never make a bad one. It runs inside the node: one that never returns
stops the market.

Energy is in Wh, prices in minor units of the money per kWh, times in seconds UTC; whole numbers everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from node.services.market.conditions import PLAIN, Particulars

__all__ = ["Engine", "EngineKind", "Fill", "Level", "Quote", "Slot"]


class Fill(NamedTuple):
    """A proposed trade: keys of offer and request, Wh, and minor units per kWh."""

    offer: bytes
    request: bytes
    wh: int
    price: int


@dataclass(frozen=True, slots=True)
class Level:
    """One price of one side: Wh in all, and from how many orders."""

    price: int
    wh: int
    orders: int


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A time of delivery, [start, end). From the second `gate` on nothing is matched; an auction is held then."""

    start: int
    end: int
    gate: int


@dataclass(frozen=True, slots=True)
class Quote:
    """An order as an engine sees it.

    `wh` may be matched now and `filled` is matched already; `price` is an offer's least or a request's highest; `party`
    is whom it may not trade with; `seq` is its place in the order of arrival and the tie rule at equal prices.
    """

    key: bytes
    party: bytes
    sells: bool
    price: int
    wh: int
    seq: int = 0
    filled: int = 0
    particulars: Particulars = PLAIN


class Engine(Protocol):
    """One time of delivery. An engine counts its own proposals as filled; the market corrects it where they are not,
    by a cancellation and the order anew."""

    def add(self, order: Quote) -> Iterable[Fill]:
        """Take an order in; its key is not in the engine. Returns what can be matched now."""
        ...

    def cancel(self, key: bytes) -> None:
        """Forget an order; one that is not (or no longer) in the engine is none to forget."""
        ...

    def tick(self, now: int) -> Iterable[Fill]:
        """Time goes on; called about once a second, and for the last time at or after the gate."""
        ...


@dataclass(frozen=True, slots=True)
class EngineKind:
    """What an entry point names. `conditions`: it understands the orders' particulars; a market whose engine does not
    refuses such orders when they arrive. `auction`: it needs a gate before the delivery begins. `late`: it is in
    another process, and what it makes of a gate comes after it."""

    make: Callable[[Slot], Engine]
    summary: str
    conditions: bool = False
    auction: bool = False
    late: bool = False
