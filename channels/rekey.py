"""One change of the key tree, in the order that channels.md 4, rule 1 fixes: growth, removals, additions, epoch
secret.

Every step reads the tree through the delta and writes to the delta only. The small methods are the places where a
mistake would let somebody read on; the tests replace each of them by the mistake and must notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from channels.commit import MAX_DEPTH, WRAP_BYTES, Wrap
from channels.errors import LeafError
from channels.tree import DEAD, KeyTree, TreeDelta
from channels.wrapping import CommitKeys, FreshSecrets, evolve, node_key, parent_secret

__all__ = ["TreeUpdate"]


class TreeUpdate:
    """Computes the delta and the wraps of one commit. Call `change` once, then `seal_epoch` once."""

    def __init__(self, tree: KeyTree, keys: CommitKeys, fresh: FreshSecrets) -> None:
        self._tree = tree
        self._keys = keys
        self._fresh = fresh
        self.delta = TreeDelta(tree.depth, tree.n_live)
        self.wraps: list[Wrap] = []

    def change(self, removed: Sequence[int], added: Sequence[tuple[int, int]], depth: int) -> None:
        """Apply sorted `removed` leaves and sorted (leaf, end slot) `added` in a tree that grows to `depth` levels.

        LeafError for a removed leaf that is not live or an added one that is (a leaf may be removed and added at
        once).
        """
        self._check(removed, added, depth)
        self._grow(depth, wrap=not removed and self._tree.n_live > 0)
        self._remove(removed)
        self._add(added)
        self.delta.n_live = self._tree.n_live - len(removed) + len(added)

    def seal_epoch(self, secret: bytes) -> bytes:
        """S_e wrapped under the root, which evolves; 40 zero bytes without a live leaf."""
        if not self.delta.n_live:
            return bytes(WRAP_BYTES)
        root = (self.delta.depth, 0)
        key = self._key(root)
        self._used(root, key)
        return self._keys.wrap(key, *root, secret)

    def _check(self, removed: Sequence[int], added: Sequence[tuple[int, int]], depth: int) -> None:
        if not self._tree.depth <= depth <= MAX_DEPTH:
            raise LeafError(f"a tree of depth {self._tree.depth} cannot become one of depth {depth}")
        gone = set(removed)
        if len(gone) != len(removed) or not all(self._tree.is_live(leaf) for leaf in removed):
            raise LeafError("a removed leaf is not live, or is named twice")
        if any(not 0 <= leaf < 1 << depth or not 0 <= end < DEAD for leaf, end in added):
            raise LeafError("an added leaf or its end slot is out of range")
        leaves = [leaf for leaf, _ in added]
        if len(set(leaves)) != len(leaves) or any(self._tree.is_live(leaf) and leaf not in gone for leaf in leaves):
            raise LeafError("an added leaf is live already, or is named twice")

    def _end(self, node: tuple[int, int]) -> int:
        found = self.delta.ends.get(node)
        return self._tree.end(*node) if found is None else found

    def _key(self, node: tuple[int, int]) -> bytes:
        key = self.delta.keys.get(node) or self._tree.key(*node)
        if key is None:
            raise LeafError(f"node {node} has no key of this writer: its leaves must be removed first")
        return key

    def _grow(self, depth: int, wrap: bool) -> None:
        """One level on top at a time: the new root's p is wrapped once under the old root, if that has to be.

        In a commit that removes somebody it must not be: the removed reader has the old root's key and would open
        p, and where everybody is removed the additions would derive the new root from the very same secret. The
        survivors climb to the new root from the removal anyway.
        """
        for level in range(self.delta.depth, depth):
            top = (level + 1, 0)
            self.delta.depth = level + 1
            self.delta.ends[top] = self._end((level, 0))
            if wrap:
                secret = self._fresh.secret(*top)
                self._wrap((level, 0), secret)
                self.delta.keys[top] = node_key(secret)

    def _remove(self, removed: Iterable[int]) -> None:
        touched = [(0, leaf) for leaf in removed]
        for node in touched:
            self._empty(node)
        secrets: dict[tuple[int, int], bytes] = {}
        for level in range(1, self.delta.depth + 1):
            touched = [(level, index) for index in sorted({index >> 1 for _, index in touched})]
            for node in touched:
                left, right = (level - 1, 2 * node[1]), (level - 1, 2 * node[1] + 1)
                self.delta.ends[node] = min(self._end(left), self._end(right))
                if self.delta.ends[node] == DEAD:
                    self._empty(node)
                    continue
                source = left if left in secrets else right if right in secrets else None
                secret = self._fresh.secret(*node) if source is None else parent_secret(secrets[source])
                secrets[node] = secret
                for child in (left, right):
                    if child != source and self._keeps(child):
                        self._wrap(child, secret)
                self._renew(node, secret)

    def _keeps(self, child: tuple[int, int]) -> bool:
        """Whether a child still has a live leaf below, so that its parent's new secret is wrapped to it."""
        return self._end(child) != DEAD

    def _empty(self, node: tuple[int, int]) -> None:
        """No live leaf below: the key is gone for good, the tree overwrites it."""
        self.delta.ends[node] = DEAD

    def _renew(self, node: tuple[int, int], secret: bytes) -> None:
        """An ancestor of a removed leaf gets a key that the removed leaf cannot know."""
        self.delta.keys[node] = node_key(secret)

    def _wrap(self, node: tuple[int, int], secret: bytes) -> None:
        key = self._key(node)
        self.wraps.append((*node, self._keys.wrap(key, *node, secret)))
        self._used(node, key)

    def _used(self, node: tuple[int, int], key: bytes) -> None:
        """A key that has wrapped evolves, so that who joins later cannot open what was wrapped before."""
        self.delta.keys[node] = evolve(key)

    def _add(self, added: Sequence[tuple[int, int]]) -> None:
        """Leaves added here get a key path but are never wrapped to: their Welcome carries it, all evolved."""
        touched = list(added)
        for level in range(self.delta.depth + 1):
            above: dict[int, int] = {}
            for index, end in touched:
                node = (level, index)
                before = self._end(node)
                if before == DEAD:
                    self.delta.keys[node] = self._new_key(node)
                self.delta.ends[node] = min(before, end)
                above[index >> 1] = min(end, above.get(index >> 1, DEAD))
            touched = list(above.items())

    def _new_key(self, node: tuple[int, int]) -> bytes:
        """The key of a node that had none."""
        return self._fresh.secret(*node)
