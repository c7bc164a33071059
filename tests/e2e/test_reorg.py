"""A reorg on a running cluster: a grant that it removes is undone, a revocation that it removes stays in force."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from eth_utils.crypto import keccak

from node.app.demo.wirelog import envelopes_of
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.latency import measure_in
from tests.support.nodes import NodeProcess
from tests.support.processes import until
from tests.support.wire import commits_agree, forks, unbroken

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(providers=("alpha", "beta"))) as cluster:
        await cluster.pair()
        yield cluster


async def _logged(cluster: Cluster, event: str, grant: str) -> list[dict[str, Any]]:
    """Logs of an event of one grant on the present chain."""
    query = {
        "address": "0x" + cluster.devnet.registry.address.hex(),
        "fromBlock": "0x0",
        "toBlock": "latest",
        "topics": ["0x" + keccak(text=event).hex(), grant],
    }
    found: list[dict[str, Any]] = await cluster.devnet.rpc.request("eth_getLogs", [query])
    return found


async def _granted(cluster: Cluster, grant: str) -> list[dict[str, Any]]:
    return await _logged(cluster, "Granted(bytes32,address,address,bytes32,bytes32,uint256,bytes32[])", grant)


async def _revoked(cluster: Cluster, grant: str) -> list[dict[str, Any]]:
    return await _logged(cluster, "Revoked(bytes32,address,bytes32)", grant)


async def _remove_block_of(cluster: Cluster, logs: list[dict[str, Any]]) -> None:
    """Replaces the block of the first log, and everything above it, by empty blocks."""
    number, gone = logs[0]["blockNumber"], logs[0]["blockHash"]
    # A block that is mined between the question and the reorg makes it one too shallow.
    while (await cluster.devnet.rpc.request("eth_getBlockByNumber", [number, False]))["hash"] == gone:
        head = (await cluster.devnet.rpc.head()).number
        await cluster.devnet.reorg(head - int(number, 16) + 1)


async def _agreement(cluster: Cluster) -> None:
    """In the end wire and chain hold the same commits, and no number was used twice."""
    sid = bytes.fromhex(cluster.raw[2:])
    await commits_agree(cluster, cluster.raw)
    assert forks(cluster.wire.heard, sid) == []
    unbroken(cluster.wire.heard, sid)


async def _newest_epoch(cluster: Cluster, name: str) -> int:
    """The newest epoch of which a node has a reading."""
    return max(int(row["epoch"]) for row in await cluster.nodes[name].readings(cluster.raw))


async def _undone(cluster: Cluster, grant: str) -> str:
    """The gateway's alarm about a grant that is gone, for the stream of raw readings; empty while there is none."""
    alarms = [alarm for alarm in await cluster.gateway.alarms() if alarm["sid"] == cluster.raw]
    return next((a["message"] for a in alarms if a["kind"] == "grant_undone" and grant in a["message"]), "")


async def test_a_removed_grant_is_undone_and_its_reader_removed(cluster: Cluster) -> None:
    """architecture.md: a reorg rolls back and replays; nobody sends the Grant again while the home is away."""
    grant = await cluster.grant("alpha")
    logs = await _granted(cluster, grant)
    await cluster.home.kill()
    members = (await cluster.stream_at(cluster.gateway))["live_readers"]
    epoch = envelopes_of(cluster.wire.heard, bytes.fromhex(cluster.raw[2:]))[-1].epoch
    await _remove_block_of(cluster, logs)
    assert await _granted(cluster, grant) == []

    async def removed() -> bool:
        state = await cluster.stream_at(cluster.gateway)
        newest = envelopes_of(cluster.wire.heard[-50:], bytes.fromhex(cluster.raw[2:]))
        return state["live_readers"] == int(str(members)) - 1 and bool(newest) and newest[-1].epoch > epoch

    await until("the gateway seals without the reader", removed)
    said = await until("the gateway says what could be read", partial(_undone, cluster, grant))
    could = [e.seq for e in envelopes_of(cluster.wire.heard, bytes.fromhex(cluster.raw[2:])) if e.epoch == epoch]
    assert f"envelopes {min(could)} to {max(could)} of epochs {epoch} to {epoch}," in said
    await asyncio.sleep(3)
    assert await _newest_epoch(cluster, "alpha") == epoch
    # Back again, the home finds its Grant missing and brings it onto the chain once more.
    await cluster.home.start()
    await cluster.flows("home", "alpha")
    assert len(await _granted(cluster, grant)) == 1
    await _agreement(cluster)


async def test_a_removed_revocation_stays_in_force_and_is_sent_again(cluster: Cluster) -> None:
    """contracts.md: a revoke acts at first sight and for good, whatever the chain does afterwards."""
    grant = await cluster.grant("beta")
    epoch = envelopes_of(cluster.wire.heard, bytes.fromhex(cluster.raw[2:]))[-1].epoch
    await cluster.revoke(grant)

    async def on_chain() -> list[dict[str, Any]]:
        return await _revoked(cluster, grant)

    logs = await until("the revocation is on chain", on_chain)
    await _remove_block_of(cluster, logs)
    removed_at = time.time()
    again = await until("the revocation is on chain again", on_chain)
    assert again[0]["blockHash"] != logs[0]["blockHash"]
    height = int(again[0]["blockNumber"], 16)

    async def final() -> bool:
        """Two blocks on top and nothing else in sight: it was not sent once more."""
        return (await cluster.devnet.rpc.head()).number >= height + 2

    await until("the revocation is final", final)
    assert len(await _revoked(cluster, grant)) == 1
    for name in ("home", "beta"):
        await until(f"{name} shows the revocation", partial(_is_revoked, cluster.nodes[name], grant))
    await cluster.flows("home", since=removed_at)
    await _agreement(cluster)

    async def under_the_next_epoch() -> bool:
        return envelopes_of(cluster.wire.heard, bytes.fromhex(cluster.raw[2:]))[-1].epoch > epoch

    # Epochs only rise along the stream, so the end of beta's epoch is the end of what beta may read.
    await until("the gateway seals without beta", under_the_next_epoch)
    assert await _newest_epoch(cluster, "beta") == epoch


async def _is_revoked(node: NodeProcess, grant: str) -> bool:
    return bool((await node.get(f"/consents/{grant}"))["state"] == "revoked")


async def test_the_bench_measures_a_revocation(cluster: Cluster) -> None:
    """What `make bench` calls gives figures that can be true: both ends of every interval were really seen."""
    (times,) = await measure_in(cluster, "beta", 1)
    assert times.signed_to_first_new > times.signed_to_last_old >= 0
    assert times.block_to_first_new > times.block_to_last_old
