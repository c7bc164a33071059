"""The store in memory: real, complete, gone with the process. For tests, previews and nodes that keep nothing.

A change first checks everything, then writes, so an error leaves everything as it was.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from channels.errors import StoreConflict, StoreError, StoreNotFound
from channels.stores.base import MAX_INTEGER
from channels.stores.checks import check_id, check_integers, check_limit, forked
from channels.stores.memory_stream import MemoryReader, MemoryStream
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

__all__ = ["MemoryStore"]


class MemoryStore:
    """A ChannelStore that lives in this process."""

    def __init__(self) -> None:
        self._note: bytes | None = None
        self._streams: dict[bytes, MemoryStream] = {}
        self._logs: dict[bytes, list[LogEntry]] = {}
        self._alarm_id = 0

    def _at(self, sid: bytes) -> MemoryStream:
        check_id("a sid", sid)
        return self._streams.setdefault(sid, MemoryStream())

    async def streams(self) -> tuple[bytes, ...]:
        """See LogStore.streams."""
        return tuple(sorted(sid for sid, stream in self._streams.items() if stream != MemoryStream()))

    async def append_commits(self, sid: bytes, commits: Sequence[StoredCommit]) -> int:
        """See LogStore.append_commits."""
        stream = self._at(sid)
        fresh = stream.new_commits(commits)
        stream.write(commits=fresh)
        return len(fresh)

    async def commits(self, sid: bytes, first_epoch: int = 0, limit: int = 1000) -> tuple[StoredCommit, ...]:
        """See LogStore.commits."""
        check_limit(limit)
        rows = [row for row in self._at(sid).commits.values() if row.epoch >= first_epoch]
        return tuple(sorted(rows, key=lambda row: row.epoch)[:limit])

    async def last_commit(self, sid: bytes) -> StoredCommit | None:
        """See LogStore.last_commit."""
        return max(self._at(sid).commits.values(), key=lambda row: row.epoch, default=None)

    async def append_envelopes(self, sid: bytes, envelopes: Sequence[StoredEnvelope]) -> int:
        """See LogStore.append_envelopes."""
        stream = self._at(sid)
        fresh = stream.new_envelopes(envelopes)
        stream.write(envelopes=fresh)
        return len(fresh)

    async def envelopes(self, sid: bytes, after_position: int = 0, limit: int = 1000) -> tuple[StoredEnvelope, ...]:
        """See LogStore.envelopes."""
        check_limit(limit)
        rows = list(self._at(sid).envelopes.values())
        first = bisect_right(rows, after_position, key=lambda row: row.position)
        return tuple(rows[first : first + limit])

    async def envelopes_by_seq(
        self, sid: bytes, first_seq: int, last_seq: int, limit: int = 1000
    ) -> tuple[StoredEnvelope, ...]:
        """See LogStore.envelopes_by_seq."""
        check_limit(limit)
        rows = self._at(sid).envelopes.values()
        return tuple(islice((row for row in rows if first_seq <= row.seq <= last_seq), limit))

    async def last_envelope(self, sid: bytes) -> StoredEnvelope | None:
        """See LogStore.last_envelope."""
        return next(reversed(self._at(sid).envelopes.values()), None)

    async def append_checkpoints(self, sid: bytes, checkpoints: Sequence[StoredCheckpoint]) -> int:
        """See LogStore.append_checkpoints."""
        stream = self._at(sid)
        fresh = stream.new_checkpoints(checkpoints)
        stream.write(checkpoints=fresh)
        return len(fresh)

    async def checkpoints(self, sid: bytes, after_position: int = 0, limit: int = 1000) -> tuple[StoredCheckpoint, ...]:
        """See LogStore.checkpoints."""
        check_limit(limit)
        rows = self._at(sid).checkpoints.values()
        return tuple(islice((row for row in rows if row.position > after_position), limit))

    async def last_checkpoint(self, sid: bytes) -> StoredCheckpoint | None:
        """See LogStore.last_checkpoint."""
        return next(reversed(self._at(sid).checkpoints.values()), None)

    async def put_capsule(self, sid: bytes, capsule: Capsule) -> None:
        """See LogStore.put_capsule."""
        stream = self._at(sid)
        stream.check_capsule(capsule)
        stream.put_capsule(capsule)

    async def capsule(self, sid: bytes, grant_id: bytes) -> Capsule | None:
        """See LogStore.capsule."""
        return self._at(sid).capsules.get(grant_id)

    async def capsules(self, sid: bytes, after: int = 0) -> tuple[Capsule, ...]:
        """See LogStore.capsules."""
        found = [capsule for capsule in self._at(sid).capsules.values() if capsule.position > after]
        return tuple(sorted(found, key=lambda capsule: capsule.position))

    async def drop_capsule(self, sid: bytes, grant_id: bytes) -> None:
        """See LogStore.drop_capsule."""
        self._at(sid).drop_capsule(grant_id)

    async def append_log(self, log_id: bytes, entries: Sequence[LogEntry]) -> int:
        """See LogStore.append_log."""
        check_id("a log id", log_id)
        rows = list(self._logs.get(log_id, []))
        before = len(rows)
        for entry in entries:
            if entry.seq < len(rows):
                if rows[entry.seq] != entry:
                    raise forked(f"entry {entry.seq} of the log", rows[entry.seq].data, entry.data)
            elif entry.seq == len(rows):
                rows.append(entry)
            else:
                raise StoreError(f"entry {entry.seq} would leave a gap behind {len(rows)} entries")
        self._logs[log_id] = rows
        return len(rows) - before

    async def read_log(self, log_id: bytes, first_seq: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """See LogStore.read_log."""
        check_limit(limit)
        return tuple(self._logs.get(log_id, [])[first_seq : first_seq + limit])

    async def add_pending(self, sid: bytes, readings: Sequence[PendingReading]) -> tuple[int, ...]:
        """See WriterStore.add_pending."""
        stream = self._at(sid)
        for row in readings:
            check_integers((row.received_at, row.meter_time, row.slot))
        first = stream.pending_id + 1
        stream.pending_id += len(readings)
        for id_, row in enumerate(readings, first):
            stream.pending[id_] = replace(row, id=id_)
        return tuple(range(first, first + len(readings)))

    async def take_in(self, readings: Mapping[bytes, Sequence[PendingReading]], note: bytes) -> None:
        """See WriterStore.take_in."""
        for sid, rows in readings.items():
            check_id("a sid", sid)
            for row in rows:
                check_integers((row.received_at, row.meter_time, row.slot))
        for sid, rows in readings.items():
            await self.add_pending(sid, rows)
        self._note = note

    async def intake_note(self) -> bytes | None:
        """See WriterStore.intake_note."""
        return self._note

    async def pending(self, sid: bytes, limit: int = 1000) -> tuple[PendingReading, ...]:
        """See WriterStore.pending."""
        check_limit(limit)
        return tuple(sorted(self._at(sid).pending.values(), key=lambda r: (r.slot, r.meter_time, r.id))[:limit])

    async def pending_count(self, sid: bytes) -> int:
        """See WriterStore.pending_count."""
        return len(self._at(sid).pending)

    async def record_seal(
        self,
        sid: bytes,
        envelopes: Sequence[StoredEnvelope],
        consumed_pending_ids: Sequence[int],
        progress: bytes,
        checkpoints: Sequence[StoredCheckpoint] = (),
    ) -> None:
        """See WriterStore.record_seal."""
        stream = self._at(sid)
        stream.check_pending(consumed_pending_ids)
        fresh = stream.new_envelopes(envelopes)
        if len(fresh) != len(envelopes):
            raise StoreConflict("an envelope is recorded already")
        new_checkpoints = stream.new_checkpoints(checkpoints)
        stream.consume(consumed_pending_ids)
        stream.write(envelopes=fresh, checkpoints=new_checkpoints)
        stream.progress = progress

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
        stream = self._at(sid)
        fresh = stream.new_commits((commit,))
        for capsule in capsules:
            stream.check_capsule(capsule)
        check_integers(value for leaf in leaves for value in (leaf.leaf, leaf.end_slot))
        stream.write(commits=fresh)
        for capsule in capsules:
            stream.put_capsule(capsule)
        stream.change_leaves(leaves)
        if change:
            stream.changes[commit.epoch] = change
        stream.progress = progress

    async def save_progress(self, sid: bytes, progress: bytes) -> None:
        """See WriterStore.save_progress."""
        self._at(sid).progress = progress

    async def save_writer(
        self,
        sid: bytes,
        snapshot: bytes,
        consumed_pending_ids: Sequence[int] = (),
        leaves: Sequence[LeafRecord] = (),
    ) -> None:
        """See WriterStore.save_writer."""
        stream = self._at(sid)
        stream.check_pending(consumed_pending_ids)
        check_integers(value for leaf in leaves for value in (leaf.leaf, leaf.end_slot))
        stream.change_leaves(leaves)
        stream.consume(consumed_pending_ids)
        stream.snapshot, stream.progress = snapshot, b""
        stream.changes.clear()

    async def writer_record(self, sid: bytes) -> WriterRecord | None:
        """See WriterStore.writer_record."""
        stream = self._at(sid)
        changes = tuple(change for _, change in sorted(stream.changes.items()))
        found = WriterRecord(stream.snapshot, changes, stream.progress)
        return None if found == WriterRecord() else found

    async def leaves(self, sid: bytes) -> tuple[LeafRecord, ...]:
        """See WriterStore.leaves."""
        return tuple(row for _, row in sorted(self._at(sid).leaves.items()))

    async def unpublished(self, sid: bytes, limit: int = 1000) -> tuple[Unpublished, ...]:
        """See WriterStore.unpublished."""
        check_limit(limit)
        return self._at(sid).waiting(limit)

    async def mark_published(self, sid: bytes, kind: LogKind, position: int) -> None:
        """See WriterStore.mark_published."""
        stream = self._at(sid)
        if position > stream.position:
            raise StoreNotFound(f"nothing was recorded at position {position}")
        stream.cursors[kind] = max(position, stream.cursors.get(kind, 0))

    async def cursor(self, sid: bytes, kind: LogKind) -> int:
        """See WriterStore.cursor."""
        return self._at(sid).cursors.get(kind, 0)

    async def record_open(self, sid: bytes, grant_id: bytes, record: OpenRecord) -> None:
        """See ReaderStore.record_open."""
        check_id("a grant id", grant_id)
        stream = self._at(sid)
        commits = stream.new_commits(record.commits)
        envelopes = stream.new_envelopes(record.envelopes)
        checkpoints = stream.new_checkpoints(record.checkpoints)
        for row in record.readings:
            check_integers((row.meter_time, row.slot, row.epoch, row.seq, row.index))
        stream.write(commits, envelopes, checkpoints)
        reader = stream.readers.setdefault(grant_id, MemoryReader())
        reader.snapshot = record.snapshot
        reader.drop(lambda row: row.provisional and any(forged.covers(row.seq) for forged in record.withdrawn))
        reader.take(record.readings, record.confirmed)
        for alarm in record.alarms:
            self._keep_alarm(stream, alarm)

    async def reader_snapshot(self, sid: bytes, grant_id: bytes) -> bytes | None:
        """See ReaderStore.reader_snapshot."""
        reader = self._at(sid).readers.get(grant_id)
        return None if reader is None else reader.snapshot

    async def drop_reader(self, sid: bytes, grant_id: bytes) -> None:
        """See ReaderStore.drop_reader."""
        self._at(sid).readers.pop(grant_id, None)

    async def erase_reader(self, sid: bytes, grant_id: bytes, erasure_id: bytes, at: int) -> Erased:
        """See ReaderStore.erase_reader."""
        check_id("a grant id", grant_id)
        check_id("an erasure id", erasure_id)
        stream = self._at(sid)
        if erasure_id not in stream.erasures:
            count = len(stream.readers.pop(grant_id, MemoryReader()).readings)
            counts = (0, 0, 0, 0) if stream.readers or stream.writes else stream.drop_log()
            stream.erasures[erasure_id] = Erased(erasure_id, at, count, *counts, *stream.head(MAX_INTEGER))
        return stream.erasures[erasure_id]

    async def erase_past(
        self, sid: bytes, past: Past, snapshot: bytes = b"", capsules: Sequence[Capsule] | None = None
    ) -> Erased:
        """See ChannelStore.erase_past."""
        return self._at(sid).erase_past(past, snapshot, capsules)

    async def scrub(self) -> None:
        """See ChannelStore.scrub. There is no file."""

    async def readings(
        self, sid: bytes, grant_id: bytes, start: int, end: int, *, limit: int = 10_000, offset: int = 0
    ) -> tuple[OpenedReading, ...]:
        """See ReaderStore.readings."""
        check_limit(limit)
        reader = self._at(sid).readers.get(grant_id, MemoryReader())
        rows = sorted((key, row) for key, row in reader.readings.items() if start <= row.meter_time < end)
        return tuple(row for _, row in rows[offset : offset + limit])

    def _keep_alarm(self, stream: MemoryStream, alarm: Alarm) -> int:
        for kept in stream.alarms:
            if (kept.kind, kept.detail, kept.evidence) == (alarm.kind, alarm.detail, alarm.evidence):
                return kept.id
        self._alarm_id += 1
        stream.alarms.append(replace(alarm, id=self._alarm_id))
        return self._alarm_id

    async def reading_count(self, sid: bytes, grant_id: bytes) -> int:
        """See ReaderStore.reading_count."""
        return len(self._at(sid).readers.get(grant_id, MemoryReader()).readings)

    async def reading_span(self, sid: bytes, grant_id: bytes, within: ReadingRange) -> ReadingSpan:
        """See ReaderStore.reading_span."""
        return self._at(sid).readers.get(grant_id, MemoryReader()).span(within)

    async def drop_readings(self, sid: bytes, grant_id: bytes, before: int, *, limit: int = 5_000) -> int:
        """See ReaderStore.drop_readings."""
        check_limit(limit)
        return self._at(sid).readers.get(grant_id, MemoryReader()).drop_old(before, limit)

    async def drop_log(self, sid: bytes, before_slot: int, *, limit: int = 5_000) -> int:
        """See ReaderStore.drop_log."""
        check_limit(limit)
        stream = self._at(sid)
        gone = set() if stream.writes else stream.old_log(before_slot, limit)
        stream.keep(gone)
        return len(gone)

    async def raise_alarm(self, sid: bytes, alarm: Alarm) -> int:
        """See ReaderStore.raise_alarm."""
        return self._keep_alarm(self._at(sid), alarm)

    async def alarms(self, sid: bytes, after_id: int = 0, limit: int = 1000) -> tuple[Alarm, ...]:
        """See ReaderStore.alarms."""
        check_limit(limit)
        return tuple(islice((row for row in self._at(sid).alarms if row.id > after_id), limit))

    async def prune(self, sid: bytes, *, envelopes_before_slot: int = 0, readings_before: int = 0) -> Pruned:
        """See ChannelStore.prune."""
        stream = self._at(sid)
        data, points = (stream.cursors.get(kind, 0) for kind in (LogKind.DATA, LogKind.CHECKPOINTS))
        newest = next(reversed(stream.checkpoints.values()), None)
        last = next(reversed(stream.envelopes.values()), None)
        old = [r for r in stream.envelopes.values() if r.slot < envelopes_before_slot and r.position <= data]
        envelopes = {r.position for r in old if r is not last}
        past = [r for r in stream.checkpoints.values() if r.slot < envelopes_before_slot and r.position <= points]
        checkpoints = {r.position for r in past if r is not newest}
        stream.keep(envelopes | checkpoints)
        return Pruned(
            len(envelopes), len(checkpoints), _drop_readings(stream, lambda r: r.meter_time < readings_before)
        )

    async def erase_epochs(self, sid: bytes, up_to_epoch: int) -> Pruned:
        """See ChannelStore.erase_epochs."""
        return self._at(sid).erase_epochs(up_to_epoch)

    async def close(self) -> None:
        """See ChannelStore.close. What was kept stays readable to whoever holds the object."""


def _drop_readings(stream: MemoryStream, gone: Callable[[OpenedReading], bool]) -> int:
    return sum(reader.drop(gone) for reader in stream.readers.values())
