"""Keeps what a writer did before anybody hears of it: in the store first, then under the high-water mark.

The writer in memory moves before the store does. When the store refuses, memory is ahead of what is kept: `stale` says
so, nothing more is recorded, and the writer is opened anew from the store. What it had sealed was seen by nobody, and a
writer that is opened draws another instance, so no key and number come twice even if the store kept it after all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from channels.checkpoint import Checkpoint
from channels.envelope import EnvelopeHeader
from channels.kdf import sha256
from channels.stores.records import Capsule, LeafRecord, StoredCheckpoint, StoredCommit, StoredEnvelope, WriterRecord
from channels.writer import PreparedCommit, Writer
from node.services.gateway.ports import HighWaterPort, WriterLog

__all__ = ["Recorder"]

FOLD = 1 << 16
"""Bytes of changes that are kept beside a small snapshot before a new one takes their place."""


class Recorder:
    """One writer's way into the store. A seal writes a few hundred bytes, a commit the nodes that it changed; a whole
    snapshot is written once the changes since the last one are as large as that one, so it costs a commit no more."""

    def __init__(self, writer: Writer, instance: bytes, store: WriterLog, high_water: HighWaterPort) -> None:
        self.stale = False
        self.marked_seq = writer.position.seq
        self._writer = writer
        self._instance = instance
        self._store = store
        self._high_water = high_water
        self._whole = 0
        self._changed = 0

    def begin(self, record: WriterRecord | None) -> None:
        """What the store has of the writer at its start."""
        if record is not None:
            self._whole, self._changed = len(record.snapshot), sum(map(len, record.changes))

    def folded(self, whole: int) -> None:
        """A snapshot of `whole` bytes took the place of all that the store had."""
        self._whole, self._changed = whole, 0

    @contextmanager
    def all_or_stale(self) -> Iterator[None]:
        """Around everything between a step of the writer and its record, whatever breaks it off."""
        before, self.stale = self.stale, True
        yield
        self.stale = before

    async def progress(self) -> None:
        """Keeps what was blocked, activated or covered."""
        with self.all_or_stale():
            await self._store.save_progress(self._writer.params.sid, self._writer.progress())

    async def seal(self, envelopes: Sequence[bytes], consumed: Sequence[int], checkpoints: Sequence[bytes]) -> None:
        """Keeps what was sealed and signed, and takes what it holds out of the buffer."""
        if not envelopes and not checkpoints:
            return await self.progress()
        with self.all_or_stale():
            stored = [self._envelope(data) for data in envelopes]
            signed = [self._checkpoint(data) for data in checkpoints]
            writer, store = self._writer, self._store
            await store.record_seal(writer.params.sid, stored, consumed, writer.progress(), signed)
            # After the record, or a crash in between would leave a number that nobody can ever show; before the
            # publisher, which goes no further than the mark.
            await asyncio.to_thread(self._high_water.advance, writer.position)
            self.marked_seq = writer.position.seq
        return None

    async def commit(
        self, prepared: PreparedCommit, data: bytes, capsules: Sequence[Capsule], leaves: Sequence[LeafRecord]
    ) -> None:
        """Keeps a commit that the writer has just taken, with everything that belongs to it; inside `all_or_stale`."""
        sid, change = self._writer.params.sid, self._writer.change_of(prepared).to_bytes()
        commit = StoredCommit(prepared.epoch, prepared.commit_hash, data)
        await self._store.record_commit(sid, commit, capsules, leaves, change, self._writer.progress())
        self._changed += len(change)
        if self._changed >= max(self._whole, FOLD):
            snapshot = self._writer.snapshot()
            await self._store.save_writer(sid, snapshot)
            self.folded(len(snapshot))

    def _envelope(self, data: bytes) -> StoredEnvelope:
        header = EnvelopeHeader.decode(data, self._writer.params.signed_envelopes)
        return StoredEnvelope(header.epoch, header.slot, header.inst, header.seq, sha256(data), data)

    def _checkpoint(self, data: bytes) -> StoredCheckpoint:
        found = Checkpoint.decode(data)
        return StoredCheckpoint(
            found.epoch, found.slot, self._instance, found.first_seq, found.count, sha256(data), data
        )
