"""Errors of the channels package.

ChannelError
├── FormatError                 bytes that are not the one canonical encoding (the sender's fault)
│   └── UnknownVersion          a version this program does not speak
├── RejectedError               well-formed but not authentic or not consistent; `.alarm` holds the evidence
│   ├── SignatureRejected       a signature that is not the writer's or the stream key's
│   ├── CommitRejected          a commit that contradicts its predecessor, the chain or its own keys
│   ├── CapsuleRejected         a Welcome, History or Resync that does not open or is too old
│   ├── EnvelopeRejected        an envelope that fails its tag, its chain or its signature
│   ├── CheckpointRejected      a checkpoint that contradicts the key it names
│   └── TwinForked              two entries of a digital twin that one honest author never writes (`.entries`)
├── NotReadable                 this reader has no key, by design
│   ├── NoKey                   epoch or slot outside everything it was given
│   └── ReaderRemoved           its leaf was removed; later epochs are closed to it
├── NotYet                      recoverable: the same call may succeed later
│   ├── CommitNotOnChain        the chain does not show this epoch yet
│   ├── CommitGap               earlier commits are missing
│   └── TwinGap                 earlier entries of one author are missing (`.author`, `.first`, `.last`)
├── GateRefused                 the writer may not seal now; nothing was sealed
│   ├── LeafRevoked             a revocation is known and not yet committed and included
│   ├── LeafExpired             a live leaf whose grant has ended (`.leaf`)
│   ├── LeafNotStarted          a live leaf whose grant has not begun (`.leaf`)
│   ├── SlotClosed              the slot is before the epoch's first one, or past a pending commit's
│   ├── EpochNotActive          no epoch is included on chain yet
│   ├── ClockSkew               meter, gateway and block time disagree: the reading is set aside
│   └── ChainSilent             the chain was not seen for too long: seal to yourself, publish nothing
├── UsageError                  the caller's fault
│   ├── EmptyInterval           a grant that covers no whole slot
│   ├── LeafError               a leaf that is not live, live already, or out of range
│   ├── CommitTooLarge          more changes than the counters of one commit hold: split them
│   └── StalePrepared           a prepared commit that does not follow the present state
├── StateError                  fatal: stored state cannot be used
│   ├── SnapshotInvalid         a snapshot that does not decode
│   ├── RebuildMismatch         the log does not re-make from the masters
│   └── EpochErased             the epoch's secret was destroyed
├── StoreError                 a channel store could not do what was asked
│   ├── StoreKeyWrong          fatal: the store was sealed with another key, or a sealed value was altered
│   │   └── StoreKeyGone       the value's own key was destroyed: it is erased
│   ├── StoreSchemaError       fatal: the store was written by a newer program, or is not a channel store
│   ├── StoreConflict          caller's fault: another value stands where this one should go (a fork is evidence)
│   ├── StoreNotFound          caller's fault: the named row does not exist
│   └── StoreUnavailable       recoverable: the database cannot be reached, is full or stayed locked
├── TransportError             a transport could not carry what was asked
│   ├── TransportClosed        caller's fault: used before start or after stop
│   ├── TransportRefused       fatal until the configuration changes: the broker said no
│   └── PayloadTooLarge        caller's fault: more bytes than one message may have
└── GuardError                 one writer per stream: sealing would be unsafe (channels.md 4, rule 10)
    ├── FolderLocked           another process holds the data folder
    ├── HighWaterMissing       the high-water file is not there
    ├── HighWaterDamaged       the high-water file cannot be read
    ├── HighWaterBehind        caller's fault: a mark that does not go forward
    └── ForeignWriter          another instance writes the stream; carries the evidence
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from channels.alarms import Alarm

__all__ = [
    "CapsuleRejected",
    "ChainSilent",
    "ChannelError",
    "CheckpointRejected",
    "ClockSkew",
    "CommitGap",
    "CommitNotOnChain",
    "CommitRejected",
    "CommitTooLarge",
    "EmptyInterval",
    "EnvelopeRejected",
    "EpochErased",
    "EpochNotActive",
    "FolderLocked",
    "ForeignWriter",
    "FormatError",
    "GateRefused",
    "GuardError",
    "HighWaterBehind",
    "HighWaterDamaged",
    "HighWaterMissing",
    "LeafError",
    "LeafExpired",
    "LeafNotStarted",
    "LeafRevoked",
    "NoKey",
    "NotReadable",
    "NotYet",
    "PayloadTooLarge",
    "ReaderRemoved",
    "RebuildMismatch",
    "RejectedError",
    "SignatureRejected",
    "SlotClosed",
    "SnapshotInvalid",
    "StalePrepared",
    "StateError",
    "StoreConflict",
    "StoreError",
    "StoreKeyGone",
    "StoreKeyWrong",
    "StoreNotFound",
    "StoreSchemaError",
    "StoreUnavailable",
    "TransportClosed",
    "TransportError",
    "TransportRefused",
    "TwinForked",
    "TwinGap",
    "UnknownVersion",
    "UsageError",
]


class ChannelError(Exception):
    """Root of everything this package raises."""


class FormatError(ChannelError):
    """Bytes that are not the one canonical encoding."""


class UnknownVersion(FormatError):
    """A version this program does not speak; never guessed at."""


class RejectedError(ChannelError):
    """Well-formed but false. `alarm` carries the evidence where there is something to prove."""

    def __init__(self, message: str, alarm: Alarm | None = None) -> None:
        super().__init__(message)
        self.alarm = alarm


class SignatureRejected(RejectedError):
    """Not signed by the key that the chain names."""


class CommitRejected(RejectedError):
    """A commit that contradicts its predecessor, the chain or its own keys."""


class CapsuleRejected(RejectedError):
    """A capsule that does not open, is bound to something else, or is not newer than the reader."""


class EnvelopeRejected(RejectedError):
    """An envelope that fails its tag, its chain or its signature."""


class CheckpointRejected(RejectedError):
    """A checkpoint that contradicts the slot key it names."""


class TwinForked(RejectedError):
    """One author told two parties different things. `entries`: both, signed, as evidence."""

    def __init__(self, message: str, entries: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.entries = entries


class NotReadable(ChannelError):
    """This reader has no key, by design."""


class NoKey(NotReadable):
    """Epoch or slot outside everything this reader was given."""


class ReaderRemoved(NotReadable):
    """The reader's leaf was removed in this epoch."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"the reader's leaf was removed in epoch {epoch}")
        self.epoch = epoch


