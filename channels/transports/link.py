"""The observable state of a connection, and how long to wait before the next attempt."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from channels.errors import TransportClosed
from channels.transports.base import LinkState, StateCallback

__all__ = ["Backoff", "Link"]


class Link:
    """Holds a LinkState, tells whoever listens, and lets others wait for the connection."""

    def __init__(self) -> None:
        self.state = LinkState.STOPPED
        self.reason = ""
        self._callbacks: list[StateCallback] = []
        self._changed = asyncio.Event()

    def on_state(self, callback: StateCallback) -> Callable[[], None]:
        """See Transport.on_state."""
        self._callbacks.append(callback)

        def remove() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return remove

    def set(self, state: LinkState, reason: str = "") -> None:
        """Enter a state; nobody is told twice about the same."""
        if (state, reason) == (self.state, self.reason):
            return
        self.state, self.reason = state, reason
        self._changed.set()
        self._changed = asyncio.Event()
        for callback in tuple(self._callbacks):
            callback(state, reason)

    async def wait_connected(self) -> None:
        """See Transport.wait_connected."""
        while self.state is not LinkState.CONNECTED:
            if self.state is LinkState.STOPPED:
                raise TransportClosed("the transport is not running")
            await self._changed.wait()


class Backoff:
    """Doubling waits with full jitter, so that a thousand nodes do not come back in the same second."""

    def __init__(self, first: float, most: float) -> None:
        self._first = first
        self._most = most
        self._attempts = 0
        self._random = random.SystemRandom()

    def reset(self) -> None:
        """The connection held; begin with the shortest wait again."""
        self._attempts = 0

    def next(self) -> float:
        """Seconds until the next attempt."""
        ceiling: float = min(self._most, self._first * 2 ** min(self._attempts, 16))
        self._attempts += 1
        return ceiling / 2 + self._random.random() * ceiling / 2
