"""Retention and erasure in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, func, select

from channels.stores import schema as t
from channels.stores.base import MAX_INTEGER
from channels.stores.records import LogKind, Pruned
from channels.stores.sql_publish import cursors

__all__ = ["drop_log", "erase_epochs", "has_old_log", "prune", "written_here"]


def prune(c: Connection, stream: int, envelopes_before_slot: int, readings_before: int) -> Pruned:
    """Drop old and published envelopes and checkpoints but the newest of each, and old readings."""
    published = cursors(c, stream)
    gone = []
    for table, kind in ((t.envelope, LogKind.DATA), (t.checkpoint, LogKind.CHECKPOINTS)):
        newest = select(func.max(table.c.position)).where(table.c.stream == stream).scalar_subquery()
        old = (table.c.slot < envelopes_before_slot, table.c.position <= published[kind])
        gone.append(_drop(c, table, table.c.stream == stream, *old, table.c.position < newest))
    readings = _drop_readings(c, stream, t.reading.c.meter_time < readings_before)
    return Pruned(gone[0], gone[1], readings)


def written_here(c: Connection, stream: int) -> bool:
    """Whether a writer keeps its state here."""
    tables = (t.writer, t.change)
    return any(c.execute(select(table.c.stream).where(table.c.stream == stream).limit(1)).all() for table in tables)


def _old(table: Table, stream: int, before_slot: int) -> Select[Any]:
    """The positions of what may go, oldest first."""
    newest = select(func.max(table.c.position)).where(table.c.stream == stream).scalar_subquery()
    old = (table.c.stream == stream, table.c.slot < before_slot, table.c.position < newest)
    return select(table.c.position).where(*old).order_by(table.c.position)


def has_old_log(c: Connection, stream: int, before_slot: int) -> bool:
    """Whether `drop_log` would find something."""
    return any(c.execute(_old(table, stream, before_slot).limit(1)).all() for table in (t.envelope, t.checkpoint))


def drop_log(c: Connection, stream: int, before_slot: int, limit: int) -> int:
    """Drop old envelopes and checkpoints of a stream that is only read here."""
    if written_here(c, stream):
        return 0
    gone = 0
    for table in (t.envelope, t.checkpoint):
        some = _old(table, stream, before_slot).limit(limit).subquery()
        gone += _drop(c, table, table.c.stream == stream, table.c.position.in_(select(some.c.position)))
    return gone


def erase_epochs(c: Connection, stream: int, up_to_epoch: int, before_slot: int = MAX_INTEGER) -> Pruned:
    """Drop everything of slots below `before_slot` under the epochs up to `up_to_epoch` but the commits."""

    def past(table: Table) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return table.c.epoch <= up_to_epoch, table.c.slot < before_slot

    log = [_drop(c, table, table.c.stream == stream, *past(table)) for table in (t.envelope, t.checkpoint)]
    return Pruned(log[0], log[1], _drop_readings(c, stream, *past(t.reading)))


def _drop(c: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    return c.execute(delete(table).where(*where)).rowcount


def _drop_readings(c: Connection, stream: int, *old: ColumnElement[bool]) -> int:
    readers = select(t.reader.c.id).where(t.reader.c.stream == stream)
    return _drop(c, t.reading, t.reading.c.reader.in_(readers), *old)
