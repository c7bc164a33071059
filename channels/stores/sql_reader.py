"""What readers keep, in SQL: functions on one open transaction.

The payload of a reading is sealed; its times, slot and numbers are not, because range queries need them. They say when
a household's meter sent something, not what.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from channels.errors import StoreKeyGone, StoreKeyWrong
from channels.stores import schema as t
from channels.stores.checks import check_id, check_integers
from channels.stores.records import ALL, Alarm, Confirmation, OpenedReading, ReadingRange, ReadingSpan
from channels.stores.sealed import StoreSeal

__all__ = [
    "OWN_PURPOSES",
    "add_readings",
    "alarm_of",
    "confirm",
    "count_readings",
    "drop_old",
    "drop_reader",
    "in_range",
    "keep_alarm",
    "oldest",
    "open_snapshot",
    "reading_of",
    "save_reader",
    "span_of",
    "withdraw",
]

_READING = "reading"
_READER = "reader"
_ALARM = "alarm"
OWN_PURPOSES = frozenset({_READING, _READER})
"""What is sealed under the reader's own key, where the store has a vault."""


def _row_name(row: OpenedReading | Row[Any]) -> bytes:
    # What a reading is must not be movable to another place: every column but `provisional` is bound.
    index: int = row.index if isinstance(row, OpenedReading) else row._mapping["index"]
    return struct.pack(">QQQQI", row.meter_time, row.slot, row.epoch, row.seq, index) + row.inst


def reading_of(row: Row[Any], seal: StoreSeal, scope: bytes) -> OpenedReading | None:
    """A row of channel_reading, opened; None where its key is gone, so that an erasure is done from its first step."""
    try:
        payload = seal.open(_READING, scope, _row_name(row), row.payload)
    except StoreKeyGone:
        return None
    index: int = row._mapping["index"]
    return OpenedReading(row.meter_time, row.slot, row.epoch, row.inst, row.seq, index, row.provisional, payload)


def save_reader(c: Connection, stream: int, grant_id: bytes, snapshot: bytes, seal: StoreSeal, scope: bytes) -> int:
    """Keep a reader's state; returns the row id of the reader."""
    check_id("a grant id", grant_id)
    renewed = seal.begin(scope)
    sealed = seal.seal(_READER, scope, b"", snapshot)
    here = (t.reader.c.stream == stream, t.reader.c.grant_id == grant_id)
    changed = c.execute(update(t.reader).where(*here).values(snapshot=sealed).returning(t.reader.c.id))
    row_id: int | None = changed.scalar_one_or_none()
    if row_id is None:
        values = insert(t.reader).values(stream=stream, grant_id=grant_id, snapshot=sealed)
        row_id = c.execute(values.returning(t.reader.c.id)).scalar_one()
    elif renewed:
        # A keystore that was lost took the key along: nobody opens the old rows, and they would keep new ones away.
        c.execute(delete(t.reading).where(t.reading.c.reader == row_id))
    return row_id


def open_snapshot(sealed: bytes, seal: StoreSeal, scope: bytes) -> bytes | None:
    """The state that `save_reader` kept; None where its key is gone."""
    try:
        return seal.open(_READER, scope, b"", sealed)
    except StoreKeyGone:
        return None


def withdraw(c: Connection, reader: int, covers: Sequence[Confirmation]) -> None:
    """Take provisional readings away whose envelopes a checkpoint shows to be forged."""
    for cover in covers:
        within = (t.reading.c.seq >= cover.first_seq, t.reading.c.seq < cover.first_seq + cover.count)
        c.execute(delete(t.reading).where(t.reading.c.reader == reader, t.reading.c.provisional, *within))


def add_readings(c: Connection, reader: int, readings: Sequence[OpenedReading], seal: StoreSeal, scope: bytes) -> None:
    """Add readings; one that is there already stays as it is, so a confirmed one never turns provisional again."""
    rows = []
    for row in readings:
        check_integers((row.meter_time, row.slot, row.epoch, row.seq, row.index))
        rows.append(
            {
                "reader": reader,
                "meter_time": row.meter_time,
                "epoch": row.epoch,
                "seq": row.seq,
                "index": row.index,
                "inst": row.inst,
                "slot": row.slot,
                "provisional": row.provisional,
                "payload": seal.seal(_READING, scope, _row_name(row), row.payload),
            }
        )
    if rows:
        dialect = postgresql if c.dialect.name == "postgresql" else sqlite
        c.execute(dialect.insert(t.reading).on_conflict_do_nothing(), rows)


def in_range(stream: int, grant_id: bytes, start: int, end: int) -> Select[Any]:
    """The readings of one reader with start <= meter_time < end, in order."""
    here = (t.reader.c.stream == stream, t.reader.c.grant_id == grant_id)
    owner = select(t.reader.c.id).where(*here).scalar_subquery()
    within = (t.reading.c.reader == owner, t.reading.c.meter_time >= start, t.reading.c.meter_time < end)
    order = (t.reading.c.meter_time, t.reading.c.epoch, t.reading.c.seq, t.reading.c.index, t.reading.c.inst)
    return select(t.reading).where(*within).order_by(*order)


