"""The sender's memory: one row per message, its versioned document beside what it is looked up by."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, select

from node.storage.database import Database, upsert
from node.storage.schema import transactions

__all__ = ["TransactionRow", "TransactionRows"]


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
    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, row: TransactionRow) -> None:
        """Insert or replace by (chain id, sender, key); on disk when it returns, so nothing is sent before."""
        values = {name: getattr(row, name) for name in TransactionRow.__dataclass_fields__}
        async with self._database.write() as connection:
            await upsert(connection, transactions, [values])

    async def find(self, chain_id: int, sender: bytes, key: bytes) -> TransactionRow | None:
        found = await self._where(chain_id, sender, transactions.c.key == key)
        return found[0] if found else None

    async def unfinished(self, chain_id: int, sender: bytes) -> list[TransactionRow]:
        """All that may still move, oldest first."""
        return await self._where(chain_id, sender, transactions.c.finished.is_(False))

    async def from_nonce(self, chain_id: int, sender: bytes, nonce: int) -> list[TransactionRow]:
        """All with this nonce or a higher one, finished or not."""
        return await self._where(chain_id, sender, transactions.c.nonce >= nonce)

    async def _where(self, chain_id: int, sender: bytes, more: ColumnElement[bool]) -> list[TransactionRow]:
        mine = and_(transactions.c.chain_id == chain_id, transactions.c.sender == sender, more)
        order = (transactions.c.created_at, transactions.c.nonce, transactions.c.key)
        async with self._database.read() as connection:
            rows = await connection.execute(select(transactions).where(mine).order_by(*order))
            return [TransactionRow(**row._mapping) for row in rows]
