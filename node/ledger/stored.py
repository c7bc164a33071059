"""The sender's transactions in the node's database."""

from __future__ import annotations

from collections.abc import Sequence

from node.ledger.transaction import Transaction, TxState
from node.storage.transactions import TransactionRow, TransactionRows

__all__ = ["StoredTransactions"]

_DONE = frozenset({TxState.FINAL, TxState.REFUSED})


class StoredTransactions:
    """A TransactionStore on the `transactions` table. Reading raises ValueError for a document that is damaged."""

    def __init__(self, rows: TransactionRows) -> None:
        self._rows = rows

    async def save(self, transaction: Transaction) -> None:
        await self._rows.save(
            TransactionRow(
                chain_id=transaction.chain_id,
                sender=transaction.sender,
                key=transaction.key,
                nonce=transaction.nonce,
                status=transaction.state.value,
                finished=transaction.state in _DONE,
                created_at=transaction.created_at,
                document=transaction.to_json(),
            )
        )

    async def find(self, chain_id: int, sender: bytes, key: bytes) -> Transaction | None:
        row = await self._rows.find(chain_id, sender, key)
        return None if row is None else Transaction.from_json(row.document)

    async def unfinished(self, chain_id: int, sender: bytes) -> Sequence[Transaction]:
        return [Transaction.from_json(row.document) for row in await self._rows.unfinished(chain_id, sender)]

    async def from_nonce(self, chain_id: int, sender: bytes, nonce: int) -> Sequence[Transaction]:
        return [Transaction.from_json(row.document) for row in await self._rows.from_nonce(chain_id, sender, nonce)]
