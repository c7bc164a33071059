"""How long to wait before trying again: doubling, with chance in it, so that many nodes do not knock at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from secrets import SystemRandom

__all__ = ["Backoff"]


@dataclass(frozen=True, slots=True)
class Backoff:
    """`first` and `longest` in seconds; `chance` returns a number in [0, 1)."""

    first: float = 1.0
    longest: float = 300.0
    chance: Callable[[], float] = SystemRandom().random

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures (1 or more): between half and all of the doubled time."""
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, 32))
        return whole / 2 + whole / 2 * self.chance()
