"""Many rows at once, past the statement builder: a rebuild writes ten rows for each event, and building them is dear.

Both databases take the same text except for the marks of the parameters; values are bytes, integers, text and None.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["insert_rows"]

Row = tuple[Any, ...]


async def insert_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[Row], *, overwrite: bool = False
) -> None:
    """Insert rows of values in the order of the table's columns; `overwrite` those with the same primary key."""
    if rows:
        await connection.exec_driver_sql(_statement(connection.dialect.name, table, overwrite), list(rows))


@functools.cache
def _statement(dialect: str, table: Table, overwrite: bool) -> str:
    names = [column.name for column in table.columns]
    marks = [f"${place}" if dialect == "postgresql" else "?" for place in range(1, len(names) + 1)]
    # Names come from our own schema, never from data; they are quoted because some are words of SQL.
    listed = ", ".join(f'"{name}"' for name in names)
    text = f'INSERT INTO "{table.name}" ({listed}) VALUES ({", ".join(marks)})'  # noqa: S608
    if overwrite:
        keys = [column.name for column in table.primary_key]
        kept = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
        text += f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {kept}"
    return text
