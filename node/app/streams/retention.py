"""Opened readings that are older than the settings allow go, a batch at a time, and so do the keys to them.

The envelopes and checkpoints of a stream that is only read here follow, once none of its readers here keeps so much of
the past. Commits, what a writer here has to answer for, and the private log, which says who had access, stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import structlog

from channels.stores.base import ReaderStore
from node.app.services import looped
from node.clock import Clock
from node.config.retention import RetentionSettings
from node.observability import Metrics
from node.runtime.supervisor import Service
from node.services.gateway.members import OWNER

__all__ = ["BATCH", "Opened", "Retention"]

_log = structlog.get_logger(__name__)

BATCH = 5_000
_EVERY_S = 300.0
_DAY_S = 86_400
_RAW = frozenset({"electricity/1s"})


class Opened(NamedTuple):
    """A stream that is read here, under one grant. `forget` throws away its keys before a second (UTC), and returns the
    slot below which nothing is left of them."""

    sid: bytes
    grant_id: bytes
    category: str
    forget: Callable[[int], Awaitable[int]]


class Retention:
    """Prunes what is open. `horizon` is the latest second that the chain vouches for, 0 before its first block."""

    def __init__(
        self,
        store: ReaderStore,
        settings: RetentionSettings,
        clock: Clock,
        metrics: Metrics,
        opened: Callable[[], Iterable[Opened]],
        horizon: Callable[[], int | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._opened = opened
        self._horizon = horizon
        self.settings = settings
        self.removed = 0

    def service(self) -> Service:
        return Service("retention", looped(asyncio.Event(), self.step, _EVERY_S))

    def _days(self, grant_id: bytes, category: str) -> int | None:
        if grant_id != OWNER:
            return self.settings.consent_days
        return self.settings.raw_days if category in _RAW else self.settings.quarter_days

    async def step(self) -> bool:
        """One batch of each reader; True while there may be more."""
        horizon = self._horizon()
        # A clock that runs ahead must not cost a household its past: what goes does not come back.
        now = self._clock.now() if horizon is None else min(self._clock.now(), horizon)
        more = False
        slots: dict[bytes, int] = {}
        for sid, grant_id, category, forget in tuple(self._opened()):
            days = self._days(grant_id, category)
            if days is None:
                slots[sid] = 0  # this reader may still want all of it
                continue
            before = now - days * _DAY_S
            gone = await self._store.drop_readings(sid, grant_id, before, limit=BATCH)
            if gone:
                self.removed += gone
                self._metrics.readings_removed.inc(gone)
                _log.info("readings_removed", category=category, readings=gone)
            slot = await forget(before)
            slots[sid] = min(slot, slots.get(sid, slot))
            more = more or gone >= BATCH
        for sid, slot in slots.items():
            more = (slot > 0 and await self._store.drop_log(sid, slot, limit=BATCH) >= BATCH) or more
        return more