def confirm(c: Connection, reader: int, covers: Sequence[Confirmation]) -> None:
    """Take what verified checkpoints cover out of the provisional state."""
    if not covers:
        return
    statement = (
        update(t.reading)
        .where(
            t.reading.c.reader == reader,
            t.reading.c.provisional,
            t.reading.c.seq >= bindparam("first"),
            t.reading.c.seq < bindparam("end"),
        )
        .values(provisional=False)
    )
    for cover in covers:
        end = cover.first_seq + cover.count
        c.execute(statement, {"first": cover.first_seq, "end": end})


def count_readings(c: Connection, stream: int, grant_id: bytes) -> int:
    """How many readings of a grant are kept."""
    owner = select(t.reader.c.id).where(t.reader.c.stream == stream, t.reader.c.grant_id == grant_id)
    query = select(func.count()).select_from(t.reading).where(t.reading.c.reader == owner.scalar_subquery())
    count: int = c.execute(query).scalar_one()
    return count


def span_of(c: Connection, stream: int, grant_id: bytes, within: ReadingRange) -> ReadingSpan:
    """How many readings of a grant lie in a range, with the first and last time; nothing is opened."""
    owner = select(t.reader.c.id).where(t.reader.c.stream == stream, t.reader.c.grant_id == grant_id)
    at, here = t.reading.c.meter_time, [t.reading.c.reader == owner.scalar_subquery()]
    for column, (low, high) in (
        (at, within.times),
        (t.reading.c.slot, within.slots),
        (t.reading.c.epoch, within.epochs),
    ):
        if (low, high) != ALL:  # the first column is answered by the index alone
            here += [column >= low, column < high]
    return ReadingSpan(*c.execute(select(func.count(), func.min(at), func.max(at)).where(*here)).one())


def _old(stream: int, grant_id: bytes, before: int) -> tuple[ColumnElement[bool], ...]:
    owner = select(t.reader.c.id).where(t.reader.c.stream == stream, t.reader.c.grant_id == grant_id)
    here = t.reading.c.reader == owner.scalar_subquery()
    return here, t.reading.c.meter_time < before, ~t.reading.c.provisional


def oldest(c: Connection, stream: int, grant_id: bytes, before: int, offset: int = 0) -> int | None:
    """The meter time of the oldest confirmed reading below `before`, or of the one `offset` behind it."""
    query = select(t.reading.c.meter_time).where(*_old(stream, grant_id, before))
    rows = c.execute(query.order_by(t.reading.c.meter_time).limit(1).offset(offset))
    found: int | None = rows.scalar_one_or_none()
    return found


def drop_old(c: Connection, stream: int, grant_id: bytes, before: int, limit: int) -> int:
    """Drop the oldest confirmed readings below `before`, about `limit` of them."""
    last = oldest(c, stream, grant_id, before, limit - 1)
    bound = before if last is None else last + 1
    return c.execute(delete(t.reading).where(*_old(stream, grant_id, bound))).rowcount


def drop_reader(c: Connection, stream: int, grant_id: bytes) -> None:
    """Forget a reader and its readings."""
    gone = delete(t.reader).where(t.reader.c.stream == stream, t.reader.c.grant_id == grant_id)
    row_id = c.execute(gone.returning(t.reader.c.id)).scalar_one_or_none()
    if row_id is not None:
        c.execute(delete(t.reading).where(t.reading.c.reader == row_id))


def _pack(evidence: Sequence[bytes]) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in evidence)


def _unpack(data: bytes) -> tuple[bytes, ...]:
    parts: list[bytes] = []
    place = 0
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        parts.append(data[place + 4 : place + 4 + size])
        place += 4 + size
    return tuple(parts)


def keep_alarm(c: Connection, stream: int, alarm: Alarm, seal: StoreSeal, scope: bytes) -> int:
    """Keep an alarm once; returns its id. Evidence may hold plaintext, so it is sealed as well."""
    packed = _pack((alarm.kind.encode(), alarm.detail.encode(), *alarm.evidence))
    digest = sha256(packed).digest()
    query = select(t.alarm.c.id).where(t.alarm.c.stream == stream, t.alarm.c.digest == digest)
    known: int | None = c.execute(query).scalar_one_or_none()
    if known is not None:
        return known
    sealed = seal.seal(_ALARM, scope, digest, packed)
    values = {"kind": alarm.kind, "raised_at": alarm.raised_at, "evidence": sealed}
    statement = insert(t.alarm).values(stream=stream, digest=digest, **values).returning(t.alarm.c.id)
    row_id: int = c.execute(statement).scalar_one()
    return row_id


def alarm_of(row: Row[Any], seal: StoreSeal, scope: bytes) -> Alarm:
    """A row of channel_alarm, opened."""
    kind, detail, *evidence = _unpack(seal.open(_ALARM, scope, row.digest, row.evidence))
    if kind.decode() != row.kind:
        raise StoreKeyWrong("an alarm was altered in the database")
    return Alarm(row.kind, row.raised_at, detail.decode(), tuple(evidence), row.id)
