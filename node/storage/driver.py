"""SQLite's own thread with few ways there and back.

The driver (aiosqlite) goes to the thread of a connection for each step of a statement: cursor, execute, fetch, close,
and BEGIN before them. Each way costs two changes of thread, which is more than a statement on warm pages takes, and on
a busy node the thread waits every time until the event loop lets go of the interpreter. Here a statement is one way,
BEGIN goes along with the first one, and nobody waits for the end of a transaction that only read. A transaction whose
statements are known beforehand is one way as a whole: its lock is not held while the event loop does something else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import aiosqlite

__all__ = ["READING", "Statement", "ThreadedConnection", "connect"]

READING: Final = "BEGIN"
"""How transactions begin on a connection on which nobody writes."""

_COMPILED: Final = 256
"""Statements that a connection keeps compiled: those of the journal are there in several numbers of rows each."""

_AHEAD: Final = 1_000
"""Rows that come along with the statement; a longer result is fetched as it is asked for, so memory stays flat."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A text with its values. `refusal` undoes the transaction and is raised unless it changed just so many `rows`."""

    text: str
    values: Sequence[Any]
    rows: int = 0
    refusal: Exception | None = None


# A cursor that ran, its first rows, and whether there may be more.
_Ran = tuple[sqlite3.Cursor, list[Any], bool]


class ThreadedConnection(aiosqlite.Connection):
    """What SQLAlchemy's dialect for aiosqlite needs of a connection."""

    def __init__(self, path: str) -> None:
        # The driver must not begin transactions by itself, or BEGIN IMMEDIATE and savepoints would not be ours.
        super().__init__(
            lambda: sqlite3.connect(path, isolation_level=None, cached_statements=_COMPILED), iter_chunk_size=64
        )
        # Ours is the only one that starts threads: a process that is told to end does not wait for them.
        self._thread.daemon = True
        self._begin = ""
        self._open = ""

    def begin(self, statement: str) -> None:
        """A transaction begins with the next statement; its errors come with that one."""
        self._begin = statement

    def cursor(self) -> Any:
        """No way to the thread: a cursor is made when there is something to run."""
        return _Cursor(self)

    async def run(self, sql: str, values: Any, many: bool) -> _Ran:
        """One statement, or one for each of many values. Raises sqlite3.Error."""
        begin = self._first()
        return cast(_Ran, await self._there(lambda: _run(self._conn, begin, sql, values, many)))

    async def run_all(self, statements: Sequence[Statement]) -> None:
        """Several statements. Raises sqlite3.Error and their refusals."""
        begin = self._first()
        await self._there(lambda: _run_all(self._conn, begin, statements))

    async def transact(self, statements: Sequence[Statement], *, lasting: bool) -> list[Any]:
        """A whole transaction; the rows of its last statement. On disk when it is over if it is to be `lasting`,
        otherwise with the next one that is. Raises sqlite3.Error and refusals; then nothing of it was done."""
        return cast(list[Any], await self._there(lambda: _transact(self._conn, statements, lasting)))

    async def more(self, cursor: sqlite3.Cursor, count: int | None) -> list[Any]:
        """The next `count` rows, or all."""
        found = await self._there(lambda: cursor.fetchall() if count is None else cursor.fetchmany(count))
        return cast(list[Any], found)

    async def end(self, cursor: sqlite3.Cursor) -> None:
        """Let go of a result of which rows are left."""
        await self._there(cursor.close)

    def _first(self) -> str:
        """What begins the transaction, for its first statement."""
        begin, self._begin = self._begin, ""
        self._open = begin or self._open
        return begin

    async def _there(self, work: Callable[[], Any]) -> Any:
        """Run something in the connection's thread."""
        return await self._execute(work)  # type: ignore[no-untyped-call]

    async def commit(self) -> None:
        if self._begin:
            self._begin = ""
            return
        await super().commit()
        self._open = ""

    async def rollback(self) -> None:
        self._begin = ""
        begun, self._open = self._open, ""
        if begun == READING:
            # The thread does it before anything that is asked of it afterwards.
            self._tx.put_nowait((None, self._conn.rollback))
        elif begun:
            await super().rollback()


