"""What transaction pools say when they do not take a transaction. Every client words it differently."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["PoolAnswer", "pool_answer"]


class PoolAnswer(Enum):
    """KNOWN: it is there already. STALE: the nonce is used. CHEAP: fees too low. POOR: the balance is too low.

    FULL: no room now, or not for a nonce so far ahead.
    """

    KNOWN = auto()
    STALE = auto()
    CHEAP = auto()
    POOR = auto()
    FULL = auto()
    OTHER = auto()


# geth, Erigon, Nethermind, Besu, Reth and anvil; the first match counts.
_WORDS = (
    (
        PoolAnswer.FULL,
        (
            "pool is full",
            "txpool_full",
            "txpoolfull",
            "too many pending",
            "exceeds the account",
            "nonce too high",
            "nonce gap",
            "gapped-nonce",
            "too_far_in_future",
            "future transaction tries",
            "pool limit",
            "rate limit",
        ),
    ),
    (PoolAnswer.CHEAP, ("underpriced", "fee too low", "less than block base fee", "below base fee", "feetoolow")),
    (PoolAnswer.KNOWN, ("already known", "already imported", "alreadyknown", "known transaction", "already exists")),
    (PoolAnswer.STALE, ("nonce too low", "nonce_too_low", "oldnonce", "nonce is too low")),
    (PoolAnswer.POOR, ("insufficient funds", "insufficientfunds", "insufficient balance", "upfront_cost_exceeds")),
)


def pool_answer(reason: str) -> PoolAnswer:
    """Return what a refusal of ``eth_sendRawTransaction`` means."""
    text = reason.lower()
    for answer, words in _WORDS:
        if any(word in text for word in words):
            return answer
    return PoolAnswer.OTHER
