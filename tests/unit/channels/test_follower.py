"""What following commits says about a wrong one: which epoch, which bytes, and what the chain was asked."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from channels.alarms import Forked, WrongChainHash
from channels.commit import Commit, Header
from channels.errors import CommitGap, CommitRejected
from channels.ggm import LEAVES, Cover, CoverNode
from channels.slots import OPEN_SLOT
from channels.writer import Join
from tests.unit.channels.world import Registry, World, hashed


@dataclass
class Asked(Registry):
    """Remembers about which blocks it was asked."""

    blocks: list[int] = field(default_factory=list)

    def live_grants(self, block: int) -> int:
        self.blocks.append(block)
        return super().live_grants(block)


def other_world() -> World:
    """The same writer after it lost its memory: its own log, its own hashes."""
    world = World.start(0, readers=2)
    for slot in range(1, 5):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    return world


def test_a_commit_on_another_predecessor_is_shown_beside_the_one_that_was_followed() -> None:
    world = World.start(0, readers=1)
    reader = world.welcome(1)
    world.commit(1, joins=[Join(1, OPEN_SLOT)])
    reader.process_commit(world.commits[1], world.registry)
    stray = other_world().commits[2]
    world.registry.hashes[3] = Commit.hash_of(stray)
    with pytest.raises(CommitRejected) as seen:
        reader.process_commit(stray, world.registry)
    assert seen.value.alarm == Forked("commit", 3, (world.commits[1], stray))


def test_one_missing_commit_is_a_gap() -> None:
    world = World.start(0, readers=1)
    reader = world.welcome(1)
    for slot in (1, 2):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    with pytest.raises(CommitGap):
        reader.process_commit(world.commits[2], world.registry)
    with pytest.raises(CommitGap):
        reader.catch_up([world.commits[2]] * 1, world.registry)


def test_the_grants_are_counted_at_the_block_that_the_commit_names() -> None:
    world = World.start(0, readers=1)
    reader = world.welcome(1)
    for slot in (1, 2, 3):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    asked = Asked(world.registry.hashes)
    reader.process_commit(world.commits[1], asked)
    reader.catch_up(world.commits[2:], asked)
    assert asked.blocks == [Header.decode(world.commits[at]).grant_block for at in (1, 3)]


def test_a_run_that_the_chain_contradicts_names_its_newest_commit() -> None:
    world = World.start(0, readers=1)
    reader = world.welcome(1)
    for slot in (1, 2, 3):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    world.registry.hashes[4] = hashed("another")
    with pytest.raises(CommitRejected) as seen:
        reader.catch_up(world.commits[1:], world.registry)
    assert seen.value.alarm == WrongChainHash(4, hashed("another"), (world.commits[3],))


def test_a_run_with_a_stranger_in_it_names_the_stranger_and_the_newest() -> None:
    world = World.start(0, readers=1)
    reader = world.welcome(1)
    for slot in (1, 2, 3):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    stray = other_world().commits[2]
    with pytest.raises(CommitRejected) as seen:
        reader.catch_up([world.commits[1], stray, world.commits[3]], world.registry)
    assert seen.value.alarm == Forked("commit", 3, (stray, world.commits[3]))
    assert reader.epoch == 1


@pytest.mark.parametrize("where", [(0, 4), (4, 8), (2, 6), (0, 8), (3, 4), (8, 16)])
def test_covers_that_overlap_are_joined_to_exactly_both(where: tuple[int, int]) -> None:
    """A capsule may give again what is held already, in part or wholly, with larger or smaller nodes."""
    whole = Cover((CoverNode(32, 0, hashed("root")),))
    held = Cover(whole.interval(2, 6))
    joined = held.joined(whole.interval(*where))
    wanted = set(range(2, 6)) | set(range(*where))
    assert {slot for slot in range(20) if slot in joined} == wanted
    assert all(joined.leaf(slot) == whole.leaf(slot) for slot in wanted)
    assert (LEAVES - 1) not in joined
