"""The days of a market that nets, and which of them are not over.

A day is over for good, and there is one for each that went by: what still has to be done must not cost what was done.
All are read once, at the start; from then on those that are not over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from node.storage.facts import Facts

__all__ = ["PERIODS", "Period", "Periods"]

PERIODS = "net_period"
"""Namespace of facts: the periods that have lines, and how far each is: see `NetCycle`."""

_OVER = frozenset({"released", "void", "idle"})

Period = Mapping[str, Any]


class Periods:
    """`begin` says that a period is about to have its fact; until it has, it is none."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._live: set[int] = set()
        self._read = False

    def begin(self, period: int) -> None:
        self._live.add(period)

    async def live(self) -> dict[int, Period]:
        """Those that are not over, as they are now, the oldest first."""
        if not self._read:
            found = await self._facts.all(PERIODS)
            # Not assigned: one may have begun in the meantime.
            self._live |= {int(name) for name, state in found.items() if state["state"] not in _OVER}
            self._read = True
        states: dict[int, Period] = {}
        for period in sorted(self._live):
            state = await self._facts.get(PERIODS, str(period))
            if state is None:
                continue
            if state["state"] in _OVER:
                self._live.discard(period)
            else:
                states[period] = state
        return states
