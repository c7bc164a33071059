"""Tries stolen key material on recorded envelopes.

Shares no code with `channels`: KDF, trees and AEAD are spelled out here. Whoever wants to know whether A can still read
must try what A ever held, in every part that such bytes could play: as a slot key, as a node of the slot tree or of the
epoch tree at any level, as an epoch secret, as a key or path secret of the reader tree that opens a wrap of any commit,
and each of these evolved once and twice. What a commit gives away is stolen material for the next commit.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from node.app.demo.wirelog import SealedEnvelope, WireCommit

__all__ = ["Attack", "Opened", "windows"]

DEPTH = 32
_CHILD = (b"ckt1 ggm\x00\x00\x01", b"ckt1 ggm\x00\x01\x01")
_SHARED = 28  # sixteen neighbouring slots or epochs share so many steps from the root
_PLACES = 24
"""So many slots are tried with everything before material that opens no further one is given up."""


def windows(material: bytes) -> set[bytes]:
    """Every run of 32 bytes: a key can lie anywhere."""
    return {material[at : at + DEPTH] for at in range(len(material) - DEPTH + 1)}


def _kdf(key: bytes, label: str, context: bytes = b"") -> bytes:
    """channels.md 2: one block of HKDF-SHA256-Expand (RFC 5869)."""
    return hmac.digest(key, b"ckt1 " + label.encode() + b"\x00" + context + b"\x01", hashlib.sha256)


def _descend(node: bytes, level: int, leaf: int, until: int = DEPTH) -> bytes:
    """From a GGM node `level` steps below the root, `until` steps below it, most significant bit first."""
    for depth in range(level, until):
        node = hmac.digest(node, _CHILD[(leaf >> (DEPTH - 1 - depth)) & 1], "sha256")
    return node


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope that stolen material opened: its place, the part that the material played, and the plaintext."""

    epoch: int
    slot: int
    seq: int
    role: str
    plaintext: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Key:
    """Material in a part: a node `level` steps below the root of the slot tree of one epoch, or of any."""

    role: str
    node: bytes
    level: int
    epoch: int | None

    def slot_key(self, slot: int) -> bytes:
        return _descend(self.node, self.level, slot)


class Attack:
    """Stolen 32-byte candidates, the likeliest first, against one stream, of which every commit was recorded."""

    def __init__(self, sid: bytes, stolen: Iterable[bytes], commits: Iterable[WireCommit]) -> None:
        self._sid = sid
        # Runs of few values are counters and padding, never a key.
        self._stolen = tuple(c for c in dict.fromkeys(stolen) if len(c) == DEPTH and len(set(c)) > 8)
        self._commits = {commit.epoch: commit for commit in commits}
        self._secrets = self._follow([commit for _, commit in sorted(self._commits.items())])

    def open_any(self, envelopes: Sequence[SealedEnvelope]) -> list[Opened]:
        """The envelopes that anything opens; everything is tried on every slot of every epoch."""
        opened: list[Opened] = []
        if not envelopes:
            return opened
        places = _places(envelopes)
        nodes = _above([envelope.slot for envelope in envelopes], self._stolen)
        secrets = self._from_epoch_tree(list(places))
        for epoch, slots in places.items():
            first = next(iter(slots.values()))[0]
            # An epoch's secret opens all of its slots or none, so it is tried on the first one.
            direct = [*secrets[epoch], *self._direct(epoch)]
            whole = [key for key in (self._through_epoch(*found, epoch) for found in direct) if self._tries(key, first)]
            for members in slots.values():
                keys = (_Key(f"slot tree level {level}", node, depth, None) for level, depth, node in nodes)
                opened += self._first(chain(whole, keys), members)
        return opened

    def decrypt(self, envelopes: Sequence[SealedEnvelope]) -> list[Opened]:
        """The same where much is expected to open: what opened one slot is tried on the others first."""
        opened: list[Opened] = []
        for epoch, slots in _places(envelopes).items():
            useful: list[_Key] = []
            left = dict(slots)
            for _ in range(_PLACES):
                left = {slot: found for slot, found in left.items() if not _take(opened, self, useful, found)}
                if not left:
                    break
                slot = next(iter(left))
                key = next((k for k in self._all_keys(epoch) if self._tries(k, left[slot][0])), None)
                if key is None:
                    del left[slot]
                else:
                    useful.insert(0, key)
        return sorted(opened, key=lambda found: found.seq)

    def _all_keys(self, epoch: int) -> Iterator[_Key]:
        """Everything in every part, one after the other, for whoever stops at the first that fits."""
        for found in self._direct(epoch):
            yield self._through_epoch(*found, epoch)
        for candidate in self._stolen:
            for level in range(DEPTH + 1):
                yield _Key(f"slot tree level {level}", candidate, level, None)
                if level < DEPTH and self._confirms(epoch, secret := _descend(candidate, level, epoch)):
                    yield self._through_epoch(f"epoch tree level {level}", secret, epoch)

    def _first(self, keys: Iterator[_Key], members: Sequence[SealedEnvelope]) -> list[Opened]:
        for key in keys:
            if self._tries(key, members[0]):
                return self._open(key, members)
        return []

    def _open(self, key: _Key, members: Sequence[SealedEnvelope]) -> list[Opened]:
        found = []
        slot_key = key.slot_key(members[0].slot)
        for envelope in members:
            plaintext = _decrypt(slot_key, envelope)
            if plaintext is not None:
                found.append(Opened(envelope.epoch, envelope.slot, envelope.seq, key.role, plaintext))
        return found

    @staticmethod
    def _tries(key: _Key, envelope: SealedEnvelope) -> bool:
        return _decrypt(key.slot_key(envelope.slot), envelope) is not None

    def _through_epoch(self, role: str, secret: bytes, epoch: int) -> _Key:
        root = _kdf(secret, "slot-root", self._sid + struct.pack(">Q", epoch))
        return _Key(role, root, 0, epoch)

    def _direct(self, epoch: int) -> Iterator[tuple[str, bytes]]:
        """What may be the epoch's secret itself."""
        yield from (("reader tree", secret) for secret in self._secrets.get(epoch, ()))
        yield from (("epoch secret", candidate) for candidate in self._stolen)

    def _from_epoch_tree(self, epochs: Sequence[int]) -> dict[int, list[tuple[str, bytes]]]:
        """Secrets of these epochs that candidates give as nodes above them in the epoch tree."""
        found: dict[int, list[tuple[str, bytes]]] = {epoch: [] for epoch in epochs}
        for level, depth, node in _above(epochs, self._stolen):
            for epoch in epochs if level < DEPTH else ():
                secret = _descend(node, depth, epoch)
                if self._confirms(epoch, secret):
                    found[epoch].append((f"epoch tree level {level}", secret))
        return found

    def _confirms(self, epoch: int, secret: bytes) -> bool:
        """channels.md 2: every commit carries a value that only the secret of its epoch gives."""
        commit = self._commits.get(epoch)
        if commit is None:
            return True
        context = self._sid + struct.pack(">Q", epoch) + commit.confirmed
        return _kdf(secret, "confirm", context) == commit.confirm

    # The reader tree

    def _follow(self, commits: Sequence[WireCommit]) -> dict[int, list[bytes]]:
        """The epoch secrets that the tree gives away, epoch by epoch."""
        pool = {key for stolen in self._stolen for key in _evolved(stolen)}
        found: dict[int, list[bytes]] = {}
        for commit in commits:
            pool |= self._climbed(commit, pool)
            secrets = [self._unwrap(key, commit.epoch, commit.depth, 0, commit.epoch_wrap) for key in pool]
            found[commit.epoch] = [secret for secret in secrets if secret is not None]
        return found

    def _climbed(self, commit: WireCommit, pool: Iterable[bytes]) -> set[bytes]:
        """Keys of the nodes from each wrap that opens up to the root, evolved as well."""
        keys: set[bytes] = set()
        fresh = set(pool)
        # A secret from one wrap may open another one higher up, so this goes on until nothing new comes.
        while fresh:
            new: set[bytes] = set()
            for level, index, wrapped in commit.wraps:
                for key in fresh:
                    secret = self._unwrap(key, commit.epoch, level, index, wrapped)
                    if secret is not None:
                        new.update(_climb(secret, commit.depth - level))
            fresh = new - keys
            keys |= fresh
        return keys

    def _unwrap(self, key: bytes, epoch: int, level: int, index: int, wrapped: bytes) -> bytes | None:
        context = self._sid + struct.pack(">QBI", epoch, level, index)
        try:
            return aes_key_unwrap(_kdf(key, "wrap", context), wrapped)
        except InvalidUnwrap:
            return None


