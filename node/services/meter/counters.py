"""What became of every byte and telegram, for metrics and the status page. Plain integers, no identifiers."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

__all__ = ["MeterCounters", "Outcome"]


class Outcome(StrEnum):
    """The label of one counter. The `set_aside_*` ones are the clock rule's reasons."""

    ACCEPTED = "accepted"
    ACCEPTED_BACKLOG = "accepted_backlog"
    CHECKSUM = "checksum"
    TRUNCATED = "truncated"
    OVERSIZE = "oversize"
    BAD_TRAILER = "bad_trailer"
    MALFORMED = "malformed"
    UNSUPPORTED_VERSION = "unsupported_version"
    NOISE_BYTES = "noise_bytes"
    UNKNOWN_LINES = "unknown_lines"
    SET_ASIDE_GATEWAY_CLOCK = "set_aside_gateway_clock"
    SET_ASIDE_FUTURE = "set_aside_future"
    SET_ASIDE_FAR_FUTURE = "set_aside_far_future"
    SET_ASIDE_PAST = "set_aside_past"
    SET_ASIDE_REPEATED = "set_aside_repeated"
    SET_ASIDE_STUCK = "set_aside_stuck"
    SET_ASIDE_BACKWARD = "set_aside_backward"
    SET_ASIDE_GAS = "set_aside_gas"
    DEVICE_OPENED = "device_opened"
    DEVICE_LOST = "device_lost"
    DEVICE_UNAVAILABLE = "device_unavailable"


class MeterCounters:
    """Counts since the process started. One instance per meter, shared by source, framing and pipeline."""

    def __init__(self) -> None:
        self._counts: Counter[Outcome] = Counter()

    def add(self, outcome: Outcome, amount: int = 1) -> None:
        self._counts[outcome] += amount

    def __getitem__(self, outcome: Outcome) -> int:
        return self._counts[outcome]

    def snapshot(self) -> dict[str, int]:
        """Every outcome by its label, zeros included, so that a metric exists before its first event."""
        return {outcome.value: self._counts[outcome] for outcome in Outcome}
