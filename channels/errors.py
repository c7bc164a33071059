"""Errors of the channels package.

    ChannelError
    ├── StoreError                 a channel store could not do what was asked
    │   ├── StoreKeyWrong          fatal: the store was sealed with another key, or a sealed value was altered
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

__all__ = [
    "ChannelError",
    "FolderLocked",
    "ForeignWriter",
    "GuardError",
    "HighWaterBehind",
    "HighWaterDamaged",
    "HighWaterMissing",
    "PayloadTooLarge",
    "StoreConflict",
    "StoreError",
    "StoreKeyWrong",
    "StoreNotFound",
    "StoreSchemaError",
    "StoreUnavailable",
    "TransportClosed",
    "TransportError",
    "TransportRefused",
]


class ChannelError(Exception):
    """Root of everything the channels package raises on purpose."""


class StoreError(ChannelError):
    """A channel store could not do what was asked."""


class StoreKeyWrong(StoreError):
    """A value at rest does not open: the store key is another one, or somebody altered or moved the value."""


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