class NotYet(ChannelError):
    """Recoverable: the same call may succeed later."""


class CommitNotOnChain(NotYet):
    """The chain does not show this epoch yet."""


class CommitGap(NotYet):
    """Commits between the reader's epoch and this one are missing."""


class TwinGap(NotYet):
    """Entries `first` to `last` of `author` (20 bytes) come before this one and are not here."""

    def __init__(self, author: bytes, first: int, last: int) -> None:
        super().__init__(f"entries {first} to {last} of one author are missing")
        self.author = author
        self.first = first
        self.last = last


class GateRefused(ChannelError):
    """The writer may not seal now. Nothing was sealed and no counter moved."""

    def __init__(self, message: str, leaf: int | None = None) -> None:
        super().__init__(message)
        self.leaf = leaf


class LeafRevoked(GateRefused):
    """A revocation is known, but the epoch without that reader is not in use yet."""


class LeafExpired(GateRefused):
    """A live leaf's grant has ended."""


class LeafNotStarted(GateRefused):
    """A live leaf's grant has not begun by every clock."""


class SlotClosed(GateRefused):
    """The slot is before the epoch's first slot, or past the first slot of a pending commit."""


class EpochNotActive(GateRefused):
    """No epoch of this writer is included on chain yet."""


class ClockSkew(GateRefused):
    """Meter time, gateway clock and block time disagree by more than allowed: set the reading aside."""


class ChainSilent(GateRefused):
    """The chain was not seen for too long: store locally, publish nothing."""


class UsageError(ChannelError):
    """The caller asked for something that has no meaning."""


class EmptyInterval(UsageError):
    """A grant interval without one whole slot."""


class LeafError(UsageError):
    """A leaf that is not live, live already, or out of range."""


class CommitTooLarge(UsageError):
    """More changes than the 16-bit counters of one commit hold."""


class StalePrepared(UsageError):
    """A prepared commit that does not follow the writer's present state."""


class StateError(ChannelError):
    """Stored state that cannot be used; needs a person."""


class SnapshotInvalid(StateError):
    """A snapshot that does not decode."""


class RebuildMismatch(StateError):
    """The commit log does not re-make from these masters."""


class EpochErased(StateError):
    """The epoch's secret was destroyed, or never belonged to this writer."""


class StoreError(ChannelError):
    """A channel store could not do what was asked."""


class StoreKeyWrong(StoreError):
    """A value at rest does not open: the store key is another one, or somebody altered or moved the value."""


class StoreKeyGone(StoreKeyWrong):
    """A value at rest was sealed under a key of its own that was destroyed: nobody opens it again."""


class StoreSchemaError(StoreError):
    """The database was written by a newer program, or does not hold a channel store."""


class StoreConflict(StoreError):
    """Another value already stands at this place of an append-only log.

    `existing` and `offered` are the two byte strings: two commits of one epoch or two envelopes with one
    sequence number are a fork, and both together are the evidence (channels.md 6).
    """

    def __init__(self, message: str, existing: bytes = b"", offered: bytes = b"") -> None:
        super().__init__(message)
        self.existing = existing
        self.offered = offered


class StoreNotFound(StoreError):
    """The named row does not exist."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, is full or stayed locked; nothing of the transaction was kept."""


class TransportError(ChannelError):
    """A transport could not carry what was asked."""


class TransportClosed(TransportError):
    """The transport was used before start or after stop."""


class TransportRefused(TransportError):
    """The broker refused: wrong credentials, or a subscription that the user may not have."""


class PayloadTooLarge(TransportError):
    """The payload has more bytes than one message may have."""


class GuardError(ChannelError):
    """Sealing would be unsafe: the rule of one writer per stream is not certain to hold."""


class FolderLocked(GuardError):
    """Another process holds the data folder; `pid` is its process id as far as the lock file tells, else 0."""

    def __init__(self, message: str, pid: int = 0) -> None:
        super().__init__(message)
        self.pid = pid


class HighWaterMissing(GuardError):
    """The high-water file of a stream is not there, so nothing says how far an earlier writer came."""


class HighWaterDamaged(GuardError):
    """The high-water file exists and does not decode."""


class HighWaterBehind(GuardError):
    """A high-water mark was offered that lies behind the one on disk."""


class ForeignWriter(GuardError):
    """An envelope of another instance appeared on the stream's own topic; `evidence` is that envelope."""

    def __init__(self, message: str, instance: bytes, evidence: bytes) -> None:
        super().__init__(message)
        self.instance = instance
        self.evidence = evidence
