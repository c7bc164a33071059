"""Where the node's time comes from: one protocol, the machine's clock, and one that tests move by hand."""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """`now` may jump (NTP, a person); `monotonic` never goes back and means nothing outside this process."""

    def now(self) -> int:
        """Seconds since 1970 UTC, rounded down."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, for measuring durations only."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> int:
        return int(time.time())

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """Stands still until told otherwise; `set` can also go backwards, as real wall clocks do."""

    def __init__(self, now: int = 1_700_000_000) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: int) -> None:
        """Moves both clocks forward."""
        if seconds < 0:
            raise ValueError("time passes forward; use set() to move the wall clock back")
        self._now += seconds
        self._monotonic += seconds

    def set(self, now: int) -> None:
        """Moves the wall clock alone."""
        self._now = now
