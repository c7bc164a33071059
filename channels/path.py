"""A reader's side of the key tree: the keys from its leaf to the root, and how it follows a commit.

A commit that removes other leaves holds exactly one wrap per removed region that this reader can open: the one to
the child on its path just below the lowest renewed ancestor. From there it climbs. Nothing here is trusted: wrong
secrets fail the AES-KW check or the confirmation, and the caller keeps the old path until both held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from channels.commit import Commit
from channels.errors import CommitRejected, LeafError, ReaderRemoved
from channels.wrapping import CommitKeys, evolve, node_key, parent_secret

__all__ = ["Path"]


class Path:
    """The depth + 1 keys of one leaf; `keys[level]` belongs to node (level, leaf >> level)."""

    __slots__ = ("keys", "leaf")

    def __init__(self, leaf: int, keys: Sequence[bytes]) -> None:
        if not keys or leaf >> (len(keys) - 1):
            raise LeafError("the leaf is outside a tree of this depth")
        self.leaf = leaf
        self.keys = list(keys)

    @property
    def depth(self) -> int:
        return len(self.keys) - 1

    def follow(self, commit: Commit) -> tuple[Path, bytes]:
        """The path after `commit` and its epoch secret S_e. This path stays as it was.

        ReaderRemoved when the commit removes this leaf; CommitRejected when a wrap is missing or does not open. The
        caller checks the confirmation.
        """
        header = commit.header
        if any(start <= self.leaf < start + count for start, count in commit.body.removed):
            raise ReaderRemoved(header.epoch)
        if header.depth < self.depth:
            raise CommitRejected("a tree never shrinks")
        keys = CommitKeys(header.sid, header.epoch)
        after = type(self)(self.leaf, self.keys)
        wraps = {(level, index): wrapped for level, index, wrapped in commit.body.wraps}
        if commit.body.removed:
            # The new levels are renewed on the way up: a removal needs no wrap under the old root.
            after.keys.extend([bytes(32)] * (header.depth - self.depth))
            after._climb(commit.body.removed, keys, wraps)
        else:
            after._grow(header.depth, keys, wraps)
        return after, after._open_epoch(keys, commit.epoch_wrap)

    def _grow(self, depth: int, keys: CommitKeys, wraps: Mapping[tuple[int, int], bytes]) -> None:
        for level in range(self.depth, depth):
            secret = self._unwrap(keys, level, wraps.get((level, 0)))
            self.keys.append(node_key(secret))

    def _climb(
        self, removed: Sequence[tuple[int, int]], keys: CommitKeys, wraps: Mapping[tuple[int, int], bytes]
    ) -> None:
        """Renew every ancestor that a removed leaf shares with this one."""
        lowest = self._lowest_shared(removed)
        secret = self._unwrap(keys, lowest - 1, wraps.get((lowest - 1, self.leaf >> (lowest - 1))))
        self._renew(lowest, secret)
        for level in range(lowest, len(self.keys) - 1):
            index = self.leaf >> level
            # A renewed left child is its parent's source. A right one is it only when the left was not renewed, and
            # then nothing is wrapped to it.
            wrapped = wraps.get((level, index)) if index & 1 else None
            secret = parent_secret(secret) if wrapped is None else self._unwrap(keys, level, wrapped)
            self._renew(level + 1, secret)

    def _lowest_shared(self, removed: Sequence[tuple[int, int]]) -> int:
        """The level of the lowest node above this leaf that also has a removed leaf below."""
        lowest = len(self.keys)
        for start, count in removed:
            # The nearest removed leaf of a range is at one of its ends: this leaf is in none.
            nearest = start if start > self.leaf else start + count - 1
            lowest = min(lowest, (nearest ^ self.leaf).bit_length())
        return lowest

    def _unwrap(self, keys: CommitKeys, level: int, wrapped: bytes | None) -> bytes:
        if wrapped is None:
            raise CommitRejected(f"no wrap for node ({level}, {self.leaf >> level})")
        secret = keys.unwrap(self.keys[level], level, self.leaf >> level, wrapped)
        self._used(level)
        return secret

    def _renew(self, level: int, secret: bytes) -> None:
        self.keys[level] = node_key(secret)

    def _used(self, level: int) -> None:
        self.keys[level] = evolve(self.keys[level])

    def _open_epoch(self, keys: CommitKeys, wrapped: bytes) -> bytes:
        secret = keys.unwrap(self.keys[-1], self.depth, 0, wrapped)
        self._used(self.depth)
        return secret
