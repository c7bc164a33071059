"""The database under the SQL store: connections, durability, transactions, and what its errors mean to us.

SQLite runs in WAL with synchronous=FULL: with NORMAL it may take back acknowledged commits when the power goes, and
an envelope that was published and then forgotten would be sealed again under the same sequence number.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from channels.errors import ChannelError, StoreError, StoreUnavailable

__all__ = ["Database", "to_the_end"]

_R = TypeVar("_R")

_BUSY_MS = 10_000
_GROUP = 256  # changes in one transaction
_THREADS = 4  # one writes, the others read: SQLite reads beside a writer
_WRITE = "channel_write"


class Database:
    """One database by URL: `sqlite+aiosqlite:///<path>` or `postgresql+asyncpg://...`.

    A transaction is a plain function of a connection. SQLite runs it as a whole in a thread of ours: a driver that
    changes threads for every statement spends more on that than on the statement. PostgreSQL runs it over its own
    asynchronous driver.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise StoreError("the database URL cannot be read") from None
        self._engine: _Engine = _Sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _Server(parsed)

    async def read(self, work: Callable[[Connection], _R]) -> _R:
        """Run `work` in a transaction that sees one state and changes nothing."""
        return await to_the_end(self._engine.read(work))

    async def write(self, work: Callable[[Connection], _R]) -> _R:
        """Run `work` in a transaction that holds the write lock from its first statement and is durable on return.

        Raises IntegrityError of SQLAlchemy for a taken place (the caller looks closer), StoreUnavailable otherwise.
        """
        return await to_the_end(self._engine.write(work))

    async def scrub(self, tables: Sequence[str]) -> None:
        """What was deleted leaves the files of the database as well, as far as the database lets us.

        SQLite is written anew, without the rests of deleted rows, and its write-ahead log emptied: that needs the room
        of the file once more, and changes wait meanwhile. PostgreSQL frees the rows of `tables` for reuse; what their
        pages and its archived log held stays there until it is written over. Raises StoreUnavailable.
        """
        await to_the_end(self._engine.scrub(tables))

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.close()


class _Engine(Protocol):
    async def read(self, work: Callable[[Connection], _R]) -> _R: ...

    async def write(self, work: Callable[[Connection], _R]) -> _R: ...

    async def scrub(self, tables: Sequence[str]) -> None: ...

    async def close(self) -> None: ...


class _Job:
    """One change that waits for its transaction."""

    __slots__ = ("done", "outcome", "work")

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.outcome: Any = None
        self.done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def attempt(self, connection: Connection) -> None:
        """All of it or nothing, whatever becomes of the others; an error that is not about this change goes up."""
        try:
            with connection.begin_nested():
                self.outcome = self.work(connection)
        except (ChannelError, IntegrityError) as error:
            self.outcome = error

    def tell(self) -> None:
        """The transaction is on disk."""
        if self.done.done():
            return
        if isinstance(self.outcome, Exception):
            self.done.set_exception(self.outcome)
        else:
            self.done.set_result(self.outcome)


