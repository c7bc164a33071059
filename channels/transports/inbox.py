"""The receiving end that every transport shares: deliveries wait here until a subscriber asks for them.

A message is acknowledged to the broker when every subscription that got it has asked for its next one. Until then the
broker counts it as in flight, so a slow subscriber slows the broker down instead of filling our memory.

When the connection goes, what waits here stays: the broker will deliver most of it again, but one that lost its memory
will not. A repeated message that still waits or is being worked on is recognised and not doubled.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from channels.errors import TransportError
from channels.transports.base import Delivery
from channels.transports.topics import Topic

__all__ = ["Inbox", "Receipt", "Switchboard"]


class Receipt:
    """Counts who still works on a message; `acknowledge` is called when nobody does."""

    __slots__ = ("_acknowledge", "_holders")

    def __init__(self, holders: int, acknowledge: Callable[[], None] | None) -> None:
        self._holders = holders
        self._acknowledge = acknowledge

    def release(self) -> None:
        """One holder is done."""
        self._holders -= 1
        if self._holders == 0 and self._acknowledge is not None:
            self._acknowledge()

    def void(self) -> None:
        """The connection of this message is gone: there is nobody to acknowledge to."""
        self._acknowledge = None

    @property
    def is_void(self) -> bool:
        """Whether `void` was called."""
        return self._acknowledge is None


@dataclass(slots=True)
class _Waiting:
    delivery: Delivery
    receipt: Receipt


def _adopt(rows: Iterable[_Waiting], delivery: Delivery, receipt: Receipt) -> bool:
    for row in rows:
        if row.receipt.is_void and row.delivery.payload == delivery.payload and _place(row) == _place_of(delivery):
            row.receipt = receipt
            return True
    return False


def _place_of(delivery: Delivery) -> tuple[str, bytes, bytes]:
    return delivery.kind, delivery.sid, delivery.key


def _place(row: _Waiting) -> tuple[str, bytes, bytes]:
    return _place_of(row.delivery)


class Inbox:
    """A Subscription to the topics `names`; made by Switchboard.open."""

    def __init__(
        self,
        names: frozenset[str],
        leave: Callable[[Inbox], None],
        unsubscribe: Callable[[Inbox], Awaitable[None]],
    ) -> None:
        self.names = names
        self.rows: deque[_Waiting] = deque()
        self.working: _Waiting | None = None
        self._leave = leave
        self._unsubscribe = unsubscribe
        self._news = asyncio.Event()
        self._error: TransportError | None = None
        self._closed = False

    def put(self, delivery: Delivery, receipt: Receipt) -> None:
        """Hand a delivery over (transport side)."""
        known = self.rows if self.working is None else (self.working, *self.rows)
        if not _adopt(known, delivery, receipt):
            self.rows.append(_Waiting(delivery, receipt))
        self._news.set()

    def fail(self, error: TransportError) -> None:
        """End with an error once everything that waits was taken (transport side)."""
        self._error = error
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Delivery]:
        return self

    async def __anext__(self) -> Delivery:
        if self.working is not None:
            self.working.receipt.release()
            self.working = None
        while not self.rows:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        self.working = self.rows.popleft()
        return self.working.delivery

    async def aclose(self) -> None:
        """See Subscription.aclose."""
        if not self._closed:
            self._closed = True
            self._leave(self)
            self._news.set()

    async def unsubscribe(self) -> None:
        """See Subscription.unsubscribe."""
        await self.aclose()
        await self._unsubscribe(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@dataclass(slots=True)
class _Unclaimed:
    since: float
    rows: deque[_Waiting]


class Switchboard:
    """Hands arriving messages to the inboxes of their topic; what nobody takes waits for a subscriber for a while."""

    def __init__(self) -> None:
        self.inboxes: list[Inbox] = []
        self._unclaimed: dict[str, _Unclaimed] = {}

    def names(self) -> set[str]:
        """The topics somebody here wants."""
        return set().union(*(inbox.names for inbox in self.inboxes))

    def open(self, topics: tuple[Topic, ...], unsubscribe: Callable[[Inbox], Awaitable[None]]) -> Inbox:
        """A new inbox; it takes what was waiting for one."""
        inbox = Inbox(frozenset(topic.name for topic in topics), self._leave, unsubscribe)
        for name in inbox.names & self._unclaimed.keys():
            inbox.rows.extend(self._unclaimed.pop(name).rows)
        self.inboxes.append(inbox)
        return inbox

    def _leave(self, inbox: Inbox) -> None:
        """Take an inbox off; what it did not finish goes to whoever subscribes next."""
        if inbox not in self.inboxes:
            return
        self.inboxes.remove(inbox)
        left = [inbox.working, *inbox.rows] if inbox.working is not None else list(inbox.rows)
        wanted = self.names()
        for row in left:
            delivery = row.delivery
            name = Topic(delivery.kind, delivery.sid, delivery.key).name
            if name in wanted:
                row.receipt.release()
            else:
                self._hold(name, row)
        inbox.rows.clear()
        inbox.working = None

    def _hold(self, name: str, row: _Waiting) -> None:
        held = self._unclaimed.setdefault(name, _Unclaimed(asyncio.get_running_loop().time(), deque()))
        if not _adopt(held.rows, row.delivery, row.receipt):
            held.rows.append(row)

    def arrived(self, name: str, delivery: Delivery, acknowledge: Callable[[], None]) -> None:
        """A message came in; `acknowledge` is called when it was worked through."""
        takers = [inbox for inbox in self.inboxes if name in inbox.names]
        receipt = Receipt(max(1, len(takers)), acknowledge)
        for inbox in takers:
            inbox.put(delivery, receipt)
        if not takers:
            self._hold(name, _Waiting(delivery, receipt))

    def lost(self) -> None:
        """The connection is gone: nothing that waits or is being worked on can be acknowledged any more."""
        for inbox in self.inboxes:
            for row in inbox.rows:
                row.receipt.void()
            if inbox.working is not None:
                inbox.working.receipt.void()
        for held in self._unclaimed.values():
            for row in held.rows:
                row.receipt.void()

    def give_up(self, grace: float) -> list[str]:
        """Acknowledge what nobody wanted for `grace` seconds; returns the topics to unsubscribe from.

        They are left over from an earlier run: without this they would fill the broker's window for ever.
        """
        now = asyncio.get_running_loop().time()
        stale = [name for name, held in self._unclaimed.items() if now - held.since >= grace]
        self.drop(stale)
        return stale

    def drop(self, names: Iterable[str]) -> None:
        """Acknowledge what waits unclaimed under these topics."""
        for name in names:
            held = self._unclaimed.pop(name, None)
            for row in held.rows if held is not None else ():
                row.receipt.release()

    def end(self, error: TransportError) -> None:
        """The transport stops: every inbox ends with `error`; nothing is acknowledged."""
        self.lost()
        for inbox in self.inboxes:
            inbox.rows.clear()
            inbox.fail(error)
        self.inboxes.clear()
        self._unclaimed.clear()
