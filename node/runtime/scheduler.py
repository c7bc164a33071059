"""Tells the journal what has fallen due. A node that was off catches up in its first round.

The wall clock may be wrong. A clock that stands behind only delays; one that runs ahead would end consents for good, so
`horizon` can bound what is believed: nothing later than it is due yet (for example the newest block's time plus a
margin). The writer's gate does not rely on this: it tests ends by itself, against the latest of all clocks.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

import structlog

from node.clock import Clock
from node.errors import FatalError, NodeError
from node.runtime.supervisor import Lifecycle
from node.storage.journal import Applied, Journal
from node.storage.timers import Timer, Timers

__all__ = ["Scheduler"]

_log = structlog.get_logger(__name__)
_AGAIN: Final = 60
_POLL: Final = 15.0


class Scheduler:
    """`run` is a service; `step` tells what is due now."""

    def __init__(
        self, timers: Timers, journal: Journal, clock: Clock, horizon: Callable[[], int | None] | None = None
    ) -> None:
        self._timers = timers
        self._journal = journal
        self._clock = clock
        self._horizon = horizon
        self._wake = asyncio.Event()
        self._until: float | None = None  # what is waited for; None while that is being looked up
        journal.subscribe(self._committed)

    def _committed(self, applied: Applied) -> None:
        """Wakes for what falls due earlier than what is waited for; nothing else moves the next time."""
        if self._until is None or (applied.due is not None and applied.due < self._until):
            self._wake.set()

    def now(self) -> int:
        """The clock's time, or the horizon if that is earlier."""
        now = self._clock.now()
        horizon = self._horizon() if self._horizon is not None else None
        return now if horizon is None else min(now, horizon)

    async def step(self) -> int:
        """Tell everything that is due; return how many events that were."""
        told = 0
        now = self.now()
        while batch := await self._timers.due(now):
            for timer in batch:
                await self._tell(timer, now)
                told += 1
        return told

    async def _tell(self, timer: Timer, now: int) -> None:
        """One timer at a time: a refused one must not hold up the others."""
        try:
            applied = await self._journal.apply([timer.event(now)])
        except FatalError:
            raise
        except NodeError as error:
            _log.warning("timer_refused", aggregate=timer.aggregate.kind, timer=timer.name, reason=str(error))
        else:
            if any(record.seq is not None for record in applied.records):
                return
        await self._timers.put_off(timer, now + _AGAIN)

    async def run(self, life: Lifecycle) -> None:
        await self.step()
        life.ready()
        while not life.stop.is_set():
            self._wake.clear()
            self._until = None
            due = await self._timers.next_at()
            if due is not None and due <= self.now():
                await self.step()
                due = await self._timers.next_at()
            wait = _POLL if due is None else min(_POLL, max(0.05, due - self.now()))
            self._until = math.inf if due is None else due
            await self._sleep(life, wait)

    async def _sleep(self, life: Lifecycle, seconds: float) -> None:
        waiting = {asyncio.create_task(self._wake.wait()), asyncio.create_task(life.stop.wait())}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
