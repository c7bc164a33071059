"""What waits for one client, in order, over its connections.

Replaces amqtt's way of delivering, which forgets a QoS 1 message when its acknowledgement does not come within five
seconds or when the connection ends meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass

__all__ = ["Outbox", "Outgoing"]

_PACKET_IDS = 65_535


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message for one client."""

    topic: str
    payload: bytes
    qos: int
    retained: bool


class Outbox:
    """A bounded queue with a window of messages that are sent and not acknowledged."""

    def __init__(self, most: int, window: int) -> None:
        self._most = most
        self._window = window
        self._waiting: deque[Outgoing] = deque()
        self._flying: OrderedDict[int, Outgoing] = OrderedDict()
        self._packet_id = 0
        self._news = asyncio.Event()
        self.dropped = 0

    def offer(self, message: Outgoing) -> None:
        """Put a message in line. When the line is full it is dropped: the reader sees the gap and asks for it."""
        if len(self._waiting) >= self._most:
            self.dropped += 1
            return
        self._waiting.append(message)
        self._news.set()

    async def next(self) -> tuple[int, Outgoing]:
        """The next message to send with its packet id (0 for QoS 0); waits for one and for room in the window."""
        while not self._waiting or len(self._flying) >= self._window:
            self._news.clear()
            await self._news.wait()
        message = self._waiting.popleft()
        if message.qos == 0:
            return 0, message
        while True:
            self._packet_id = self._packet_id % _PACKET_IDS + 1
            if self._packet_id not in self._flying:
                break
        self._flying[self._packet_id] = message
        return self._packet_id, message

    def acknowledged(self, packet_id: int) -> None:
        """The client has a message."""
        if self._flying.pop(packet_id, None) is not None:
            self._news.set()

    def connection_ended(self) -> None:
        """What was sent and not acknowledged goes to the front of the line again."""
        self._waiting.extendleft(reversed(self._flying.values()))
        self._flying.clear()

    def messages(self) -> list[Outgoing]:
        """Everything that is not acknowledged, in order."""
        return [*self._flying.values(), *self._waiting]

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._flying.clear()
