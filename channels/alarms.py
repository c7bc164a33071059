"""What a reader reports when the log does not add up. Values, not exceptions: each carries the bytes that prove it.

`evidence` holds whole messages (envelopes, commits, checkpoints) as they were received, so that another party can
check the claim with the stream's public keys alone where signatures exist. An alarm accuses nobody: drop, reorder and
replay are within reach of any relay; a fork needs the writer, a second copy of it, or (where envelopes carry no
signature) a member.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "Alarm",
    "Damaged",
    "Dropped",
    "Forked",
    "MissingCheckpoint",
    "Reordered",
    "Replayed",
    "StaleEpoch",
    "TooManyLeaves",
    "WrongChainHash",
]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Envelopes `first_seq..last_seq` (inclusive) are missing; `evidence` is the message that shows it."""

    first_seq: int
    last_seq: int
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """A message that was taken before came again."""

    seq: int
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reordered:
    """An envelope came after later ones; it fits its place and was taken."""

    seq: int
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Forked:
    """Two messages claim one place: two commits with one predecessor, two envelopes with one seq, or a checkpoint
    that signs another chain than the one received. `kind` is `commit`, `envelope` or `checkpoint`; `place` the epoch
    or seq.
    """

    kind: str
    place: int
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StaleEpoch:
    """Data under an epoch older than an on-chain revocation by more than the agreed delay."""

    epoch: int
    slot: int
    revoked_at: int
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MissingCheckpoint:
    """No signed checkpoint covers the slot although its end is more than the agreed delay ago."""

    epoch: int
    slot: int
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class WrongChainHash:
    """A correctly signed commit whose hash is not the one on chain."""

    epoch: int
    chain_hash: bytes
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class TooManyLeaves:
    """A commit with more live leaves than the owner and the grants on chain: somebody reads without a grant."""

    epoch: int
    n_live: int
    allowed: int
    evidence: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes that are no message of this stream, or fail their tag or signature; `reason` says which."""

    reason: str
    evidence: tuple[bytes, ...]


Alarm: TypeAlias = (
    Dropped | Replayed | Reordered | Forked | StaleEpoch | MissingCheckpoint | WrongChainHash | TooManyLeaves | Damaged
)
