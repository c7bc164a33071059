"""The store of one node: many streams, their logs, and the secrets of the writers and readers that live here.

Two implementations ship: `memory` and `sql`. One conformance suite holds them to the text below
(tests/conformance/test_channel_stores.py). Every method that changes something is one transaction: after it returned
the change survives a power cut (SQL), and when it raises nothing was changed.

Logs are append-only. Offering the same bytes again changes nothing; offering other bytes for a taken place raises
StoreConflict with both, because that is a fork and the two byte strings are its evidence (channels.md 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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

__all__ = ["MAX_INTEGER", "ChannelStore", "LogStore", "ReaderStore", "WriterStore"]

# Databases keep signed 64-bit integers. Slots and epochs are far below; a sequence number above is refused.
MAX_INTEGER = 2**63 - 1


class LogStore(Protocol):
    """The public records of streams, and private logs."""

    async def streams(self) -> tuple[bytes, ...]:
        """The sids of all streams that have any record here, sorted."""
        ...

    async def append_commits(self, sid: bytes, commits: Sequence[StoredCommit]) -> int:
        """Append commits; returns how many were new. StoreConflict for another commit of a taken epoch."""
        ...

    async def commits(self, sid: bytes, first_epoch: int = 0, limit: int = 1000) -> tuple[StoredCommit, ...]:
        """Commits from `first_epoch` on, by epoch."""
        ...

    async def last_commit(self, sid: bytes) -> StoredCommit | None:
        """The commit with the highest epoch."""
        ...

    async def append_envelopes(self, sid: bytes, envelopes: Sequence[StoredEnvelope]) -> int:
        """Append envelopes; returns how many were new. StoreConflict for two with one (epoch, slot, inst, seq)."""
        ...

    async def envelopes(self, sid: bytes, after_position: int = 0, limit: int = 1000) -> tuple[StoredEnvelope, ...]:
        """Envelopes behind a position, in the order they were recorded."""
        ...

    async def envelopes_by_seq(
        self, sid: bytes, first_seq: int, last_seq: int, limit: int = 1000
    ) -> tuple[StoredEnvelope, ...]:
        """Envelopes with first_seq <= seq <= last_seq, in the order they were recorded (any instance)."""
        ...

    async def last_envelope(self, sid: bytes) -> StoredEnvelope | None:
        """The envelope recorded last."""
        ...

    async def append_checkpoints(self, sid: bytes, checkpoints: Sequence[StoredCheckpoint]) -> int:
        """Append checkpoints; returns how many were new. The hash tells two apart."""
        ...

    async def checkpoints(self, sid: bytes, after_position: int = 0, limit: int = 1000) -> tuple[StoredCheckpoint, ...]:
        """Checkpoints behind a position, in the order they were recorded."""
        ...

    async def last_checkpoint(self, sid: bytes) -> StoredCheckpoint | None:
        """The checkpoint recorded last."""
        ...

    async def put_capsule(self, sid: bytes, capsule: Capsule) -> None:
        """Keep the newest capsule of a grant. StoreConflict when its epoch is below that of the one kept."""
        ...

    async def capsule(self, sid: bytes, grant_id: bytes) -> Capsule | None:
        """The capsule of a grant."""
        ...

    async def capsules(self, sid: bytes, after: int = 0) -> tuple[Capsule, ...]:
        """The capsules of all grants behind the position `after`, in the order they were recorded."""
        ...

    async def drop_capsule(self, sid: bytes, grant_id: bytes) -> None:
        """Forget the capsule of a grant (the reader has it, or the grant ended); nothing happens when there is none."""
        ...

    async def append_log(self, log_id: bytes, entries: Sequence[LogEntry]) -> int:
        """Append to a private log; returns how many were new. StoreConflict for a fork, StoreError for a gap."""
        ...

    async def read_log(self, log_id: bytes, first_seq: int = 0, limit: int = 1000) -> tuple[LogEntry, ...]:
        """Entries of a private log from `first_seq` on."""
        ...


class WriterStore(Protocol):
    """What a writer keeps. Its state is a snapshot, what each commit since changed, and how far it came since then
    (`WriterRecord`), so that no seal and no commit costs more for a stream with more readers. All is sealed at rest."""

    async def add_pending(self, sid: bytes, readings: Sequence[PendingReading]) -> tuple[int, ...]:
        """Buffer readings, sealed to the node itself; returns their ids in the given order."""
        ...

    async def take_in(self, readings: Mapping[bytes, Sequence[PendingReading]], note: bytes) -> None:
        """One transaction: readings of several streams into their buffers, and the intake's own state beside them.

        A meter's chunk belongs to several streams; a crash keeps all of it with the state that it led to, or nothing.
        """
        ...

    async def intake_note(self) -> bytes | None:
        """The state that `take_in` kept last."""
        ...

    async def pending(self, sid: bytes, limit: int = 1000) -> tuple[PendingReading, ...]:
        """The oldest buffered readings: by slot, then meter time, then id (channels.md 4, rule 4)."""
        ...

    async def pending_count(self, sid: bytes) -> int:
        """How many readings wait."""
        ...

    async def record_seal(
        self,
        sid: bytes,
        envelopes: Sequence[StoredEnvelope],
        consumed_pending_ids: Sequence[int],
        progress: bytes,
        checkpoints: Sequence[StoredCheckpoint] = (),
    ) -> None:
        """One transaction: envelopes and checkpoints in, the readings they hold out of the buffer, the progress kept.

        StoreNotFound when a reading is not in the buffer (it was sealed before), StoreConflict for a taken place.
        """
        ...

    async def record_commit(
        self,
        sid: bytes,
        commit: StoredCommit,
        capsules: Sequence[Capsule],
        leaves: Sequence[LeafRecord],
        change: bytes,
        progress: bytes,
    ) -> None:
        """One transaction: the commit, its capsules, the changed leaves, what it changes in the state, the progress.

        The same commit again is taken (a writer re-makes a commit after a crash), another for its epoch is not. An
        empty change is not kept: a copy knows nothing of the writer's state.
        """
        ...

    async def save_progress(self, sid: bytes, progress: bytes) -> None:
        """Keep how far the writer came, alone."""
        ...

    async def save_writer(
        self,
        sid: bytes,
        snapshot: bytes,
        consumed_pending_ids: Sequence[int] = (),
        leaves: Sequence[LeafRecord] = (),
    ) -> None:
        """One transaction: a whole state instead of all that was kept of it; these readings out of the buffer; changed
        leaves.

        StoreNotFound when a reading is not in the buffer.
        """
        ...

    async def writer_record(self, sid: bytes) -> WriterRecord | None:
        """The writer's state as it was kept last; None where nothing of it was."""
        ...

    async def leaves(self, sid: bytes) -> tuple[LeafRecord, ...]:
        """The occupied leaves, by index."""
        ...

    async def unpublished(self, sid: bytes, limit: int = 1000) -> tuple[Unpublished, ...]:
        """The oldest records behind the publication cursors, in the order they were recorded, over all kinds."""
        ...

    async def mark_published(self, sid: bytes, kind: LogKind, position: int) -> None:
        """Everything of this kind up to `position` was acknowledged; a cursor never goes back."""
        ...

    async def cursor(self, sid: bytes, kind: LogKind) -> int:
        """The publication cursor of a kind; 0 before anything was acknowledged."""
        ...


