"""Carries out the effects that wait in the outbox.

At least once: between a handler's success and the acknowledgement on disk the process can die, and then the effect is
carried out again. So every handler is idempotent: a parcel has an id that the other side takes once, a message goes to
the chain once per digest, a service that is told something looks at the present state and finds it already done.

A handler raises PermanentFailure (or any other CallerError) when no repetition helps: the effect becomes a dead letter
with its reason. A fatal error ends the node and leaves the effect where it is. Anything else is tried again later.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import structlog

from node.clock import Clock
from node.errors import CallerError, NodeError
from node.projection.base import Effect
from node.projection.effects import EFFECTS
from node.runtime.backoff import Backoff
from node.runtime.errors import HandlerMissing
from node.runtime.supervisor import Lifecycle, attempt, fatal_part
from node.storage.journal import Applied, Journal
from node.storage.outbox import LOCAL, Outbox, OutboxItem

__all__ = ["Executor", "ExecutorOptions", "Handler", "Handlers"]

_log = structlog.get_logger(__name__)
_KEEP_DONE: Final = 7 * 86_400
_MAX_REASON: Final = 500
E_ = TypeVar("E_", bound=Effect)
Handler = Callable[[Any], Awaitable[None]]


async def _nothing(_: Effect) -> None:
    """For effects that concern no role of this node."""


class Handlers:
    """Which function carries out which effect. Every type of effect has one, if only `ignore`."""

    def __init__(self) -> None:
        self._table: dict[type[Effect], list[Handler]] = {}

    def on(self, kind: type[E_], handler: Callable[[E_], Awaitable[None]]) -> None:
        """Several handlers of one type run one after the other; all are run again if one of them fails."""
        self._table.setdefault(kind, []).append(handler)

    def wanted(self) -> frozenset[type[Effect]]:
        """The effects that somebody of this node carries out."""
        return frozenset(kind for kind, handlers in self._table.items() if handlers != [_nothing])

    def ignore(self, *kinds: type[Effect]) -> None:
        """No role of this node has to do anything about these."""
        for kind in kinds:
            self._table.setdefault(kind, [_nothing])

    def complete(self) -> Mapping[type[Effect], tuple[Handler, ...]]:
        """Raises HandlerMissing, naming what nobody carries out."""
        missing = sorted(kind.__name__ for kind in EFFECTS if kind not in self._table)
        if missing:
            raise HandlerMissing(f"Nobody carries out {', '.join(missing)}.")
        return {kind: tuple(handlers) for kind, handlers in self._table.items()}


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """`parallel` lanes at once inside this node and as many to the outside, so that parties who do not answer never
    hold up a revocation; half of `lease` seconds for one attempt; `poll` the longest sleep. `observe` gets the name of
    the effect and `done`, `retry` or `dead` (metrics)."""

    parallel: int = 16
    lease: int = 60
    poll: float = 5.0
    backoff: Backoff = field(default_factory=Backoff)
    observe: Callable[[str, str], None] | None = None


class Executor:
    """`run` is a service; `step` carries out what is due now and is enough for tests and for one-shot commands."""

    def __init__(
        self, outbox: Outbox, journal: Journal, handlers: Handlers, clock: Clock, options: ExecutorOptions | None = None
    ) -> None:
        self._outbox = outbox
        self._handlers = handlers.complete()
        self._clock = clock
        self._options = options or ExecutorOptions()
        self._wake = asyncio.Event()
        self._busy = {True: 0, False: 0}
        # By reach: whether there may be something to claim, and when to look at the latest, for what falls due while
        # commits leave no time to sleep. A claim is a transaction, also one that finds nothing.
        self._some = {True: True, False: True}
        self._look = {True: 0, False: 0}
        self._longest = max(1, math.ceil(self._options.poll))
        journal.subscribe(self._committed)

    def _committed(self, applied: Applied) -> None:
        for effect in applied.effects:
            if self._handlers[type(effect)] != (_nothing,):
                self._some[type(effect).__name__.startswith(LOCAL)] = True
                self._wake.set()

    async def step(self) -> int:
        """Carry out one round of what can be claimed now; return how many were tried."""
        items = await self._outbox.claim(self._clock.now(), self._options.parallel, self._options.lease)
        async with asyncio.TaskGroup() as group:
            for lane in _lanes(items):
                group.create_task(self._lane(lane))
        return len(items)

    async def run(self, life: Lifecycle) -> None:
        """Until `stop`; then no new effect is begun, and those under way are finished."""
        await self._outbox.release()
        wanted = {kind.__name__ for kind, handlers in self._handlers.items() if handlers != (_nothing,)}
        await self._outbox.pass_over(wanted, self._clock.now())
        pruned = 0
        life.ready()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(self._wake_at(life.stop))
            while not life.stop.is_set():
                self._wake.clear()
                now = self._clock.now()
                for local in (True, False):
                    await self._begin(group, now, local)
                if abs(now - pruned) > 3_600:
                    pruned = now
                    await self._outbox.prune(now - _KEEP_DONE)
                await self._sleep()
            stopping.cancel()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _begin(self, group: asyncio.TaskGroup, now: int, local: bool) -> None:
        free = self._options.parallel - self._busy[local]
        # Further ahead than it was ever set: the clock was put back.
        waits = 0 < self._look[local] - now <= self._longest
        if free <= 0 or (waits and not self._some[local]):
            return
        self._some[local] = False
        self._look[local] = now + self._longest
        items = await self._outbox.claim(now, free, self._options.lease, local=local)
        self._some[local] = self._some[local] or len(items) == free
        for lane in _lanes(items):
            self._busy[local] += 1
            group.create_task(self._tracked(lane, local))

    async def _tracked(self, lane: Sequence[OutboxItem], local: bool) -> None:
        try:
            await self._lane(lane)
        finally:
            self._busy[local] -= 1
            self._some[local] = True  # what follows in its lane
            self._wake.set()

    async def _lane(self, lane: Sequence[OutboxItem]) -> None:
        """One after the other; what follows a failure, or would outlive its lease, is given back."""
        end = self._clock.monotonic() + self._options.lease / 2
        for place, item in enumerate(lane):
            if not await self._carry(item) or self._clock.monotonic() > end:
                for later in lane[place + 1 :]:
                    await self._outbox.give_back(later)
                return

    async def _sleep(self) -> None:
        if self._wake.is_set():
            return
        now, wait = self._clock.now(), self._options.poll
        for local, busy in self._busy.items():
            due = await self._outbox.next_due(now, local=local) if busy < self._options.parallel else None
            if due is not None:
                self._some[local] = self._some[local] or due <= now
                self._look[local] = min(self._look[local], due)
                # A floor, because another process may hold the row that looks free from here.
                wait = min(wait, max(0.02, due - now))
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _carry(self, item: OutboxItem) -> bool:
        """Tell whether the lane may go on."""
        name = type(item.effect).__name__
        error = await attempt(self._handle(item.effect))
        now = self._clock.now()
        if error is None:
            await self._outbox.acknowledge(item, now)
            self._observe(name, "done")
            return True
        fatal = fatal_part(error)
        if fatal is not None:
            raise fatal
        reason = _reason(error)
        if isinstance(error, CallerError):
            _log.error("effect_dead", effect=name, reason=reason)
            await self._outbox.bury(item, now, reason)
            self._observe(name, "dead")
            return True
        pause = self._options.backoff.delay(item.attempts + 1)
        known = isinstance(error, NodeError | OSError | TimeoutError)
        _log.warning("effect_put_off", effect=name, reason=reason, pause=round(pause, 1), exc_info=not known and error)
        due = now + max(1, round(pause))
        await self._outbox.put_off(item, due, reason)
        local = name.startswith(LOCAL)
        self._look[local] = min(self._look[local], due)
        self._observe(name, "retry")
        return False

    async def _handle(self, effect: Effect) -> None:
        # Ends before the lease does, so that no second worker begins while this one still works.
        async with asyncio.timeout(max(1, self._options.lease / 2 - 1)):
            for handler in self._handlers[type(effect)]:
                await handler(effect)

    def _observe(self, name: str, outcome: str) -> None:
        if self._options.observe is not None:
            self._options.observe(name, outcome)


def _lanes(items: Sequence[OutboxItem]) -> list[list[OutboxItem]]:
    lanes: dict[str, list[OutboxItem]] = {}
    for item in items:
        lanes.setdefault(item.lane, []).append(item)
    return list(lanes.values())


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_MAX_REASON]
