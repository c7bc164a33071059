"""What a check is, and what several checks work out from the evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from keys.errors import SealError
from keys.sealing import SealingKey, open_sealed
from node.app.demo.attack import Attack, Opened, windows
from node.app.demo.evidence import Evidence, Heard
from node.app.demo.plaintext import Measured, measured
from node.app.demo.registrylog import GrantOnChain, Revocation, grants, revocations
from node.app.demo.wirelog import SealedEnvelope, WireCommit, commits_of, envelopes_of

__all__ = [
    "LATEST_NEW_S",
    "LATEST_OLD_S",
    "SETTLE_S",
    "Check",
    "CheckFunction",
    "Entry",
    "attack_of",
    "book",
    "check",
    "commits",
    "envelopes",
    "first_revocation",
    "grant_of",
    "opened_after_revocation",
    "removal",
    "stolen",
]

LATEST_OLD_S = 0.5
"""From the block with a revocation to the last envelope under the old epoch."""

LATEST_NEW_S = 2.5
"""From the same block to the first envelope under the new epoch (p95 over 20 runs; the demo makes one)."""

SETTLE_S = 6.0
"""A reading of the last seconds before the readings were fetched may still be on its way."""

_CAPSULE_HEAD, _STREAM_SIGNATURE = 15, 64
_HISTORY, _RESYNC = 2, 3
_CAPSULES = {1: b"welcome", _HISTORY: b"history", _RESYNC: b"resync"}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    ok: bool
    detail: str


CheckFunction: TypeAlias = Callable[[Evidence], Check]
_Hashes: TypeAlias = Mapping[tuple[bytes, int], bytes]


def check(name: str, faults: Iterable[str], fine: str) -> Check:
    """Fails with the first three faults, or passes with what was found."""
    found = list(faults)
    if not found:
        return Check(name, True, fine)
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return Check(name, False, "; ".join(found[:3]) + more)


@cache
def envelopes(evidence: Evidence, sid: bytes) -> tuple[SealedEnvelope, ...]:
    """Every distinct envelope of a stream as heard."""
    return tuple(envelopes_of(evidence.heard, sid))


@cache
def commits(evidence: Evidence, sid: bytes) -> tuple[WireCommit, ...]:
    """Every distinct commit of a stream as heard."""
    return tuple(commits_of(evidence.heard, sid))


def grant_of(evidence: Evidence, letter: str) -> GrantOnChain | None:
    """The provider's grant as the chain has it."""
    grant_id = evidence.providers[letter].grant_id
    return None if grant_id is None else grants(evidence).get(grant_id)


def first_revocation(evidence: Evidence, letter: str) -> Revocation | None:
    """The first time that a revocation of the provider's grant was seen in a block, whatever became of that block."""
    grant_id = evidence.providers[letter].grant_id
    found = revocations(evidence, grant_id, everywhere=True) if grant_id else []
    return found[0] if found else None


def removal(evidence: Evidence, sid: bytes) -> WireCommit | None:
    """The first commit with removed leaves that came after the home was asked to revoke."""
    asked = evidence.moments.get("revoke")
    later = [c for c in commits(evidence, sid) if asked is not None and c.at >= asked and c.removed]
    return min(later, key=lambda commit: commit.epoch, default=None)


# What a thief with everything that a provider ever stored would try


@cache
def stolen(evidence: Evidence, letter: str) -> tuple[bytes, ...]:
    """All 32-byte values that a provider held at any time, and those in capsules that its sealing keys still open.

    What stood by itself comes first: it is what opens, if anything does.
    """
    harvest = evidence.harvests.get(letter)
    if harvest is None:
        return ()
    found = dict.fromkeys(sorted(harvest.secrets | harvest.seeds))
    keys = [SealingKey.from_bytes(seed) for seed in sorted(harvest.seeds)]
    hashes = {(sid, c.epoch): c.hash for sid in evidence.setting.names for c in commits(evidence, sid)}
    for item in evidence.heard:
        if item.kind == "capsule" and len(item.payload) > _CAPSULE_HEAD + _STREAM_SIGNATURE:
            for key in keys:
                found.update(dict.fromkeys(_in_capsule(_open_capsule(evidence, item, key, hashes), item.payload[2])))
    for material in sorted(harvest.material):
        found.update(dict.fromkeys(sorted(windows(material))))
    return tuple(found)


