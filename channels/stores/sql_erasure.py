"""Erasure of what one reader holds, and of a writer's past, in SQL: functions on one open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256

from sqlalchemy import Connection, delete, insert, select, update

from channels.stores import schema as t
from channels.stores.base import MAX_INTEGER
from channels.stores.checks import check_id, check_integers
from channels.stores.records import Capsule, Erased, Past
from channels.stores.sql_log import put_capsule
from channels.stores.sql_retention import erase_epochs, written_here

__all__ = ["TABLES", "erase_past", "erase_reader"]

_LOG = (t.envelope, t.checkpoint, t.capsule, t.alarm)
_WRITER = (t.stream, t.writer, t.change, t.pending)
TABLES = tuple(table.name for table in (t.reader, t.reading, *_LOG, *_WRITER))
"""What an erasure deletes from, and what a writer has deleted before: readings that it sealed, states of before."""

_NOBODY = bytes(32)


def erase_reader(c: Connection, stream: int, grant_id: bytes, erasure_id: bytes, at: int) -> Erased:
    """Delete and record; an erasure that is recorded deletes nothing more."""
    check_id("a grant id", grant_id)
    check_id("an erasure id", erasure_id)
    check_integers((at,))
    known = _recorded(c, stream, erasure_id)
    if known is not None:
        return known
    counts = (_drop_reader(c, stream, grant_id), *_drop_log(c, stream))
    return _record(c, stream, grant_id, Erased(erasure_id, at, *counts, *_head(c, stream)))


def erase_past(c: Connection, stream: int, past: Past, capsules: Sequence[Capsule] | None) -> tuple[Erased, bool]:
    """Delete and record; True where it was the first time. Of one that is recorded only the log is looked at again."""
    check_id("an erasure id", past.erasure_id)
    check_integers((past.epoch, past.before_slot, past.at))
    gone = erase_epochs(c, stream, past.epoch, past.before_slot)
    known = _recorded(c, stream, past.erasure_id)
    if known is not None:
        return known, False
    emptied = 0
    if capsules is not None:
        full = (t.capsule.c.stream == stream, t.capsule.c.data != b"")
        emptied = c.execute(update(t.capsule).where(*full).values(data=b"", hash=sha256(b"").digest())).rowcount
        for capsule in capsules:
            put_capsule(c, stream, capsule)
    counts = (gone.readings, gone.envelopes, gone.checkpoints, emptied, 0)
    erased = Erased(past.erasure_id, past.at, *counts, *_head(c, stream, past.epoch))
    return _record(c, stream, _NOBODY, erased), True


def _recorded(c: Connection, stream: int, erasure_id: bytes) -> Erased | None:
    here = (t.erasure.c.erasure_id == erasure_id, t.erasure.c.stream == stream)
    row = c.execute(select(t.erasure).where(*here)).one_or_none()
    apart = ("stream", "grant_id")
    return None if row is None else Erased(**{name: v for name, v in row._mapping.items() if name not in apart})


def _record(c: Connection, stream: int, grant_id: bytes, erased: Erased) -> Erased:
    c.execute(insert(t.erasure).values(stream=stream, grant_id=grant_id, **asdict(erased)))
    return erased


def _head(c: Connection, stream: int, epoch: int = MAX_INTEGER) -> tuple[int, bytes]:
    """The newest commit up to an epoch."""
    newest = select(t.commit.c.epoch, t.commit.c.hash).where(t.commit.c.stream == stream, t.commit.c.epoch <= epoch)
    head = c.execute(newest.order_by(t.commit.c.epoch.desc()).limit(1)).one_or_none()
    return (head.epoch, head.hash) if head else (0, bytes(32))


def _drop_reader(c: Connection, stream: int, grant_id: bytes) -> int:
    gone = delete(t.reader).where(t.reader.c.stream == stream, t.reader.c.grant_id == grant_id)
    row_id = c.execute(gone.returning(t.reader.c.id)).scalar_one_or_none()
    return 0 if row_id is None else c.execute(delete(t.reading).where(t.reading.c.reader == row_id)).rowcount


def _drop_log(c: Connection, stream: int) -> tuple[int, int, int, int]:
    """Envelopes, checkpoints, capsules and alarms, where nobody here needs them any more."""
    read = c.execute(select(t.reader.c.id).where(t.reader.c.stream == stream).limit(1)).all()
    if read or written_here(c, stream):
        return 0, 0, 0, 0
    counts = [c.execute(delete(table).where(table.c.stream == stream)).rowcount for table in _LOG]
    return counts[0], counts[1], counts[2], counts[3]
