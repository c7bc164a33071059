"""The time tree: a GGM tree of depth 32 whose leaves are epoch secrets or slot keys.

A node is named (level, index): level 0 is a leaf, level 32 the root, and it covers leaves `[index << level, (index +
1) << level)`. Child b of a node is `KDF(node, "ggm", u8 b)`, so whoever holds a node derives exactly the leaves below
it and nothing else: an interval is given away as its minimal set of nodes, and pooled intervals yield their union
only (Goldreich, Goldwasser, Micali 1986; as a key tree over time: Briscoe, MARKS, NGC 1999).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from channels.errors import FormatError, NoKey
from channels.kdf import KEY_BYTES, kdf_info, kdf_with

__all__ = ["DEPTH", "LEAVES", "Cover", "CoverNode", "minimal_nodes"]

DEPTH = 32
LEAVES = 1 << DEPTH
_CHILD = (kdf_info(b"ggm", b"\x00"), kdf_info(b"ggm", b"\x01"))


@dataclass(frozen=True, slots=True)
class CoverNode:
    """One node given away: `level` 0..32, `index` below 2**(32 - level), `key` 32 secret bytes."""

    level: int
    index: int
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not (0 <= self.level <= DEPTH and 0 <= self.index < (1 << (DEPTH - self.level))):
            raise FormatError(f"no node ({self.level}, {self.index}) in a tree of depth {DEPTH}")
        if len(self.key) != KEY_BYTES:
            raise FormatError("a node key has 32 bytes")

    @property
    def first(self) -> int:
        """The first leaf below."""
        return self.index << self.level

    @property
    def end(self) -> int:
        """One past the last leaf below."""
        return (self.index + 1) << self.level


def minimal_nodes(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The (level, index) of the fewest nodes that cover leaves `[start, end)`, from left to right.

    At most `2 * log2(end - start)` nodes, rounded up. An empty interval yields none; bounds outside the tree raise
    FormatError.
    """
    if not 0 <= start <= LEAVES or not 0 <= end <= LEAVES:
        raise FormatError("interval outside the tree")
    at = start
    while at < end:
        level = (at & -at).bit_length() - 1 if at else DEPTH
        while at + (1 << level) > end:
            level -= 1
        yield level, at >> level
        at += 1 << level


class Cover:
    """Disjoint nodes and everything that can be derived from them.

    The path to the last leaf is kept, so that ascending leaves cost about two derivations each instead of 32.
    """

    __slots__ = ("_firsts", "_nodes", "_path", "_path_index", "_path_node")

    def __init__(self, nodes: Iterable[CoverNode]) -> None:
        """`nodes` in any order; overlapping ones raise FormatError."""
        ordered = sorted(nodes, key=lambda node: node.first)
        for left, right in pairwise(ordered):
            if right.first < left.end:
                raise FormatError("cover nodes overlap")
        self._nodes = tuple(ordered)
        self._firsts = [node.first for node in ordered]
        self._path: list[bytes] = []
        self._path_index = 0
        self._path_node = -1

    @classmethod
    def whole(cls, root: bytes) -> Cover:
        """The whole tree, given by its root."""
        return cls((CoverNode(DEPTH, 0, root),))

    @property
    def nodes(self) -> tuple[CoverNode, ...]:
        """The nodes, left to right."""
        return self._nodes

    def __bool__(self) -> bool:
        return bool(self._nodes)

    def __contains__(self, leaf: int) -> bool:
        at = bisect.bisect_right(self._firsts, leaf) - 1
        return at >= 0 and leaf < self._nodes[at].end

    def leaf(self, leaf: int) -> bytes:
        """The 32-byte key of `leaf`; NoKey where no node covers it."""
        return self.node(0, leaf)

    def node(self, level: int, index: int) -> bytes:
        """The key of node (level, index); NoKey unless one held node is it or lies above it."""
        first = index << level
        at = bisect.bisect_right(self._firsts, first) - 1
        if index < 0 or at < 0 or self._nodes[at].level < level or first >= self._nodes[at].end:
            raise NoKey(f"leaf {first} is outside every node held")
        if at != self._path_node:
            self._path = [self._nodes[at].key]
            self._path_node, self._path_index = at, self._nodes[at].first
        return self._walk(self._nodes[at].level, level, first)

    def _walk(self, top: int, level: int, first: int) -> bytes:
        """Follow `first` from the held node at height `top` down to `level`, reusing what the last walk shares."""
        path = self._path
        shared = top - (first ^ self._path_index).bit_length()
        del path[max(shared, 0) + 1 :]
        self._path_index = first
        key = path[min(len(path) - 1, top - level)]
        for height in range(top - len(path), level - 1, -1):
            key = kdf_with(key, _CHILD[(first >> height) & 1])
            path.append(key)
        return key

    def interval(self, start: int, end: int) -> tuple[CoverNode, ...]:
        """The fewest nodes for the held part of `[start, end)`, left to right."""
        found: list[CoverNode] = []
        for held in self._nodes:
            for level, index in minimal_nodes(max(start, held.first), min(end, held.end)):
                found.append(CoverNode(level, index, self.node(level, index)))
        return tuple(found)

    def without(self, start: int, end: int) -> Cover:
        """A cover that can no longer derive `[start, end)`; everything else held stays derivable."""
        return Cover((*self.interval(0, start), *self.interval(end, LEAVES)))

    def joined(self, nodes: Iterable[CoverNode]) -> Cover:
        """This cover and `nodes`; of what both hold the present nodes stay."""
        merged = self
        for node in nodes:
            extra = Cover((node,))
            fresh: list[CoverNode] = []
            at = node.first
            for held in merged._nodes:
                if held.first < node.end and held.end > node.first:
                    fresh.extend(extra.interval(at, held.first))
                    at = max(at, held.end)
            fresh.extend(extra.interval(at, node.end))
            merged = Cover((*merged._nodes, *fresh))
        return merged
