"""What writers keep, in SQL: functions on one open transaction."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from channels.errors import StoreNotFound
from channels.stores import schema as t
from channels.stores.checks import check_id, check_integers
from channels.stores.records import LeafRecord, PendingReading, WriterRecord
from channels.stores.sealed import StoreSeal

__all__ = [
    "add_pending",
    "change_leaves",
    "consume",
    "count_pending",
    "leaf_of",
    "open_note",
    "pending_of",
    "save_change",
    "save_note",
    "save_progress",
    "save_writer",
    "seal_progress",
    "take_in",
    "writer_record",
]

_PENDING = "pending"
_WRITER = "writer"
_CHANGE = "writer-change"
_PROGRESS = "writer-progress"
_NOTE = "intake-note"
_CHUNK = 500


def _row_name(row_id: int, row: PendingReading | Row[Any]) -> bytes:
    return struct.pack(">QQQQ", row_id, row.received_at, row.meter_time, row.slot)


def add_pending(
    c: Connection, stream: int, readings: Sequence[PendingReading], seal: StoreSeal, scope: bytes
) -> tuple[int, ...]:
    """Buffer readings, sealed; returns their ids."""
    statement = update(t.stream).where(t.stream.c.id == stream)
    statement = statement.values(pending_id=t.stream.c.pending_id + len(readings))
    last: int = c.execute(statement.returning(t.stream.c.pending_id)).scalar_one()
    first = last - len(readings) + 1
    rows = _pending_rows(stream, first, readings, seal, scope)
    if rows:
        c.execute(insert(t.pending), rows)
    return tuple(range(first, last + 1))


def take_in(c: Connection, readings: Mapping[bytes, Sequence[PendingReading]], seal: StoreSeal) -> None:
    """Buffer readings of many streams: the number of statements does not grow with the number of streams."""
    for sid in readings:
        check_id("a sid", sid)
    known: dict[bytes, tuple[int, int]] = {}
    sids = sorted(readings)
    for start in range(0, len(sids), _CHUNK):
        query = select(t.stream.c.sid, t.stream.c.id, t.stream.c.pending_id).order_by(t.stream.c.sid)
        some = query.where(t.stream.c.sid.in_(sids[start : start + _CHUNK])).with_for_update()
        known.update({row.sid: (row.id, row.pending_id) for row in c.execute(some)})
    for sid in sids:
        if sid not in known:
            new = insert(t.stream).values(sid=sid, position=0, pending_id=0).returning(t.stream.c.id)
            known[sid] = (c.execute(new).scalar_one(), 0)
    rows: list[dict[str, object]] = []
    counters: list[dict[str, int]] = []
    for sid in sids:
        stream, last = known[sid]
        rows += _pending_rows(stream, last + 1, readings[sid], seal, sid)
        counters.append({"row": stream, "last": last + len(readings[sid])})
    if rows:
        c.execute(insert(t.pending), rows)
        moved = update(t.stream).where(t.stream.c.id == bindparam("row")).values(pending_id=bindparam("last"))
        c.execute(moved, counters)


def _pending_rows(
    stream: int, first: int, readings: Sequence[PendingReading], seal: StoreSeal, scope: bytes
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for row_id, row in enumerate(readings, first):
        check_integers((row.received_at, row.meter_time, row.slot))
        rows.append(
            {
                "stream": stream,
                "id": row_id,
                "slot": row.slot,
                "meter_time": row.meter_time,
                "received_at": row.received_at,
                "payload": seal.seal(_PENDING, scope, _row_name(row_id, row), row.payload),
            }
        )
    return rows


def pending_of(row: Row[Any], seal: StoreSeal, scope: bytes) -> PendingReading:
    """A row of channel_pending, opened."""
    payload = seal.open(_PENDING, scope, _row_name(row.id, row), row.payload)
    return PendingReading(row.received_at, row.meter_time, row.slot, payload, row.id)


def count_pending(c: Connection, stream: int) -> int:
    """How many readings wait."""
    query = select(func.count()).select_from(t.pending).where(t.pending.c.stream == stream)
    count: int = c.execute(query).scalar_one()
    return count


def consume(c: Connection, stream: int, ids: Sequence[int]) -> None:
    """Take readings out of the buffer. Raises StoreNotFound when one of them is not in it."""
    wanted = sorted(set(ids))
    taken = 0
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        gone = delete(t.pending).where(t.pending.c.stream == stream, t.pending.c.id.in_(some))
        taken += c.execute(gone).rowcount
    if taken != len(wanted):
        raise StoreNotFound(f"{len(wanted) - taken} readings are not in the buffer")


def save_writer(c: Connection, stream: int, snapshot: bytes, seal: StoreSeal, scope: bytes) -> None:
    """Keep a writer's whole state, sealed, instead of all that was kept of it."""
    for table in (t.writer, t.change):
        c.execute(delete(table).where(table.c.stream == stream))
    c.execute(insert(t.writer).values(stream=stream, snapshot=seal.seal(_WRITER, scope, b"", snapshot)))
    c.execute(update(t.stream).where(t.stream.c.id == stream).values(progress=None))


