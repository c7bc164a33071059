"""The writer's two masters and the epoch secrets below them (channels.md 2 and rule 11).

M opens data: its epoch root is one node of a GGM tree, so erasing the past means keeping the cover of `[e + 1,
2**32)` instead. T makes the key tree. Both stay in the keystore; nothing here prints them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from channels.codec import ByteReader, ByteWriter, require
from channels.errors import EpochErased, NoKey, UnknownVersion, UsageError
from channels.ggm import LEAVES, Cover, CoverNode
from channels.kdf import KEY_BYTES, kdf

__all__ = ["Masters", "Part", "read_nodes", "slot_root", "write_nodes"]

_VERSION = 1
_WITH_PART = 2


def slot_root(secret: bytes, sid: bytes, epoch: int) -> bytes:
    """`KDF(S_e, "slot-root", sid || u64 e)`: the root of the slot tree of an epoch."""
    return kdf(secret, b"slot-root", sid + epoch.to_bytes(8, "big"))


def write_nodes(out: ByteWriter, nodes: tuple[CoverNode, ...]) -> None:
    """Nodes as (level u8, index u32, key 32)*; the root is the only node of level 32."""
    for node in nodes:
        out.u8(node.level).u32(node.index).raw(node.key)


def read_nodes(data: ByteReader, count: int) -> tuple[CoverNode, ...]:
    """`count` nodes, ascending and disjoint; FormatError otherwise."""
    require(data.left >= count * 37, "cover nodes are truncated")
    nodes = tuple(CoverNode(data.u8(), data.u32(), data.raw(KEY_BYTES)) for _ in range(count))
    require(all(a.end <= b.first for a, b in pairwise(nodes)), "cover nodes are not sorted")
    return nodes


@dataclass(frozen=True, slots=True)
class Part:
    """What is left of an epoch whose secret was destroyed: nodes of its slot tree, ascending."""

    epoch: int
    slots: tuple[CoverNode, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Masters:
    """T, and what is left of M: nodes of the epoch tree, ascending, and the later slots of at most one epoch more."""

    tree: bytes = field(repr=False)
    epochs: tuple[CoverNode, ...] = field(repr=False)
    part: Part | None = None

    @classmethod
    def from_keys(cls, sid: bytes, opening: bytes, tree: bytes) -> Masters:
        """From the stream's `M` (opening) and `T` (tree), 32 bytes each."""
        if len(opening) != KEY_BYTES or len(tree) != KEY_BYTES:
            raise UsageError("a master has 32 bytes")
        return cls(tree, Cover.whole(kdf(opening, b"epoch-root", sid)).nodes)

    def cover(self) -> Cover:
        """The epoch tree as far as it is left."""
        return Cover(self.epochs)

    def epoch_secret(self, epoch: int) -> bytes:
        """S_e; EpochErased where it was destroyed."""
        try:
            return self.cover().leaf(epoch)
        except NoKey as error:
            raise EpochErased(f"the secret of epoch {epoch} was destroyed") from error

    def slots(self, sid: bytes, epoch: int) -> Cover:
        """What is left of the slot tree of an epoch; EpochErased where nothing is."""
        if self.part is not None and self.part.epoch == epoch:
            return Cover(self.part.slots)
        return Cover.whole(slot_root(self.epoch_secret(epoch), sid, epoch))

    def has(self, epoch: int) -> bool:
        """Whether anything is left of an epoch."""
        return epoch in self.cover() or (self.part is not None and self.part.epoch == epoch)

    def erased(self, through: int, tree: bytes, sid: bytes = b"", before_slot: int = LEAVES) -> Masters:
        """Masters that cannot derive slots below `before_slot` under the epochs up to `through`, nor any secret of
        these epochs, with a new T beside a snapshot.

        Of `through` the later slots are left, of the epochs before it nothing.
        """
        if len(tree) != KEY_BYTES or tree == self.tree:
            raise UsageError("erasure needs a new T of 32 bytes")
        part = self.part if self.part is not None and self.part.epoch > through else None
        if before_slot < LEAVES and self.has(through):
            left = self.slots(sid, through).interval(before_slot, LEAVES)
            part = Part(through, left) if left else None
        return Masters(tree, self.cover().interval(through + 1, LEAVES), part)

    def to_bytes(self) -> bytes:
        """Secret encoding for the keystore."""
        out = ByteWriter().u16(_VERSION if self.part is None else _WITH_PART).raw(self.tree).u8(len(self.epochs))
        write_nodes(out, self.epochs)
        if self.part is not None:
            out.u64(self.part.epoch).u8(len(self.part.slots))
            write_nodes(out, self.part.slots)
        return out.done()

    @classmethod
    def from_bytes(cls, data: bytes) -> Masters:
        """The inverse of `to_bytes`; FormatError otherwise."""
        reader = ByteReader(data)
        version = reader.u16()
        if version not in (_VERSION, _WITH_PART):
            raise UnknownVersion(f"masters of version {version}")
        tree = reader.raw(KEY_BYTES)
        nodes = read_nodes(reader, reader.u8())
        part = None
        if version == _WITH_PART:
            part = Part(reader.u64(), read_nodes(reader, reader.u8()))
            require(bool(part.slots), "an epoch of which nothing is left")
        reader.end()
        return cls(tree, nodes, part)
