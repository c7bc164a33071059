"""The database under the SQL store: connections, durability, transactions, and what its errors mean to us.

SQLite runs in WAL with synchronous=FULL: with NORMAL it may take back acknowledged commits when the power goes, and
an envelope that was published and then forgotten would be sealed again under the same sequence number.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from channels.errors import StoreError, StoreUnavailable

__all__ = ["Database", "to_the_end"]

_R = TypeVar("_R")

_BUSY_MS = 10_000
_WRITE = "channel_write"


class Database:
    """One database by URL: `sqlite+aiosqlite:///<path>` or `postgresql+asyncpg://...`."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise StoreError("the database URL cannot be read") from None
        self._sqlite = parsed.get_backend_name() == "sqlite"
        if self._sqlite:
            _create_private(parsed)
        # One writer at a time inside this process: SQLite allows no more, and PostgreSQL needs no more per node.
        self._writing = asyncio.Lock()
        self.engine: AsyncEngine = create_async_engine(parsed, pool_pre_ping=not self._sqlite)
        if self._sqlite:
            event.listen(self.engine.sync_engine, "connect", _on_connect)
            event.listen(self.engine.sync_engine, "begin", _on_begin)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state and changes nothing."""
        with _translated():
            async with self.engine.connect() as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that holds the write lock from its first statement and is durable when the block ends.

        Raises IntegrityError of SQLAlchemy for a taken place (the caller looks closer), StoreUnavailable otherwise.
        """
        async with self._writing:
            with _translated():
                async with self.engine.connect() as connection:
                    await connection.execution_options(**{_WRITE: True})
                    async with connection.begin():
                        yield connection

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


async def to_the_end(work: Coroutine[Any, Any, _R]) -> _R:
    """Await `work`; when the caller is cancelled, let it finish first and cancel then.

    A driver whose call is cancelled half way drops its connection without ending the transaction, and the next writer
    waits for a lock that nobody holds any more. A transaction is short, so it is simply let through.
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
