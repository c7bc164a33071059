"""The sender's memory: one row per message, its versioned document beside what it is looked up by. What it does is
written once, apart from what becomes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, select

from node.storage.bulk import Writes, insert_absent
from node.storage.database import Database
from node.storage.group import GroupCommit
from node.storage.schema import calls, transactions

__all__ = ["TransactionRow", "TransactionRows"]

# Chain id, sender and key.
_Key = tuple[int, bytes, bytes]
# Built once: building it for each group would cost more than running it.
_WHOLE = select(transactions, calls.c.call).outerjoin(
    calls,
    and_(
        calls.c.chain_id == transactions.c.chain_id,
        calls.c.sender == transactions.c.sender,
        calls.c.key == transactions.c.key,
    ),
)
_THERE = _WHOLE.where(
    transactions.c.chain_id == bindparam("chain_id"),
    transactions.c.sender == bindparam("sender"),
    transactions.c.key.in_(bindparam("keys", expanding=True)),
)


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """`key` (32 bytes) is the message digest; `document` holds signed bytes, fees and inclusion as JSON.

    `call` is what it does. Read, None is a row of a time when the document had it; saved, None leaves the one that is
    stored.
    """

    chain_id: int
    sender: bytes
    key: bytes
    nonce: int | None
    status: str
    finished: bool
    created_at: int
    document: str
    call: bytes | None = None


class TransactionRows:
    """The `transactions` table. Every write is on disk when it returns, so nothing is sent before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._admitting: GroupCommit[TransactionRow, TransactionRow | None] = GroupCommit("transactions", self._admit)

    async def admit(self, row: TransactionRow) -> TransactionRow | None:
        """Insert the row, or return the one that is there. Calls that wait at the same time share one commit."""
        return await self._admitting.submit(row)

    async def _admit(self, rows: Sequence[TransactionRow]) -> Sequence[TransactionRow | None]:
        fresh = {_key(row): row for row in reversed(rows)}  # of two in one group the first one counts
        new = [_tuple(row) for row in fresh.values()]
        inserted = await insert_absent(self._database, transactions, new, before=((calls, _calls(fresh.values())),))
        there = fresh | {_key(row): row for row in await self._there(fresh.keys() - inserted)}
        answers: list[TransactionRow | None] = []
        for row in rows:
            key = _key(row)
            answers.append(None if key in inserted else there[key])
            inserted.discard(key)
        return answers

    async def _there(self, keys: Collection[_Key]) -> list[TransactionRow]:
        """What is stored under keys that were there before."""
        found: list[TransactionRow] = []
        for chain_id, sender in {(chain_id, sender) for chain_id, sender, _ in keys}:
            mine = [key for chain, who, key in keys if (chain, who) == (chain_id, sender)]
            async with self._database.read() as connection:
                asked = {"chain_id": chain_id, "sender": sender, "keys": mine}
                found += [_read(row) for row in await connection.execute(_THERE, asked)]
        return found

    async def save(self, rows: Sequence[TransactionRow]) -> None:
        """Insert or replace by (chain id, sender, key), in one commit."""
        writes = Writes()
        writes.add(calls, _calls(rows), overwrite=True)
        writes.add(transactions, [_tuple(row) for row in rows], overwrite=True)
        await writes.commit(self._database)

    async def find(self, chain_id: int, sender: bytes, key: bytes) -> TransactionRow | None:
        async with self._database.read() as connection:
            asked = {"chain_id": chain_id, "sender": sender, "keys": [key]}
            row = (await connection.execute(_THERE, asked)).first()
        return _read(row) if row is not None else None

    async def unfinished(self, chain_id: int, sender: bytes) -> list[TransactionRow]:
        """All that may still move, oldest first."""
        return await self._where(chain_id, sender, transactions.c.finished.is_(False))

    async def finished_from(self, chain_id: int, sender: bytes, nonce: int) -> list[TransactionRow]:
        """All finished ones with this nonce or a higher one."""
        return await self._where(
            chain_id, sender, and_(transactions.c.nonce >= nonce, transactions.c.finished.is_(True))
        )

    async def newest_finished_nonce(self, chain_id: int, sender: bytes) -> int | None:
        mine = and_(transactions.c.chain_id == chain_id, transactions.c.sender == sender)
        newest = (
            select(transactions.c.nonce)
            .where(mine, transactions.c.finished.is_(True), transactions.c.nonce.is_not(None))
            .order_by(transactions.c.nonce.desc())
            .limit(1)
        )
        async with self._database.read() as connection:
            found: int | None = (await connection.execute(newest)).scalar_one_or_none()
            return found

    async def _where(self, chain_id: int, sender: bytes, more: ColumnElement[bool]) -> list[TransactionRow]:
        mine = and_(transactions.c.chain_id == chain_id, transactions.c.sender == sender, more)
        order = (transactions.c.created_at, transactions.c.nonce, transactions.c.key)
        async with self._database.read() as connection:
            rows = await connection.execute(_WHOLE.where(mine).order_by(*order))
            return [_read(row) for row in rows]


def _key(row: TransactionRow) -> _Key:
    return row.chain_id, row.sender, row.key


def _tuple(row: TransactionRow) -> tuple[Any, ...]:
    return (
        row.chain_id,
        row.sender,
        row.key,
        row.nonce,
        row.status,
        row.finished,
        row.created_at,
        row.document,
    )


def _calls(rows: Iterable[TransactionRow]) -> list[tuple[Any, ...]]:
    return [(*_key(row), row.call) for row in rows if row.call is not None]


def _read(row: Row[Any]) -> TransactionRow:
    return TransactionRow(**row._mapping)
