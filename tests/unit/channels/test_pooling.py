"""Pooled keys (threat 5): who consents again, and who joins forces, opens what was granted and no gap between."""

from __future__ import annotations

import pytest

from channels.errors import ReaderRemoved
from channels.ggm import CoverNode
from channels.reader import Reader
from channels.slots import OPEN_SLOT
from keys.sealing import SealingKey
from tests.support.raw_keys import evolved, raw_keys, raw_open
from tests.unit.channels.world import World, hashed


def pooled(*readers: Reader) -> tuple[set[bytes], dict[int, list[CoverNode]]]:
    """Everything that all of them hold, thrown together; tree keys as they are and evolved."""
    paths: set[bytes] = set()
    nodes: dict[int, list[CoverNode]] = {}
    for reader in readers:
        path, held = raw_keys(reader)
        paths |= evolved(path)
        for epoch, found in held.items():
            nodes.setdefault(epoch, []).extend(found)
    return paths, nodes


def opened(world: World, *readers: Reader) -> list[int]:
    """Which envelopes the raw keys open, by their place in what was published."""
    paths, nodes = pooled(*readers)
    return [at for at, data in enumerate(world.envelopes) if raw_open(paths, nodes, data) is not None]


def test_a_reader_that_was_revoked_and_consents_again_opens_no_gap() -> None:
    """Dual key regression fails here: its two tokens would meet in the middle."""
    world = World.start(0, readers=1)
    leaf, first = world.join(1)
    world.seal(1, b"granted")
    world.commit(2, removed=[leaf])
    for slot in (2, 3, 4):
        world.seal(slot, b"nobody's business")
    _, second = world.join(5)
    world.seal(5, b"granted again")
    with pytest.raises(ReaderRemoved):
        world.catch_up(first)
    assert opened(world, first) == [0]
    assert opened(world, second) == [4]
    assert opened(world, first, second) == [0, 4]


def test_the_past_the_future_and_a_stranger_together_open_what_each_may() -> None:
    world = World.start(0, readers=1)
    for slot in range(9):
        if slot in (3, 6):
            world.join(slot)  # epochs change in between
        world.seal(slot, b"slot %d" % slot)
    key = SealingKey.from_bytes(hashed("history key"))
    past = Reader(world.writer.params, hashed("history grant"))
    capsule = world.writer.history(past.grant_id, key.public_bytes, (1, 3), 8)
    past.receive_capsule(capsule, key, world.registry)
    _, future = world.join(9, OPEN_SLOT)
    world.seal(9, b"slot 9")
    stranger = Reader(world.writer.params, hashed("stranger"))
    assert opened(world, past) == [1, 2]
    assert opened(world, future) == [9]
    assert opened(world, stranger) == []
    assert opened(world, past, future, stranger) == [1, 2, 9]
