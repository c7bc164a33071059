"""Everything a writer remembers besides its masters, and its encodings.

A snapshot holds everything and grows with the number of leaves. Between two snapshots the state moves on in two small
steps: a commit by what it changed (`StateChange`, a few nodes), a seal by how far it came (`progress`, a fixed size).
Snapshot, changes in order and the newest progress together are the state; whoever stores them writes a change and the
progress after it in one transaction.

The state holds secrets (the tree's keys): whoever stores it seals it. It follows from T and the commit log, so losing
it costs time, not data; only `Position` cannot be rebuilt and is kept apart as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from channels.codec import ByteReader, ByteWriter
from channels.commit import NO_COMMIT
from channels.errors import ChannelError, SnapshotInvalid
from channels.history import EpochLog
from channels.kdf import KEY_BYTES
from channels.position import START, Position
from channels.slots import OPEN_SLOT
from channels.stores.records import WriterRecord
from channels.tree import KeyTree, TreeDelta

__all__ = ["StateChange", "WriterState"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class StateChange:
    """What one commit changes: its epoch, hash and first slot, leaves that left, start slots that are watched, and the
    nodes with their new keys and ends. Secret."""

    epoch: int
    head: bytes
    first_slot: int
    removed: tuple[int, ...]
    starts: tuple[tuple[int, int], ...]
    delta: TreeDelta = field(repr=False)

    def to_bytes(self) -> bytes:
        """Secret. Grows with the number of nodes that the commit touched and with nothing else."""
        out = ByteWriter().u16(_VERSION).u64(self.epoch).raw(self.head).u32(self.first_slot)
        out.u32(len(self.removed))
        for leaf in self.removed:
            out.u32(leaf)
        out.u32(len(self.starts))
        for leaf, start in self.starts:
            out.u32(leaf).u32(start)
        delta = self.delta
        out.u8(delta.depth).u32(delta.n_live).u32(len(delta.ends))
        for (level, index), end in delta.ends.items():
            out.u8(level).u32(index).u32(end)
        out.u32(len(delta.keys))
        for (level, index), key in delta.keys.items():
            out.u8(level).u32(index).raw(key)
        return out.done()

    @classmethod
    def from_bytes(cls, data: bytes) -> StateChange:
        """The inverse of `to_bytes`; SnapshotInvalid otherwise."""
        try:
            return cls._decode(ByteReader(data))
        except (ChannelError, ValueError) as error:
            raise SnapshotInvalid("a change of the writer's state does not decode") from error

    @classmethod
    def _decode(cls, data: ByteReader) -> StateChange:
        data.version(_VERSION)
        epoch, head, first_slot = data.u64(), data.raw(32), data.u32()
        removed = tuple(data.u32() for _ in range(data.u32()))
        starts = tuple((data.u32(), data.u32()) for _ in range(data.u32()))
        delta = TreeDelta(data.u8(), data.u32())
        delta.ends = {(data.u8(), data.u32()): data.u32() for _ in range(data.u32())}
        delta.keys = {(data.u8(), data.u32()): data.raw(KEY_BYTES) for _ in range(data.u32())}
        data.end()
        return cls(epoch, head, first_slot, removed, starts, delta)


@dataclass(slots=True)
class WriterState:
    """Mutable; owned by one `Writer`.

    head: hash of the newest commit. active: newest epoch whose commit is included on chain. removal_epoch: newest
    epoch that removed a leaf. revoked: leaves that a revocation names and no commit has removed yet. starts: start
    slots of live leaves that may lie ahead of some clock. adopted: leaves of an earlier writer that the first
    commit must remove.
    """

    tree: KeyTree
    log: EpochLog
    head: bytes
    active: int
    position: Position = START
    removal_epoch: int = 0
    revoked: set[int] = field(default_factory=set)
    starts: dict[int, int] = field(default_factory=dict)
    adopted: bool = False

    @classmethod
    def fresh(cls) -> WriterState:
        """The state before the first commit of a stream."""
        return cls(KeyTree(), EpochLog(1), NO_COMMIT, 0)

    @classmethod
    def after_writer_change(
        cls, epoch: int, head: bytes, depth: int, live: Iterable[int], position: Position
    ) -> WriterState:
        """The state of a new writer that follows another one's `epoch`: the leaves are known, their keys are not."""
        tree = KeyTree(depth)
        tree.adopt(live, OPEN_SLOT)
        return cls(tree, EpochLog(epoch + 1), head, epoch, position, adopted=tree.n_live > 0)

    @property
    def epoch(self) -> int:
        """The newest prepared and signed epoch."""
        return self.log.newest

    def take(self, change: StateChange) -> None:
        """Move on by one commit. SnapshotInvalid when it does not follow."""
        if change.epoch != self.epoch + 1:
            raise SnapshotInvalid(f"a change to epoch {change.epoch} does not follow epoch {self.epoch}")
        self.tree.apply(change.delta)
        self.log.append(change.first_slot)
        self.head = change.head
        self.adopted = False
        self.revoked.difference_update(change.removed)
        if change.removed:
            self.removal_epoch = change.epoch
        for leaf in change.removed:
            self.starts.pop(leaf, None)
        self.starts.update(change.starts)

    def progress(self) -> bytes:
        """How far the state has come since its newest commit; of the same size whatever the number of readers.

        Start slots that sealing has left behind are not part of it: watching one again costs nothing.
        """
        out = ByteWriter().u16(_VERSION).raw(self.head).u64(self.active).counted(self.position.to_bytes())
        out.u32(len(self.revoked))
        for leaf in sorted(self.revoked):
            out.u32(leaf)
        return out.done()

    def take_progress(self, progress: bytes) -> None:
        """The inverse of `progress`, on the state of the same commit; SnapshotInvalid for another."""
        try:
            data = ByteReader(progress)
            data.version(_VERSION)
            head, active, position = data.raw(32), data.u64(), Position.from_bytes(data.counted())
            revoked = {data.u32() for _ in range(data.u32())}
            data.end()
        except (ChannelError, ValueError) as error:
            raise SnapshotInvalid("the writer's progress does not decode") from error
        if head != self.head or not self.active <= active <= self.epoch:
            raise SnapshotInvalid("the writer's progress belongs to another commit")
        self.active, self.position, self.revoked = active, position, revoked

    @classmethod
    def from_record(cls, record: WriterRecord) -> WriterState:
        """From snapshot, changes and progress as a store keeps them. SnapshotInvalid where they do not fit."""
        state = cls.from_bytes(record.snapshot) if record.snapshot else cls.fresh()
        for change in record.changes:
            state.take(StateChange.from_bytes(change))
        if record.progress:
            state.take_progress(record.progress)
        return state

    def to_bytes(self) -> bytes:
        """Secret. Grows with the number of leaves (about 75 bytes each) and 4 bytes per epoch."""
        out = ByteWriter().u16(_VERSION).raw(self.head).u64(self.active).u64(self.removal_epoch).flag(self.adopted)
        out.counted(self.position.to_bytes())
        first_slots = self.log.first_slots()
        out.u64(self.log.origin).u32(len(first_slots))
        out.raw(b"".join(slot.to_bytes(4, "big") for slot in first_slots))
        out.u32(len(self.revoked))
        for leaf in sorted(self.revoked):
            out.u32(leaf)
        out.u32(len(self.starts))
        for leaf, start in sorted(self.starts.items()):
            out.u32(leaf).u32(start)
        keys, ends = self.tree.dump()
        out.u8(len(keys))
        for level_keys, level_ends in zip(keys, ends, strict=True):
            out.counted(level_keys).counted(level_ends)
        return out.done()

    @classmethod
    def from_bytes(cls, data: bytes) -> WriterState:
        """The inverse of `to_bytes`; SnapshotInvalid otherwise."""
        try:
            return cls._decode(ByteReader(data))
        except (ChannelError, ValueError) as error:
            raise SnapshotInvalid("the writer snapshot does not decode") from error

    @classmethod
    def _decode(cls, data: ByteReader) -> WriterState:
        data.version(_VERSION)
        head, active, removal_epoch, adopted = data.raw(32), data.u64(), data.u64(), data.flag()
        position = Position.from_bytes(data.counted())
        origin, count = data.u64(), data.u32()
        slots = data.raw(4 * count)
        log = EpochLog(origin, [int.from_bytes(slots[i : i + 4], "big") for i in range(0, len(slots), 4)])
        revoked = {data.u32() for _ in range(data.u32())}
        starts = {data.u32(): data.u32() for _ in range(data.u32())}
        levels = [(data.counted(), data.counted()) for _ in range(data.u8())]
        data.end()
        tree = KeyTree.load([keys for keys, _ in levels], [ends for _, ends in levels])
        return cls(tree, log, head, active, position, removal_epoch, revoked, starts, adopted)
