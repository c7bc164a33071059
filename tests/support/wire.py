"""What an eavesdropper at the broker can judge: no number twice, no gap, one commit per epoch, the same as on chain."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from eth_utils.crypto import keccak

from node.app.demo.evidence import Heard
from node.app.demo.wirelog import SealedEnvelope, commits_of, envelopes_of, parse_envelope
from tests.support.cluster import Cluster
from tests.support.processes import until

__all__ = [
    "Repeated",
    "chain_commits",
    "commits_agree",
    "forks",
    "nothing_is_sealed",
    "repeated",
    "sealed_by_gateway",
    "unbroken",
    "wire_commits",
]

_COMMITTED = "0x" + keccak(text="Committed(bytes32,uint64,bytes32)").hex()


def forks(heard: Iterable[Heard], sid: bytes) -> list[tuple[int, int, str, int]]:
    """Every (epoch, slot, inst, seq) that was heard with different bytes: a nonce used twice."""
    first: dict[tuple[int, int, bytes, int], bytes] = {}
    found = []
    for envelope in envelopes_of(heard, sid):
        place = (envelope.epoch, envelope.slot, envelope.inst, envelope.seq)
        if first.setdefault(place, envelope.hash) != envelope.hash:
            found.append((envelope.epoch, envelope.slot, envelope.inst.hex(), envelope.seq))
    return found


@dataclass(frozen=True, slots=True)
class Repeated:
    """An envelope that was published once more. `behind`: how many later ones had been published by then."""

    at: float
    seq: int
    behind: int


def repeated(heard: Iterable[Heard], sid: bytes) -> list[Repeated]:
    """Every publication of an envelope beyond its first, in order: the wire may see them, readers know them by their
    bytes, and a writer that publishes its whole log at each start would hide among them."""
    first: set[bytes] = set()
    newest, found = 0, []
    for item in heard:
        if item.kind != "data" or item.sid != sid or not item.payload:
            continue
        envelope = parse_envelope(item)
        if envelope.hash in first:
            found.append(Repeated(item.at, envelope.seq, newest - envelope.seq))
        first.add(envelope.hash)
        newest = max(newest, envelope.seq)
    return found


def unbroken(heard: Iterable[Heard], sid: bytes) -> list[SealedEnvelope]:
    """All envelopes in order of their numbers. AssertionError for a missing number, a second envelope with one number,
    or one that does not carry the hash of the one before."""
    envelopes = sorted(envelopes_of(heard, sid), key=lambda envelope: envelope.seq)
    numbers = [envelope.seq for envelope in envelopes]
    assert numbers == list(range(1, len(numbers) + 1)), _odd(numbers)
    for before, after in pairwise(envelopes):
        assert after.previous == before.hash, f"seq {after.seq} does not follow seq {before.seq}"
        assert (after.epoch, after.slot) >= (before.epoch, before.slot), f"seq {after.seq} goes back"
    return envelopes


def _odd(numbers: list[int]) -> str:
    there = set(numbers)
    missing = [n for n in range(1, max(numbers, default=0) + 1) if n not in there]
    return f"missing {missing[:10]}, twice {[n for n in there if numbers.count(n) > 1][:10]}"


def wire_commits(heard: Iterable[Heard], sid: bytes) -> dict[int, bytes]:
    """Hash by epoch. AssertionError for two different commits of one epoch, or a commit that does not follow."""
    found: dict[int, bytes] = {}
    commits = sorted(commits_of(heard, sid), key=lambda commit: commit.epoch)
    for commit in commits:
        assert found.setdefault(commit.epoch, commit.hash) == commit.hash, f"two commits of epoch {commit.epoch}"
        assert commit.previous == found.get(commit.epoch - 1, bytes(32)), f"epoch {commit.epoch} has no predecessor"
    assert sorted(found) == list(range(1, len(found) + 1)), sorted(found)
    return found


def sealed_by_gateway(cluster: Cluster, sid: bytes) -> int:
    """How many envelopes of a stream its gateway has sealed so far. It keeps each before it publishes it, so a slow
    machine, on which the broker hears of one seconds later, does not matter."""
    question = "SELECT max(e.position) FROM channel_envelope e JOIN channel_stream s ON s.id = e.stream WHERE s.sid = ?"
    with closing(sqlite3.connect(f"file:{cluster.gateway.folder / 'channels.db'}?mode=ro", uri=True)) as store:
        return int(store.execute(question, (sid,)).fetchone()[0] or 0)


async def nothing_is_sealed(cluster: Cluster, sid: bytes, seconds: float = 4.0) -> None:
    """AssertionError for an envelope that is sealed within so many seconds. The writer has said before that it
    waits, or that it has stopped: the round in which it did not know of it is over."""
    before = sealed_by_gateway(cluster, sid)
    await asyncio.sleep(seconds)
    assert sealed_by_gateway(cluster, sid) == before, cluster.gateway.process.said()[-6_000:]


async def chain_commits(cluster: Cluster, sid: str) -> dict[int, bytes]:
    """Hash by epoch as the chain's node lists the events now. AssertionError for an epoch that is there twice."""
    query: dict[str, Any] = {
        "address": "0x" + cluster.devnet.registry.address.hex(),
        "fromBlock": "0x0",
        "toBlock": "latest",
        "topics": [_COMMITTED, sid],
    }
    found: dict[int, bytes] = {}
    for log in await cluster.devnet.rpc.request("eth_getLogs", [query]):
        data = bytes.fromhex(log["data"][2:])
        (epoch,) = struct.unpack(">Q", data[24:32])
        assert epoch not in found, f"epoch {epoch} is on chain twice"
        found[epoch] = data[32:64]
    return found


async def commits_agree(cluster: Cluster, sid: str) -> None:
    """Waits until the broker was told every commit that is on chain, and the chain has every one that was told: between
    the two lies a moment in which only one of them knows."""

    async def same() -> bool:
        return wire_commits(cluster.wire.heard, bytes.fromhex(sid[2:])) == await chain_commits(cluster, sid)

    await until("wire and chain hold the same commits", same)
