"""Which leaf a new reader gets: beside those whose grants end on the same day (channels.md 4, rule 7).

Neighbours that expire together leave as one subtree, for almost no bytes. Leaves come in blocks of up to 8; a block
belongs to the day on which the first of its live leaves ends. The choice depends on nothing but the tree, so a commit
that is prepared again after a crash picks the same leaves. The tree grows only when it is full: depth is what a lone
revocation pays for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from channels.commit import MAX_DEPTH
from channels.errors import CommitTooLarge
from channels.tree import DEAD, KeyTree

__all__ = ["allocate", "depth_for"]

_MAX_BLOCK_LEVEL = 3
_BLOCKS_LEVEL = 5  # a tree has at least 32 blocks, so that small trees are not cut too coarsely


def depth_for(leaves: int) -> int:
    """The depth of the smallest tree with room for `leaves`."""
    depth = max(leaves - 1, 0).bit_length()
    if depth > MAX_DEPTH:
        raise CommitTooLarge(f"no tree holds {leaves} leaves")
    return depth


def allocate(
    tree: KeyTree, ends: Sequence[int], freed: Collection[int], taken: Collection[int], slots_per_day: int
) -> tuple[list[int], int]:
    """Leaves for grants with the given end slots (same order), and the depth that the tree then has.

    `freed` leaves are removed in the same commit: they are used only before the tree would have to grow. `taken` ones
    are given to somebody by name.
    """
    needed = tree.n_live - len(freed) + len(ends) + len(taken)
    depth = max(tree.depth, depth_for(max(needed, max(taken, default=-1) + 1)))
    if not ends:
        return [], depth
    picker = _Picker(tree, depth, set(freed), set(taken), max(slots_per_day, 1))
    chosen = [0] * len(ends)
    for order in sorted(range(len(ends)), key=lambda i: (ends[i], i)):
        chosen[order] = picker.pick(ends[order])
    return chosen, depth


class _Picker:
    """The free leaves of a tree by block and day, as far as one commit needs them."""

    def __init__(self, tree: KeyTree, depth: int, freed: set[int], taken: set[int], slots_per_day: int) -> None:
        self._tree = tree
        self._cap = 1 << depth
        self._freed = freed
        self._taken = taken
        self._slots_per_day = slots_per_day
        self._level = max(0, min(_MAX_BLOCK_LEVEL, depth - _BLOCKS_LEVEL))
        self._days: dict[int, list[int]] = {}
        self._empty_at = 0
        stored = tree.ends_at(self._level) if self._level <= tree.depth else ()
        for block, end in enumerate(stored):
            if end != DEAD:
                self._days.setdefault(end // slots_per_day, []).append(block)
        self._used = {block for blocks in self._days.values() for block in blocks}

    def pick(self, end: int) -> int:
        """A free leaf in a block of the same day, else in an empty block, else in the block of the nearest day."""
        day = end // self._slots_per_day
        leaf = self._in_blocks(self._days.get(day, []))
        if leaf is None:
            leaf = self._in_empty_block(day)
        if leaf is None:
            for near in sorted(self._days, key=lambda other: (abs(other - day), other)):
                leaf = self._in_blocks(self._days[near])
                if leaf is not None:
                    break
        if leaf is None:
            leaf = min(self._freed - self._taken)
        self._taken.add(leaf)
        return leaf

    def _in_blocks(self, blocks: list[int]) -> int | None:
        """The first free leaf of the blocks; full blocks are forgotten."""
        while blocks:
            start = blocks[0] << self._level
            for leaf in range(start, start + (1 << self._level)):
                if self._tree.end(0, leaf) == DEAD and leaf not in self._taken:
                    return leaf
            blocks.pop(0)
        return None

    def _in_empty_block(self, day: int) -> int | None:
        blocks = self._cap >> self._level
        while self._empty_at < blocks:
            block = self._empty_at
            self._empty_at += 1
            if block in self._used:
                continue
            self._used.add(block)
            self._days.setdefault(day, []).append(block)
            leaf = self._in_blocks(self._days[day])
            if leaf is not None:
                return leaf
        return None