def _in_capsule(plain: bytes, kind: int) -> Iterator[bytes]:
    """channels.md 3: path keys, S_e and cover nodes (level u8, index u32, key 32)."""
    at = 0
    if not plain:
        return
    if kind != _HISTORY:
        at = 13 + 32 * (plain[12] + 2)
        yield from (plain[place : place + 32] for place in range(13, at, 32))
    nodes = int.from_bytes(plain[at : at + 2], "big")
    yield from (plain[place + 5 : place + 37] for place in range(at + 2, at + 2 + 37 * nodes, 37))
    at += 2 + 37 * nodes
    groups, at = int.from_bytes(plain[at : at + 2], "big"), at + 2
    for _ in range(groups):
        nodes, at = plain[at + 8], at + 9
        yield from (plain[place + 5 : place + 37] for place in range(at, at + 37 * nodes, 37))
        at += 37 * nodes


def _open_capsule(evidence: Evidence, item: Heard, key: SealingKey, hashes: _Hashes) -> bytes:
    """The plaintext of a recorded capsule; empty if the key is another one's. channels.md 3: the HPKE info."""
    head, body = item.payload[:_CAPSULE_HEAD], item.payload[_CAPSULE_HEAD:-_STREAM_SIGNATURE]
    kind, epoch = head[2], int.from_bytes(head[3:11], "big")
    commit_hash = hashes.get((item.sid, epoch))
    if kind not in _CAPSULES or commit_hash is None:
        return b""
    bound = evidence.setting.separator + item.sid + item.key + head[3:15] + key.key_hash() + commit_hash
    requests = {bytes(32)} if kind != _RESYNC else _request_ids(evidence, item.sid)
    for request in requests:
        info = b"ckt1 " + _CAPSULES[kind] + hashlib.sha256(bound + request).digest()
        try:
            return open_sealed(key, body, info)
        except SealError:
            continue
    return b""


def _request_ids(evidence: Evidence, sid: bytes) -> set[bytes]:
    """Any 32 bytes that a reader asked with may be the id of its request."""
    return {w for item in evidence.heard if item.kind == "ask" and item.sid == sid for w in windows(item.payload)}


@cache
def attack_of(evidence: Evidence, letter: str, sid: bytes) -> Attack:
    """The provider's stolen material against a stream."""
    return Attack(sid, stolen(evidence, letter), commits(evidence, sid))


@cache
def opened_after_revocation(evidence: Evidence, letter: str) -> Mapping[bytes, tuple[int, int]]:
    """By stream: how many envelopes came after the revocation, and how many of them anything that was stolen opens.

    After it: half a second after its block was first seen, or under the epoch that removed the reader.
    """
    revoked = first_revocation(evidence, letter)
    found: dict[bytes, tuple[int, int]] = {}
    for sid in evidence.setting.names if revoked is not None else ():
        gone = removal(evidence, sid)
        epoch = 2**64 if gone is None else gone.epoch
        late = 0.0 if revoked is None else revoked.seen_at + LATEST_OLD_S
        later = [e for e in envelopes(evidence, sid) if e.at > late or e.epoch >= epoch]
        found[sid] = (len(later), len(attack_of(evidence, letter, sid).open_any(later)))
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One reading as it stood in an envelope on the wire."""

    opened: Opened
    reading: Measured


@cache
def book(evidence: Evidence, sid: bytes) -> tuple[Entry, ...]:
    """All readings of a stream, from the wire alone, opened with the raw keys of C, who may read everything."""
    opened = attack_of(evidence, "C", sid).decrypt(envelopes(evidence, sid))
    return tuple(Entry(found, reading) for found in opened for reading in measured(found.plaintext))
