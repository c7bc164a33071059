"""The sender's memory: one row per message, its versioned document beside what it is looked up by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, select

from node.storage.database import Database, upsert
from node.storage.group import GroupCommit
from node.storage.schema import transactions

__all__ = ["TransactionRow", "TransactionRows"]

# Built once: building it for each group would cost more than running it.
_THERE = select(transactions).where(
    transactions.c.chain_id == bindparam("chain_id"),
    transactions.c.sender == bindparam("sender"),
    transactions.c.key.in_(bindparam("keys", expanding=True)),
)


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """`key` (32 bytes) is the message digest; `document` holds nonce, signed bytes, fees and inclusion as JSON."""

    chain_id: int
    sender: bytes
    key: bytes
    nonce: int | None
    status: str
    finished: bool
    created_at: int
    document: str


class TransactionRows:
    """The `transactions` table. Every write is on disk when it returns, so nothing is sent before."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._admitting: GroupCommit[TransactionRow, TransactionRow | None] = GroupCommit("transactions", self._admit)

    async def admit(self, row: TransactionRow) -> TransactionRow | None:
        """Insert the row, or return the one that is there. Calls that wait at the same time share one commit."""
        return await self._admitting.submit(row)

    async def _admit(self, rows: Sequence[TransactionRow]) -> Sequence[TransactionRow | None]:
        async with self._database.write() as connection:
            there: dict[tuple[int, bytes, bytes], TransactionRow] = {}
            for chain_id, sender in {(row.chain_id, row.sender) for row in rows}:
                keys = [row.key for row in rows if (row.chain_id, row.sender) == (chain_id, sender)]
                found = await connection.execute(_THERE, {"chain_id": chain_id, "sender": sender, "keys": keys})
                there |= {(chain_id, sender, row.key): _read(row) for row in found}
            answers: list[TransactionRow | None] = []
            fresh: list[TransactionRow] = []
            for row in rows:
                known = there.get((row.chain_id, row.sender, row.key))
                answers.append(known)
                if known is None:
                    there[row.chain_id, row.sender, row.key] = row
                    fresh.append(row)
            await upsert(connection, transactions, [_values(row) for row in fresh])
        return answers

    async def save(self, rows: Sequence[TransactionRow]) -> None:
        """Insert or replace by (chain id, sender, key), in one commit."""
        async with self._database.write() as connection:
            await upsert(connection, transactions, [_values(row) for row in rows])

    async def find(self, chain_id: int, sender: bytes, key: bytes) -> TransactionRow | None:
        found = await self._where(chain_id, sender, transactions.c.key == key)
        return found[0] if found else None

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
            rows = await connection.execute(select(transactions).where(mine).order_by(*order))
            return [_read(row) for row in rows]


def _read(row: Row[Any]) -> TransactionRow:
    return TransactionRow(**row._mapping)


def _values(row: TransactionRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in TransactionRow.__dataclass_fields__}
