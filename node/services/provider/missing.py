"""What a reader waits for: since when, when it last asked, and when it stops hoping. Times in monotonic seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "ASK_AGAIN",
    "GAPS_AT_ONCE",
    "HISTORY",
    "HISTORY_AGAIN",
    "HISTORY_GIVE_UP",
    "NO_WELCOME",
    "RESYNC_AGAIN",
    "SETTLED",
    "Missing",
]

ASK_AGAIN = 3.0
"""Seconds between two requests for the same missing part."""

GIVE_UP = 30.0
"""Seconds after which a gap is taken as lost and reported."""

FIRST_WAIT = 1.0
"""Seconds before the first request: stragglers come by themselves."""

HISTORY: Final = "history"
"""The name of the past."""

HISTORY_AGAIN = 15.0
"""Seconds between two requests for the past: its answer is long."""

HISTORY_GIVE_UP = 120.0
"""Seconds after which the present is read without the past: a writer that was away meanwhile is asked again first."""

RESYNC_AGAIN = 6 * 3600.0
"""Seconds between two requests for a resync: the writer answers four a day."""

NO_WELCOME = 10.0
"""Seconds in which the Welcome of a stream that is being written comes, if it is still at the broker."""

SETTLED = 65.0
"""Seconds after the last envelope of the past before a missing checkpoint counts as missing."""

GAPS_AT_ONCE = 8
"""Gaps asked for in one round, of any number that a hostile sender could make."""

MOST = 64


@dataclass(slots=True)
class _Part:
    since: float
    asked: float
    ever: bool = False


@dataclass(slots=True)
class Missing:
    """Named parts that have not come yet. `clock`: monotonic seconds."""

    clock: Callable[[], float] = time.monotonic
    _parts: dict[str, _Part] = field(default_factory=dict)

    def due(self, what: str, again: float = ASK_AGAIN) -> bool:
        """Whether to ask now; then the request counts as made."""
        now = self.clock()
        part = self._parts.setdefault(what, _Part(now, now - again + FIRST_WAIT))
        if now - part.asked < again:
            return False
        part.asked, part.ever = now, True
        if len(self._parts) > MOST:
            self._parts = {what: part}
        return True

    def arriving(self) -> None:
        """An answer is on its way: nothing is asked again, and no gap is given up, while it is.

        Gaps may be filled by it before they are asked for; the past that nobody has asked for yet is not in it.
        """
        now = self.clock()
        for name, part in self._parts.items():
            if part.ever or name != HISTORY:
                part.asked = part.since = now

    def overdue(self, what: str, after: float = GIVE_UP) -> bool:
        """Whether a part was waited for long enough."""
        part = self._parts.get(what)
        return part is not None and self.clock() - part.since > after

    def came(self, what: str) -> None:
        """No longer missing."""
        self._parts.pop(what, None)
