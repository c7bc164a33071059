"""One transaction of the sender, from queued to final. Frozen; every step returns a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from node.ledger.reverts import Reason

__all__ = ["Attempt", "Call", "Inclusion", "Transaction", "TxState"]


class TxState(StrEnum):
    """Where a transaction is.

    queued -> sent -> mined -> final; mined -> sent after a reorganisation; sent -> queued when somebody else used the
    nonce; queued -> refused when the contract would not accept it or it was cancelled; mined -> refused when what was
    mined is the cancellation; final or refused -> sent only after a reorganisation below finality.

    One that shares a transaction with others is gathered -> carried -> mined -> final (or refused, when its item was
    rejected); it has no nonce of its own. Alone after all, or refused by the batch as a whole: -> queued.
    """

    GATHERED = "gathered"
    CARRIED = "carried"
    QUEUED = "queued"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    REFUSED = "refused"


ALLOWED: Mapping[TxState, frozenset[TxState]] = {
    TxState.GATHERED: frozenset({TxState.CARRIED, TxState.QUEUED, TxState.REFUSED}),
    TxState.CARRIED: frozenset({TxState.MINED, TxState.QUEUED}),
    TxState.QUEUED: frozenset({TxState.SENT, TxState.REFUSED}),
    TxState.SENT: frozenset({TxState.SENT, TxState.MINED, TxState.QUEUED}),
    TxState.MINED: frozenset({TxState.MINED, TxState.SENT, TxState.FINAL, TxState.REFUSED, TxState.CARRIED}),
    TxState.FINAL: frozenset({TxState.SENT, TxState.CARRIED}),
    TxState.REFUSED: frozenset({TxState.QUEUED, TxState.SENT, TxState.GATHERED, TxState.CARRIED}),
}


@dataclass(frozen=True, slots=True)
class Call:
    """What is to happen: a call of ``to`` (bytes20) with ``data``.

    ``gas`` is the limit when the endpoint does not estimate, ``least_gas`` the limit that an estimate never lowers,
    ``known_gas`` a limit that needs no estimate (0: ask). ``item`` is the same call as a part of a batch, if it can be.
    """

    to: bytes
    data: bytes
    value: int = 0
    gas: int = 500_000
    least_gas: int = 0
    known_gas: int = 0
    item: bytes = b""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed version: ``raw`` bytes, their hash, the fees in wei per gas, the time of first broadcast.

    ``cancels``: it does not carry the call but moves nothing to the sender itself, to take the nonce.
    """

    hash: bytes
    raw: bytes
    max_fee: int
    priority_fee: int
    sent_at: int
    cancels: bool = False


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where it was mined: block, hash of the version that won, gas used and price paid (wei), whether it succeeded."""

    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    gas_used: int
    gas_price: int
    ok: bool


@dataclass(frozen=True, slots=True)
class Transaction:
    """``key`` (bytes32) makes it unique: the digest of the message. ``reason`` is the decoded refusal, if any.

    ``order`` is the place in the queue, which a restart keeps. ``carrier`` is the key of the batch that carries it,
    ``members`` are the keys of those that a batch carries.
    """

    key: bytes
    chain_id: int
    sender: bytes
    call: Call
    created_at: int
    state: TxState = TxState.QUEUED
    nonce: int | None = None
    gas: int = 0
    attempts: tuple[Attempt, ...] = ()
    inclusion: Inclusion | None = None
    reason: Reason | None = None
    order: int = 0
    carrier: bytes | None = None
    members: tuple[bytes, ...] = ()

    def to(self, state: TxState, **changes: Any) -> Transaction:
        """Return the transaction in the next state. Raises ValueError for a move that does not exist."""
        if state not in ALLOWED[self.state]:
            raise ValueError(f"a transaction does not go from {self.state} to {state}")
        return replace(self, state=state, **changes)

    @property
    def latest(self) -> Attempt | None:
        """The newest signed version."""
        return self.attempts[-1] if self.attempts else None

    @property
    def finished(self) -> bool:
        """Tell whether nothing more happens to it, short of a reorganisation below finality."""
        return self.state in (TxState.FINAL, TxState.REFUSED)

    @property
    def cancelling(self) -> bool:
        """Tell whether its newest version takes the nonce without doing anything."""
        return bool(self.attempts) and self.attempts[-1].cancels

    @property
    def cancelled(self) -> bool:
        """Tell whether the version in the block is a cancellation."""
        found = self.inclusion
        return found is not None and any(a.cancels for a in self.attempts if a.hash == found.transaction_hash)

    @property
    def succeeded(self) -> bool:
        """Tell whether the call is in a block and did not revert."""
        return self.inclusion is not None and self.inclusion.ok and not self.cancelled

    @property
    def cost(self) -> int:
        """The most wei that it can take while it is out."""
        latest = self.latest
        return 0 if latest is None else self.gas * latest.max_fee + (0 if latest.cancels else self.call.value)
