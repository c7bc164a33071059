"""A stream's fixed parameters and its slots: seconds in, slot numbers out (channels.md 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from channels.errors import EmptyInterval, UsageError
from keys.messages import Domain
from keys.stream_key import ED25519_PUBLIC_SIZE, STREAM_PUBLIC_SIZES

__all__ = ["LAST_SLOT", "OPEN_END", "OPEN_SLOT", "FormerWriter", "StreamParams"]

OPEN_END = 2**40 - 1  # `end` of an open-ended grant on chain, seconds
OPEN_SLOT = 2**32 - 2  # end slot of an open-ended leaf; one value above marks a leaf that is not live
LAST_SLOT = OPEN_SLOT - 1  # the last slot that can be sealed
_MIN_SLOT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class FormerWriter:
    """A writer that SetWriter has replaced: what it signed counts up to `last_epoch`, and nothing after."""

    writer: bytes
    stream_public: bytes
    last_epoch: int


@dataclass(frozen=True, slots=True)
class StreamParams:
    """What the chain says about one stream, and whether every envelope carries a signature.

    sid 32 bytes; genesis seconds UTC; slot_seconds >= 60; domain of the registry; writer the 20-byte address that
    signs commits; stream_public the public stream key, whose Ed25519 half (32 bytes) signs checkpoints and capsules and
    whose ML-DSA-65 half (1,952 bytes behind it, or nothing) signs commits and checkpoints as well; empty while nobody
    has told the present writer's, of whom nothing is believed then. `former`: writers before this one, the earliest
    first.
    """

    sid: bytes
    genesis: int
    slot_seconds: int
    domain: Domain
    writer: bytes
    stream_public: bytes
    signed_envelopes: bool = False
    former: tuple[FormerWriter, ...] = ()

    def __post_init__(self) -> None:
        if len(self.sid) != 32 or len(self.writer) != 20 or len(self.stream_public) not in (0, *STREAM_PUBLIC_SIZES):
            raise UsageError("sid has 32 bytes, writer 20, stream key 32, or 1,984 with its ML-DSA-65 half")
        if self.slot_seconds < _MIN_SLOT_SECONDS or self.genesis < 0:
            raise UsageError(f"a slot lasts at least {_MIN_SLOT_SECONDS} s and genesis is not negative")

    @property
    def ed25519_public(self) -> bytes:
        """The Ed25519 half of the stream key, 32 bytes."""
        return self.stream_public[:ED25519_PUBLIC_SIZE]

    @property
    def ml_dsa_public(self) -> bytes:
        """The ML-DSA-65 half of the stream key; empty where the stream asks for no second signature."""
        return self.stream_public[ED25519_PUBLIC_SIZE:]

    def keyed(self, epoch: int) -> bool:
        """Whether the stream key of an epoch's writer is known."""
        return bool(self.at(epoch).stream_public)

    def at(self, epoch: int) -> StreamParams:
        """The parameters as they were in an epoch: its writer and its stream key."""
        for past in self.former:
            if epoch <= past.last_epoch:
                return replace(self, writer=past.writer, stream_public=past.stream_public, former=())
        return self

    def slot_of(self, at: int) -> int:
        """The slot of second `at`; UsageError before genesis or after the last slot."""
        slot = (at - self.genesis) // self.slot_seconds
        if not 0 <= slot <= LAST_SLOT:
            raise UsageError(f"second {at} is outside the stream's slots")
        return slot

    def clamped_slot(self, at: int) -> int:
        """As `slot_of`, but -1 before genesis and the last slot after it: for comparing clocks that may be wrong."""
        return max(-1, min((at - self.genesis) // self.slot_seconds, LAST_SLOT))

    def slot_start(self, slot: int) -> int:
        """The first second of `slot`."""
        return self.genesis + slot * self.slot_seconds

    def slot_end(self, slot: int) -> int:
        """One past the last second of `slot`."""
        return self.genesis + (slot + 1) * self.slot_seconds

    def granted_slots(self, start: int, end: int) -> tuple[int, int]:
        """`[ceil((start - genesis) / slot), floor((end - genesis) / slot))`, the whole slots of a grant.

        `end` = 2**40 - 1 is open-ended and gives `OPEN_SLOT`. EmptyInterval when no whole slot is covered.
        """
        first = max(0, -((self.genesis - start) // self.slot_seconds))
        last = OPEN_SLOT if end == OPEN_END else min(OPEN_SLOT, (end - self.genesis) // self.slot_seconds)
        if first >= last:
            raise EmptyInterval("the grant covers no whole slot")
        return first, last
