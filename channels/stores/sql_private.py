"""Private logs in SQL: entries without gaps, never overwritten."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from channels.errors import StoreError
from channels.stores import schema as t
from channels.stores.checks import check_id, forked
from channels.stores.records import LogEntry

__all__ = ["append", "read"]


def append(c: Connection, log_id: bytes, entries: Sequence[LogEntry]) -> int:
    """Append entries; returns how many were new."""
    check_id("a log id", log_id)
    query = select(func.coalesce(func.max(t.log.c.seq), -1)).where(t.log.c.log_id == log_id)
    following: int = c.execute(query).scalar_one() + 1
    known = {entry.seq: entry for entry in _among(c, log_id, [e.seq for e in entries if e.seq < following])}
    fresh: list[dict[str, object]] = []
    for entry in entries:
        kept = known.get(entry.seq)
        if kept is not None:
            if kept != entry:
                raise forked(f"entry {entry.seq} of the log", kept.data, entry.data)
        elif entry.seq == following:
            known[entry.seq] = entry
            fresh.append({"log_id": log_id, "seq": entry.seq, "hash": entry.hash, "data": entry.data})
            following += 1
        else:
            raise StoreError(f"entry {entry.seq} would leave a gap behind {following} entries")
    if fresh:
        c.execute(insert(t.log), fresh)
    return len(fresh)


def _among(c: Connection, log_id: bytes, seqs: Sequence[int]) -> list[LogEntry]:
    if not seqs:
        return []
    within = t.log.c.seq.between(min(seqs), max(seqs))
    rows = c.execute(select(t.log).where(t.log.c.log_id == log_id, within))
    return [LogEntry(row.seq, row.hash, row.data) for row in rows]


def read(c: Connection, log_id: bytes, first_seq: int, limit: int) -> tuple[LogEntry, ...]:
    """Entries from `first_seq` on."""
    query = select(t.log).where(t.log.c.log_id == log_id, t.log.c.seq >= first_seq).order_by(t.log.c.seq)
    return tuple(LogEntry(row.seq, row.hash, row.data) for row in c.execute(query.limit(limit)))
