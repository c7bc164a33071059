"""The stores of the ledger in memory: for tests, dry runs and programs that only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from node.ledger.batch import ChainBatch
from node.ledger.headers import Header
from node.ledger.ports import NOTHING
from node.ledger.transaction import Transaction

__all__ = ["MemoryHeaders", "MemoryTransactions"]


class MemoryTransactions:
    """A TransactionStore that forgets when the process ends."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, bytes, bytes], Transaction] = {}

    async def admit(self, fresh: Transaction) -> Transaction:
        return self._rows.setdefault((fresh.chain_id, fresh.sender, fresh.key), fresh)

    async def save(self, transactions: Sequence[Transaction], known: Mapping[bytes, Transaction] = NOTHING) -> None:
        self._rows.update({(tx.chain_id, tx.sender, tx.key): tx for tx in transactions})

    async def find(self, chain_id: int, sender: bytes, key: bytes) -> Transaction | None:
        return self._rows.get((chain_id, sender, key))

    async def unfinished(self, chain_id: int, sender: bytes) -> Sequence[Transaction]:
        found = [tx for tx in self._of(chain_id, sender) if not tx.finished]
        return sorted(found, key=lambda tx: (tx.order, tx.created_at, tx.key))

    async def finished_from(self, chain_id: int, sender: bytes, nonce: int) -> Sequence[Transaction]:
        return [tx for tx in self._of(chain_id, sender) if tx.finished and tx.nonce is not None and tx.nonce >= nonce]

    async def newest_finished_nonce(self, chain_id: int, sender: bytes) -> int | None:
        nonces = [tx.nonce for tx in self._of(chain_id, sender) if tx.finished and tx.nonce is not None]
        return max(nonces, default=None)

    def _of(self, chain_id: int, sender: bytes) -> list[Transaction]:
        return [tx for (chain, who, _), tx in self._rows.items() if (chain, who) == (chain_id, sender)]


class MemoryHeaders:
    """A HeaderStore that applies batches as their consumer should."""

    def __init__(self) -> None:
        self._headers: dict[int, Header] = {}

    async def load_headers(self) -> Sequence[Header]:
        return [self._headers[number] for number in sorted(self._headers)]

    def apply(self, batch: ChainBatch[Any]) -> None:
        """Forget what was rolled back, keep what was added, drop what left the window."""
        rolled_back = batch.rollback_to
        if rolled_back is not None:
            self._headers = {n: h for n, h in self._headers.items() if n <= rolled_back}
        self._headers.update({header.number: header for header in batch.headers})
        self._headers = {n: h for n, h in self._headers.items() if n >= batch.keep_from}
