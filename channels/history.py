"""Which keys a grant's past needs: whole closed epochs from the epoch tree, parts of epochs from their slot trees.

Under epoch e only slots `[first_slot_e, first_slot_{e+1}]` can hold data (a slot may be split between two epochs, and
the writer seals nothing later under e once its successor is prepared). An epoch is given whole only if the grant has
all of these slots; otherwise the grant gets the slot nodes of its own part. A coalition therefore learns the union of
its grants.
"""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from channels.codec import ByteReader, ByteWriter, require
from channels.errors import EpochErased, UsageError
from channels.ggm import Cover, CoverNode
from channels.masters import Masters, read_nodes, write_nodes

__all__ = ["NO_COVERS", "Covers", "EpochLog", "Span", "covers_of"]


@dataclass(frozen=True, slots=True)
class Covers:
    """`epochs`: nodes of the epoch tree; `slots`: (epoch, nodes of its slot tree), ascending by epoch."""

    epochs: tuple[CoverNode, ...]
    slots: tuple[tuple[int, tuple[CoverNode, ...]], ...]

    def write(self, out: ByteWriter) -> None:
        """n_nodes u16, nodes; n_groups u16, (epoch u64, n u8, nodes)*."""
        out.u16(len(self.epochs))
        write_nodes(out, self.epochs)
        out.u16(len(self.slots))
        for epoch, nodes in self.slots:
            out.u64(epoch).u8(len(nodes))
            write_nodes(out, nodes)

    @classmethod
    def read(cls, data: ByteReader) -> Covers:
        epochs = read_nodes(data, data.u16())
        groups: list[tuple[int, tuple[CoverNode, ...]]] = []
        for _ in range(data.u16()):
            epoch = data.u64()
            require(not groups or groups[-1][0] < epoch, "cover groups are not sorted by epoch")
            nodes = read_nodes(data, data.u8())
            require(bool(nodes), "an empty cover group")
            groups.append((epoch, nodes))
        return cls(epochs, tuple(groups))

    @property
    def count(self) -> int:
        """How many nodes are given away."""
        return len(self.epochs) + sum(len(nodes) for _, nodes in self.slots)


NO_COVERS = Covers((), ())


class EpochLog:
    """The first slot of every epoch that this writer made, from `origin` on."""

    __slots__ = ("_first", "origin")

    def __init__(self, origin: int, first_slots: Iterable[int] = ()) -> None:
        self.origin = origin
        self._first = array("I", first_slots)

    @property
    def newest(self) -> int:
        """The newest epoch; `origin` - 1 before the first."""
        return self.origin + len(self._first) - 1

    def append(self, first_slot: int) -> None:
        self._first.append(first_slot)

    def first_slot(self, epoch: int) -> int:
        if not self.origin <= epoch <= self.newest:
            raise EpochErased(f"epoch {epoch} is not one of this writer's")
        return self._first[epoch - self.origin]

    def first_slots(self) -> tuple[int, ...]:
        """All first slots, from `origin` on."""
        return tuple(self._first)

    def last_before(self, slot: int) -> int:
        """The last epoch that began before a slot; `origin` - 1 for none. Whatever an earlier one holds is older."""
        return self.origin + bisect.bisect_left(self._first, slot) - 1

    def epochs_with(self, first: int, end: int) -> range:
        """The epochs whose slots can meet `[first, end)`, the newest taken as open. First slots never decrease."""
        if not self._first:
            return range(0)
        # Epoch e reaches up to first_slot_{e+1}: the first candidate is the one before the first at or after.
        start = max(bisect.bisect_left(self._first, first) - 1, 0)
        stop = bisect.bisect_left(self._first, end)
        return range(self.origin + start, self.origin + max(stop, start))


@dataclass(frozen=True, slots=True)
class Span:
    """What covers are wanted of: slots `[first, end)` in `epochs`.

    From epoch `member_from` on the grant had a leaf, was sent those epoch secrets and gets them whole; None for never.
    """

    first: int
    end: int
    epochs: range
    member_from: int | None = None


def covers_of(masters: Masters, sid: bytes, log: EpochLog, span: Span, sealed: tuple[int, int]) -> Covers:
    """The covers of a span; epochs that were erased are left out, nobody can give them.

    `sealed` is (active epoch, last sealed slot, -1 for none): an epoch before the active one holds nothing after
    that slot. The newest epoch is never given whole: it is still in use, and who is a member has its secret
    already.
    """
    if span.first >= span.end:
        raise UsageError("no slots to cover")
    source = masters.cover()
    whole: list[int] = []
    parts: list[tuple[int, tuple[CoverNode, ...]]] = []
    for epoch in span.epochs:
        if not masters.has(epoch):
            continue
        first = log.first_slot(epoch)
        closed = epoch < log.newest
        last = log.first_slot(epoch + 1) if closed else span.end - 1
        if epoch < sealed[0]:
            last = min(last, sealed[1])
        start, end = max(span.first, first), min(span.end, last + 1)
        member = span.member_from is not None and epoch >= span.member_from
        if closed and member and epoch not in source:
            start, end = first, last + 1  # all that is left of an epoch that this grant was given whole
        if closed and epoch in source and (member or (start < end and (start, end) == (first, last + 1))):
            whole.append(epoch)
        elif start < end and (nodes := masters.slots(sid, epoch).interval(start, end)):
            parts.append((epoch, nodes))
    return Covers(_epoch_nodes(source, whole), tuple(parts))


def _epoch_nodes(source: Cover, whole: list[int]) -> tuple[CoverNode, ...]:
    """The nodes of runs of consecutive epochs."""
    nodes: list[CoverNode] = []
    at = 0
    while at < len(whole):
        end = at
        while end + 1 < len(whole) and whole[end + 1] == whole[end] + 1:
            end += 1
        nodes.extend(source.interval(whole[at], whole[end] + 1))
        at = end + 1
    return tuple(nodes)
