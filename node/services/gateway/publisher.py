"""Publishes what the writer recorded, in the order it was recorded, from a cursor that only acknowledgement moves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from channels.capsule import CapsuleHeader
from channels.commit import Header
from channels.envelope import EnvelopeHeader
from channels.stores.base import WriterStore
from channels.stores.records import LogKind, Unpublished
from channels.transports.topics import Kind, Topic

__all__ = ["Outlet", "Publisher"]

AT_ONCE = 64
"""Messages that may be on their way to the broker at once."""


class Outlet(Protocol):
    """The transport, as far as a writer publishes through it."""

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """Returns when the broker has acknowledged (QoS 1); the transport knows which kinds stay at the broker."""
        ...


class Publisher:
    """One stream's way to the broker. What is not acknowledged is sent again; readers know it by its bytes."""

    def __init__(self, sid: bytes, store: WriterStore, outlet: Outlet) -> None:
        self._sid = sid
        self._store = store
        self._outlet = outlet

    async def drain(self, active_epoch: int, marked_seq: int) -> int:
        """Sends what may be sent; returns how many records were acknowledged.

        An envelope beyond the high-water mark waits: what was published and is not marked could be sealed once more.
        A commit whose epoch the chain does not include yet holds back everything behind it: a reader would have to
        refuse it, and a broker would know of a revocation before the chain does.
        """
        sent = 0
        while True:
            rows = await self._store.unpublished(self._sid, AT_ONCE)
            allowed = rows[
                : next(
                    (n for n, row in enumerate(rows) if not self._may_leave(row, active_epoch, marked_seq)), len(rows)
                )
            ]
            await self._send(allowed)
            sent += len(allowed)
            if len(allowed) < AT_ONCE:
                return sent

    async def _send(self, rows: Sequence[Unpublished]) -> None:
        """All are handed over in order before the first acknowledgement is waited for."""
        await asyncio.gather(
            *(self._outlet.publish(Topic(Kind(row.kind.value), self._sid, row.key), row.data) for row in rows)
        )
        newest = {row.kind: row.position for row in rows}
        for kind, position in newest.items():
            await self._store.mark_published(self._sid, kind, position)

    @staticmethod
    def _may_leave(row: Unpublished, active_epoch: int, marked_seq: int) -> bool:
        if row.kind is LogKind.COMMITS:
            return Header.decode(row.data).epoch <= active_epoch
        if row.kind is LogKind.CAPSULE:
            return CapsuleHeader.decode(row.data).epoch <= active_epoch
        if row.kind is LogKind.DATA:
            return EnvelopeHeader.decode(row.data).seq <= marked_seq
        return True
