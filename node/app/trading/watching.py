"""A reader of live market data, as the market sees it."""

from __future__ import annotations

import asyncio

from node.services.market.prices import Times

__all__ = ["Watch"]


class Watch:
    """What a reader of the market was not told yet: times of delivery whose depth or prices moved."""

    def __init__(self) -> None:
        self.moved: set[Times] = set()
        self.some = asyncio.Event()

    def add(self, moved: set[Times]) -> None:
        self.moved |= moved
        self.some.set()

    def take(self) -> tuple[Times, ...]:
        """What moved, in the order of time; from now on it counts as told."""
        moved, self.moved = self.moved, set()
        self.some.clear()
        return tuple(sorted(moved))