class ReaderStore(Protocol):
    """What a reader keeps, per stream and grant."""

    async def record_open(self, sid: bytes, grant_id: bytes, record: OpenRecord) -> None:
        """One transaction for one step of a reader; a reading that is already there is not doubled."""
        ...

    async def reader_snapshot(self, sid: bytes, grant_id: bytes) -> bytes | None:
        """The reader state kept last."""
        ...

    async def drop_reader(self, sid: bytes, grant_id: bytes) -> None:
        """Forget a reader: its state and its opened readings."""
        ...

    async def erase_reader(self, sid: bytes, grant_id: bytes, erasure_id: bytes, at: int) -> Erased:
        """Erasure of what one reader holds: its own key first, then, in one transaction, its state and readings and the
        record of the erasure. Envelopes, checkpoints, capsules and alarms of the stream go with them where no other
        reader and no writer here needs them; commits stay. Asked again with the same id it does what an interruption
        left undone and returns the same record.
        """
        ...

    async def readings(
        self, sid: bytes, grant_id: bytes, start: int, end: int, *, limit: int = 10_000, offset: int = 0
    ) -> tuple[OpenedReading, ...]:
        """Readings with start <= meter_time < end, by meter time, epoch, seq and index."""
        ...

    async def reading_count(self, sid: bytes, grant_id: bytes) -> int:
        """How many readings of a grant are kept."""
        ...

    async def reading_span(self, sid: bytes, grant_id: bytes, within: ReadingRange) -> ReadingSpan:
        """How many readings of a range are kept, and when the first and the last of them was."""
        ...

    async def drop_readings(self, sid: bytes, grant_id: bytes, before: int, *, limit: int = 5_000) -> int:
        """Drop the oldest confirmed readings of one reader with meter_time < before; returns how many.

        About `limit` at a time: those of the last second go together. Provisional ones stay, since a checkpoint may
        still confirm or withdraw them; so do the reader's state and every public record.
        """
        ...

    async def drop_log(self, sid: bytes, before_slot: int, *, limit: int = 5_000) -> int:
        """Drop the oldest envelopes and checkpoints of slots below `before_slot` of a stream that no writer here
        answers for; returns how many, about `limit` of each at a time. The newest of each and all commits stay.
        """
        ...

    async def raise_alarm(self, sid: bytes, alarm: Alarm) -> int:
        """Keep an alarm; returns its id. The same kind with the same evidence is kept once."""
        ...

    async def alarms(self, sid: bytes, after_id: int = 0, limit: int = 1000) -> tuple[Alarm, ...]:
        """Alarms of a stream in the order they were raised."""
        ...


class ChannelStore(LogStore, WriterStore, ReaderStore, Protocol):
    """The whole store of a node."""

    async def prune(self, sid: bytes, *, envelopes_before_slot: int = 0, readings_before: int = 0) -> Pruned:
        """Retention: drop envelopes and checkpoints of slots below the first bound, readings by meter time below the
        second. What was not published yet, the newest envelope and checkpoint, and all commits stay."""
        ...

    async def erase_epochs(self, sid: bytes, up_to_epoch: int) -> Pruned:
        """Erasure up to and with an epoch: envelopes, checkpoints and opened readings of it go, published or not."""
        ...

    async def erase_past(
        self, sid: bytes, past: Past, snapshot: bytes = b"", capsules: Sequence[Capsule] | None = None
    ) -> Erased:
        """Erasure of a stream's past, published or not, in one transaction with the record of it: envelopes,
        checkpoints and opened readings go, commits stay. A `snapshot` takes the place of all that was kept of the
        writer's state. With `capsules` every capsule is emptied, and these come in place of theirs; an emptied one
        still says that its grant was served, and is not published. Asked again with the same id it takes only what
        came back meanwhile, and returns the same record, whose `epoch` is that of the erasure.
        """
        ...

    async def scrub(self) -> None:
        """What was deleted leaves the files of the database too, as far as it lets us; after an erasure."""
        ...

    async def close(self) -> None:
        """Release everything; the store is not used afterwards."""
        ...
