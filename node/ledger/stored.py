"""The sender's transactions in the node's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.ledger.document import read, row_of
from node.ledger.ports import NOTHING
from node.ledger.transaction import Transaction
from node.storage.transactions import TransactionRows

__all__ = ["StoredTransactions"]


class StoredTransactions:
    """A TransactionStore on the `transactions` table. Reading raises ValueError for a row that is damaged."""

    def __init__(self, rows: TransactionRows) -> None:
        self._rows = rows
        self._whole: set[bytes] = set()
        """Keys of unfinished rows that an older program wrote beside this one's tables: their call is stored nowhere
        else yet."""

    async def admit(self, fresh: Transaction) -> Transaction:
        known = await self._rows.admit(row_of(fresh))
        return fresh if known is None else read(known)

    async def save(self, transactions: Sequence[Transaction], known: Mapping[bytes, Transaction] = NOTHING) -> None:
        rows = [row_of(tx, None if tx.key in self._whole else known.get(tx.key)) for tx in transactions]
        await self._rows.save(rows)
        self._whole.difference_update(tx.key for tx in transactions)

    async def find(self, chain_id: int, sender: bytes, key: bytes) -> Transaction | None:
        row = await self._rows.find(chain_id, sender, key)
        return None if row is None else read(row)

    async def unfinished(self, chain_id: int, sender: bytes) -> Sequence[Transaction]:
        rows = await self._rows.unfinished(chain_id, sender)
        found = [read(row) for row in rows]
        self._whole = {row.key for row in rows if row.call is None}
        return sorted(found, key=lambda tx: (tx.order, tx.created_at, tx.key))

    async def finished_from(self, chain_id: int, sender: bytes, nonce: int) -> Sequence[Transaction]:
        return [read(row) for row in await self._rows.finished_from(chain_id, sender, nonce)]

    async def newest_finished_nonce(self, chain_id: int, sender: bytes) -> int | None:
        return await self._rows.newest_finished_nonce(chain_id, sender)
