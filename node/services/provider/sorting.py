"""In which order what waits is given to the reader."""

from __future__ import annotations

from channels.chain import EnvelopeChain
from channels.checkpoint import Checkpoint
from channels.slots import StreamParams

__all__ = ["EARLY", "FEED", "MAX_HELD", "in_gap", "keyed_checkpoints", "next_batch", "next_commits"]

MAX_HELD = 20_000
"""Envelopes that may wait for their place; beyond that the newest are dropped and asked for again."""

FEED = 512
"""Messages that the reader takes in one step."""

EARLY = 1_000
"""Checkpoints that may wait for their writer's key; beyond that the oldest go."""


def in_gap(chain: EnvelopeChain, seq: int) -> bool:
    """Whether the chain went on without this one."""
    return any(gap.first <= seq <= gap.last for gap in chain.gaps)


def next_batch(held: dict[int, bytes], chain: EnvelopeChain) -> list[bytes]:
    """Takes out what continues the chain, in order; before the chain began, the earliest envelope there is."""
    if not held:
        return []
    seq = chain.next_seq if chain.start else min(held)
    batch: list[bytes] = []
    while len(batch) < FEED and seq in held:
        batch.append(held.pop(seq))
        seq += 1
    return batch or [held.pop(seq) for seq in sorted(held) if in_gap(chain, seq)]


def next_commits(held: dict[int, bytes], epoch: int, params: StreamParams) -> list[bytes]:
    """The commits that follow `epoch` without a gap, as far as their writers' keys are known; they stay where they
    are."""
    found: list[bytes] = []
    while len(found) < FEED and (data := held.get(epoch + 1 + len(found))) is not None:
        if not params.keyed(epoch + 1 + len(found)):
            break
        found.append(data)
    return found


def keyed_checkpoints(held: list[bytes], params: StreamParams) -> list[bytes]:
    """Takes out the checkpoints whose writer's key is known by now."""
    known = [data for data in held if params.keyed(Checkpoint.decode(data).epoch)]
    held[:] = [data for data in held if data not in known]
    return known
