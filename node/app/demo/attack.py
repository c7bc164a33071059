"""Tries stolen key material on recorded envelopes.

Shares no code with `channels`: KDF, trees and AEAD are spelled out here. Whoever wants to know whether A can still read
must try what A ever held, in every part that such bytes could play: as a slot key, as a node of the slot tree or of the
epoch tree at any level, as an epoch secret, as a key or path secret of the reader tree that opens a wrap of the commit,
and each of these evolved once and twice.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from node.app.demo.wiretap import SealedEnvelope

__all__ = ["Attack", "Opened"]

DEPTH = 32
COMMIT_HEAD = struct.Struct(">H32sQ32sQBIQHHH")


def _kdf(key: bytes, label: str, context: bytes = b"") -> bytes:
    """channels.md 2: one block of HKDF-SHA256-Expand (RFC 5869)."""
    return hmac.digest(key, b"ckt1 " + label.encode() + b"\x00" + context + b"\x01", hashlib.sha256)


def _descend(node: bytes, level: int, leaf: int) -> bytes:
    """From a GGM node `level` steps below the root, down to the leaf, most significant bit first."""
    for depth in range(level, DEPTH):
        node = _kdf(node, "ggm", bytes([(leaf >> (DEPTH - 1 - depth)) & 1]))
    return node


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope that stolen material opened: the part it played, and the plaintext's length."""

    epoch: int
    slot: int
    seq: int
    role: str
    length: int


@dataclass(frozen=True, slots=True)
class _Wraps:
    """A commit's key material as published: (level, index, wrapped) rows, the wrapped epoch secret, the depth."""

    rows: tuple[tuple[int, int, bytes], ...]
    epoch_wrap: bytes
    depth: int


def _parse_wraps(commit: bytes) -> _Wraps:
    fields = COMMIT_HEAD.unpack_from(commit)
    depth, removed, added, count = fields[5], fields[8], fields[9], fields[10]
    at = COMMIT_HEAD.size + 6 * removed + 4 * added
    rows = []
    for _ in range(count):
        level, index = struct.unpack_from(">BI", commit, at)
        rows.append((level, index, commit[at + 5 : at + 45]))
        at += 45
    return _Wraps(tuple(rows), commit[at : at + 40], depth)


class Attack:
    """Stolen 32-byte candidates against one stream. `commits` maps an epoch to the published commit bytes."""

    def __init__(self, sid: bytes, candidates: Iterable[bytes], commits: dict[int, bytes]) -> None:
        self._sid = sid
        fresh = {c for c in candidates if len(c) == DEPTH and len(set(c)) > 8}
        once = {_kdf(c, "evolve") for c in fresh}
        twice = {_kdf(c, "evolve") for c in once}
        self._tree = sorted(fresh | once | twice)
        self._time = sorted(fresh)
        self._wraps = {epoch: _parse_wraps(raw) for epoch, raw in commits.items()}
        self._secrets: dict[int, list[tuple[str, bytes]]] = {}

    def open_any(self, envelopes: Sequence[SealedEnvelope]) -> list[Opened]:
        """The envelopes that anything opens. One envelope stands for all of its (epoch, slot): they share the key."""
        opened = []
        groups: dict[tuple[int, int], list[SealedEnvelope]] = {}
        for envelope in envelopes:
            groups.setdefault((envelope.epoch, envelope.slot), []).append(envelope)
        for (epoch, slot), members in groups.items():
            for role, key in self._slot_keys(epoch, slot):
                length = self._try(key, members[0])
                if length is not None:
                    opened += [Opened(epoch, slot, m.seq, role, len(m.sealed) - 16) for m in members]
                    break
        return opened

    def _try(self, slot_key: bytes, envelope: SealedEnvelope) -> int | None:
        key = _kdf(slot_key, "aead", envelope.inst)
        base = int.from_bytes(_kdf(slot_key, "nonce", envelope.inst)[:12], "big")
        nonce = (base ^ envelope.seq).to_bytes(12, "big")
        try:
            return len(AESGCM(key).decrypt(nonce, envelope.sealed, envelope.header))
        except InvalidTag:
            return None

    def _slot_keys(self, epoch: int, slot: int) -> Iterator[tuple[str, bytes]]:
        for candidate in self._time:
            for level in range(DEPTH + 1):
                yield f"slot tree level {level}", _descend(candidate, level, slot)
        for role, secret in self._epoch_secrets(epoch):
            root = _kdf(secret, "slot-root", self._sid + struct.pack(">Q", epoch))
            yield role, _descend(root, 0, slot)

    def _epoch_secrets(self, epoch: int) -> list[tuple[str, bytes]]:
        if epoch not in self._secrets:
            found = [("epoch secret", c) for c in self._time]
            for candidate in self._time:
                found += [(f"epoch tree level {lv}", _descend(candidate, lv, epoch)) for lv in range(DEPTH)]
            found += [("reader tree", secret) for secret in self._unwrapped(epoch)]
            self._secrets[epoch] = found
        return self._secrets[epoch]

    def _unwrapped(self, epoch: int) -> Iterator[bytes]:
        wraps = self._wraps.get(epoch)
        if wraps is None:
            return
        roots = set(self._tree)
        for level, index, wrapped in wraps.rows:
            for candidate in self._tree:
                secret = self._unwrap(candidate, epoch, level, index, wrapped)
                if secret is not None:
                    roots.update(self._climb(secret, wraps.depth - level))
        for key in roots:
            secret = self._unwrap(key, epoch, wraps.depth, 0, wraps.epoch_wrap)
            if secret is not None:
                yield secret

    @staticmethod
    def _climb(secret: bytes, steps: int) -> Iterator[bytes]:
        """Node keys from a path secret up to the root, `steps` levels above it."""
        for _ in range(steps + 1):
            yield _kdf(secret, "node")
            secret = _kdf(secret, "path")

    def _unwrap(self, key: bytes, epoch: int, level: int, index: int, wrapped: bytes) -> bytes | None:
        context = self._sid + struct.pack(">QBI", epoch, level, index)
        try:
            return aes_key_unwrap(_kdf(key, "wrap", context), wrapped)
        except InvalidUnwrap:
            return None
