"""Many rows at once, past the statement builder: a rebuild writes ten rows for each event, and building them is dear.

Both databases take the same text except for the marks of the parameters; values are bytes, integers, text and None.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from node.storage.database import Database, run_together
from node.storage.driver import Statement

__all__ = ["Writes", "insert_absent"]

Row = tuple[Any, ...]
_ROWS: Final = 64
"""In one statement of SQLite: of the widest table below a thousand values, which is what older builds take."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The same for many rows. `spelling` gives the text for a dialect and a number of rows; `before` are the values of
    each statement in front of those of its rows; `refusal` is raised if not each of the rows changes one."""

    spelling: Callable[[str, int], str]
    rows: Sequence[Row]
    before: Row = ()
    refusal: Exception | None = None


class Writes:
    """Rows that come into several tables or go out of them, gathered and then written together, in the order told.

    On SQLite all of them are one way to the driver's thread: each way waits until the event loop lets go of the
    interpreter, which on a busy node takes longer than the writing.
    """

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def add(self, table: Table, rows: Sequence[Row], *, overwrite: bool = False) -> None:
        """Insert rows of values in the order of the table's columns; `overwrite` those with the same primary key."""
        self._tell(_Part(functools.partial(_insertion, table, overwrite), rows))

    def add_new(self, table: Table, rows: Sequence[Row], refusal: Exception) -> None:
        """Nothing at all is written, and `refusal` raised, if one of them is there, or among them twice."""
        self._tell(_Part(functools.partial(_absent, table), rows, refusal=refusal))

    def remove(self, table: Table, columns: tuple[str, ...], rows: Sequence[Row], sign: str = "=") -> None:
        """All that have the values of one of the rows in these columns, with which an index begins; with `sign` "<" or
        ">", and one column, all below or above."""
        self._tell(_Part(functools.partial(_deletion, table, columns, sign), rows))

    def change(self, table: Table, new: Mapping[str, Any], keys: Sequence[Row], only: Mapping[str, Any]) -> None:
        """New values, the same for all of these primary keys, of those rows that have certain others."""
        names = tuple(new), tuple(only)
        self._tell(_Part(functools.partial(_change, table, *names), keys, (*new.values(), *only.values())))

    def _tell(self, part: _Part) -> None:
        if part.rows:
            self._parts.append(part)

    async def write(self, connection: AsyncConnection) -> None:
        """Inside the connection's transaction. Raises SQLAlchemy's errors and refusals."""
        parts, self._parts = self._parts, []
        name = connection.dialect.name
        if name == "sqlite":
            await run_together(connection, [each for part in parts for each in _pieces(part)])
            return
        for part in parts:
            if part.refusal is None:
                rows = [(*part.before, *row) for row in part.rows]
                await connection.exec_driver_sql(part.spelling(name, 1), rows)
            elif len(await _insert_absent(connection, part.spelling, part.rows)) < len(part.rows):
                raise part.refusal

    async def commit(self, database: Database, *, lasting: bool = True) -> None:
        """As a transaction of its own, on disk when it is over if it is to be `lasting` (`Database.transact`).

        Raises StorageFull, SQLAlchemy's errors and refusals; then nothing was written.
        """
        if database.concurrent:
            async with database.write(lasting=lasting) as connection:
                await self.write(connection)
            return
        parts, self._parts = self._parts, []
        await database.transact([each for part in parts for each in _pieces(part)], lasting=lasting)


def _pieces(part: _Part) -> Iterator[Statement]:
    """Statements with the values of many rows each. SQLite lets go of the interpreter for every statement, and gets it
    back only when the event loop is done with it; few sizes, so that the connection has them compiled already."""
    start, rows = 0, part.rows
    while left := len(rows) - start:
        count = min(_ROWS, 1 << left.bit_length() - 1)
        values = [*part.before, *(value for row in rows[start : start + count] for value in row)]
        yield Statement(part.spelling("sqlite", count), values, count, part.refusal)
        start += count


