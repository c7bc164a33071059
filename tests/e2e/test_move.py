"""Streams move from one gateway machine to another (channels.md 4, rule 10), with real processes and two meters."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio

from contracts.bindings.consent_registry.calls import encode_commit
from keys.messages import StreamCommit, registry_domain
from node.ledger.errors import LedgerError
from tests.e2e.conftest import Clusters
from tests.support.cluster import RAW, Cluster, Plan
from tests.support.nodes import Refusal
from tests.support.processes import until
from tests.support.wire import chain_commits, forks, unbroken, wire_commits

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

NEW = "annex"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(providers=("alpha", "beta"), spares=(NEW, "attic"))) as cluster:
        await cluster.pair()
        await cluster.meters[NEW].tell("live")
        await cluster.grant("alpha")
        await cluster.grant("beta")
        yield cluster


async def _move(cluster: Cluster, name: str, within: float = 90) -> None:
    """The household hands its streams to another gateway; returns when nothing moves any more."""
    code = await cluster.nodes[name].post("/pairing/code")
    device = (await cluster.nodes[name].get("/status"))["device"]
    await cluster.home.post("/pairing/move", {"code": code["qr"]})

    async def moved() -> bool:
        pairing = await cluster.home.get("/pairing")
        return pairing["peer"] == device and not await cluster.home.items("/pairing/move")

    await until(f"the streams have moved to {name}", moved, within)


async def _times(cluster: Cluster, name: str, since: float) -> list[int]:
    return [r["time"] for r in await cluster.nodes[name].readings(cluster.raw) if r["time"] >= since]


async def test_readers_go_on_without_losing_or_doubling_a_reading(cluster: Cluster) -> None:
    """Both gateways have a meter, so every second is measured twice around the change and must arrive once."""
    begin = time.time()
    old_writer = (await cluster.stream_at(cluster.gateway))["writer"]
    await _move(cluster, NEW)
    await cluster.flows("home", "alpha", "beta")
    assert (await cluster.stream_at(cluster.home))["writer"] != old_writer
    end = time.time() - 5

    for name in ("home", "alpha", "beta"):

        async def whole(name: str = name) -> bool:
            times = await _times(cluster, name, begin)
            return bool(times) and max(times) > end and len(set(times)) > end - begin - 2

        await until(f"{name} has every second", whole, 60)
        times = await _times(cluster, name, begin)
        assert len(times) == len(set(times)), f"{name} has a second twice"
        assert [(a, b) for a, b in pairwise(sorted(times)) if b != a + 1] == [], f"{name} lacks a second"
        assert await cluster.nodes[name].alarms() == []
    sid = bytes.fromhex(cluster.raw[2:])
    assert forks(cluster.wire.heard, sid) == []
    unbroken(cluster.wire.heard, sid)
    await until("every commit of the chain was heard", lambda: _heard(cluster))


async def _heard(cluster: Cluster) -> bool:
    return wire_commits(cluster.wire.heard, bytes.fromhex(cluster.raw[2:])) == await chain_commits(cluster, cluster.raw)


async def test_the_old_gateway_has_stopped_for_good_and_says_so(cluster: Cluster) -> None:
    """Its commits are refused by the registry, it seals nothing, and it is not started into writing again."""
    gateway = cluster.gateway
    sid = bytes.fromhex(cluster.raw[2:])
    said = gateway.process.said()
    assert "the owner has set another writer for this stream" in said
    await until("the old pairing has ended", lambda: _unpaired(cluster))
    assert gateway.process.running
    domain = registry_domain(cluster.devnet.chain_id, cluster.devnet.registry.address)
    epoch = max(await chain_commits(cluster, cluster.raw)) + 1
    message = StreamCommit(sid, epoch, b"\x01" * 32)
    signature = await gateway.identity.device().sign_message(message, domain)
    call = {"to": "0x" + cluster.devnet.registry.address.hex(), "data": "0x" + encode_commit(message, signature).hex()}
    with pytest.raises(LedgerError):
        await cluster.devnet.rpc.request("eth_call", [call, "latest"])
    await gateway.stop()
    await gateway.start()
    assert [s for s in await gateway.items("/streams") if s["live_readers"] is not None] == []
    await cluster.flows("home", "alpha", "beta")


async def _unpaired(cluster: Cluster) -> bool:
    return bool((await cluster.gateway.get("/pairing"))["state"] == "unpaired")


async def test_the_new_gateway_serves_grants_and_revocations(cluster: Cluster) -> None:
    consent = (await cluster.nodes["beta"].items("/consents"))[0]["grant_id"]
    await cluster.revoke(consent)
    await cluster.flows("home", "alpha")
    await cluster.grant("beta")
    await until("every commit of the chain was heard", lambda: _heard(cluster))


@pytest.mark.parametrize("name", [NEW, "home", "alpha"])
async def test_after_the_move_everybody_can_be_restarted_and_rebuilt(cluster: Cluster, name: str) -> None:
    """The new gateway is rebuilt from the point where it took over; readers know both signing keys."""
    node = cluster.nodes[name]
    await node.stop()
    node.forget_both_databases()
    await node.start()
    await cluster.flows("home", "alpha", since=time.time())
    assert forks(cluster.wire.heard, bytes.fromhex(cluster.raw[2:])) == []


@pytest.mark.long
async def test_a_dead_gateway_is_moved_from_by_the_households_own_log(cluster: Cluster) -> None:
    """The old gateway says no last words: it was stolen, or burnt. The household's log says who sits where."""
    await cluster.nodes[NEW].kill()
    await cluster.meters["attic"].tell("live")
    await _move(cluster, "attic", 150)
    await cluster.flows("home", "alpha", "beta")
    sid = bytes.fromhex(cluster.raw[2:])
    assert forks(cluster.wire.heard, sid) == []
    await until("every commit of the chain was heard", lambda: _heard(cluster))


async def test_a_move_needs_a_gateway_to_move_from_and_one_at_a_time(cluster: Cluster) -> None:
    with pytest.raises(Refusal) as refused:
        await cluster.gateway.post("/pairing/move", {"code": "7-amber-lake", "url": "http://127.0.0.1:1"})
    assert refused.value.status in (403, 409)
    assert cluster.sids.keys() == {RAW}
