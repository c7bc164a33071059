"""The values that a channel store takes and gives.

All are frozen. Times are integer seconds UTC, hashes and ids 32 bytes, `inst` 16 bytes. `position` is the place of a
record in the stream's own log: one counter per stream over commits, capsules, envelopes and checkpoints, so that what
was recorded first is published first. The store gives it; 0 means "not stored yet".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = [
    "ALL",
    "Alarm",
    "Capsule",
    "Confirmation",
    "Erased",
    "LeafRecord",
    "LogEntry",
    "LogKind",
    "OpenRecord",
    "OpenedReading",
    "Past",
    "PendingReading",
    "Pruned",
    "ReadingRange",
    "ReadingSpan",
    "StoredCheckpoint",
    "StoredCommit",
    "StoredEnvelope",
    "Unpublished",
    "WriterRecord",
]


class LogKind(StrEnum):
    """The four kinds of records of a stream's log; the values are the topic names of channels.md 7."""

    COMMITS = "commits"
    CAPSULE = "capsule"
    DATA = "data"
    CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class StoredCommit:
    """One commit: `hash` is the commit hash, `data` the whole message with its signature."""

    epoch: int
    hash: bytes
    data: bytes
    position: int = 0


@dataclass(frozen=True, slots=True)
class StoredEnvelope:
    """One envelope: `hash` is H(envelope), the next one's prev_hash."""

    epoch: int
    slot: int
    inst: bytes
    seq: int
    hash: bytes
    data: bytes
    position: int = 0


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """One signed checkpoint over `count` envelopes from `first_seq` on."""

    epoch: int
    slot: int
    inst: bytes
    first_seq: int
    count: int
    hash: bytes
    data: bytes
    position: int = 0


@dataclass(frozen=True, slots=True)
class Capsule:
    """The newest welcome, history or resync of one grant; a newer one takes the place of the older."""

    grant_id: bytes
    epoch: int
    hash: bytes
    data: bytes
    position: int = 0


@dataclass(frozen=True, slots=True)
class LeafRecord:
    """Who sits on a leaf of the key tree. `grant_id` None empties the leaf; `data` is the writer's own encoding."""

    leaf: int
    grant_id: bytes | None
    end_slot: int
    data: bytes


@dataclass(frozen=True, slots=True)
class WriterRecord:
    """A writer's state in three parts: a whole one, what each commit since has changed, and how far it came since the
    newest of them. Encodings are the writer's own; an empty part was never kept."""

    snapshot: bytes = b""
    changes: tuple[bytes, ...] = ()
    progress: bytes = b""


@dataclass(frozen=True, slots=True)
class PendingReading:
    """A reading that waits to be sealed. `payload` is kept sealed to the node itself; the store gives `id`."""

    received_at: int
    meter_time: int
    slot: int
    payload: bytes
    id: int = 0


@dataclass(frozen=True, slots=True)
class Unpublished:
    """One record that no transport has acknowledged. `key` is the grant id of a capsule, else empty."""

    kind: LogKind
    position: int
    key: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class OpenedReading:
    """A reading that a reader opened; `index` counts the readings of one envelope.

    `provisional` stays True until a signed checkpoint covers the envelope (channels.md 3).
    """

    meter_time: int
    slot: int
    epoch: int
    inst: bytes
    seq: int
    index: int
    provisional: bool
    payload: bytes


ALL: Final = (0, 2**62)
"""A half-open range that nothing lies outside of."""


@dataclass(frozen=True, slots=True)
class ReadingRange:
    """Which readings of a reader: three half-open ranges, of meter times, slots and epochs."""

    times: tuple[int, int] = ALL
    slots: tuple[int, int] = ALL
    epochs: tuple[int, int] = ALL


@dataclass(frozen=True, slots=True)
class ReadingSpan:
    """How many readings of a reader are kept, and when the oldest and the newest were measured (None: none is)."""

    count: int = 0
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a verified checkpoint takes out of the provisional state: `count` envelopes of the stream's one chain.

    Sequence numbers go on over epochs, slots and instances, so a range names them all.
    """

    first_seq: int
    count: int

    def covers(self, seq: int) -> bool:
        """Whether the range holds this number."""
        return self.first_seq <= seq < self.first_seq + self.count


@dataclass(frozen=True, slots=True)
class Alarm:
    """A broken rule that a reader or writer noticed, with the bytes that prove it. The store gives `id`."""

    kind: str
    raised_at: int
    detail: str
    evidence: tuple[bytes, ...] = ()
    id: int = 0


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """Everything that one step of a reader changes; kept in one transaction or not at all.

    `withdrawn`: provisional readings of these sequence numbers go before anything else, since they were forged.
    """

    snapshot: bytes
    readings: tuple[OpenedReading, ...] = ()
    confirmed: tuple[Confirmation, ...] = ()
    withdrawn: tuple[Confirmation, ...] = ()
    envelopes: tuple[StoredEnvelope, ...] = ()
    commits: tuple[StoredCommit, ...] = ()
    checkpoints: tuple[StoredCheckpoint, ...] = ()
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of a private log (channels.md 7): `seq` from 0 without gaps, `data` sealed by the log itself."""

    seq: int
    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Past:
    """What an erasure takes from a stream: slots below `before_slot` under the epochs up to `epoch`. `at`: seconds
    UTC."""

    erasure_id: bytes
    epoch: int
    before_slot: int
    at: int


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure took from one stream; the store keeps it, so that a repetition tells the same.

    `epoch` and `commit_hash`: the newest commit, which stays with those before it (0 and 32 zero bytes for none).
    """

    erasure_id: bytes
    at: int
    readings: int
    envelopes: int
    checkpoints: int
    capsules: int
    alarms: int
    epoch: int
    commit_hash: bytes


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows a retention run removed."""

    envelopes: int
    checkpoints: int
    readings: int
