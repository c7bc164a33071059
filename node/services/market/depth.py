"""How much is offered and wanted at which price in one slot, kept up with every change in O(1)."""

from __future__ import annotations

from node.services.market.engine import Level

__all__ = ["Depth"]


class Depth:
    """Both sides of one slot; counts what the market holds, whatever its engine makes of it."""

    __slots__ = ("_sides",)

    def __init__(self) -> None:
        self._sides: tuple[dict[int, list[int]], dict[int, list[int]]] = ({}, {})

    def move(self, sells: bool, price: int, before: int, after: int) -> None:
        """An order's free Wh went from one amount to another; 0 is none."""
        if before == after:
            return
        side = self._sides[0 if sells else 1]
        level = side.setdefault(price, [0, 0])
        level[0] += after - before
        level[1] += (after > 0) - (before > 0)
        if not level[1]:
            del side[price]

    def levels(self, *, sells: bool, most: int | None = None) -> tuple[Level, ...]:
        """The levels of one side, the best first."""
        side = self._sides[0 if sells else 1]
        prices = sorted(side, reverse=not sells)[:most]
        return tuple(Level(price, *side[price]) for price in prices)
