"""Group commit: jobs that wait at the same time share one transaction, and so one flush to disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from node.errors import NodeError
from node.storage.errors import JournalClosed

__all__ = ["GroupCommit"]

J = TypeVar("J")
R = TypeVar("R")
_GROUP: Final = 256


class _Call(Generic[J, R]):
    __slots__ = ("done", "job")

    def __init__(self, job: J, done: asyncio.Future[R]) -> None:
        self.job = job
        self.done = done

    def fail(self, error: BaseException) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class GroupCommit(Generic[J, R]):
    """`commit` takes jobs in order and returns, after its transaction is on disk, a result or an error for each.

    What it raises of the node's, the database's and the system's errors, and of `also`, concerns all of them, and none
    of those who came after. At most `most` go together: enough to share what one costs alone, and no more than the next
    step of their way should wait for. So many groups as `ahead` says begin before the one in front of them has ended;
    they are answered in order.
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[Sequence[J]], Awaitable[Sequence[R | Exception]]],
        *also: type[Exception],
        most: int = _GROUP,
        ahead: int = 0,
    ) -> None:
        self._known: tuple[type[Exception], ...] = (SQLAlchemyError, NodeError, OSError, *also)
        self._name = name
        self._commit = commit
        self._most = most
        self._ahead = ahead
        self._waiting: list[_Call[J, R]] = []
        self._groups: deque[tuple[list[_Call[J, R]], asyncio.Task[Sequence[R | Exception]]]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    async def submit(self, job: J) -> R:
        """Return once the job is on disk. Raises its own error, the group's, or JournalClosed.

        Cancelled while it waits, a job may or may not be written.
        """
        return await self.enqueue(job)

    def enqueue(self, job: J) -> asyncio.Future[R]:
        """The same without waiting: its place is taken now. A future that is cancelled takes its job along."""
        if self._closed:
            raise JournalClosed(f"The {self._name} is closed.")
        call: _Call[J, R] = _Call(job, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain(), name=self._name)
            self._worker.add_done_callback(self._stopped)
        return call.done

    async def close(self) -> None:
        """Finish what is waiting, then refuse."""
        self._closed = True
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _drain(self) -> None:
        while self._waiting or self._groups:
            if self._waiting and len(self._groups) <= self._ahead:
                await self._begin()
                continue
            group, running = self._groups[0]
            try:
                results = await running
            except self._known as error:
                for call in group:
                    call.fail(error)
            else:
                for call, result in zip(group, results, strict=True):
                    if isinstance(result, Exception):
                        call.fail(result)
                    elif not call.done.done():
                        call.done.set_result(result)
            self._groups.popleft()

    async def _begin(self) -> None:
        await self._gather()
        group = [call for call in self._waiting[: self._most] if not call.done.cancelled()]
        del self._waiting[: self._most]
        work = self._commit([call.job for call in group])
        self._groups.append((group, asyncio.ensure_future(work)))

    async def _gather(self) -> None:
        """Those who call in this same turn of the loop come along: one flush serves all of them. Nobody is waited for
        that has not come yet."""
        before = 0
        while before < len(self._waiting) < self._most:
            before = len(self._waiting)
            await asyncio.sleep(0)

    def _stopped(self, worker: asyncio.Task[None]) -> None:
        """A defect must not leave callers waiting for ever: they get it, and it ends them."""
        error = JournalClosed(f"The {self._name} was stopped.") if worker.cancelled() else worker.exception()
        if error is not None:
            for group, running in self._groups:
                running.cancel()
                for call in group:
                    call.fail(error)
            for call in self._waiting:
                call.fail(error)
            self._groups.clear()
            self._waiting.clear()
