"""Deleting the database and starting again gives the same state, from chain, channel logs, private log and keystore."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.kills import check_everything
from tests.support.nodes import NodeProcess
from tests.support.processes import until
from tests.support.wire import chain_commits, forks

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

_MOVING = {"readings", "epoch", "alarms"}
"""What goes on while nobody looks: it may be further, not back."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    """One consent of each kind: live, revoked, denied; and one request that waits."""
    async with clusters(Plan(providers=("alpha", "beta"), streams=("electricity/1s", "electricity/15min"))) as cluster:
        await cluster.pair()
        await cluster.grant("alpha")
        revoked = await cluster.grant("beta")
        await cluster.revoke(revoked)
        denied = await cluster.ask("beta")
        await cluster.home.post(f"/requests/{denied}/deny", {"reason": "not needed"})
        await cluster.ask("beta", purpose="still open")
        await until("the revocation is everywhere", lambda: _revoked_everywhere(cluster, revoked))
        yield cluster


async def _revoked_everywhere(cluster: Cluster, grant: str) -> bool:
    for name in ("home", "beta"):
        if (await cluster.nodes[name].get(f"/consents/{grant}"))["state"] != "revoked":
            return False
    denied = [r for r in await cluster.nodes["beta"].items("/requests") if r["state"] == "denied"]
    return len(denied) == 1


async def _shown(node: NodeProcess) -> dict[str, Any]:
    """Everything that the node shows of its state, in one order."""
    streams = await node.items("/streams")
    return {
        "consents": sorted(await node.items("/consents"), key=str),
        "requests": sorted(await node.items("/requests"), key=str),
        "streams": sorted(({k: v for k, v in s.items() if k not in _MOVING} for s in streams), key=str),
        "pairing": await node.get("/pairing"),
    }


@pytest.mark.parametrize("name", ["home", "gateway", "alpha", "beta"])
async def test_a_lost_database_is_rebuilt(cluster: Cluster, name: str) -> None:
    """architecture.md: the database is a cache of what chain, channel logs and keystore say."""
    node = cluster.nodes[name]
    before = await _shown(node)
    epoch = (await cluster.stream_at(node))["epoch"] if name != "beta" else 0
    begin = time.time()
    await node.stop()
    node.forget_database()
    await node.start()

    async def same() -> bool:
        return await _shown(node) == before

    try:
        await until(f"{name} shows what it showed", same, 60)
    except AssertionError:
        assert await _shown(node) == before
        raise
    if name != "beta":
        assert int(str((await cluster.stream_at(node))["epoch"])) >= int(str(epoch))
    await cluster.flows("home", "alpha", since=max(begin, time.time()))


@pytest.mark.parametrize("name", ["home", "gateway", "alpha"])
async def test_both_databases_lost_come_back_from_the_second_store(cluster: Cluster, name: str) -> None:
    """channels.md 7: two stores hold commits, capsules and private log; the writer is rebuilt from T and the log."""
    node = cluster.nodes[name]
    before = await _shown(node)
    commits = await chain_commits(cluster, cluster.raw)
    first = (await node.get(f"/streams/{cluster.raw}/readings?limit=1"))["items"] if name != "gateway" else []
    await node.stop()
    node.forget_both_databases()
    await node.start()

    async def same() -> bool:
        return await _shown(node) == before

    try:
        await until(f"{name} shows what it showed", same, 60)
    except AssertionError:
        assert await _shown(node) == before
        raise
    begin = time.time()
    await cluster.flows("home", "alpha", since=begin)
    if first:
        await until(f"{name} has its past again", lambda: _has(cluster, node, first[0]["time"]))
    assert forks(cluster.wire.heard, bytes.fromhex(cluster.raw[2:])) == []
    assert commits.items() <= (await chain_commits(cluster, cluster.raw)).items()
    # A change of readers shows that the tree is the one that the readers know.
    consent = await cluster.grant("beta")
    await cluster.revoke(consent)
    await until("the revocation is in force", lambda: _state(cluster, consent, "revoked"))
    await until("its commit is on chain", lambda: _settled(cluster, 2))
    await cluster.flows("home", "alpha")


async def _settled(cluster: Cluster, readers: int) -> bool:
    """Whether the writer has so many members and the chain has its newest commit."""
    found = await cluster.stream_at(cluster.gateway)
    writes = await chain_commits(cluster, cluster.raw)
    return found["live_readers"] == readers and found["epoch"] == max(writes)


async def _has(cluster: Cluster, node: NodeProcess, moment: int) -> bool:
    return moment in await cluster.recent(node, moment)


async def test_after_all_rebuilds_the_household_decides_as_before(cluster: Cluster) -> None:
    """The request that waited is granted, a new one is granted and revoked, and nothing was lost or repeated."""
    waiting = next(r for r in await cluster.home.items("/requests") if r["state"] == "requested")
    granted = (await cluster.home.post(f"/requests/{waiting['id']}/grant", {}))["digest"]
    begin = time.time()
    # That beta reads may be thanks to an earlier grant.
    await until("the consent is live", lambda: _state(cluster, granted, "live"))
    await cluster.flows("beta")
    await cluster.revoke(granted)
    await until("the second revocation is in force", lambda: _state(cluster, granted, "revoked"))
    await cluster.flows("alpha")
    await check_everything(cluster, [], begin, ("home", "alpha"))


async def _state(cluster: Cluster, grant: str, state: str) -> bool:
    answer = await cluster.home.raw("GET", f"/consents/{grant}")  # 404 until the chain has shown it
    return answer.status == 200 and bool(json.loads(answer.body)["state"] == state)
