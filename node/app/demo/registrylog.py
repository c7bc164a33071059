"""The registry's logs read word by word, from the canonical chain unless said otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from eth_utils.crypto import keccak

from node.app.demo.evidence import Block, Evidence, Log

__all__ = [
    "OPEN_END",
    "ChainCommit",
    "GrantOnChain",
    "Pairing",
    "Registration",
    "Revocation",
    "commits_on_chain",
    "events",
    "grants",
    "name_of",
    "pairings",
    "registrations",
    "revocations",
    "topic",
]

OPEN_END = 2**40 - 1

_SIGNATURES = (
    "StreamRegistered(bytes32,address,address,bytes32,bytes32,uint40,uint32)",
    "WriterSet(bytes32,address,bytes32)",
    "DevicePaired(address,bytes32,address)",
    "DeviceUnpaired(address,bytes32)",
    "Granted(bytes32,address,address,bytes32,bytes32,uint256,bytes32[])",
    "Revoked(bytes32,address,bytes32)",
    "KeyRegistered(bytes32,bytes32)",
    "Committed(bytes32,uint64,bytes32)",
    "StreamTransferred(bytes32,address,address)",
    "Rejected(bytes32,bytes4)",
)


def topic(signature: str) -> bytes:
    """The first topic of an event, from its signature as Solidity writes it."""
    return keccak(text=signature)


_TOPICS = {signature.partition("(")[0]: topic(signature) for signature in _SIGNATURES}
_NAMES = {value: name for name, value in _TOPICS.items()}


def name_of(log: Log) -> str:
    """The event's name; empty for a log that is none of the registry's."""
    return _NAMES.get(log.topics[0], "") if log.topics else ""


def events(evidence: Evidence, name: str, *, everywhere: bool = False) -> Iterator[tuple[Block, Log]]:
    """The logs of one event in order; `everywhere` includes blocks that a reorg removed."""
    blocks = evidence.blocks if everywhere else evidence.canonical
    for block in blocks:
        for log in block.logs:
            if log.topics and log.topics[0] == _TOPICS[name]:
                yield block, log


@dataclass(frozen=True, slots=True)
class Registration:
    """A stream as registered."""

    sid: bytes
    owner: bytes
    writer: bytes
    name_hash: bytes
    genesis: int
    slot_seconds: int


def registrations(evidence: Evidence) -> list[Registration]:
    return [
        Registration(log.topics[1], log.topics[2][12:], log.topics[3][12:], log.word_bytes(0), log.word(2), log.word(3))
        for _, log in events(evidence, "StreamRegistered")
    ]


@dataclass(frozen=True, slots=True)
class Pairing:
    owner: bytes
    device: bytes


def pairings(evidence: Evidence) -> list[Pairing]:
    return [Pairing(log.topics[1][12:], log.word_bytes(0)[12:]) for _, log in events(evidence, "DevicePaired")]


@dataclass(frozen=True, slots=True)
class GrantOnChain:
    """A grant; `end` OPEN_END for none."""

    grant_id: bytes
    owner: bytes
    reader: bytes
    reader_key_hash: bytes
    sids: tuple[bytes, ...]
    start: int
    end: int

    def slots(self, genesis: int, slot_seconds: int) -> tuple[int, int]:
        """channels.md 1: [ceil((start - genesis) / slot), floor((end - genesis) / slot)); open: a huge end."""
        first = max(0, -((genesis - self.start) // slot_seconds))
        last = 2**32 if self.end == OPEN_END else (self.end - genesis) // slot_seconds
        return first, last


def grants(evidence: Evidence) -> dict[bytes, GrantOnChain]:
    """By grant id."""
    found: dict[bytes, GrantOnChain] = {}
    for _, log in events(evidence, "Granted"):
        at = log.word(3) // 32
        sids = tuple(log.word_bytes(at + 1 + i) for i in range(log.word(at)))
        # Bytes 27 to 31 of the word are the start, 22 to 26 the end, 18 to 21 the tag of the purpose.
        terms = log.word_bytes(2)
        start, end = int.from_bytes(terms[27:], "big"), int.from_bytes(terms[22:27], "big")
        grant = GrantOnChain(log.topics[1], log.topics[2][12:], log.topics[3][12:], log.word_bytes(0), sids, start, end)
        found[grant.grant_id] = grant
    return found


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation in a block; `seen_at` is when that block was first seen."""

    grant_id: bytes
    account: bytes
    sid: bytes
    block: Block

    @property
    def seen_at(self) -> float:
        return self.block.seen_at


def revocations(evidence: Evidence, grant_id: bytes, *, everywhere: bool = False) -> list[Revocation]:
    """Revocations of one grant, in the order in which their blocks were seen."""
    return [
        Revocation(log.topics[1], log.topics[2][12:], log.topics[3], block)
        for block, log in events(evidence, "Revoked", everywhere=everywhere)
        if log.topics[1] == grant_id
    ]


@dataclass(frozen=True, slots=True)
class ChainCommit:
    """An epoch as the chain holds it."""

    epoch: int
    hash: bytes
    block: Block


def commits_on_chain(evidence: Evidence, sid: bytes) -> list[ChainCommit]:
    return [
        ChainCommit(log.word(0), log.word_bytes(1), block)
        for block, log in events(evidence, "Committed")
        if log.topics[1] == sid
    ]
