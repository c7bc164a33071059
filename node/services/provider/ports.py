"""What reading a stream needs from the rest of the node, as narrow protocols, and what it shows of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from channels.follower import ChainFacts
from channels.stores.base import LogStore, ReaderStore
from keys.sealing import SealingKey
from node.clock import Clock
from node.services.provider.common import Common

__all__ = ["AskPort", "FactsPort", "KeyPort", "MembershipStatus", "Ports", "ReaderLog"]


class ReaderLog(LogStore, ReaderStore, Protocol):
    """The channel store as a reader sees it."""


class FactsPort(Protocol):
    """The reader's own view of the chain."""

    async def facts(self, sid: bytes, first_epoch: int) -> ChainFacts:
        """Commit hashes from `first_epoch` on and live grants, as the chain shows them now."""
        ...


class KeyPort(Protocol):
    """The private key that a capsule is sealed to."""

    @property
    def lasting(self) -> bool:
        """Whether the key stays after its capsule was taken: then its absence cannot tell that the state was lost."""
        ...

    def key(self, *, resync: bool) -> tuple[SealingKey, bytes] | None:
        """The key of a Resync with the 32-byte id of its request, or that of a Welcome with zero; None once deleted."""
        ...

    def renew(self) -> tuple[bytes, bytes]:
        """A fresh key for a Resync, kept: its request id (32 bytes) and public key (1,216 bytes)."""
        ...

    async def delete(self) -> None:
        """The capsule was taken: nobody, this node included, can open it again."""
        ...


class AskPort(Protocol):
    """Signed requests to the writer (channels.md 7). Each returns when the broker has the request, not the answer."""

    async def envelopes(self, first_seq: int, last_seq: int) -> None:
        """Envelopes by sequence number, both ends included."""
        ...

    async def history(self, first_slot: int) -> None:
        """Everything from a slot on."""
        ...

    async def commits(self, first_epoch: int, last_epoch: int) -> None:
        """Commits by epoch, both ends included."""
        ...

    async def resync(self, since_epoch: int, request_id: bytes, public: bytes) -> None:
        """A new capsule for a member whose state is lost; at most four a day are answered."""
        ...

    async def receipt(self, epoch: int) -> None:
        """The capsule of this epoch was taken; the writer clears it at the broker."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The rest of the node, as far as a reader needs it; `common` is the same one for all readers of a stream."""

    store: ReaderLog
    facts: FactsPort
    key: KeyPort
    ask: AskPort
    clock: Clock
    common: Common = field(default_factory=Common)


@dataclass(frozen=True, slots=True)
class MembershipStatus:
    """How reading goes."""

    epoch: int
    removed_in: int
    next_seq: int
    held: int
    opened: int
