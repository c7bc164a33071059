"""Copies of a writer's streams in a second store (channels.md 7: at least two stores, one not the broker's).

A copy holds all that a lost channel log is rebuilt from: commits with the leaves and capsules that belong to the newest
of them, envelopes and checkpoints. It holds no secret of the writer: the tree follows from T, which is in the keystore,
and from the commits. The same copying in the other direction brings a lost store back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from channels.stores.base import LogStore, WriterStore
from channels.stores.records import Capsule, LeafRecord, LogKind, StoredCheckpoint, StoredCommit, StoredEnvelope

__all__ = ["StreamCopy", "StreamStore", "restore_stream"]

_PAGE = 1_000


class StreamStore(LogStore, WriterStore, Protocol):
    """A store as far as copying needs it."""


class StreamCopy:
    """One stream on its way from one store to another. `run` may be called again and again: it copies what is new.

    Not for use by two tasks at once. What `run` raises leaves the copy as it was or further; the next run goes on.
    """

    def __init__(self, sid: bytes, source: StreamStore, target: StreamStore) -> None:
        self._sid = sid
        self._source = source
        self._target = target
        self._epoch = -1  # of the newest commit that is copied; -1 before the first look at the target
        self._envelope = -1  # positions in the source
        self._checkpoint = 0
        self._capsule = 0

    async def run(self) -> int:
        """Copy what the target lacks; returns how many records that was.

        StoreConflict, with both as evidence, where the two stores hold different records in one place.
        """
        copied = await self._commits() + await self._capsules_alone()
        return copied + await self._envelopes() + await self._checkpoints()

    async def _commits(self) -> int:
        source, target, sid = self._source, self._target, self._sid
        head = await source.last_commit(sid)
        if head is None or head.epoch == self._epoch:
            return 0
        if self._epoch < 0:
            kept = await target.last_commit(sid)
            self._epoch = 0 if kept is None else kept.epoch
        if head.epoch < self._epoch:
            # An old backup was put back here. The copy is the newer one and stays as it is.
            return 0
        leaves, capsules = await source.leaves(sid), await source.capsules(sid, self._capsule)
        again = await source.last_commit(sid)
        if again is None or again.epoch != head.epoch:
            return await self._commits()  # a commit came between: leaves and commit must belong together
        copied, first = 0, self._epoch  # the last one that both hold is offered again: another one is a fork
        while first < head.epoch:
            page = [commit for commit in await source.commits(sid, first, _PAGE) if commit.epoch < head.epoch]
            if not page:
                break
            copied += await target.append_commits(sid, _unplaced(page))
            first = page[-1].epoch + 1
        changed = _changed(await target.leaves(sid), leaves)
        await target.record_commit(sid, _unplaced([head])[0], await self._newer(capsules), changed, b"", b"")
        self._epoch = head.epoch
        self._capsule = max([self._capsule, *(capsule.position for capsule in capsules)])
        return copied + 1

    async def _newer(self, capsules: Sequence[Capsule]) -> list[Capsule]:
        """Those that the target does not hold; never one that is older than what it holds."""
        found = []
        for capsule in capsules:
            kept = await self._target.capsule(self._sid, capsule.grant_id)
            if kept is None or (kept.epoch <= capsule.epoch and kept.hash != capsule.hash):
                found.append(Capsule(capsule.grant_id, capsule.epoch, capsule.hash, capsule.data))
        return found

    async def _capsules_alone(self) -> int:
        """A Resync and a History come without a commit."""
        if self._epoch < 0:
            return 0
        capsules = await self._source.capsules(self._sid, self._capsule)
        newer = await self._newer(capsules)
        for capsule in newer:
            await self._target.put_capsule(self._sid, capsule)
        self._capsule = max([self._capsule, *(capsule.position for capsule in capsules)])
        return len(newer)

    async def _envelopes(self) -> int:
        source, target, sid = self._source, self._target, self._sid
        if self._envelope < 0:
            self._envelope = await self._common()
        copied = 0
        while page := await source.envelopes(sid, self._envelope, _PAGE):
            rows = [StoredEnvelope(e.epoch, e.slot, e.inst, e.seq, e.hash, e.data) for e in page]
            copied += await target.append_envelopes(sid, rows)
            self._envelope = page[-1].position
        return copied

    async def _common(self) -> int:
        """The source's position of the target's last envelope; 0 when it has not got it."""
        last = await self._target.last_envelope(self._sid)
        if last is None:
            return 0
        found = await self._source.envelopes_by_seq(self._sid, last.seq, last.seq, _PAGE)
        return next((envelope.position for envelope in found if envelope.hash == last.hash), 0)

    async def _checkpoints(self) -> int:
        copied = 0
        while page := await self._source.checkpoints(self._sid, self._checkpoint, _PAGE):
            rows = [StoredCheckpoint(c.epoch, c.slot, c.inst, c.first_seq, c.count, c.hash, c.data) for c in page]
            copied += await self._target.append_checkpoints(self._sid, rows)
            self._checkpoint = page[-1].position
        return copied


def _unplaced(commits: Sequence[StoredCommit]) -> list[StoredCommit]:
    """A position is a place in one store's log and means nothing in another's."""
    return [StoredCommit(commit.epoch, commit.hash, commit.data) for commit in commits]


def _changed(there: Sequence[LeafRecord], here: Sequence[LeafRecord]) -> list[LeafRecord]:
    """The records that turn the leaves of `there` into those of `here`."""
    kept = {leaf.leaf: leaf for leaf in there}
    occupied = {leaf.leaf for leaf in here}
    emptied = [LeafRecord(leaf, None, 0, b"") for leaf in kept if leaf not in occupied]
    return emptied + [leaf for leaf in here if kept.get(leaf.leaf) != leaf]


async def restore_stream(sid: bytes, copy: StreamStore, store: StreamStore) -> int:
    """Bring a lost stream back from its copy; returns how many records came.

    What comes back counts as published, but for the newest commit and the capsules, which a broker keeps and a reader
    may be waiting for: whoever misses an envelope asks for it, and nobody gets a whole history again that he has.
    """
    came = await StreamCopy(sid, copy, store).run()
    if not came:
        return 0
    envelope, checkpoint = await store.last_envelope(sid), await store.last_checkpoint(sid)
    if envelope is not None:
        await store.mark_published(sid, LogKind.DATA, envelope.position)
    if checkpoint is not None:
        await store.mark_published(sid, LogKind.CHECKPOINTS, checkpoint.position)
    head = await store.last_commit(sid)
    if head is not None and head.epoch > 1:
        before = await store.commits(sid, head.epoch - 1, 1)
        await store.mark_published(sid, LogKind.COMMITS, before[0].position)
    return came
