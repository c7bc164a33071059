"""Retention and erasure in SQL."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select

from channels.stores import schema as t
from channels.stores.records import LogKind, Pruned
from channels.stores.sql_publish import cursors

__all__ = ["erase_epochs", "prune"]


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


def erase_epochs(c: Connection, stream: int, up_to_epoch: int) -> Pruned:
    """Drop everything of the epochs up to `up_to_epoch` but the commits."""
    envelopes = _drop(c, t.envelope, t.envelope.c.stream == stream, t.envelope.c.epoch <= up_to_epoch)
    checkpoints = _drop(c, t.checkpoint, t.checkpoint.c.stream == stream, t.checkpoint.c.epoch <= up_to_epoch)
    return Pruned(envelopes, checkpoints, _drop_readings(c, stream, t.reading.c.epoch <= up_to_epoch))


def _drop(c: Connection, table: Table, *where: ColumnElement[bool]) -> int:
    return c.execute(delete(table).where(*where)).rowcount


def _drop_readings(c: Connection, stream: int, old: ColumnElement[bool]) -> int:
    readers = select(t.reader.c.id).where(t.reader.c.stream == stream)
    return _drop(c, t.reading, t.reading.c.reader.in_(readers), old)
