"""Many rows at once, past the statement builder: a rebuild writes ten rows for each event, and building them is dear.

Both databases take the same text except for the marks of the parameters; values are bytes, integers, text and None.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from node.storage.database import Database, run_together

__all__ = ["Inserts", "add_absent", "insert_absent", "insert_rows"]

Row = tuple[Any, ...]
_ROWS: Final = 64
"""In one statement of SQLite: of the widest table below a thousand values, which is what older builds take."""


async def insert_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[Row], *, overwrite: bool = False
) -> None:
    """Insert rows of values in the order of the table's columns; `overwrite` those with the same primary key."""
    if rows:
        await connection.exec_driver_sql(_statement(connection.dialect.name, table, overwrite), list(rows))


class Inserts:
    """Rows for several tables, gathered and then written together.

    On SQLite all of them are one way to the driver's thread: each way waits until the event loop lets go of the
    interpreter, which on a busy node takes longer than the writing.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Table, Sequence[Row], bool]] = []

    def add(self, table: Table, rows: Sequence[Row], *, overwrite: bool = False) -> None:
        """As `insert_rows` takes them, and in this order."""
        if rows:
            self._parts.append((table, rows, overwrite))

    async def write(self, connection: AsyncConnection) -> None:
        """Inside the connection's transaction. Raises SQLAlchemy's errors."""
        parts, self._parts = self._parts, []
        name = connection.dialect.name
        if name == "sqlite":
            await run_together(connection, [each for part in parts for each in _pieces(*part)])
            return
        for table, rows, overwrite in parts:
            await connection.exec_driver_sql(_statement(name, table, overwrite), list(rows))


def _pieces(table: Table, rows: Sequence[Row], overwrite: bool) -> Iterator[tuple[str, Sequence[Any]]]:
    """Statements with the values of many rows each. SQLite lets go of the interpreter for every statement, and gets it
    back only when the event loop is done with it; few sizes, so that the connection has them compiled already."""
    start = 0
    while left := len(rows) - start:
        count = min(_ROWS, 1 << left.bit_length() - 1)
        yield (
            _statement("sqlite", table, overwrite, count),
            [value for row in rows[start : start + count] for value in row],
        )
        start += count


async def insert_absent(database: Database, table: Table, rows: Sequence[Row]) -> set[Row]:
    """Insert those rows whose primary key is not there; return the keys of these, in the order of the key's columns.

    One statement is the whole transaction, for all rows: no way to the database and back is wasted while callers wait.
    At most 1,000 rows at once.
    """
    if not rows:
        return set()
    text = _absent_statement(database.dialect, table, len(rows))
    return {tuple(key) for key in await database.write_at_once(text, [value for row in rows for value in row])}


async def add_absent(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> int:
    """The same inside a transaction; how many were not there. At most 1,000 rows at once."""
    if not rows:
        return 0
    text = _absent_statement(connection.dialect.name, table, len(rows))
    found = await connection.exec_driver_sql(text, tuple(value for row in rows for value in row))
    return len(found.all())


@functools.lru_cache(maxsize=1_024)
def _absent_statement(dialect: str, table: Table, count: int) -> str:
    listed = ", ".join(f'"{column.name}"' for column in table.columns)
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
    marks = _marks(dialect, len(table.columns), count)
    text = f'INSERT INTO "{table.name}" ({listed}) VALUES {marks}'  # noqa: S608
    return f"{text} ON CONFLICT ({keys}) DO NOTHING RETURNING {keys}"


@functools.cache
def _statement(dialect: str, table: Table, overwrite: bool, rows: int = 1) -> str:
    names = [column.name for column in table.columns]
    # Names come from our own schema, never from data; they are quoted because some are words of SQL.
    listed = ", ".join(f'"{name}"' for name in names)
    text = f'INSERT INTO "{table.name}" ({listed}) VALUES {_marks(dialect, len(names), rows)}'  # noqa: S608
    if overwrite:
        keys = [column.name for column in table.primary_key]
        kept = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
        text += f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {kept}"
    return text


def _marks(dialect: str, columns: int, rows: int) -> str:
    """The places of the values of so many rows."""
    marks = [f"${place}" if dialect == "postgresql" else "?" for place in range(1, rows * columns + 1)]
    return ", ".join(f"({', '.join(marks[at : at + columns])})" for at in range(0, len(marks), columns))
