"""The key tree: who is a member, and how few bytes it takes to leave somebody out.

An owner-managed logical key hierarchy (Wong, Gouda, Lam 2000; path secrets after Canetti et al. 1999; evolving used
keys after Bienstock, Dodis, Tang 2022). Level 0 holds the leaves, level `depth` the root; node (l, i) has children
(l-1, 2i) and (l-1, 2i+1). Storage is flat: per level one bytearray of keys and one array with the earliest end slot
of any live leaf below, which also says whether there is one. Nodes right of the highest leaf ever used take no
space.

A change is computed as a `TreeDelta` beside the tree, so that preparing a commit changes nothing until it was
signed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from channels.commit import MAX_DEPTH
from channels.errors import LeafError
from channels.kdf import KEY_BYTES

__all__ = ["DEAD", "KeyTree", "TreeDelta", "earliest_leaf"]

DEAD = 0xFFFFFFFF  # end slot of a leaf that is not live; above every real end slot
_NO_KEY = bytes(KEY_BYTES)


@dataclass(slots=True)
class TreeDelta:
    """New values of the nodes that a commit changes, by (level, index); depth and n_live afterwards."""

    depth: int
    n_live: int
    keys: dict[tuple[int, int], bytes] = field(default_factory=dict, repr=False)
    ends: dict[tuple[int, int], int] = field(default_factory=dict)


class KeyTree:
    """Keys and end slots of all nodes. At 100,000 leaves in sequence about 6.5 MB of keys and 0.8 MB of end slots."""

    __slots__ = ("_ends", "_keys", "depth", "n_live")

    def __init__(self, depth: int = 0) -> None:
        if not 0 <= depth <= MAX_DEPTH:
            raise LeafError(f"a tree has 0 to {MAX_DEPTH} levels")
        self.depth = depth
        self.n_live = 0
        self._keys = [bytearray() for _ in range(depth + 1)]
        self._ends = [array("I") for _ in range(depth + 1)]

    def key(self, level: int, index: int) -> bytes | None:
        """The key of a node, None where it has none (no live leaf below, or keys of another writer)."""
        if level > self.depth:
            return None
        found = bytes(self._keys[level][KEY_BYTES * index : KEY_BYTES * index + KEY_BYTES])
        return found if found and found != _NO_KEY else None

    def end(self, level: int, index: int) -> int:
        """The earliest end slot of a live leaf below the node; DEAD without one."""
        if level > self.depth:
            return DEAD
        ends = self._ends[level]
        return ends[index] if index < len(ends) else DEAD

    def is_live(self, leaf: int) -> bool:
        return self.end(0, leaf) != DEAD

    def live_leaves(self) -> list[int]:
        """All live leaves, ascending. Costs O(N)."""
        return [leaf for leaf, end in enumerate(self._ends[0]) if end != DEAD]

    def ends_at(self, level: int) -> Sequence[int]:
        """The earliest ends of the nodes on a level, as far as they are stored; read only."""
        return self._ends[level]

    def path_keys(self, leaf: int) -> tuple[bytes, ...]:
        """The depth + 1 keys from the live `leaf` to the root; LeafError when it is not live."""
        if not self.is_live(leaf):
            raise LeafError(f"leaf {leaf} is not live")
        keys = [self.key(level, leaf >> level) for level in range(self.depth + 1)]
        if any(key is None for key in keys):
            raise LeafError(f"leaf {leaf} has no key of this writer yet")
        return tuple(key for key in keys if key is not None)

    def apply(self, delta: TreeDelta) -> None:
        """Write a delta. A key that the delta takes away is overwritten with zeros."""
        while self.depth < delta.depth:
            self.depth += 1
            self._keys.append(bytearray())
            self._ends.append(array("I"))
        self.n_live = delta.n_live
        self._reserve(max((index for level, index in delta.ends if level == 0), default=-1) + 1)
        for (level, index), end in delta.ends.items():
            self._ends[level][index] = end
            if end == DEAD:
                self._write(level, index, _NO_KEY)
        for (level, index), key in delta.keys.items():
            self._write(level, index, key)

    def set_end(self, leaf: int, end_slot: int) -> None:
        """Give a live leaf another end slot (the keys do not depend on it)."""
        if not self.is_live(leaf):
            raise LeafError(f"leaf {leaf} is not live")
        self._ends[0][leaf] = end_slot
        for level in range(1, self.depth + 1):
            index = leaf >> level
            self._ends[level][index] = min(self.end(level - 1, 2 * index), self.end(level - 1, 2 * index + 1))

    def adopt(self, leaves: Iterable[int], end_slot: int) -> None:
        """Mark leaves of an earlier writer live, without keys: the first commit must remove them all."""
        delta = TreeDelta(self.depth, 0)
        for leaf in leaves:
            delta.n_live += 1
            for level in range(self.depth + 1):
                delta.ends[level, leaf >> level] = end_slot
        self.apply(delta)

    def _write(self, level: int, index: int, key: bytes) -> None:
        self._keys[level][KEY_BYTES * index : KEY_BYTES * index + KEY_BYTES] = key

    def _reserve(self, leaves: int) -> None:
        """Make room for `leaves` leaves and the nodes above; 1/64 spare, where bytearray alone adds an eighth."""
        have = len(self._ends[0])
        wanted = have if leaves <= have else min(1 << self.depth, leaves + max(leaves >> 6, 4))
        for level in range(self.depth + 1):
            count = (wanted + (1 << level) - 1) >> level
            keys, ends = self._keys[level], self._ends[level]
            if count > len(ends):
                larger = bytearray(KEY_BYTES * count)
                larger[: len(keys)] = keys
                self._keys[level] = larger
                self._ends[level] = array("I", bytes(ends) + b"\xff" * (4 * (count - len(ends))))

    def dump(self) -> tuple[list[bytes], list[bytes]]:
        """Keys and end slots (big endian u32) per level."""
        return [bytes(keys) for keys in self._keys], [_swapped(ends).tobytes() for ends in self._ends]

    @classmethod
    def load(cls, keys: Sequence[bytes], ends: Sequence[bytes]) -> KeyTree:
        """The inverse of `dump`; LeafError when the levels do not fit each other."""
        tree = cls(len(keys) - 1)
        for level, (key_bytes, end_bytes) in enumerate(zip(keys, ends, strict=True)):
            if len(key_bytes) != 8 * len(end_bytes) or len(key_bytes) > KEY_BYTES << (tree.depth - level):
                raise LeafError("the levels of a stored tree do not fit each other")
            tree._keys[level] = bytearray(key_bytes)
            tree._ends[level] = _swapped(array("I", end_bytes))
        tree.n_live = sum(1 for end in tree._ends[0] if end != DEAD)
        return tree

    def stored_bytes(self) -> int:
        """Bytes of key and end slot storage, spare room included (the bound of channels.md 5)."""
        return sum(keys.__sizeof__() for keys in self._keys) + sum(ends.__sizeof__() for ends in self._ends)


def earliest_leaf(tree: KeyTree) -> tuple[int, int]:
    """(end slot, leaf) of a live leaf that ends first; (DEAD, 0) in an empty tree. Costs O(depth)."""
    end, index = tree.end(tree.depth, 0), 0
    if end == DEAD:
        return DEAD, 0
    for level in range(tree.depth - 1, -1, -1):
        index *= 2
        if tree.end(level, index) != end:
            index += 1
    return end, index


def _swapped(values: array[int]) -> array[int]:
    """Native u32 to big endian and back."""
    copy = array("I", values)
    if array("H", [1]).tobytes() == b"\x01\x00":
        copy.byteswap()
    return copy
