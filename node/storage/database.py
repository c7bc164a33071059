"""One database: its connections, its durability, its schema.

SQLite runs in WAL mode with `synchronous=FULL`: with NORMAL, commits that were acknowledged can vanish when the power
goes. Writing transactions begin with BEGIN IMMEDIATE on one connection, so they queue here instead of failing later
with "database is locked"; readers have connections of their own and never wait for the writer.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from node.errors import UsageError
from node.storage.driver import READING, Statement, ThreadedConnection, connect
from node.storage.errors import DatabaseUnusable, StorageError, StorageFull
from node.storage.migrate import upgrade
from node.storage.remembered import Remembered

__all__ = ["Database", "run_together"]

_BUSY_MS: Final = 10_000
_LOG_PAGES: Final = 4_000
"""What is committed goes from the log into the database once there is so much of it, 16 MB. SQLite's own thousand is
reached by two commits of a busy market, of which each then waits for the disk twice."""
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    f"busy_timeout={_BUSY_MS}",
    "foreign_keys=ON",
    f"wal_autocheckpoint={_LOG_PAGES}",
)
# In KB. A large transaction (a range of old blocks) must not spill page after page into the log twice. Readers lean on
# the system's cache: what one reads from end to end, a statement for example, would stay in memory for nothing.
_WRITER_CACHE: Final = 32_768
_READER_CACHE: Final = 4_096
_READERS: Final = 4
# Number of the advisory lock under which PostgreSQL runs migrations; any constant of ours.
_MIGRATION_LOCK: Final = 0x5761_7474_0001

_NOT_LASTING: Final = text("SET LOCAL synchronous_commit TO OFF")

# What SQLite says for ENOSPC, for other failed writes (a quota, EFBIG), and PostgreSQL for its own disk.
_FULL: Final = ("disk is full", "disk i/o error", "no space left on device")


class Database:
    """`open` it, `close` it; in between `write()` gives a transaction that commits at the end, `read()` one that reads.

    `concurrent`: several processes may work on it (PostgreSQL). On SQLite one process owns the file.
    `remembered`: makes states of what is read.
    """

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine, before: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader
        self._before = before
        self._direct: ThreadedConnection | None = None
        self.remembered = Remembered()
        self.dialect = writer.dialect.name
        self.concurrent = self.dialect == "postgresql"

    @classmethod
    async def open(cls, url: str) -> Database:
        """Connect, create or migrate. Raises SchemaTooNew or DatabaseUnusable; then nothing was changed."""
        parsed = _driver(make_url(url))
        if parsed.get_backend_name() == "sqlite":
            _create_private(parsed)
            path = parsed.database or ""
            writer = _engine(parsed, 1, lambda: connect(path))
            reader = _engine(parsed, _READERS, lambda: connect(path))
            before = _engine(parsed, 1, lambda: connect(path))
            _sqlite(writer, "BEGIN IMMEDIATE", _WRITER_CACHE)
            _sqlite(reader, READING, _READER_CACHE)
            _sqlite(before, READING, _READER_CACHE)
        else:
            writer = create_async_engine(parsed, pool_pre_ping=True)
            # READ COMMITTED, the server's default, takes a new view at every statement.
            reader = before = writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        database = cls(writer, reader, before)
        try:
            if not database.concurrent:
                database._direct = await _direct(parsed.database or "")
            async with database.write() as connection:
                if database.concurrent:
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                await connection.run_sync(_upgrade)
        except (DatabaseError, sqlite3.DatabaseError, OSError) as error:
            await database.close()
            raise DatabaseUnusable(f"The database cannot be used: {_first_line(error)}") from error
        except StorageError:
            await database.close()
            raise
        return database

    @asynccontextmanager
    async def write(self, *, lasting: bool = True) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed and on disk when the block ends, undone when it raises. On PostgreSQL nobody waits
        for the disk if it need not be `lasting`; on SQLite `transact` is for that.

        Raises StorageFull when the disk takes no more.
        """
        try:
            async with self._writer.begin() as connection:
                if self.concurrent and not lasting:
                    await connection.execute(_NOT_LASTING)
                yield connection
        except DatabaseError as error:
            if _is_full(error):
                raise _full(error) from error
            raise

    async def transact(self, statements: Sequence[Statement], *, lasting: bool = True) -> Sequence[Any]:
        """A transaction of statements that are all known, as text of SQLite's driver; the rows of the last one.

        It goes to a thread of its own in one piece, where `write` goes there for each statement and the end: it waits
        until the event loop lets go of the interpreter once, and keeps nobody else from writing meanwhile. What need
        not be `lasting` may be done again: a process that dies loses nothing of it, a machine that loses its power may
        lose the last of these, as far as nothing lasting came after them. Nobody waits for the disk.

        Raises StorageFull, SQLAlchemy's errors and the refusals of the statements; then nothing of it was done.
        """
        if self._direct is None:
            raise UsageError("Only SQLite has such a way.")
        try:
            return await self._direct.transact(statements, lasting=lasting)
        except sqlite3.DatabaseError as error:
            failed = DatabaseError(statements[0].text if statements else "", None, error)
            if _is_full(failed):
                raise _full(failed) from error
            raise failed from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view of what was committed before."""
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def read_before_writing(self) -> AsyncIterator[AsyncConnection]:
        """The same for the one who then writes: no long reading of others keeps it waiting."""
        async with self._before.connect() as connection:
            yield connection

    async def close(self) -> None:
        if self._direct is not None:
            await self._direct.close()
        for engine in (self._writer, self._reader, self._before):
            await engine.dispose()


def _upgrade(connection: Connection) -> None:
    upgrade(connection)


def _driver(url: URL) -> URL:
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    backend = url.get_backend_name()
    if backend not in drivers:
        raise DatabaseUnusable(f"{backend} is not supported; use sqlite or postgresql.")
    return url.set(drivername=drivers[backend])


def _create_private(url: URL) -> None:
    """Create the file for its owner only, before SQLite would create it for everybody."""
    if not url.database or url.database == ":memory:":
        raise DatabaseUnusable("SQLite needs a file: a node must survive its process.")
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise DatabaseUnusable(f"The database file cannot be created: {error.strerror}") from error


def _is_full(error: DatabaseError) -> bool:
    return any(words in str(error.orig).lower() for words in _FULL)


def _full(error: DatabaseError) -> StorageFull:
    return StorageFull(f"The disk of the database is full or takes no more: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _engine(url: URL, connections: int, creator: Callable[[], Awaitable[ThreadedConnection]]) -> AsyncEngine:
    # The one used last first: its cache is warm, and a quiet node fills one cache instead of all.
    return create_async_engine(
        url, async_creator=creator, pool_size=connections, max_overflow=0, pool_timeout=60, pool_use_lifo=True
    )


def _pragmas(cache: int) -> Iterator[str]:
    return (f"PRAGMA {pragma}" for pragma in (*_PRAGMAS, f"cache_size=-{cache}"))


async def _direct(path: str) -> ThreadedConnection:
    connection = await connect(path)
    try:
        for pragma in _pragmas(_WRITER_CACHE):
            await connection.execute_fetchall(pragma)
    except sqlite3.DatabaseError:  # no database, say: its thread goes with it
        await connection.close()
        raise
    return connection


def _sqlite(engine: AsyncEngine, begin: str, cache: int) -> None:
    def connected(raw: Any, _: Any) -> None:
        cursor = raw.cursor()
        for pragma in _pragmas(cache):
            cursor.execute(pragma)
        cursor.close()

    def began(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        driver.begin(begin)

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", began)


async def run_together(connection: AsyncConnection, statements: Sequence[Statement]) -> None:
    """Statements of the driver in one way to SQLite's thread, inside the transaction.

    Raises SQLAlchemy's errors and the refusals of the statements.
    """
    if not statements:
        return
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    try:
        await driver.run_all(statements)
    except sqlite3.DatabaseError as error:
        raise DatabaseError(statements[0].text, None, error) from error
