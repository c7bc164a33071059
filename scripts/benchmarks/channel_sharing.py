"""Two hundred grants of one provider on one stream: what each of them costs, alone and with what is shared."""

from __future__ import annotations

import time

from channels.reader import Reader
from channels.reader_state import restore_reader, snapshot_reader
from channels.shared import ALONE, Shared
from scripts.benchmarks.rows import Row, at_most
from tests.unit.channels.world import World

__all__ = ["sharing_rows"]

GRANTS = 200
COMMITS = 20
ENVELOPES = 500


def sharing_rows() -> list[Row]:
    """CPU time for each grant: following a commit with its signature, opening a reading with its place in the chain."""
    world = World.start(0, readers=GRANTS + COMMITS)
    stored = [snapshot_reader(world.welcome(leaf)) for leaf in range(1, GRANTS + 1)]
    for number in range(COMMITS):
        world.commit(0, removed=[GRANTS + 1 + number])
    world.seal(0, *[bytes(24)] * ENVELOPES)
    commit, opened = _spent(world, stored, Shared())
    commit_alone, opened_alone = _spent(world, stored, ALONE)
    share = f"each of {GRANTS} grants"
    return [
        at_most("shared_commit_us", commit * 1e6, "us", None, f"{share}; without sharing {commit_alone * 1e6:.0f} us"),
        at_most("shared_open_us", opened * 1e6, "us", None, f"{share}; without sharing {opened_alone * 1e6:.2f} us"),
    ]


def _spent(world: World, stored: list[bytes], shared: Shared) -> tuple[float, float]:
    """Seconds of CPU for a commit and for an envelope, of each reader."""
    readers: list[Reader] = [restore_reader(world.writer.params, state, shared) for state in stored]
    begun = time.process_time()
    for data in world.commits[1:]:
        for reader in readers:
            reader.process_commit(data, world.registry)
    between = time.process_time()
    for reader in readers:
        if len(reader.open(world.envelopes).readings) != ENVELOPES:
            raise AssertionError("a reader opens nothing")
    ended = time.process_time()
    return (between - begun) / (len(readers) * COMMITS), (ended - between) / (len(readers) * ENVELOPES)
