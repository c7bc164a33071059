"""The states of many keys, past the statement builder: it looks at each value of a long list several times, which takes
longer than the question."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ["StoredState", "states_of"]

_MOST: Final = 256


class StoredState(NamedTuple):
    """A row: `created` is the number of the event that made it."""

    key: bytes
    created: int
    document: str


async def states_of(connection: AsyncConnection, kind: str, keys: Sequence[bytes]) -> list[StoredState]:
    """Those that there are of these, in no order."""
    found: list[StoredState] = []
    for start in range(0, len(keys), _MOST):
        some = keys[start : start + _MOST]
        # Few sizes, so that the connection has them compiled already: the last key fills up the next one.
        size = 1 << (len(some) - 1).bit_length()
        values = (kind, *some, *[some[-1]] * (size - len(some)))
        rows = await connection.exec_driver_sql(_question(connection.dialect.name, size), values)
        found.extend(StoredState._make(row) for row in rows)
    return found


@functools.cache
def _question(dialect: str, size: int) -> str:
    marks = [f"${place}" if dialect == "postgresql" else "?" for place in range(1, size + 2)]
    return (
        'SELECT "key", created_seq, document FROM states '  # noqa: S608  # marks alone are put in
        f'WHERE kind = {marks[0]} AND "key" IN ({", ".join(marks[1:])})'
    )