async def insert_absent(
    database: Database, table: Table, rows: Sequence[Row], *, before: tuple[tuple[Table, Sequence[Row]], ...] = ()
) -> set[Row]:
    """Insert those rows whose primary key is not there; return the keys of these, in the order of the key's columns.
    The rows of other tables that come `before` are inserted in the same transaction, where theirs is not there.

    All rows of a table are one statement: no way to the database and back is wasted while callers wait. At most 1,000
    rows at once.
    """
    if not rows:
        return set()
    parts = [(functools.partial(_absent, into), some) for into, some in (*before, (table, rows)) if some]
    if database.concurrent:
        async with database.write() as connection:
            found = [await _insert_absent(connection, spelling, some) for spelling, some in parts]
        return found[-1]
    statements = [
        Statement(spelling("sqlite", len(some)), [value for row in some for value in row]) for spelling, some in parts
    ]
    return {tuple(key) for key in await database.transact(statements)}


async def _insert_absent(
    connection: AsyncConnection, spelling: Callable[[str, int], str], rows: Sequence[Row]
) -> set[Row]:
    text = spelling(connection.dialect.name, len(rows))
    found = await connection.exec_driver_sql(text, tuple(value for row in rows for value in row))
    return {tuple(key) for key in found.all()}


# Names in these texts come from our own schema, never from data; they are quoted because some are words of SQL.


@functools.lru_cache(maxsize=1_024)
def _absent(table: Table, dialect: str, rows: int) -> str:
    keys = ", ".join(f'"{column.name}"' for column in table.primary_key)
    return f"{_into(table, dialect, rows)} ON CONFLICT ({keys}) DO NOTHING RETURNING {keys}"


@functools.cache
def _insertion(table: Table, overwrite: bool, dialect: str, rows: int) -> str:
    text = _into(table, dialect, rows)
    if overwrite:
        keys = [column.name for column in table.primary_key]
        kept = ", ".join(f'"{c.name}" = excluded."{c.name}"' for c in table.columns if c.name not in keys)
        text += f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {kept}"
    return text


def _into(table: Table, dialect: str, rows: int) -> str:
    listed = ", ".join(f'"{column.name}"' for column in table.columns)
    return f'INSERT INTO "{table.name}" ({listed}) VALUES {_marks(dialect, len(table.columns), rows)}'  # noqa: S608


@functools.cache
def _deletion(table: Table, columns: tuple[str, ...], sign: str, dialect: str, rows: int) -> str:
    return f'DELETE FROM "{table.name}" WHERE {_alike(columns, sign, _places(dialect, rows * len(columns)))}'  # noqa: S608


@functools.cache
def _change(table: Table, new: tuple[str, ...], only: tuple[str, ...], dialect: str, rows: int) -> str:
    keys = tuple(column.name for column in table.primary_key)
    marks = _places(dialect, len(new) + len(only) + rows * len(keys))
    values = ", ".join(f'"{name}" = {mark}' for name, mark in zip(new, marks, strict=False))
    # The plus: SQLite shall find the rows by their keys, not all rows by these.
    others = "".join(
        f' AND {"+" if dialect == "sqlite" else ""}"{name}" = {mark}'
        for name, mark in zip(only, marks[len(new) :], strict=False)
    )
    here = _alike(keys, "=", marks[len(new) + len(only) :])
    return f'UPDATE "{table.name}" SET {values} WHERE true{others} AND {here}'  # noqa: S608


def _alike(columns: tuple[str, ...], sign: str, marks: Sequence[str]) -> str:
    """One condition for each row. SQLite looks up each of them by the index, which it does not for a list of pairs."""
    rows = (marks[at : at + len(columns)] for at in range(0, len(marks), len(columns)))
    one = (" AND ".join(f'"{name}" {sign} {mark}' for name, mark in zip(columns, row, strict=True)) for row in rows)
    return f"({' OR '.join(f'({each})' for each in one)})"


def _marks(dialect: str, columns: int, rows: int) -> str:
    """The places of the values of so many rows."""
    marks = _places(dialect, rows * columns)
    return ", ".join(f"({', '.join(marks[at : at + columns])})" for at in range(0, len(marks), columns))


def _places(dialect: str, count: int) -> list[str]:
    return [f"${place}" if dialect == "postgresql" else "?" for place in range(1, count + 1)]