def _decrypt(slot_key: bytes, envelope: SealedEnvelope) -> bytes | None:
    key = _kdf(slot_key, "aead", envelope.inst)
    base = int.from_bytes(_kdf(slot_key, "nonce", envelope.inst)[:12], "big")
    nonce = (base ^ envelope.seq).to_bytes(12, "big")
    try:
        return AESGCM(key).decrypt(nonce, envelope.sealed, envelope.header)
    except InvalidTag:
        return None


def _evolved(key: bytes) -> Iterator[bytes]:
    for _ in range(3):
        yield key
        key = _kdf(key, "evolve")


def _climb(secret: bytes, steps: int) -> Iterator[bytes]:
    """Node keys from a path secret up to the root, `steps` levels above it."""
    for _ in range(steps + 1):
        yield from _evolved(_kdf(secret, "node"))
        secret = _kdf(secret, "path")


def _places(envelopes: Sequence[SealedEnvelope]) -> dict[int, dict[int, list[SealedEnvelope]]]:
    """Envelopes by epoch and slot, those of one writer instance together: they share a key."""
    found: dict[int, dict[int, list[SealedEnvelope]]] = {}
    for envelope in envelopes:
        found.setdefault(envelope.epoch, {}).setdefault(envelope.slot, []).append(envelope)
    return found


def _above(leaves: Sequence[int], stolen: tuple[bytes, ...]) -> tuple[tuple[int, int, bytes], ...]:
    """(level, depth, node): every candidate at every level, brought down as far as all these leaves share their way."""
    shared = min(DEPTH - (min(leaves) ^ max(leaves)).bit_length(), _SHARED)
    return _brought_down(stolen, shared, leaves[0] >> (DEPTH - shared) << (DEPTH - shared))


@lru_cache(maxsize=8)
def _brought_down(stolen: tuple[bytes, ...], shared: int, leaf: int) -> tuple[tuple[int, int, bytes], ...]:
    """The same for all streams of a household, whose slots are the same."""
    return tuple(
        (level, max(level, shared), _descend(candidate, level, leaf, max(level, shared)))
        for candidate in stolen
        for level in range(DEPTH + 1)
    )


def _take(opened: list[Opened], attack: Attack, useful: Sequence[_Key], members: Sequence[SealedEnvelope]) -> bool:
    """Opens one slot with what was useful before; whether it did."""
    found = attack._first(iter(useful), members)
    opened += found
    return bool(found)
