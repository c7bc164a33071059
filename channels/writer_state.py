"""Everything a writer remembers besides its masters, and its encoding.

The state holds secrets (the tree's keys): whoever stores a snapshot seals it. It follows from T and the commit log,
so losing it costs time, not data; only `Position` cannot be rebuilt and is kept apart as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from channels.codec import ByteReader, ByteWriter
from channels.commit import NO_COMMIT
from channels.errors import ChannelError, SnapshotInvalid
from channels.history import EpochLog
from channels.position import START, Position
from channels.slots import OPEN_SLOT
from channels.tree import KeyTree

__all__ = ["WriterState"]

_VERSION = 1


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
