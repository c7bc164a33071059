"""The writer gate: what keeps a reading from being sealed to somebody who may not read it (channels.md 1, 4 rules 3
and 5).

Three clocks can lie: the meter's, the gateway's and the chain's. Whoever gains by a late clock must not profit, so
the end of a grant is tested against the latest of the three and its start against the earliest. Clocks that disagree
too much mean that nobody knows the time: the reading is set aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from channels.errors import ChainSilent, ClockSkew, LeafExpired, LeafNotStarted, UsageError
from channels.slots import StreamParams
from channels.tree import KeyTree, earliest_leaf

__all__ = ["MAX_SKEW_LIMIT", "Evidence", "Gate"]

MAX_SKEW_LIMIT = 3600


@dataclass(frozen=True, slots=True)
class Evidence:
    """What two clocks said when the readings were taken in, seconds UTC.

    For buffered readings both are those of that moment, not of now: `gateway_clock` as stored with the reading,
    `block_time` the timestamp of the newest block at that time (from the header chain, if the chain was silent then
    and has been caught up).
    """

    gateway_clock: int
    block_time: int


@dataclass(frozen=True, slots=True)
class Gate:
    """Limits in seconds: how far the clocks may differ, and how old the newest block may be."""

    max_skew: int = 120
    max_chain_silence: int = 600

    def __post_init__(self) -> None:
        if not 0 < self.max_skew <= MAX_SKEW_LIMIT or self.max_chain_silence <= 0:
            raise UsageError(f"max_skew is 1 to {MAX_SKEW_LIMIT} s, max_chain_silence positive")

    def check_clocks(self, first_meter_time: int, last_meter_time: int, evidence: Evidence) -> None:
        """ClockSkew or ChainSilent unless the readings' meter times and both clocks agree."""
        clock = evidence.gateway_clock
        if clock - evidence.block_time > self.max_chain_silence:
            raise ChainSilent(f"the newest block is {clock - evidence.block_time} s old")
        if abs(clock - evidence.block_time) > self.max_skew:
            raise ClockSkew(f"gateway clock and newest block differ by {abs(clock - evidence.block_time)} s")
        apart = max(abs(clock - first_meter_time), abs(clock - last_meter_time))
        if apart > self.max_skew:
            raise ClockSkew(f"meter and gateway clock differ by {apart} s")

    def check_members(
        self,
        params: StreamParams,
        tree: KeyTree,
        starts: Mapping[int, int],
        last_slot: int,
        times: tuple[int, int],
    ) -> None:
        """LeafExpired or LeafNotStarted, naming the leaf.

        `starts`: start slots of live leaves that may lie ahead; `last_slot`: the last slot to be sealed; `times`: the
        earliest and the latest second that any clock names.
        """
        latest = max(last_slot, params.clamped_slot(times[1]))
        end, leaf = earliest_leaf(tree)
        if end <= latest:
            raise LeafExpired(f"the grant of leaf {leaf} ended before slot {latest}", leaf)
        earliest = params.clamped_slot(times[0])
        for leaf, start in starts.items():
            if start > earliest:
                raise LeafNotStarted(
                    f"the grant of leaf {leaf} starts with slot {start}, a clock shows {earliest}", leaf
                )
