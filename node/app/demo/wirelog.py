"""What was heard, by the offsets of channels.md 3 alone: envelopes, commits, and whether they hang together."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from node.app.demo.evidence import Heard

__all__ = ["SealedEnvelope", "WireCommit", "commits_of", "envelopes_of", "parse_commit", "parse_envelope"]

# ver u16 | sid 32 | epoch u64 | slot u32 | inst 16 | seq u64 | prev_hash 32 | ciphertext | tag 16
_ENVELOPE = struct.Struct(">H32sQI16sQ32s")
# ver u16 | sid 32 | epoch u64 | prev 32 | first_slot u64 | depth u8 | n_live u32 | grant_block u64 | three counts u16
_COMMIT = struct.Struct(">H32sQ32sQBIQHHH")
_SIGNATURE = 65
_WRAP = 45


@dataclass(frozen=True, slots=True)
class SealedEnvelope:
    """An envelope by its header fields; `header` is all of the additional authenticated data."""

    at: float
    sid: bytes
    epoch: int
    slot: int
    inst: bytes
    seq: int
    previous: bytes
    hash: bytes
    header: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class WireCommit:
    """A commit by its fields. `wraps`: (level, index, 40 bytes); `removed`: (first leaf, count).

    `confirm` is the confirmation of the epoch secret, `confirmed` the hash of all bytes before it.
    """

    at: float
    sid: bytes
    epoch: int
    previous: bytes
    hash: bytes
    first_slot: int
    depth: int
    n_live: int
    removed: tuple[tuple[int, int], ...]
    added: tuple[int, ...]
    wraps: tuple[tuple[int, int, bytes], ...]
    epoch_wrap: bytes
    confirmed: bytes
    confirm: bytes
    size: int


def parse_envelope(heard: Heard) -> SealedEnvelope:
    """Splits an envelope. Raises ValueError for what is too short to be one."""
    data = heard.payload
    if len(data) < _ENVELOPE.size + 16:
        raise ValueError("too short for an envelope")
    _, sid, epoch, slot, inst, seq, previous = _ENVELOPE.unpack_from(data)
    digest = hashlib.sha256(data).digest()
    header, sealed = data[: _ENVELOPE.size], data[_ENVELOPE.size :]
    return SealedEnvelope(heard.at, sid, epoch, slot, inst, seq, previous, digest, header, sealed)


def parse_commit(heard: Heard) -> WireCommit:
    """Splits a commit. Raises ValueError where its counts do not fit its length."""
    data = heard.payload
    if len(data) < _COMMIT.size + 40 + 32 + _SIGNATURE:
        raise ValueError("too short for a commit")
    _, sid, epoch, previous, first_slot, depth, n_live, _, n_rem, n_add, n_wraps = _COMMIT.unpack_from(data)
    if len(data) != _COMMIT.size + 6 * n_rem + 4 * n_add + _WRAP * n_wraps + 40 + 32 + _SIGNATURE:
        raise ValueError("the counts of the commit do not fit its length")
    at = _COMMIT.size
    removed = tuple(struct.unpack_from(">IH", data, at + 6 * i) for i in range(n_rem))
    at += 6 * n_rem
    added = struct.unpack_from(f">{n_add}I", data, at)
    at += 4 * n_add
    wraps = tuple(struct.unpack_from(">BI40s", data, at + _WRAP * i) for i in range(n_wraps))
    at += _WRAP * n_wraps
    digest, confirmed = hashlib.sha256(data[:-_SIGNATURE]).digest(), hashlib.sha256(data[: at + 40]).digest()
    return WireCommit(
        heard.at, sid, epoch, previous, digest, first_slot, depth, n_live,
        removed, added, wraps, data[at : at + 40], confirmed, data[at + 40 : at + 72], len(data),
    )  # fmt: skip


def _first_deliveries(heard: Iterable[Heard], kind: str, sid: bytes) -> list[Heard]:
    """What the broker's promise (at least once) lets come again counts once, when it came first."""
    found: dict[bytes, Heard] = {}
    for item in heard:
        if item.kind == kind and item.sid == sid and item.payload:
            found.setdefault(item.payload, item)
    return list(found.values())


def envelopes_of(heard: Iterable[Heard], sid: bytes) -> list[SealedEnvelope]:
    """Every distinct envelope of a stream in the order in which it was first heard."""
    return [parse_envelope(item) for item in _first_deliveries(heard, "data", sid)]


def commits_of(heard: Iterable[Heard], sid: bytes) -> list[WireCommit]:
    """Every distinct commit of a stream in the order in which it was first heard."""
    return [parse_commit(item) for item in _first_deliveries(heard, "commits", sid)]
