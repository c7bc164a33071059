"""The sender's transactions in the node's database."""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger.transaction import Transaction
from node.storage.transactions import TransactionRow, TransactionRows

__all__ = ["StoredTransactions"]


class StoredTransactions:
    """A TransactionStore on the `transactions` table. Reading raises ValueError for a document that is damaged."""

    def __init__(self, rows: TransactionRows) -> None:
        self._rows = rows

    async def admit(self, fresh: Transaction) -> Transaction:
        known = await self._rows.admit(_row(fresh))
        return fresh if known is None else Transaction.from_json(known.document)

    async def save(self, transactions: Sequence[Transaction]) -> None:
        await self._rows.save([_row(tx) for tx in transactions])

    async def find(self, chain_id: int, sender: bytes, key: bytes) -> Transaction | None:
        row = await self._rows.find(chain_id, sender, key)
        return None if row is None else Transaction.from_json(row.document)

    async def unfinished(self, chain_id: int, sender: bytes) -> Sequence[Transaction]:
        rows = await self._rows.unfinished(chain_id, sender)
        found = [Transaction.from_json(row.document) for row in rows]
        return sorted(found, key=lambda tx: (tx.order, tx.created_at, tx.key))

    async def finished_from(self, chain_id: int, sender: bytes, nonce: int) -> Sequence[Transaction]:
        return [Transaction.from_json(row.document) for row in await self._rows.finished_from(chain_id, sender, nonce)]

    async def newest_finished_nonce(self, chain_id: int, sender: bytes) -> int | None:
        return await self._rows.newest_finished_nonce(chain_id, sender)


def _row(transaction: Transaction) -> TransactionRow:
    return TransactionRow(
        chain_id=transaction.chain_id,
        sender=transaction.sender,
        key=transaction.key,
        nonce=transaction.nonce,
        status=transaction.state.value,
        finished=transaction.finished,
        created_at=transaction.created_at,
        document=transaction.to_json(),
    )
