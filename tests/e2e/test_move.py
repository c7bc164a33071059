"""Streams move from one gateway machine to another (channels.md 4, rule 10), with real processes and two meters."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from contracts.bindings.consent_registry.calls import encode_commit
from keys.keystore import Keystore
from keys.messages import StreamCommit, registry_domain
from node.ledger.errors import LedgerError
from tests.e2e.conftest import Clusters
from tests.support.cluster import RAW, Cluster, Plan
from tests.support.nodes import Refusal
from tests.support.processes import until
from tests.support.wire import chain_commits, commits_agree, forks, unbroken

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


async def _move(cluster: Cluster, name: str) -> None:
    """The household hands its streams to another gateway; returns when nothing moves any more."""
    code = await cluster.nodes[name].post("/pairing/code")
    device = (await cluster.nodes[name].get("/status"))["device"]
    await cluster.home.post("/pairing/move", {"code": code["qr"]})

    async def moved() -> bool:
        pairing = await cluster.home.get("/pairing")
        return pairing["peer"] == device and not await cluster.home.items("/pairing/move")

    await until(f"the streams have moved to {name}", moved)


def _said_by_the_meters(cluster: Cluster, since: float) -> tuple[set[int], set[int]]:
    """Meter times from `since` on that both gateways' meters told soundly, and those that at least one told."""
    told = [cluster.meters[name].truth() for name in ("gateway", NEW)]
    sound = [{said.meter_time for said in each if said.sound and said.meter_time >= since} for each in told]
    return sound[0] & sound[1], {said.meter_time for each in told for said in each}


async def _times(cluster: Cluster, name: str, since: float) -> list[int]:
    return [r["time"] for r in await cluster.nodes[name].readings(cluster.raw) if r["time"] >= since]


async def test_readers_go_on_without_losing_or_doubling_a_reading(cluster: Cluster) -> None:
    """Both gateways have a meter, so every second is measured twice around the change and must arrive once."""
    begin = time.time()
    old_writer = (await cluster.stream_at(cluster.gateway))["writer"]
    await _move(cluster, NEW)
    await cluster.flows("home", "alpha", "beta")
    assert (await cluster.stream_at(cluster.home))["writer"] != old_writer
    # A meter on a busy machine may skip a second; what both said must be there, and nothing that neither did.
    both, _ = _said_by_the_meters(cluster, begin)
    assert both, "the meters never spoke at the same time"

    for name in ("home", "alpha", "beta"):

        async def whole(name: str = name) -> bool:
            return both <= set(await _times(cluster, name, begin))

        await until(f"{name} has every second", whole)
        times = await _times(cluster, name, begin)
        assert len(times) == len(set(times)), f"{name} has a second twice"
        assert set(times) <= _said_by_the_meters(cluster, begin)[1], f"{name} has what no meter said"
        assert await cluster.nodes[name].alarms() == []
    sid = bytes.fromhex(cluster.raw[2:])
    assert forks(cluster.wire.heard, sid) == []
    unbroken(cluster.wire.heard, sid)
    await commits_agree(cluster, cluster.raw)


async def test_the_old_gateway_has_stopped_for_good_and_says_so(cluster: Cluster) -> None:
    """Its commits are refused by the registry, it seals nothing, and it is not started into writing again."""
    gateway = cluster.gateway
    sid = bytes.fromhex(cluster.raw[2:])

    async def said_so() -> bool:
        return "the owner has set another writer for this stream" in gateway.process.said()

    await until("the old gateway says that it is out", said_so)
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
    await commits_agree(cluster, cluster.raw)


@pytest.mark.parametrize("name", [NEW, "home", "alpha"])
async def test_after_the_move_everybody_can_be_restarted_and_rebuilt(cluster: Cluster, name: str) -> None:
    """The new gateway is rebuilt from the point where it took over; readers know both signing keys."""
    node = cluster.nodes[name]
    await node.stop()
    node.forget_both_databases()
    await node.start()
    await cluster.flows("home", "alpha", since=time.time())
    assert forks(cluster.wire.heard, bytes.fromhex(cluster.raw[2:])) == []
    if name == "alpha":
        (consent,) = await node.items("/consents")

        async def told() -> bool:
            given = (await cluster.home.get(f"/streams/{cluster.raw}"))["resyncs"]
            return consent["grant_id"] in [each["grant_id"] for each in given]

        await until("the owner sees that alpha was let in again", told)


@pytest.mark.long
async def test_a_dead_gateway_is_moved_from_by_the_households_own_log(cluster: Cluster) -> None:
    """The old gateway says no last words: it was stolen, or burnt. The household's log says who sits where."""
    await cluster.nodes[NEW].kill()
    await cluster.meters["attic"].tell("live")
    await _move(cluster, "attic")
    await cluster.flows("home", "alpha", "beta")
    sid = bytes.fromhex(cluster.raw[2:])
    assert forks(cluster.wire.heard, sid) == []
    await commits_agree(cluster, cluster.raw)


@pytest.mark.long
async def test_a_stream_moves_back_to_a_gateway_that_wrote_it_before(cluster: Cluster) -> None:
    """Its second time has masters and keys of its own; what it kept of its first time is nobody's member any more."""
    sid = bytes.fromhex(cluster.raw[2:])
    first = (await cluster.stream_at(cluster.home))["writer"]
    await _move(cluster, "gateway")
    await cluster.flows("home", "alpha", "beta")
    assert (await cluster.stream_at(cluster.home))["writer"] != first
    keystore = Keystore.open(cluster.gateway.folder / "keystore", cluster.gateway.passphrase)
    masters = [keystore.get(name) for name in keystore.names() if name.startswith(f"masters-{sid.hex()}")]
    assert len(set(masters)) == len(masters) == 2
    await cluster.gateway.stop()
    await cluster.gateway.start()
    await cluster.flows("home", "alpha", "beta", since=time.time())
    assert forks(cluster.wire.heard, sid) == []
    unbroken(cluster.wire.heard, sid)
    await commits_agree(cluster, cluster.raw)


async def test_a_move_needs_a_gateway_to_move_from_and_one_at_a_time(cluster: Cluster) -> None:
    with pytest.raises(Refusal) as refused:
        await cluster.gateway.post("/pairing/move", {"code": "7-amber-lake", "url": "http://127.0.0.1:1"})
    assert refused.value.status in (403, 409)
    assert cluster.sids.keys() == {RAW}
