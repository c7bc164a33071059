"""What the conformance tests put into a channel store."""

from __future__ import annotations

from hashlib import sha256

from channels.stores.records import (
    Capsule,
    OpenedReading,
    PendingReading,
    StoredCheckpoint,
    StoredCommit,
    StoredEnvelope,
)

SID, OTHER = b"\x01" * 32, b"\x02" * 32
GRANT, GRANT2 = b"\x0a" * 32, b"\x0b" * 32
INST = b"\x11" * 16
KEY = b"\x77" * 32


def commit(epoch: int, salt: str = "") -> StoredCommit:
    data = f"commit {epoch} {salt}".encode()
    return StoredCommit(epoch, sha256(data).digest(), data)


def envelope(seq: int, *, epoch: int = 1, slot: int = 5, inst: bytes = INST, salt: str = "") -> StoredEnvelope:
    data = f"envelope {epoch} {slot} {seq} {salt}".encode() + inst
    return StoredEnvelope(epoch, slot, inst, seq, sha256(data).digest(), data)


def checkpoint(first: int, count: int, *, epoch: int = 1, slot: int = 5) -> StoredCheckpoint:
    data = f"checkpoint {epoch} {slot} {first} {count}".encode()
    return StoredCheckpoint(epoch, slot, INST, first, count, sha256(data).digest(), data)


def capsule(epoch: int, grant: bytes = GRANT) -> Capsule:
    data = b"capsule %d" % epoch + grant
    return Capsule(grant, epoch, sha256(data).digest(), data)


def pending(slot: int, meter_time: int, payload: bytes = b"230 V") -> PendingReading:
    return PendingReading(meter_time + 2, meter_time, slot, payload)


def reading(meter_time: int, seq: int, index: int = 0, *, provisional: bool = True, epoch: int = 1) -> OpenedReading:
    return OpenedReading(meter_time, 5, epoch, INST, seq, index, provisional, b"reading %d" % meter_time)
