"""One stream of the store in memory: its log, and the checks that both ways of writing share."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from heapq import merge
from itertools import islice

from channels.errors import StoreNotFound
from channels.stores.base import MAX_INTEGER
from channels.stores.checks import check_id, check_integers, forked
from channels.stores.records import (
    Alarm,
    Capsule,
    Confirmation,
    Erased,
    LeafRecord,
    LogKind,
    OpenedReading,
    Past,
    PendingReading,
    Pruned,
    ReadingRange,
    ReadingSpan,
    StoredCheckpoint,
    StoredCommit,
    StoredEnvelope,
    Unpublished,
)

__all__ = ["MemoryReader", "MemoryStream"]

_EnvelopeKey = tuple[int, int, bytes, int]
_ReadingKey = tuple[int, int, int, int, bytes]


def _envelope_key(row: StoredEnvelope) -> _EnvelopeKey:
    return row.epoch, row.slot, row.inst, row.seq


def _reading_key(row: OpenedReading) -> _ReadingKey:
    return row.meter_time, row.epoch, row.seq, row.index, row.inst


@dataclass(slots=True)
class MemoryReader:
    """What one reader keeps."""

    snapshot: bytes = b""
    readings: dict[_ReadingKey, OpenedReading] = field(default_factory=dict)
    provisional: set[_ReadingKey] = field(default_factory=set)

    def take(self, readings: Iterable[OpenedReading], confirmed: Iterable[Confirmation]) -> None:
        """Add readings that are not there yet, then confirm; a confirmed reading never becomes provisional again."""
        for row in readings:
            key = _reading_key(row)
            if key not in self.readings:
                self.readings[key] = row
                if row.provisional:
                    self.provisional.add(key)
        for cover in confirmed:
            end = cover.first_seq + cover.count
            for key in tuple(self.provisional):
                row = self.readings[key]
                if cover.first_seq <= row.seq < end:
                    self.readings[key] = replace(row, provisional=False)
                    self.provisional.discard(key)

    def span(self, within: ReadingRange) -> ReadingSpan:
        """Of the readings in a range."""
        (first, end), (low, high), (before, after) = within.times, within.slots, within.epochs
        here = (row for row in self.readings.values() if low <= row.slot < high and before <= row.epoch < after)
        times = [row.meter_time for row in here if first <= row.meter_time < end]
        return ReadingSpan(len(times), min(times, default=None), max(times, default=None))

    def drop(self, gone: Callable[[OpenedReading], bool]) -> int:
        """Forget the readings that `gone` names; returns how many."""
        before = len(self.readings)
        self.readings = {key: row for key, row in self.readings.items() if not gone(row)}
        self.provisional &= self.readings.keys()
        return before - len(self.readings)

    def drop_old(self, before: int, limit: int) -> int:
        """Forget the oldest confirmed readings of before this moment, whole seconds; returns how many."""
        rows = self.readings.values()
        old = sorted(row.meter_time for row in rows if not row.provisional and row.meter_time < before)[:limit]
        return self.drop(lambda row: not row.provisional and row.meter_time <= old[-1]) if old else 0


@dataclass(slots=True)
class MemoryStream:
    """The records of one stream. `log` holds what can be published, per kind in the order of position."""

    position: int = 0
    log: dict[LogKind, list[Unpublished]] = field(default_factory=lambda: {kind: [] for kind in LogKind})
    commits: dict[int, StoredCommit] = field(default_factory=dict)
    envelopes: dict[_EnvelopeKey, StoredEnvelope] = field(default_factory=dict)
    checkpoints: dict[bytes, StoredCheckpoint] = field(default_factory=dict)
    capsules: dict[bytes, Capsule] = field(default_factory=dict)
    pending: dict[int, PendingReading] = field(default_factory=dict)
    pending_id: int = 0
    snapshot: bytes = b""
    changes: dict[int, bytes] = field(default_factory=dict)
    progress: bytes = b""
    leaves: dict[int, LeafRecord] = field(default_factory=dict)
    cursors: dict[LogKind, int] = field(default_factory=dict)
    readers: dict[bytes, MemoryReader] = field(default_factory=dict)
    alarms: list[Alarm] = field(default_factory=list)
    erasures: dict[bytes, Erased] = field(default_factory=dict)

    @property
    def writes(self) -> bool:
        """Whether a writer keeps its state here."""
        return bool(self.snapshot or self.changes)

    def old_log(self, before_slot: int, limit: int) -> set[int]:
        """The oldest positions of slots below `before_slot`, the newest envelope and checkpoint aside."""
        envelopes = [(row.slot, row.position) for row in self.envelopes.values()]
        checkpoints = [(row.slot, row.position) for row in self.checkpoints.values()]
        old = [[place for slot, place in rows[:-1] if slot < before_slot] for rows in (envelopes, checkpoints)]
        return {place for places in old for place in places[:limit]}

    def drop_log(self) -> tuple[int, int, int, int]:
        """Forget everything that can be read, and the alarms; returns how many envelopes, checkpoints, capsules,
        alarms.
        """
        counts = len(self.envelopes), len(self.checkpoints), len(self.capsules), len(self.alarms)
        for rows in (self.envelopes, self.checkpoints, self.capsules):
            self.keep({row.position for row in rows.values()})
        self.capsules.clear()
        self.alarms.clear()
        return counts

    def _place(self, kind: LogKind, key: bytes, data: bytes) -> int:
        self.position += 1
        self.log[kind].append(Unpublished(kind, self.position, key, data))
        return self.position

    def change_leaves(self, leaves: Iterable[LeafRecord]) -> None:
        """Put changed leaves in place of what stood there; one without a grant is emptied."""
        for leaf in leaves:
            if leaf.grant_id is None:
                self.leaves.pop(leaf.leaf, None)
            else:
                self.leaves[leaf.leaf] = leaf

    def check_pending(self, ids: Iterable[int]) -> None:
        """Raise StoreNotFound when a reading is not in the buffer."""
        missing = set(ids) - self.pending.keys()
        if missing:
            raise StoreNotFound(f"{len(missing)} readings are not in the buffer")

    def consume(self, ids: Iterable[int]) -> None:
        """Take checked readings out of the buffer."""
        for id_ in ids:
            self.pending.pop(id_, None)

    def new_commits(self, commits: Sequence[StoredCommit]) -> list[StoredCommit]:
        """Those of the commits that are not kept yet. Raises StoreConflict for a fork."""
        fresh: dict[int, StoredCommit] = {}
        for row in commits:
            check_id("a commit hash", row.hash)
            check_integers((row.epoch,))
            kept = self.commits.get(row.epoch) or fresh.get(row.epoch)
            if kept is None:
                fresh[row.epoch] = row
            elif kept.hash != row.hash:
                raise forked(f"epoch {row.epoch}", kept.data, row.data)
        return list(fresh.values())

    def new_envelopes(self, envelopes: Sequence[StoredEnvelope]) -> list[StoredEnvelope]:
        """Those of the envelopes that are not kept yet. Raises StoreConflict for a fork."""
        fresh: dict[_EnvelopeKey, StoredEnvelope] = {}
        for row in envelopes:
            check_id("an envelope hash", row.hash)
            check_id("an instance id", row.inst, 16)
            key = _envelope_key(row)
            check_integers((row.epoch, row.slot, row.seq))
            kept = self.envelopes.get(key) or fresh.get(key)
            if kept is None:
                fresh[key] = row
            elif kept.hash != row.hash:
                raise forked(f"envelope {row.seq} of epoch {row.epoch}", kept.data, row.data)
        return list(fresh.values())

    def new_checkpoints(self, checkpoints: Sequence[StoredCheckpoint]) -> list[StoredCheckpoint]:
        """Those of the checkpoints that are not kept yet."""
        fresh: dict[bytes, StoredCheckpoint] = {}
        for row in checkpoints:
            check_id("a checkpoint hash", row.hash)
            check_integers((row.epoch, row.slot, row.first_seq, row.count))
            if row.hash not in self.checkpoints:
                fresh[row.hash] = row
        return list(fresh.values())

    def check_capsule(self, capsule: Capsule) -> None:
        """Raise StoreConflict when a capsule of a later epoch is kept."""
        check_id("a grant id", capsule.grant_id)
        kept = self.capsules.get(capsule.grant_id)
        if kept is not None and kept.epoch > capsule.epoch:
            raise forked(f"a capsule of epoch {kept.epoch}", kept.data, capsule.data)

    def put_capsule(self, capsule: Capsule) -> None:
        """Let a checked capsule take the place of the older one; the same again changes nothing."""
        kept = self.capsules.get(capsule.grant_id)
        if kept is not None and kept.hash == capsule.hash:
            return
        self.drop_capsule(capsule.grant_id)
        position = self._place(LogKind.CAPSULE, capsule.grant_id, capsule.data)
        self.capsules[capsule.grant_id] = replace(capsule, position=position)

    def drop_capsule(self, grant_id: bytes) -> None:
        """Forget a capsule; it is not published any more."""
        kept = self.capsules.pop(grant_id, None)
        if kept is not None:
            capsules = self.log[LogKind.CAPSULE]
            self.log[LogKind.CAPSULE] = [row for row in capsules if row.position != kept.position]

    def write(
        self,
        commits: Iterable[StoredCommit] = (),
        envelopes: Iterable[StoredEnvelope] = (),
        checkpoints: Iterable[StoredCheckpoint] = (),
    ) -> None:
        """Append records that were checked before, each at its own position."""
        for commit in commits:
            self.commits[commit.epoch] = replace(commit, position=self._place(LogKind.COMMITS, b"", commit.data))
        for envelope in envelopes:
            self.envelopes[_envelope_key(envelope)] = replace(
                envelope, position=self._place(LogKind.DATA, b"", envelope.data)
            )
        for checkpoint in checkpoints:
            self.checkpoints[checkpoint.hash] = replace(
                checkpoint, position=self._place(LogKind.CHECKPOINTS, b"", checkpoint.data)
            )

    def waiting(self, limit: int) -> tuple[Unpublished, ...]:
        """The first records behind the cursor of their kind."""
        rows = merge(*map(self._behind, LogKind), key=lambda row: row.position)
        return tuple(islice(rows, limit))

    def _behind(self, kind: LogKind) -> Iterator[Unpublished]:
        rows = self.log[kind]
        first = bisect_right(rows, self.cursors.get(kind, 0), key=lambda row: row.position)
        return (row for row in islice(rows, first, None) if row.data)  # not an emptied capsule

    def keep(self, positions_gone: set[int]) -> None:
        """Drop the records at these positions from every table."""
        self.envelopes = {k: r for k, r in self.envelopes.items() if r.position not in positions_gone}
        self.checkpoints = {k: r for k, r in self.checkpoints.items() if r.position not in positions_gone}
        for kind, rows in self.log.items():
            self.log[kind] = [row for row in rows if row.position not in positions_gone]

    def head(self, epoch: int) -> tuple[int, bytes]:
        """Epoch and hash of the newest commit up to an epoch; 0 and zeros for none."""
        found = max((each for each in self.commits if each <= epoch), default=0)
        return (found, self.commits[found].hash) if found else (0, bytes(32))

    def erase_epochs(self, epoch: int, before_slot: int = MAX_INTEGER) -> Pruned:
        """Forget everything of slots below `before_slot` under the epochs up to `epoch` but the commits."""

        def past(row: StoredEnvelope | StoredCheckpoint | OpenedReading) -> bool:
            return row.epoch <= epoch and row.slot < before_slot

        envelopes = {row.position for row in self.envelopes.values() if past(row)}
        checkpoints = {row.position for row in self.checkpoints.values() if past(row)}
        self.keep(envelopes | checkpoints)
        return Pruned(len(envelopes), len(checkpoints), sum(reader.drop(past) for reader in self.readers.values()))

    def erase_past(self, past: Past, snapshot: bytes, capsules: Sequence[Capsule] | None) -> Erased:
        """See ChannelStore.erase_past."""
        check_id("an erasure id", past.erasure_id)
        gone = self.erase_epochs(past.epoch, past.before_slot)
        if past.erasure_id in self.erasures:
            return self.erasures[past.erasure_id]
        if snapshot:
            self.snapshot, self.changes, self.progress = snapshot, {}, b""
        full = [row for row in self.capsules.values() if row.data] if capsules is not None else []
        for row in full:
            self.capsules[row.grant_id] = replace(row, data=b"", hash=sha256(b"").digest())
        emptied = {row.position for row in full}
        self.log[LogKind.CAPSULE] = [row for row in self.log[LogKind.CAPSULE] if row.position not in emptied]
        for capsule in capsules or ():
            self.put_capsule(capsule)
        counts = (gone.readings, gone.envelopes, gone.checkpoints, len(full), 0)
        self.erasures[past.erasure_id] = Erased(past.erasure_id, past.at, *counts, *self.head(past.epoch))
        return self.erasures[past.erasure_id]
