"""Delivery slots as data: how long they are, when their gate closes, and which areas and kinds of energy there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from node.services.market.conditions import Particulars
from node.services.market.engine import EngineKind, Slot
from node.services.market.errors import OrderRefused

__all__ = ["AHEAD_S", "MOST_PRICE", "MOST_WH", "Rules"]

MOST_WH: Final = 2**63 - 1
MOST_PRICE: Final = 2**80 - 1
"""What a signed order has room for is more: 64 bits of energy and 88 of price. Databases and the documents of contracts
that are netted do not, so what nobody trades is not taken, rather than met where it is too late to say no."""

AHEAD_S: Final = 3_660 * 86_400
"""Ten years: so far ahead a delivery may end. A signed time reaches into years that no calendar knows."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one market takes. Seconds.

    `slot_s`: length of a delivery, which begins at a multiple of it; 0 for any time of delivery. `gate_s`: how long
    before the delivery its gate closes; None for a book that is open until the delivery ends. `areas`, `energies`:
    the names that orders may use.
    """

    engine: EngineKind
    slot_s: int = 0
    gate_s: int | None = None
    areas: frozenset[str] = field(default_factory=frozenset)
    energies: frozenset[str] = field(default_factory=frozenset)

    def slot(self, start: int, end: int) -> Slot:
        """The slot of a time of delivery, whether or not this market has such ones."""
        return Slot(start, end, end if self.gate_s is None else start - self.gate_s)

    def check_size(self, wh: int, price: int, end: int, now: int) -> None:
        """Raises OrderRefused for figures that no trade has. Wh, minor units per kWh, seconds UTC."""
        if wh > MOST_WH:
            raise OrderRefused(f"An order is for {MOST_WH} Wh at most.", field="typed.message.wh")
        if price > MOST_PRICE:
            raise OrderRefused(f"A price is {MOST_PRICE} per kWh at most.", field="typed.message.price")
        if end > now + AHEAD_S:
            raise OrderRefused("A delivery ends ten years from now at the latest.", field="typed.message.end")

    def check(self, start: int, end: int, particulars: Particulars, now: int) -> Slot:
        """Raises OrderRefused for an order that this market does not take, naming what is wrong with it."""
        slot = self.slot(start, end)
        if self.slot_s and (start % self.slot_s or end - start != self.slot_s):
            raise OrderRefused(
                f"Deliveries here last {self.slot_s} s and begin at multiples of that.", field="typed.message.start"
            )
        if now >= slot.gate:
            raise OrderRefused("The gate of this delivery is closed.", field="typed.message.start")
        if particulars.choosy and not self.engine.conditions:
            raise OrderRefused("This market's engine knows no partners and conditions.", field="details.conditions")
        for name, known, used in (
            ("area", self.areas, {particulars.area, *(a for c in particulars.conditions for a in c.areas)}),
            ("energy", self.energies, {particulars.energy, *(e for c in particulars.conditions for e in c.energies)}),
        ):
            unknown = sorted(used - known - {""})
            if unknown:
                names = ", ".join(sorted(known)) or "none"
                raise OrderRefused(f"No {name} here is called {unknown[0]}; known: {names}.", field=f"details.{name}")
        return slot
