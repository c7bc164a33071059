"""The transactions that may still move, found by key, nonce and block. No I/O; each step costs O(log n) or less."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import islice

from node.ledger.transaction import Transaction, TxState

__all__ = ["TransactionBook"]

# A block as a transaction was found in it: height and hash (bytes32).
BlockKey = tuple[int, bytes]


class TransactionBook:
    """What one sender has open. ``put`` replaces by key and drops what is finished.

    ``promised`` is what can still be taken at most, in wei, for what is out and whose nonce the chain has not used.
    ``floor`` is the lowest nonce that no finished transaction has used; only a reorganisation below finality lowers it.
    """

    def __init__(self, transactions: Iterable[Transaction] = (), floor: int = 0) -> None:
        self.promised = 0
        self.floor = floor
        self._all: dict[bytes, Transaction] = {}
        self._queued: dict[bytes, None] = {}
        self._gathered: dict[bytes, None] = {}
        self._gathered_for: dict[bytes, dict[bytes, None]] = {}
        self._sent: dict[int, bytes] = {}
        self._used: dict[int, bytes] = {}
        self._heap: list[int] = []
        self._nonces: dict[int, bytes] = {}
        self._blocks: dict[BlockKey, dict[bytes, None]] = {}
        self._base = 0
        self._hint = 0
        self._highest = 0
        for tx in transactions:
            self.put(tx)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def out(self) -> int:
        """How many are sent and in no block that we know of."""
        return len(self._sent) + len(self._used)

    @property
    def waiting(self) -> int:
        """How many are gathered, queued or sent."""
        return len(self._gathered) + len(self._queued) + self.out

    def gathered(self, to: bytes = b"") -> Iterator[Transaction]:
        """Those that wait for others, in the order of their coming; those of one contract only."""
        return (self._all[key] for key in (self._gathered_for.get(to, ()) if to else self._gathered))

    def any_gathered(self, to: bytes = b"") -> bool:
        """Tell whether any waits for others, of one contract only."""
        return to in self._gathered_for if to else bool(self._gathered)

    def unplaced(self) -> list[Transaction]:
        """Return those that no block has."""
        return [tx for tx in self._all.values() if tx.inclusion is None]

    def carried(self) -> set[bytes]:
        """Return the carriers that open ones name."""
        return {tx.carrier for tx in self._all.values() if tx.carrier is not None}

    @property
    def blocks(self) -> Mapping[BlockKey, Iterable[bytes]]:
        """The blocks that hold ours which are not final yet, with the keys in each."""
        return self._blocks

    def queued(self, limit: int) -> list[Transaction]:
        """Return at most ``limit`` that wait for a nonce, in the order of their coming."""
        return [self._all[key] for key in islice(self._queued, limit)]

    @property
    def any_queued(self) -> bool:
        return bool(self._queued)

    def get(self, key: bytes) -> Transaction | None:
        return self._all.get(key)

    def holds_nonce(self, nonce: int) -> bool:
        """Tell whether one that is sent or mined has this nonce."""
        return nonce in self._nonces

    def put(self, tx: Transaction) -> None:
        """Insert or replace by key."""
        before = self._all.pop(tx.key, None)
        if before is not None:
            self._leave(before)
        if tx.finished:
            if tx.nonce is not None:
                self.floor = max(self.floor, tx.nonce + 1)
            return
        self._all[tx.key] = tx
        if tx.state is TxState.QUEUED:
            self._queued[tx.key] = None
            return
        if tx.state is TxState.GATHERED:
            self._gathered[tx.key] = None
            self._gathered_for.setdefault(tx.call.to, {})[tx.key] = None
        if tx.nonce is None:  # carried by another one, which has the nonce
            return
        nonce = self._nonce(tx)
        self._nonces[nonce] = tx.key
        if tx.state is TxState.SENT:
            self._sent[nonce] = tx.key
            self._highest = max(self._highest, nonce)
            heappush(self._heap, nonce)
            self.promised += tx.cost
        elif tx.inclusion is not None:
            self._blocks.setdefault((tx.inclusion.block_number, tx.inclusion.block_hash), {})[tx.key] = None

    def _leave(self, tx: Transaction) -> None:
        if tx.state is TxState.QUEUED:
            del self._queued[tx.key]
            return
        if tx.state is TxState.GATHERED:
            del self._gathered[tx.key]
            del self._gathered_for[tx.call.to][tx.key]
            if not self._gathered_for[tx.call.to]:
                del self._gathered_for[tx.call.to]
        if tx.nonce is None:
            return
        nonce = self._nonce(tx)
        del self._nonces[nonce]
        self._hint = min(self._hint, nonce)
        if tx.state is TxState.SENT:
            if self._sent.pop(nonce, None) is not None:
                self.promised -= tx.cost
            self._used.pop(nonce, None)
        elif tx.inclusion is not None:
            place = (tx.inclusion.block_number, tx.inclusion.block_hash)
            self._blocks[place].pop(tx.key)
            if not self._blocks[place]:
                del self._blocks[place]

    @staticmethod
    def _nonce(tx: Transaction) -> int:
        if tx.nonce is None:
            raise ValueError(f"a transaction that is {tx.state} has a nonce")
        return tx.nonce

    def used(self, nonce: int) -> list[Transaction]:
        """Return those sent whose nonce the chain has used: ``nonce`` is the next one that it takes."""
        for returned in [n for n in self._used if n >= nonce]:  # a reorganisation gave them back
            self._sent[returned] = self._used.pop(returned)
            heappush(self._heap, returned)
            self.promised += self._all[self._sent[returned]].cost
        while self._heap and self._heap[0] < nonce:
            lowest = heappop(self._heap)
            key = self._sent.pop(lowest, None)
            if key is not None:
                self._used[lowest] = key
                self.promised -= self._all[key].cost  # the balance shows it already
        return [self._all[key] for key in self._used.values()]

    def lowest(self) -> Transaction | None:
        """Return the sent one with the lowest nonce that the chain has not used, as of the last ``used``."""
        while self._heap and self._heap[0] not in self._sent:
            heappop(self._heap)
        return self._all[self._sent[self._heap[0]]] if self._heap else None

    def sent_from(self, nonce: int, limit: int) -> list[Transaction]:
        """Return at most ``limit`` sent ones with consecutive nonces from ``nonce`` on."""
        found = []
        for number in range(nonce, nonce + limit):
            key = self._sent.get(number)
            if key is None:
                break
            found.append(self._all[key])
        return found

    @property
    def last_nonce(self) -> int | None:
        """A nonce that no sent one exceeds; None when the chain has used all that is out, as of the last ``used``."""
        return self._highest if self._sent else None

    def free_nonces(self, chain_nonce: int) -> Iterator[int]:
        """Yield the nonces from ``chain_nonce`` and ``floor`` on that none of ours has, lowest first."""
        start = max(chain_nonce, self.floor)
        if start < self._base:
            self._hint = start
        self._base = start
        self._hint = max(self._hint, start)
        while self._hint in self._nonces:
            self._hint += 1
        nonce = self._hint
        while True:
            if nonce not in self._nonces:
                yield nonce
            nonce += 1