class _Sqlite:
    """A file on this machine. Changes that wait at the same time share one transaction, and so one flush to disk."""

    def __init__(self, url: URL) -> None:
        _create_private(url)
        self._engine = create_engine(url.set(drivername="sqlite"))
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="channel-store")
        self._jobs: list[_Job] = []
        self._group: list[_Job] = []
        self._writer: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)

    async def read(self, work: Callable[[Connection], _R]) -> _R:
        return await self._in_thread(work, write=False)

    async def write(self, work: Callable[[Connection], _R]) -> _R:
        job = _Job(work)
        self._jobs.append(job)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all(), name="channel-store")
            self._writer.add_done_callback(self._stopped)
        found: _R = await job.done
        return found

    async def _write_all(self) -> None:
        while self._jobs:
            group = self._group = self._jobs[:_GROUP]
            del self._jobs[:_GROUP]

            def attempt(connection: Connection, group: Sequence[_Job] = group) -> None:
                if len(group) == 1:  # its error undoes the whole transaction, so no savepoint is needed
                    group[0].outcome = group[0].work(connection)
                    return
                for job in group:
                    job.attempt(connection)

            try:
                async with self._changing:
                    await self._in_thread(attempt, write=True)
            except (ChannelError, SQLAlchemyError) as error:
                for job in group:
                    job.outcome = error
            for job in group:
                job.tell()

    def _stopped(self, writer: asyncio.Task[None]) -> None:
        """A defect must not leave callers waiting for ever: they get it."""
        error = StoreUnavailable("the store was stopped") if writer.cancelled() else writer.exception()
        if error is not None:
            for job in (*self._group, *self._jobs):
                if not job.done.done():
                    job.done.set_exception(error)
            self._jobs.clear()

    async def _in_thread(self, work: Callable[[Connection], _R], *, write: bool) -> _R:
        def whole() -> _R:
            with _translated(), self._engine.connect() as connection:
                connection.execution_options(**{_WRITE: write})
                with connection.begin():
                    return work(connection)

        return await asyncio.get_running_loop().run_in_executor(self._threads, whole)

    async def scrub(self, tables: Sequence[str]) -> None:
        async with self._changing:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._rewrite)

    def _rewrite(self) -> None:
        connection = self._engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("VACUUM")
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy = cursor.fetchone()
            if busy is None or busy[0]:
                raise StoreUnavailable("the database is being read, its log cannot be emptied now")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the database failed: {type(error).__name__}: {error}") from error
        finally:
            connection.close()

    async def close(self) -> None:
        # What runs is let through first; it is short.
        if self._writer is not None:
            await asyncio.wait((self._writer,))
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()


class _Server:
    """A database server. One writer at a time inside this process: a node needs no more."""

    def __init__(self, url: URL) -> None:
        self._engine = create_async_engine(url, pool_pre_ping=True)
        # READ COMMITTED, the server's default, takes a new view at every statement.
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._writing = asyncio.Lock()

    async def read(self, work: Callable[[Connection], _R]) -> _R:
        return await self._run(self._reading, work)

    async def write(self, work: Callable[[Connection], _R]) -> _R:
        async with self._writing:
            return await self._run(self._engine, work)

    @staticmethod
    async def _run(engine: AsyncEngine, work: Callable[[Connection], _R]) -> _R:
        with _translated():
            async with engine.connect() as connection, connection.begin():
                return await connection.run_sync(work)

    async def scrub(self, tables: Sequence[str]) -> None:
        alone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        with _translated():
            async with alone.connect() as connection:
                await connection.exec_driver_sql(f"VACUUM {', '.join(tables)}")

    async def close(self) -> None:
        await self._engine.dispose()


async def to_the_end(work: Coroutine[Any, Any, _R]) -> _R:
    """Await `work`; when the caller is cancelled, let it finish first and cancel then.

    A transaction in a thread cannot be cancelled, and a driver whose call is cancelled half way drops its connection
    without ending the transaction, so that the next writer waits for a lock that nobody holds any more. A transaction
    is short: it is simply let through.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
        if not task.cancelled():
            task.exception()
        raise


def _create_private(url: URL) -> None:
    if not url.database or url.database == ":memory:":
        raise StoreError("a SQLite store needs a file; use the store in memory instead")
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"the store's file cannot be opened: {error.strerror}") from error


def _on_connect(connection: object, _entry: ConnectionPoolEntry) -> None:
    # The driver's own transaction handling starts transactions late; we start them ourselves.
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MS}", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: Connection) -> None:
    # A deferred transaction that turns into a writer half way fails at once when another process wrote meanwhile.
    writes = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        raise StoreUnavailable(f"the database failed: {type(error.orig).__name__}: {error.orig}") from error
    except (OSError, PoolTimeout) as error:
        raise StoreUnavailable(f"the database cannot be reached: {error}") from error
