"""Telling every loop of a node that something changed, without a round of all of them for each change.

The first change after a quiet time is told at once. What follows within `PAUSE_S` is told together at its end: a market
that takes in thousands of messages a second would else do nothing but look whether there is something to do.
"""

from __future__ import annotations

import asyncio
from typing import Final

__all__ = ["PAUSE_S", "Wakes"]

PAUSE_S: Final = 0.1


class Wakes:
    """The events of all loops. `tell` is called by whoever changed something, inside the event loop."""

    def __init__(self) -> None:
        self._events: list[asyncio.Event] = []
        self._told = float("-inf")
        self._later: asyncio.TimerHandle | None = None

    def new(self) -> asyncio.Event:
        """An event of one's own that every change sets, at the latest after the pause."""
        event = asyncio.Event()
        self._events.append(event)
        return event

    def tell(self) -> None:
        """Something changed."""
        if self._later is not None:
            return
        loop = asyncio.get_running_loop()
        wait = self._told + PAUSE_S - loop.time()
        if wait <= 0:
            self._tell(loop)
        else:
            self._later = loop.call_later(wait, self._tell, loop)

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        self._later, self._told = None, loop.time()
        for event in self._events:
            event.set()
