"""Work for several parties at once: in its order for each of them, and never more of it than a node can carry."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

from node.runtime.supervisor import attempt

__all__ = ["Turns"]

_log = structlog.get_logger(__name__)

Work = Callable[[], Awaitable[None]]


class Turns:
    """`parallel`: how many parties are served at once. `most`: pieces of work that are here, waiting or under way; who
    brings another one waits. Leaving it cancels what is left."""

    def __init__(self, parallel: int, most: int) -> None:
        self._places = asyncio.Semaphore(parallel)
        self._room = asyncio.Semaphore(most)
        self._lines: dict[bytes, deque[Work]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add(self, party: bytes, work: Work) -> None:
        """Returns when the work has its place in the party's line, not when it is done. What it raises is logged."""
        await self._room.acquire()
        line = self._lines.get(party)
        if line is not None:
            line.append(work)
            return
        self._lines[party] = deque([work])
        task = asyncio.create_task(self._serve(party))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, party: bytes) -> None:
        line = self._lines[party]
        try:
            while line:
                work = line.popleft()
                try:
                    async with self._places:
                        failed = await attempt(work())  # one party's must not end the others'
                    if failed is not None:
                        _log.error("work_failed", exc_info=failed)
                finally:
                    self._room.release()
        finally:
            del self._lines[party]
