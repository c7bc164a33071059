"""The store in a SQL database: SQLite by default, PostgreSQL by URL.

    store = await SqlStore.open("sqlite+aiosqlite:///<path>", key)

Writer and reader states, buffered and opened readings and the evidence of alarms are sealed with `key`, what a reader
keeps under a key of its own where there is a vault (see sealed.py);
commits, envelopes, checkpoints and capsules are public records and lie there as they were sent.
"""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from channels.errors import StoreConflict
from channels.stores import schema as t
from channels.stores import sql_erasure, sql_key, sql_private, sql_publish, sql_reader, sql_retention, sql_writer
from channels.stores import sql_log as logs
from channels.stores.checks import check_limit
from channels.stores.records import (
    Alarm,
    Capsule,
    Erased,
    LeafRecord,
    LogEntry,
    LogKind,
    OpenedReading,
    OpenRecord,
    Past,
    PendingReading,
    Pruned,
    ReadingRange,
    ReadingSpan,
    StoredCheckpoint,
    StoredCommit,
    StoredEnvelope,
    Unpublished,
    WriterRecord,
)
from channels.stores.sealed import KeyVault, StoreSeal
from channels.stores.sql_base import SqlBase
from channels.stores.sql_engine import Database

__all__ = ["SqlStore"]


