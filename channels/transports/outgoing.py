"""What waits to be published: first in first out, kept over connections until somebody took responsibility."""

from __future__ import annotations

import asyncio
from collections import deque

from channels.errors import TransportError

__all__ = ["Outgoing", "Waiting"]


class Outgoing:
    """One message; `acknowledged` is done when the broker has it, or the publisher gave up."""

    __slots__ = ("acknowledged", "payload", "retain", "topic")

    def __init__(self, topic: str, payload: bytes, retain: bool) -> None:
        self.topic = topic
        self.payload = payload
        self.retain = retain
        self.acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, error: TransportError | None = None) -> None:
        """The broker has taken or refused it; nothing happens when the publisher is gone."""
        if self.acknowledged.done():
            return
        if error is None:
            self.acknowledged.set_result(None)
        else:
            self.acknowledged.set_exception(error)


class Waiting:
    """The queue. What a lost connection had taken goes back to its front in the old order."""

    def __init__(self) -> None:
        self._unsent: deque[Outgoing] = deque()
        self._sent: dict[Outgoing, None] = {}
        self.more = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._unsent)

    @property
    def under_way(self) -> int:
        """Messages without an answer."""
        return len(self._sent)

    def put(self, message: Outgoing) -> None:
        self._unsent.append(message)
        self.more.set()

    def take(self) -> Outgoing | None:
        """The next one that somebody still waits for."""
        while self._unsent:
            message = self._unsent.popleft()
            if not message.acknowledged.done():
                self._sent[message] = None
                return message
        return None

    def peek_size(self) -> int:
        """Bytes of the payload at the front; 0 when there is none."""
        return len(self._unsent[0].payload) if self._unsent else 0

    def done(self, message: Outgoing, error: TransportError | None = None) -> None:
        self._sent.pop(message, None)
        message.answer(error)
        if self._unsent:
            self.more.set()

    def lost(self) -> None:
        """The connection is gone: what was on its way is sent again, before anything else."""
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()

    def end(self, error: TransportError) -> None:
        """Nothing will be sent any more."""
        self.lost()
        for message in self._unsent:
            message.answer(error)
        self._unsent.clear()