def save_change(c: Connection, stream: int, epoch: int, data: bytes, seal: StoreSeal, scope: bytes) -> None:
    """Keep what the commit of an epoch changed, sealed; an empty change is left out."""
    if data:
        name = epoch.to_bytes(8, "big")
        c.execute(delete(t.change).where(t.change.c.stream == stream, t.change.c.epoch == epoch))
        c.execute(insert(t.change).values(stream=stream, epoch=epoch, data=seal.seal(_CHANGE, scope, name, data)))


def save_progress(c: Connection, stream: int, sealed: bytes | None) -> None:
    """Keep how far a writer came, as `seal_progress` made it."""
    c.execute(update(t.stream).where(t.stream.c.id == stream).values(progress=sealed))


def seal_progress(progress: bytes, seal: StoreSeal, scope: bytes) -> bytes | None:
    """The value of the progress column; None for an empty one."""
    return seal.seal(_PROGRESS, scope, b"", progress) if progress else None


def writer_record(c: Connection, stream: int, seal: StoreSeal, scope: bytes) -> WriterRecord | None:
    """The state as it was kept last, opened."""
    sealed = c.execute(select(t.writer.c.snapshot).where(t.writer.c.stream == stream)).scalar_one_or_none()
    snapshot = b"" if sealed is None else seal.open(_WRITER, scope, b"", sealed)
    rows = c.execute(select(t.change).where(t.change.c.stream == stream).order_by(t.change.c.epoch)).all()
    changes = tuple(seal.open(_CHANGE, scope, row.epoch.to_bytes(8, "big"), row.data) for row in rows)
    kept = c.execute(select(t.stream.c.progress).where(t.stream.c.id == stream)).scalar_one_or_none()
    progress = b"" if kept is None else seal.open(_PROGRESS, scope, b"", kept)
    found = WriterRecord(snapshot, changes, progress)
    return None if found == WriterRecord() else found


def change_leaves(c: Connection, stream: int, leaves: Sequence[LeafRecord]) -> None:
    """Put changed leaves in place of what stood there; one without a grant is emptied."""
    last = {leaf.leaf: leaf for leaf in leaves}
    for leaf in last.values():
        check_integers((leaf.leaf, leaf.end_slot))
    touched = sorted(last)
    for start in range(0, len(touched), _CHUNK):
        some = touched[start : start + _CHUNK]
        c.execute(delete(t.leaf).where(t.leaf.c.stream == stream, t.leaf.c.leaf.in_(some)))
    rows: list[dict[str, object]] = []
    for leaf in last.values():
        if leaf.grant_id is not None:
            check_id("a grant id", leaf.grant_id)
            values = {"grant_id": leaf.grant_id, "end_slot": leaf.end_slot, "data": leaf.data}
            rows.append({"stream": stream, "leaf": leaf.leaf, **values})
    if rows:
        c.execute(insert(t.leaf), rows)


def leaf_of(row: Row[Any]) -> LeafRecord:
    """A row of channel_leaf."""
    return LeafRecord(row.leaf, row.grant_id, row.end_slot, row.data)


def save_note(c: Connection, note: bytes, seal: StoreSeal) -> None:
    """Keep the intake's state, sealed."""
    c.execute(delete(t.meta).where(t.meta.c.key == _NOTE))
    c.execute(insert(t.meta).values(key=_NOTE, value=seal.seal(_NOTE, b"", b"", note)))


def open_note(c: Connection, seal: StoreSeal) -> bytes | None:
    """The state that `save_note` kept last."""
    sealed = c.execute(select(t.meta.c.value).where(t.meta.c.key == _NOTE)).scalar_one_or_none()
    return None if sealed is None else seal.open(_NOTE, b"", b"", sealed)