class SqlStore(SqlBase):
    """A ChannelStore in a database; made by `open`."""

    @classmethod
    async def open(cls, url: str, key: bytes, vault: KeyVault | None = None) -> SqlStore:
        """Open or create the store; with a `vault` what a reader keeps is sealed under a key of its own.

        Raises StoreKeyWrong, StoreSchemaError, StoreUnavailable.
        """
        seal = StoreSeal(key, vault, sql_reader.OWN_PURPOSES)
        database = Database(url)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(database.close)
            await database.write(lambda c: sql_key.prepare(c, seal))
            undo.pop_all()
        return cls(database, seal)

    async def close(self) -> None:
        """See ChannelStore.close."""
        await self._db.close()

    async def streams(self) -> tuple[bytes, ...]:
        """See LogStore.streams."""

        def read(c: Connection) -> tuple[bytes, ...]:
            return tuple(c.execute(select(t.stream.c.sid).order_by(t.stream.c.sid)).scalars())

        return await self._db.read(read)

    async def append_commits(self, sid: bytes, commits: Sequence[StoredCommit]) -> int:
        """See LogStore.append_commits."""
        return await self._change(sid, lambda c, stream, _: logs.add_commits(c, stream, commits))

    async def commits(self, sid: bytes, first_epoch: int = 0, limit: int = 1000) -> tuple[StoredCommit, ...]:
        """See LogStore.commits."""
        behind = t.commit.c.epoch >= first_epoch
        return await self._list(sid, t.commit, logs.commit_of, behind, (t.commit.c.epoch,), limit)

    async def last_commit(self, sid: bytes) -> StoredCommit | None:
        """See LogStore.last_commit."""
        rows = await self._list(sid, t.commit, logs.commit_of, None, (t.commit.c.epoch.desc(),), 1)
        return rows[0] if rows else None

    async def append_envelopes(self, sid: bytes, envelopes: Sequence[StoredEnvelope]) -> int:
        """See LogStore.append_envelopes."""
        return await self._change(sid, lambda c, stream, careful: logs.add_envelopes(c, stream, envelopes, careful))

    async def envelopes(self, sid: bytes, after_position: int = 0, limit: int = 1000) -> tuple[StoredEnvelope, ...]:
        """See LogStore.envelopes."""
        behind = t.envelope.c.position > after_position
        return await self._list(sid, t.envelope, logs.envelope_of, behind, (t.envelope.c.position,), limit)

    async def envelopes_by_seq(
        self, sid: bytes, first_seq: int, last_seq: int, limit: int = 1000
    ) -> tuple[StoredEnvelope, ...]:
        """See LogStore.envelopes_by_seq."""
        within = t.envelope.c.seq.between(first_seq, last_seq)
        return await self._list(sid, t.envelope, logs.envelope_of, within, (t.envelope.c.position,), limit)

    async def last_envelope(self, sid: bytes) -> StoredEnvelope | None:
        """See LogStore.last_envelope."""
        rows = await self._list(sid, t.envelope, logs.envelope_of, None, (t.envelope.c.position.desc(),), 1)
        return rows[0] if rows else None

    async def append_checkpoints(self, sid: bytes, checkpoints: Sequence[StoredCheckpoint]) -> int:
        """See LogStore.append_checkpoints."""
        return await self._change(sid, lambda c, stream, _: logs.add_checkpoints(c, stream, checkpoints))

    async def checkpoints(self, sid: bytes, after_position: int = 0, limit: int = 1000) -> tuple[StoredCheckpoint, ...]:
        """See LogStore.checkpoints."""
        behind = t.checkpoint.c.position > after_position
        return await self._list(sid, t.checkpoint, logs.checkpoint_of, behind, (t.checkpoint.c.position,), limit)

    async def last_checkpoint(self, sid: bytes) -> StoredCheckpoint | None:
        """See LogStore.last_checkpoint."""
        rows = await self._list(sid, t.checkpoint, logs.checkpoint_of, None, (t.checkpoint.c.position.desc(),), 1)
        return rows[0] if rows else None

    async def put_capsule(self, sid: bytes, capsule: Capsule) -> None:
        """See LogStore.put_capsule."""
        await self._change(sid, lambda c, stream, _: logs.put_capsule(c, stream, capsule))

    async def capsule(self, sid: bytes, grant_id: bytes) -> Capsule | None:
        """See LogStore.capsule."""
        here = t.capsule.c.grant_id == grant_id
        rows = await self._list(sid, t.capsule, logs.capsule_of, here, (), 1)
        return rows[0] if rows else None

    async def capsules(self, sid: bytes, after: int = 0) -> tuple[Capsule, ...]:
        """See LogStore.capsules."""
        position = t.capsule.c.position
        return await self._list(sid, t.capsule, logs.capsule_of, position > after, (position,), None)

    async def drop_capsule(self, sid: bytes, grant_id: bytes) -> None:
        """See LogStore.drop_capsule."""
        await self._change(sid, lambda c, stream, _: logs.drop_capsule(c, stream, grant_id))

    async def append_log(self, log_id: bytes, entries: Sequence[LogEntry]) -> int:
        """See LogStore.append_log."""
        try:
            return await self._db.write(lambda c: sql_private.append(c, log_id, entries))
        except IntegrityError as error:
            raise StoreConflict(f"another process wrote the same place: {error.orig}") from error

    async def read_log(self, log_id: bytes, first_seq: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """See LogStore.read_log."""
        check_limit(limit)
        return await self._db.read(lambda c: sql_private.read(c, log_id, first_seq, limit))

    async def add_pending(self, sid: bytes, readings: Sequence[PendingReading]) -> tuple[int, ...]:
        """See WriterStore.add_pending."""
        seal = self._seal
        return await self._change(sid, lambda c, stream, _: sql_writer.add_pending(c, stream, readings, seal, sid))

    async def take_in(self, readings: Mapping[bytes, Sequence[PendingReading]], note: bytes) -> None:
        """See WriterStore.take_in."""

        def work(c: Connection) -> None:
            sql_writer.take_in(c, readings, self._seal)
            sql_writer.save_note(c, note, self._seal)

        await self._db.write(work)

    async def intake_note(self) -> bytes | None:
        """See WriterStore.intake_note."""
        return await self._db.read(lambda c: sql_writer.open_note(c, self._seal))

    async def pending(self, sid: bytes, limit: int = 1000) -> tuple[PendingReading, ...]:
        """See WriterStore.pending."""
        order = (t.pending.c.slot, t.pending.c.meter_time, t.pending.c.id)
        read = sql_writer.pending_of
        return await self._list(sid, t.pending, lambda row: read(row, self._seal, sid), None, order, limit)

    async def pending_count(self, sid: bytes) -> int:
        """See WriterStore.pending_count."""
        return await self._read_of(sid, sql_writer.count_pending)

    async def record_seal(
        self,
        sid: bytes,
        envelopes: Sequence[StoredEnvelope],
        consumed_pending_ids: Sequence[int],
        progress: bytes,
        checkpoints: Sequence[StoredCheckpoint] = (),
    ) -> None:
        """See WriterStore.record_seal."""
        sealed = sql_writer.seal_progress(progress, self._seal, sid)

        def change(c: Connection, stream: int, careful: bool) -> None:
            sql_writer.consume(c, stream, consumed_pending_ids)
            if logs.add_envelopes(c, stream, envelopes, careful) != len(envelopes):
                raise StoreConflict("an envelope is recorded already")
            logs.add_checkpoints(c, stream, checkpoints)
            sql_writer.save_progress(c, stream, sealed)

        await self._change(sid, change)

    async def record_commit(
        self,
        sid: bytes,
        commit: StoredCommit,
        capsules: Sequence[Capsule],
        leaves: Sequence[LeafRecord],
        change: bytes,
        progress: bytes,
    ) -> None:
        """See WriterStore.record_commit."""

        def work(c: Connection, stream: int, _careful: bool) -> None:
            logs.add_commits(c, stream, (commit,))
            for capsule in capsules:
                logs.put_capsule(c, stream, capsule)
            sql_writer.change_leaves(c, stream, leaves)
            sql_writer.save_change(c, stream, commit.epoch, change, self._seal, sid)
            sql_writer.save_progress(c, stream, sql_writer.seal_progress(progress, self._seal, sid))

        await self._change(sid, work)

    async def save_progress(self, sid: bytes, progress: bytes) -> None:
        """See WriterStore.save_progress."""
        sealed = sql_writer.seal_progress(progress, self._seal, sid)
        await self._change(sid, lambda c, stream, _: sql_writer.save_progress(c, stream, sealed))

    async def save_writer(
        self, sid: bytes, snapshot: bytes, consumed_pending_ids: Sequence[int] = (), leaves: Sequence[LeafRecord] = ()
    ) -> None:
        """See WriterStore.save_writer."""

        def change(c: Connection, stream: int, _careful: bool) -> None:
            sql_writer.consume(c, stream, consumed_pending_ids)
            sql_writer.change_leaves(c, stream, leaves)
            sql_writer.save_writer(c, stream, snapshot, self._seal, sid)

        await self._change(sid, change)

    async def writer_record(self, sid: bytes) -> WriterRecord | None:
        """See WriterStore.writer_record."""
        return await self._read_of(sid, lambda c, stream: sql_writer.writer_record(c, stream, self._seal, sid))

    async def leaves(self, sid: bytes) -> tuple[LeafRecord, ...]:
        """See WriterStore.leaves."""
        return await self._list(sid, t.leaf, sql_writer.leaf_of, None, (t.leaf.c.leaf,), None)

    async def unpublished(self, sid: bytes, limit: int = 1000) -> tuple[Unpublished, ...]:
        """See WriterStore.unpublished."""
        check_limit(limit)
        return await self._read_of(sid, lambda c, stream: sql_publish.waiting(c, stream, limit))

    async def mark_published(self, sid: bytes, kind: LogKind, position: int) -> None:
        """See WriterStore.mark_published."""
        await self._change(sid, lambda c, stream, _: sql_publish.mark(c, stream, kind, position))

    async def cursor(self, sid: bytes, kind: LogKind) -> int:
        """See WriterStore.cursor."""
        return (await self._read_of(sid, sql_publish.cursors))[kind]

    async def record_open(self, sid: bytes, grant_id: bytes, record: OpenRecord) -> None:
        """See ReaderStore.record_open."""
        scope = sid + grant_id

        def change(c: Connection, stream: int, careful: bool) -> None:
            logs.add_commits(c, stream, record.commits)
            logs.add_envelopes(c, stream, record.envelopes, careful)
            logs.add_checkpoints(c, stream, record.checkpoints)
            reader = sql_reader.save_reader(c, stream, grant_id, record.snapshot, self._seal, scope)
            sql_reader.withdraw(c, reader, record.withdrawn)
            sql_reader.add_readings(c, reader, record.readings, self._seal, scope)
            sql_reader.confirm(c, reader, record.confirmed)
            for alarm in record.alarms:
                sql_reader.keep_alarm(c, stream, alarm, self._seal, sid)

        await self._change(sid, change)

    async def reader_snapshot(self, sid: bytes, grant_id: bytes) -> bytes | None:
        """See ReaderStore.reader_snapshot."""
        here = t.reader.c.grant_id == grant_id
        scope = sid + grant_id
        read = sql_reader.open_snapshot
        rows = await self._list(sid, t.reader, lambda row: read(row.snapshot, self._seal, scope), here, (), 1)
        return rows[0] if rows else None  # None as well where its key is gone

    async def drop_reader(self, sid: bytes, grant_id: bytes) -> None:
        """See ReaderStore.drop_reader."""
        await self._change(sid, lambda c, stream, _: sql_reader.drop_reader(c, stream, grant_id))

    async def erase_reader(self, sid: bytes, grant_id: bytes, erasure_id: bytes, at: int) -> Erased:
        """See ReaderStore.erase_reader."""
        await to_thread(self._seal.destroy, sid + grant_id)
        erase = sql_erasure.erase_reader
        return await self._change(sid, lambda c, stream, _: erase(c, stream, grant_id, erasure_id, at))

    async def erase_past(
        self, sid: bytes, past: Past, snapshot: bytes = b"", capsules: Sequence[Capsule] | None = None
    ) -> Erased:
        """See ChannelStore.erase_past."""

        def work(c: Connection, stream: int, _careful: bool) -> Erased:
            erased, first = sql_erasure.erase_past(c, stream, past, capsules)
            if snapshot and first:
                sql_writer.save_writer(c, stream, snapshot, self._seal, sid)
            return erased

        return await self._change(sid, work)

    async def scrub(self) -> None:
        """See ChannelStore.scrub."""
        await self._db.scrub(sql_erasure.TABLES)

    async def readings(
        self, sid: bytes, grant_id: bytes, start: int, end: int, *, limit: int = 10_000, offset: int = 0
    ) -> tuple[OpenedReading, ...]:
        """See ReaderStore.readings."""
        check_limit(limit)

        def read(c: Connection, stream: int) -> tuple[OpenedReading, ...]:
            query = sql_reader.in_range(stream, grant_id, start, end).limit(limit).offset(offset)
            found = [sql_reader.reading_of(row, self._seal, sid + grant_id) for row in c.execute(query).all()]
            return tuple(row for row in found if row is not None)

        return await self._read_of(sid, read)

    async def reading_count(self, sid: bytes, grant_id: bytes) -> int:
        """See ReaderStore.reading_count."""
        return await self._read_of(sid, lambda c, stream: sql_reader.count_readings(c, stream, grant_id))

    async def reading_span(self, sid: bytes, grant_id: bytes, within: ReadingRange) -> ReadingSpan:
        """See ReaderStore.reading_span."""
        return await self._read_of(sid, lambda c, stream: sql_reader.span_of(c, stream, grant_id, within))

    async def raise_alarm(self, sid: bytes, alarm: Alarm) -> int:
        """See ReaderStore.raise_alarm."""
        seal = self._seal
        return await self._change(sid, lambda c, stream, _: sql_reader.keep_alarm(c, stream, alarm, seal, sid))

    async def alarms(self, sid: bytes, after_id: int = 0, limit: int = 1000) -> tuple[Alarm, ...]:
        """See ReaderStore.alarms."""
        behind = t.alarm.c.id > after_id
        read = sql_reader.alarm_of
        return await self._list(sid, t.alarm, lambda row: read(row, self._seal, sid), behind, (t.alarm.c.id,), limit)

    async def drop_readings(self, sid: bytes, grant_id: bytes, before: int, *, limit: int = 5_000) -> int:
        """See ReaderStore.drop_readings."""
        check_limit(limit)
        if await self._read_of(sid, lambda c, stream: sql_reader.oldest(c, stream, grant_id, before)) is None:
            return 0
        return await self._change(sid, lambda c, stream, _: sql_reader.drop_old(c, stream, grant_id, before, limit))

    async def drop_log(self, sid: bytes, before_slot: int, *, limit: int = 5_000) -> int:
        """See ReaderStore.drop_log."""
        check_limit(limit)
        if not await self._read_of(sid, lambda c, stream: sql_retention.has_old_log(c, stream, before_slot)):
            return 0
        return await self._change(sid, lambda c, stream, _: sql_retention.drop_log(c, stream, before_slot, limit))

    async def prune(self, sid: bytes, *, envelopes_before_slot: int = 0, readings_before: int = 0) -> Pruned:
        """See ChannelStore.prune."""
        drop = sql_retention.prune
        return await self._change(sid, lambda c, stream, _: drop(c, stream, envelopes_before_slot, readings_before))

    async def erase_epochs(self, sid: bytes, up_to_epoch: int) -> Pruned:
        """See ChannelStore.erase_epochs."""
        return await self._change(sid, lambda c, stream, _: sql_retention.erase_epochs(c, stream, up_to_epoch))
