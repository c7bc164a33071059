"""What the ledger needs from the rest of the node, as narrow protocols: stored headers, stored transactions, events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

from node.ledger.transaction import Transaction
from node.ledger.wire import RawLog

__all__ = ["NOTHING", "BudgetKeeper", "HeaderLike", "HeaderStore", "LogDecoder", "TransactionStore"]

E_co = TypeVar("E_co", covariant=True)

NOTHING: Final[Mapping[bytes, Transaction]] = MappingProxyType({})


class HeaderLike(Protocol):
    """One stored header; bytes32 hashes, timestamp in seconds UTC."""

    @property
    def number(self) -> int: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def parent(self) -> bytes: ...
    @property
    def timestamp(self) -> int: ...


class HeaderStore(Protocol):
    """The header window. Saving is the consumer's part, in the transaction that also applies the batch's events."""

    async def load_headers(self) -> Sequence[HeaderLike]:
        """Return what is stored, oldest first; the newest is the cursor."""
        ...


class LogDecoder(Protocol[E_co]):
    """Turns raw logs of one contract into events of the projection."""

    @property
    def topics(self) -> frozenset[bytes]:
        """The event signatures (topic 0) that this decoder knows."""
        ...

    def decode(self, log: RawLog) -> E_co | None:
        """Return the event; None for a log that this version does not know, or that does not parse."""
        ...


class TransactionStore(Protocol):
    """The sender's memory. What writes is durable when it returns: nothing is broadcast before it was saved."""

    async def admit(self, fresh: Transaction) -> Transaction:
        """Insert it, or return what is stored under (chain id, sender, key). Calls at one time share a commit."""
        ...

    async def save(self, transactions: Sequence[Transaction], known: Mapping[bytes, Transaction] = NOTHING) -> None:
        """Insert or replace by (chain id, sender, key), all of them or none.

        ``known`` is what is stored under some of the keys: what never changes need not be written again.
        """
        ...

    async def find(self, chain_id: int, sender: bytes, key: bytes) -> Transaction | None:
        """Return one transaction by its key (bytes32, the message digest)."""
        ...

    async def unfinished(self, chain_id: int, sender: bytes) -> Sequence[Transaction]:
        """Return everything of this sender that is neither final nor refused, in the order of the queue."""
        ...

    async def finished_from(self, chain_id: int, sender: bytes, nonce: int) -> Sequence[Transaction]:
        """Return what is final or refused and has this nonce or a higher one."""
        ...

    async def newest_finished_nonce(self, chain_id: int, sender: bytes) -> int | None:
        """Return the highest nonce of what is final or refused."""
        ...


class BudgetKeeper(Protocol):
    """Who may use the relay, and how often a day."""

    async def spend(self, signer: bytes, kind: str, digest: bytes) -> None:
        """Count one relayed message of this signer. Raises RelayBudgetSpent, or Refused for somebody unknown."""
        ...
