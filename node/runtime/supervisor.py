"""Keeps the services of a node running, and ends them together.

A service that fails is started again after a pause that grows while it goes on failing. A fatal error ends the node
with that error's exit code. SIGTERM or SIGINT asks the services to end, the last started first, and gives them thirty
seconds in all; a second signal cancels at once. Nothing is lost by cancelling: whatever counts is in the journal.

This module holds the node's one broad `except`, because a defect in one service must not take the others with it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

from node.clock import Clock
from node.errors import ConfigError, ExitCode, FatalError, NodeError
from node.runtime.backoff import Backoff
from node.runtime.errors import StartTooSlow

__all__ = ["Lifecycle", "Service", "Supervisor", "attempt", "fatal_part"]

_log = structlog.get_logger(__name__)
_HEALTHY_AFTER: Final = 60.0


@dataclass(slots=True)
class Lifecycle:
    """What a service gets: it calls `ready()` once it serves, and returns soon after `stop` is set."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    def ready(self) -> None:
        self._ready.set()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the wish to stop."""
        await _first(self.stop.wait(), seconds)

    async def until_ready(self) -> None:
        await self._ready.wait()


@dataclass(frozen=True, slots=True)
class Service:
    """One long-running part. `needed`: those after it start only once it is ready."""

    name: str
    run: Callable[[Lifecycle], Awaitable[None]]
    needed: bool = False


async def attempt(work: Awaitable[None]) -> Exception | None:
    """Await the work and return what it raised, whatever it is; cancellation goes through."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the one place where any failure becomes a value
        return error
    return None


def fatal_part(error: BaseException) -> NodeError | None:
    """The first error in it, groups included, that must end the node."""
    if isinstance(error, FatalError | ConfigError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := fatal_part(each)) is not None), None)
    return None


async def _first(waiting: Awaitable[object], seconds: float) -> bool:
    """Wait at most so long; tell whether it happened."""
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        return False
    return True


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks)


class Supervisor:
    """`run` starts the services in their order and returns the exit code of the node."""

    def __init__(
        self,
        clock: Clock,
        *,
        backoff: Backoff | None = None,
        drain_seconds: float = 30.0,
        start_seconds: float = 120.0,
        on_restart: Callable[[str], None] | None = None,
    ) -> None:
        self._clock = clock
        self._backoff = backoff or Backoff(0.5, 30.0)
        self._drain_seconds = drain_seconds
        self._start_seconds = start_seconds
        self._on_restart = on_restart
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._fatal: NodeError | None = None

    @property
    def fatal(self) -> NodeError | None:
        """The error that ended the node, for the last line it says."""
        return self._fatal

    def stop(self) -> None:
        """Ask the services to end; asked twice, cancel them."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self, services: Sequence[Service]) -> ExitCode:
        """Returns when every service has ended by itself, by a signal, or by a fatal error."""
        running: list[tuple[Service, Lifecycle, asyncio.Task[None]]] = []
        with self._signals():
            async with asyncio.TaskGroup() as group:
                for service in services:
                    if self._stop.is_set():
                        break
                    life = Lifecycle()
                    task = group.create_task(self._keep(service, life), name=service.name)
                    running.append((service, life, task))
                    if service.needed:
                        await self._started(service, life, task)
                await self._until_over([task for _, _, task in running])
                await self._drain(running)
        return ExitCode.OK if self._fatal is None else self._fatal.exit_code

    async def _started(self, service: Service, life: Lifecycle, task: asyncio.Task[None]) -> None:
        ready = asyncio.create_task(life.until_ready())
        stop = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait(
            {ready, stop, task}, timeout=self._start_seconds, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        stop.cancel()
        if not done:
            self._end(StartTooSlow(f"{service.name} was not ready after {self._start_seconds:.0f} seconds."))

    def _end(self, error: NodeError) -> None:
        if self._fatal is None:
            self._fatal = error
        self._stop.set()

    async def _until_over(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        stop = asyncio.create_task(self._stop.wait())
        over = asyncio.create_task(_all(tasks))
        await asyncio.wait({stop, over}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        over.cancel()

    async def _drain(self, running: Sequence[tuple[Service, Lifecycle, asyncio.Task[None]]]) -> None:
        """The last started first: what takes in work ends before what carries it out."""
        end = asyncio.get_running_loop().time() + self._drain_seconds
        for service, life, task in reversed(running):
            life.stop.set()
            hurry = asyncio.create_task(self._hurry.wait())
            left = max(0.0, end - asyncio.get_running_loop().time())
            await asyncio.wait({task, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if not task.done():
                _log.warning("service_cut_off", service=service.name)
                task.cancel()

    async def _keep(self, service: Service, life: Lifecycle) -> None:
        failures = 0
        while not life.stop.is_set():
            started = self._clock.monotonic()
            error = await attempt(service.run(life))
            if error is None:
                return
            fatal = fatal_part(error)
            if fatal is not None:
                _log.error("service_fatal", service=service.name, reason=str(fatal))
                self._end(fatal)
                return
            failures = 1 if self._clock.monotonic() - started >= _HEALTHY_AFTER else failures + 1
            pause = self._backoff.delay(failures)
            _log.error("service_failed", service=service.name, failures=failures, pause=round(pause, 1), exc_info=error)
            if self._on_restart is not None:
                self._on_restart(service.name)
            await life.pause(pause)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
