"""With whom an order may be matched: partner, area, kind of energy; conditions are joined by "or" (G-5). Pure.

An order says what it is (`area`, `energy`) and what it wants. Without conditions it wants nothing in particular; with
some, at least one must hold. Only heat and electricity never stand for each other where an order does not say so. A
condition may be stricter than the order about the price, and may serve only the first Wh of the order: `wh` bounds what
is filled of the order in all when a fill under this condition is done, so that a restart needs no memory of which fill
used which condition.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["HEAT", "PLAIN", "UNLIMITED", "Accord", "Condition", "Particulars", "Party", "accords", "one_carrier"]

UNLIMITED: Final = 2**127
HEAT: Final = "thermal"
"""The one kind of energy that is not electricity (M-84): who wants it says so, who has it gives it to nobody else."""


def one_carrier(energy: str, other: str) -> bool:
    """Whether two kinds of energy may stand for each other where an order asks for none."""
    return (energy == HEAT) is (other == HEAT)


@dataclass(frozen=True, slots=True)
class Condition:
    """An empty set asks for nothing. `price`: an offer's least or a request's highest under this condition."""

    partners: frozenset[bytes] = frozenset()
    areas: frozenset[str] = frozenset()
    energies: frozenset[str] = frozenset()
    price: int | None = None
    wh: int | None = None

    def suits(self, party: bytes, area: str, energy: str, own: str) -> bool:
        """Whether the other side is what this condition asks for, in an order of the energy `own`."""
        return (
            (not self.partners or party in self.partners)
            and (not self.areas or area in self.areas)
            and (energy in self.energies if self.energies else one_carrier(energy, own))
        )


@dataclass(frozen=True, slots=True)
class Particulars:
    """What an order is and wants. `partner` is the signed field of the message; the contract on chain checks it too."""

    area: str = ""
    energy: str = ""
    partner: bytes = b""
    conditions: tuple[Condition, ...] = ()

    @property
    def choosy(self) -> bool:
        """Whether it may refuse anybody at all."""
        return bool(self.partner or self.conditions or self.energy == HEAT)


PLAIN: Final = Particulars()
_ANY: Final = (Condition(),)


class Party(Protocol):
    """An order, as far as conditions need it. `wh` in all minus `filled` is left."""

    @property
    def party(self) -> bytes: ...
    @property
    def price(self) -> int: ...
    @property
    def left(self) -> int: ...
    @property
    def filled(self) -> int: ...
    @property
    def particulars(self) -> Particulars: ...


@dataclass(frozen=True, slots=True)
class Accord:
    """What two orders allow each other under one condition of each: at most `wh`, at a price in [low, high]."""

    wh: int
    low: int
    high: int


def _suited(mine: Party, other: Party) -> tuple[Condition, ...]:
    """The conditions of one order that the other meets; none where its partner or all its conditions say no."""
    wants, what, party = mine.particulars, other.particulars, other.party
    if wants.partner and wants.partner != party:
        return ()
    area, energy, own = what.area, what.energy, wants.energy
    # A list and not a generator: this is asked of every two orders that may be matched.
    return tuple([c for c in wants.conditions or _ANY if c.suits(party, area, energy, own)])


def accords(offer: Party, request: Party) -> Iterator[Accord]:
    """Every way in which two orders may be matched, in the order in which the offer, then the request, names them."""
    mine = _suited(offer, request)
    theirs = _suited(request, offer) if mine else ()
    for one in mine:
        for other in theirs:
            low = max(offer.price, one.price or 0)
            high = request.price if other.price is None else min(request.price, other.price)
            wh = min(
                offer.left,
                request.left,
                (UNLIMITED if one.wh is None else one.wh) - offer.filled,
                (UNLIMITED if other.wh is None else other.wh) - request.filled,
            )
            if low <= high and wh > 0:
                yield Accord(wh, low, high)
