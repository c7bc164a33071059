"""A stream in memory for the tests: a registry that only remembers, a writer that signs, clocks that are numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from coincurve import PrivateKey
from eth_account import Account

from channels.envelope import EnvelopeHeader
from channels.gate import Evidence, Gate
from channels.issuer import Member
from channels.masters import Masters
from channels.reader import Reader
from channels.slots import OPEN_SLOT, StreamParams
from channels.writer import Changes, Join, PreparedCommit, Writer
from keys.messages import StreamCommit, digest, registry_domain
from keys.sealing import SealingKey
from keys.stream_key import StreamKey

GENESIS = 1_700_000_000
SLOT = 60
SECRET = hashlib.sha256(b"test writer").digest()
ADDRESS = bytes.fromhex(Account.from_key(SECRET).address[2:])
DOMAIN = registry_domain(31337, bytes(19) + b"\x07")
STREAM_KEY = StreamKey.from_bytes(hashlib.sha256(b"test stream key").digest())
TWO_KEYS = StreamKey.from_bytes(STREAM_KEY.to_bytes() + hashlib.sha256(b"test ML-DSA key").digest())


def hashed(*parts: object) -> bytes:
    """32 bytes that depend on the arguments: test keys and ids without chance."""
    return hashlib.sha256(repr(parts).encode()).digest()


def params(sid: bytes | None = None, signed: bool = False, key: StreamKey = STREAM_KEY) -> StreamParams:
    return StreamParams(sid or hashed("sid"), GENESIS, SLOT, DOMAIN, ADDRESS, key.public_bytes, signed_envelopes=signed)


def masters(name: str = "masters") -> Masters:
    return Masters.from_keys(hashed("sid"), hashed(name, "M"), hashed(name, "T"))


def sign_commit(message: StreamCommit, secret: bytes = SECRET) -> bytes:
    """The writer's EIP-712 signature, v in {27, 28}; deterministic (RFC 6979)."""
    raw: bytes = PrivateKey(secret).sign_recoverable(digest(message, DOMAIN), hasher=None)
    return raw[:64] + bytes([raw[64] + 27])


@dataclass
class Registry:
    """ChainFacts of one stream: what was committed, how many grants are live."""

    hashes: dict[int, bytes] = field(default_factory=dict)
    grants: int = 1_000_000

    def commit_hash(self, epoch: int) -> bytes | None:
        return self.hashes.get(epoch)

    def live_grants(self, block: int) -> int:
        return self.grants


def at(slot: int, second: int = 0) -> int:
    """Second `second` of `slot`."""
    return GENESIS + slot * SLOT + second


def evidence(time: int) -> Evidence:
    return Evidence(time, time)


@dataclass
class World:
    """One writer and what it has published."""

    writer: Writer
    registry: Registry = field(default_factory=Registry)
    commits: list[bytes] = field(default_factory=list)
    envelopes: list[bytes] = field(default_factory=list)
    checkpoints: list[bytes] = field(default_factory=list)
    members: dict[int, Member] = field(default_factory=dict)
    keys: dict[int, SealingKey] = field(default_factory=dict)
    grants: int = 0

    @classmethod
    def start(cls, slot: int = 0, readers: int = 0, **options: object) -> World:
        """A stream whose first commit adds the owner (leaf 0) and `readers` open-ended readers."""
        signed = bool(options.get("signed", False))
        key = TWO_KEYS if options.get("two_signatures", False) else STREAM_KEY
        writer = Writer(params(signed=signed, key=key), masters(), key, hashed("inst")[:16], gate=Gate())
        world = cls(writer)
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)] * (1 + readers))
        return world

    def prepare(self, slot: int, removed: Sequence[int] = (), joins: Sequence[Join] = ()) -> PreparedCommit:
        return self.writer.prepare(Changes(slot, 1000 + self.writer.epoch, tuple(removed), tuple(joins)))

    def commit(
        self, slot: int, removed: Sequence[int] = (), joins: Sequence[Join] = (), active: bool = True
    ) -> list[int]:
        """Prepare, sign, apply, publish and include one commit; returns the new leaves."""
        prepared = self.prepare(slot, removed, joins)
        data = self.writer.apply(prepared, sign_commit(prepared.message))
        self.commits.append(data)
        for leaf in removed:
            self.members.pop(leaf, None)
        for leaf, join in zip(prepared.leaves, joins, strict=True):
            self.grants += 1
            self.keys[leaf] = self.reader_key(self.grants)
            self.members[leaf] = Member(
                hashed("grant", self.grants),
                self.keys[leaf].key_hash(),
                leaf,
                join.start_slot,
                join.end_slot,
                prepared.epoch,
            )
        if active:
            self.include(prepared)
        return list(prepared.leaves)

    def include(self, prepared: PreparedCommit) -> None:
        """The chain includes the commit at head."""
        self.registry.hashes[prepared.epoch] = prepared.commit_hash
        self.checkpoints.extend(self.writer.activate(prepared.epoch))

    def reader_key(self, number: int) -> SealingKey:
        return SealingKey.from_bytes(hashed("reader", number))

    def join(self, slot: int, end: int = OPEN_SLOT, start: int | None = None) -> tuple[int, Reader]:
        """A reader with a leaf of its own, welcomed."""
        [leaf] = self.commit(slot, joins=[Join(slot if start is None else start, end)])
        return leaf, self.welcome(leaf)

    def welcome(self, leaf: int) -> Reader:
        member = self.members[leaf]
        reader = Reader(self.writer.params, member.grant_id)
        capsule = self.writer.welcome(member, self.keys[leaf].public_bytes)
        reader.receive_capsule(capsule, self.keys[leaf], self.registry)
        return reader

    def seal(self, slot: int, *plaintexts: bytes, second: int = 0) -> list[bytes]:
        """Seal plaintexts at second `second` of `slot`, with clocks that agree."""
        time = at(slot, second)
        sealed = self.writer.seal([(time, plain) for plain in plaintexts], evidence(time))
        self.envelopes.extend(sealed.envelopes)
        self.checkpoints.extend(sealed.checkpoints)
        return sealed.envelopes

    def catch_up(self, reader: Reader) -> None:
        """Give a reader every commit it has not followed."""
        missed = self.commits[reader.epoch :]
        if missed:
            reader.catch_up(missed, self.registry)


def epoch_of(envelope: bytes) -> int:
    return EnvelopeHeader.decode(envelope).epoch
