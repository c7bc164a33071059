"""The writing side of the event feed, inside the journal's transaction: dense numbers, explicit undone events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import orjson
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from node.projection.feed import Announcement
from node.storage.bulk import Writes
from node.storage.schema import feed

__all__ = ["FeedLog"]

_PAGE: Final = 5_000
_WRITER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _text(data: dict[str, Any]) -> str:
    try:
        text = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits, or half a character in a reason that another node gave
        return _WRITER.encode(data)
    return text.decode() if text.isascii() else _WRITER.encode(data)  # not every database takes every character


class FeedLog:
    """One transaction's part. `last` is the number of the newest event, -1 where it has to be looked up."""

    def __init__(self, connection: AsyncConnection, now: int, last: int = -1) -> None:
        self._connection = connection
        self._now = now
        self.last = last
        self._rows: list[tuple[Any, ...]] = []

    async def _next(self) -> int:
        if self.last < 0:
            query = select(func.coalesce(func.max(feed.c.seq), 0))
            self.last = (await self._connection.execute(query)).scalar_one()
        self.last += 1
        return self.last

    def add(self, announcements: Sequence[Announcement]) -> None:
        """Announce, in this order."""
        self._rows.extend(
            (
                a.kind,
                a.aggregate.kind,
                a.aggregate.key,
                self._now,
                None,
                a.block.number if a.block else None,
                a.block.hash if a.block else None,
                a.undo,
                _text(a.data) if a.data else "{}",
            )
            for a in announcements
        )

    async def undo(self, ancestor: int) -> None:
        """Take back what stands above this height, the newest first, each by an event of its own."""
        await self._flush_now()
        above = feed.c.undo_height > ancestor
        newest = select(feed).where(above).order_by(feed.c.seq.desc()).limit(_PAGE)
        while rows := (await self._connection.execute(newest)).all():
            await self._connection.execute(
                update(feed).where(above, feed.c.seq >= rows[-1].seq).values(undo_height=None)
            )
            for row in rows:
                where = (row.block_number, row.block_hash)
                self._rows.append((row.kind, row.aggregate, row.key, self._now, row.seq, *where, None, row.document))
            await self._flush_now()

    async def _flush_now(self) -> None:
        writes = Writes()
        await self.flush(writes)
        await writes.write(self._connection)

    async def flush(self, writes: Writes) -> None:
        """Number what was announced, and hand it over to be written."""
        if not self._rows:
            return
        first = await self._next()
        rows = [(seq, *row) for seq, row in enumerate(self._rows, first)]
        self.last = first + len(rows) - 1
        self._rows.clear()
        writes.add(feed, rows)