async def connect(path: str) -> ThreadedConnection:
    """Open a database file. Raises sqlite3.OperationalError."""
    return await ThreadedConnection(path)  # type: ignore[return-value]  # the driver names its own class


def _transact(connection: sqlite3.Connection, statements: Sequence[Statement], lasting: bool) -> list[Any]:
    """In the connection's thread."""
    cursor = connection.cursor()
    rows: list[Any] = []
    try:
        if not lasting:
            cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("BEGIN IMMEDIATE")
        for statement in statements:
            _do(cursor, statement)
            rows = cursor.fetchall() if cursor.description else []
        cursor.execute("COMMIT")
    finally:
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
        if not lasting:
            cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()
    return rows


def _do(cursor: sqlite3.Cursor, statement: Statement) -> None:
    cursor.execute(statement.text, statement.values)
    if statement.refusal is not None:
        changed = len(cursor.fetchall()) if cursor.description else cursor.rowcount
        if changed != statement.rows:
            raise statement.refusal


def _run(connection: sqlite3.Connection, begin: str, sql: str, values: Any, many: bool) -> _Ran:
    """In the connection's thread."""
    cursor, more = connection.cursor(), False
    try:
        if begin:
            cursor.execute(begin)
        if many:
            cursor.executemany(sql, values)
        else:
            cursor.execute(sql, values)
        rows = cursor.fetchmany(_AHEAD) if cursor.description else []
        more = len(rows) == _AHEAD
        return cursor, rows, more
    finally:
        # A cursor that stays open keeps the view of the database that it had.
        if not more:
            cursor.close()


def _run_all(connection: sqlite3.Connection, begin: str, statements: Sequence[Statement]) -> None:
    """In the connection's thread."""
    cursor = connection.cursor()
    try:
        if begin:
            cursor.execute(begin)
        for statement in statements:
            _do(cursor, statement)
    finally:
        cursor.close()


class _Cursor:
    """Of one statement at a time, as the dialect uses it."""

    def __init__(self, connection: ThreadedConnection) -> None:
        self._connection = connection
        self._cursor: sqlite3.Cursor | None = None
        self._rows: list[Any] = []
        self._more = False
        self.arraysize = 1

    async def __aenter__(self) -> _Cursor:
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description if self._cursor is not None else None

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount if self._cursor is not None else -1

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid if self._cursor is not None else None

    async def execute(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> _Cursor:
        return await self._ran(sql, values, many=False)

    async def executemany(self, sql: str, values: Sequence[Any]) -> _Cursor:
        return await self._ran(sql, values, many=True)

    async def _ran(self, sql: str, values: Any, *, many: bool) -> _Cursor:
        await self.close()
        self._cursor, self._rows, self._more = await self._connection.run(sql, values, many)
        return self

    async def fetchone(self) -> Any:
        found = await self.fetchmany(1)
        return found[0] if found else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        wanted = self.arraysize if size is None else size
        if self._more and len(self._rows) < wanted and self._cursor is not None:
            fresh = await self._connection.more(self._cursor, max(_AHEAD, wanted))
            self._more = len(fresh) == max(_AHEAD, wanted)
            self._rows += fresh
        found, self._rows = self._rows[:wanted], self._rows[wanted:]
        return found

    async def fetchall(self) -> list[Any]:
        found, self._rows = self._rows, []
        if self._more and self._cursor is not None:
            self._more = False
            found += await self._connection.more(self._cursor, None)
        return found

    async def close(self) -> None:
        self._rows = []
        if self._more and self._cursor is not None:
            self._more = False
            await self._connection.end(self._cursor)
