"""channels.md 6: who was removed opens nothing later, who joins opens nothing earlier, and everybody agrees.

A history is a list of commits with random removals and additions. After each one the raw keys of all members, past
and present, are tried on the wraps; the interface is not asked. Six mistakes, put into the tree and the path, must
be noticed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.commit import Commit, confirmation, max_wraps
from channels.errors import ChannelError
from channels.path import Path
from channels.rekey import TreeUpdate
from channels.slots import OPEN_SLOT
from channels.tree import KeyTree
from channels.wrapping import CommitKeys, FreshSecrets
from channels.writer import Changes, Join, Writer
from channels.writer_state import WriterState
from tests.support.raw_keys import evolved, opened_wraps
from tests.unit.channels.world import STREAM_KEY, masters, params

Step = tuple[
    int, int, bool
]  # bit mask of live leaves to remove, how many to add, whether removed leaves are added again


class MutableWriter(Writer):
    """A writer whose tree update can be replaced."""

    update_class: type[TreeUpdate] = TreeUpdate

    def _update(self, keys: CommitKeys, fresh: FreshSecrets) -> TreeUpdate:
        return self.update_class(self.state.tree, keys, fresh)


@dataclass
class History:
    """The model: who is a member, what everybody ever held, what was published."""

    update_class: type[TreeUpdate] = TreeUpdate
    path_class: type[Path] = Path
    tree_class: type[KeyTree] = KeyTree
    members: dict[int, Path] = field(default_factory=dict)
    held: dict[int, set[bytes]] = field(default_factory=dict)
    outside: set[bytes] = field(default_factory=set)
    commits: list[Commit] = field(default_factory=list)

    def __post_init__(self) -> None:
        state = WriterState.fresh()
        state.tree = self.tree_class()
        self.writer = MutableWriter(params(), masters(), STREAM_KEY, bytes(16), state)
        self.writer.update_class = self.update_class

    def run(self, steps: list[Step]) -> None:
        self.step((0, 3, False))
        for step in steps:
            self.step(step)

    def step(self, step: Step) -> None:
        mask, count, again = step
        removed = [leaf for place, leaf in enumerate(sorted(self.members)) if mask >> place & 1]
        joins = [Join(0, OPEN_SLOT, leaf) for leaf in removed[:2]] if again else []
        joins += [Join(0, OPEN_SLOT)] * count
        if not removed and not joins:
            return
        depth = self.writer.state.tree.depth
        prepared = self.writer.prepare(Changes(0, 0, tuple(removed), tuple(joins)))
        commit = Commit.decode(prepared.unsigned + bytes(65))
        assert prepared.unsigned == self.writer.prepare(prepared.changes).unsigned, "preparing twice differs"
        self.writer.adopt_delta(prepared)
        survivors = set(self.members) - set(removed)
        self._check_shape(commit, survivors, depth)
        for leaf in removed:
            self.outside |= self.held.pop(leaf)
            del self.members[leaf]
        self._check_agreement(commit)
        self._check_joiners(commit, list(prepared.leaves))
        if len(self.outside) < 400:
            assert not opened_wraps(evolved(self.outside), commit), "a removed coalition opens a later commit"

    def _check_shape(self, commit: Commit, survivors: set[int], depth: int) -> None:
        grown = commit.header.depth - depth
        gone = len(commit.body.removed_leaves())
        assert len(commit.body.wraps) <= (max_wraps(commit.header.depth, gone) if gone else grown), "too many wraps"
        for level, index, _ in commit.body.wraps:
            assert any(leaf >> level == index for leaf in survivors), "a wrap for nobody who stayed"
        assert commit.header.n_live == self.writer.state.tree.n_live

    def _check_agreement(self, commit: Commit) -> None:
        header = commit.header
        secret = self.writer.masters.epoch_secret(header.epoch)
        assert commit.confirm == confirmation(secret, header.sid, header.epoch, commit.confirmed_hash)
        for leaf, path in list(self.members.items()):
            self.members[leaf], found = path.follow(commit)
            assert found == secret, "members disagree on the epoch secret"
            assert tuple(self.members[leaf].keys) == self.writer.state.tree.path_keys(leaf), (
                "a path differs from the tree"
            )
            self.held[leaf] |= set(self.members[leaf].keys)

    def _check_joiners(self, commit: Commit, leaves: list[int]) -> None:
        self.commits.append(commit)
        for leaf in leaves:
            path = self.path_class(leaf, self.writer.state.tree.path_keys(leaf))
            for earlier in self.commits:
                assert not opened_wraps(evolved(path.keys), earlier), "a joiner opens an earlier commit"
            self.members[leaf] = path
            self.held[leaf] = set(path.keys)


STEPS = st.lists(st.tuples(st.integers(0, 2**10 - 1), st.integers(0, 3), st.booleans()), max_size=7)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(STEPS)
def test_members_agree_and_nobody_else_opens_anything(steps: list[Step]) -> None:
    History().run(steps)


@pytest.mark.long
@LONG
@given(STEPS)
def test_members_agree_and_nobody_else_opens_anything_long(steps: list[Step]) -> None:
    History().run(steps)


@QUICK
@given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=10))
def test_a_batch_leaves_the_same_members_as_the_sequence(size: int, chosen: set[int]) -> None:
    """channels.md 6: batch equals the sequence. The keys differ, who holds them does not."""
    removed = sorted(leaf for leaf in chosen if leaf < size)
    batch, sequence = History(), History()
    for history in (batch, sequence):
        history.step((0, size, False))
    batch.step((sum(1 << leaf for leaf in removed), 0, False))
    for leaf in removed:
        sequence.step((1 << sorted(sequence.members).index(leaf), 0, False))
    assert batch.members.keys() == sequence.members.keys()
    assert batch.writer.state.tree.live_leaves() == sequence.writer.state.tree.live_leaves()


class RootKept(TreeUpdate):
    def _renew(self, node: tuple[int, int], secret: bytes) -> None:
        old = self._tree.key(*node)
        if node == (self.delta.depth, 0) and old is not None:
            self.delta.keys[node] = old
        else:
            super()._renew(node, secret)


class RootKeptByReader(Path):
    __slots__ = ()

    def _renew(self, level: int, secret: bytes) -> None:
        if level != self.depth:
            super()._renew(level, secret)


class NoEvolve(TreeUpdate):
    def _used(self, node: tuple[int, int], key: bytes) -> None:
        self.delta.keys[node] = key


class NoEvolveByReader(Path):
    __slots__ = ()

    def _used(self, level: int) -> None:
        return


class WrapForRemoved(TreeUpdate):
    def _keeps(self, child: tuple[int, int]) -> bool:
        return super()._keeps(child) or (child[0] == 0 and self._tree.is_live(child[1]))


class KeyOfEmptyKept(TreeUpdate):
    def _new_key(self, node: tuple[int, int]) -> bytes:
        return self._tree.key(*node) or super()._new_key(node)


class KeepingTree(KeyTree):
    __slots__ = ()

    def _write(self, level: int, index: int, key: bytes) -> None:
        if key != bytes(32):
            super()._write(level, index, key)


class WrapForAdded(TreeUpdate):
    """Additions come before removals, so that new leaves are wrapped to."""

    def _remove(self, removed: object) -> None:
        leaves = list(removed)  # type: ignore[call-overload]
        self._early = [(leaf, OPEN_SLOT) for leaf in range(1 << self.delta.depth) if not self._tree.is_live(leaf)][:1]
        TreeUpdate._add(self, [pair for pair in self._early if pair[0] in self._wanted])
        super()._remove(leaves)

    def change(self, removed: object, added: object, depth: int) -> None:
        self._wanted = {leaf for leaf, _ in added}  # type: ignore[attr-defined]
        super().change(removed, added, depth)  # type: ignore[arg-type]


MUTANTS: dict[str, tuple[type[TreeUpdate], type[Path], type[KeyTree]]] = {
    "root not renewed by the writer": (RootKept, Path, KeyTree),
    "root not renewed by writer and readers": (RootKept, RootKeptByReader, KeyTree),
    "no evolve": (NoEvolve, NoEvolveByReader, KeyTree),
    "wrap kept for the removed leaf": (WrapForRemoved, Path, KeyTree),
    "key of an emptied subtree kept": (KeyOfEmptyKept, Path, KeepingTree),
    "leaf added in this commit wrapped to": (WrapForAdded, Path, KeyTree),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_caught(name: str) -> None:
    """channels.md 6: six mistakes in the tree. Each must break a property within 60 seeded histories."""
    chance = random.Random(name)
    for _ in range(60):
        steps = [
            (chance.getrandbits(10) & chance.getrandbits(10), chance.randrange(4), chance.random() < 0.3)
            for _ in range(6)
        ]
        history = History(*MUTANTS[name])
        try:
            history.run(steps)
        except (AssertionError, ChannelError):
            History().run(steps)  # the honest tree passes the same history
            return
    pytest.fail(f"no history noticed: {name}")


def test_growth_with_all_leaves_removed_gives_the_removed_nothing() -> None:
    """Growth, removal of everybody and additions in one commit: the old root opens nothing of the new tree.

    The secret of the new root is asked for twice under one name then; wrapping the first to the old root would be
    the key.
    """
    history = History()
    history.step((0, 1, False))
    size = len(history.members)
    history.step((2**size - 1, 2 * size + 1, False))
    assert history.commits[-1].body.wraps == ()
    history.step((1, 0, False))
    history.step((1, 1, False))
