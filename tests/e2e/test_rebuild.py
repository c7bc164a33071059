"""Deleting the database and starting again gives the same state, from chain, channel logs, private log and keystore."""

from __future__ import annotations

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


async def test_after_all_rebuilds_the_household_decides_as_before(cluster: Cluster) -> None:
    """The request that waited is granted, a new one is granted and revoked, and nothing was lost or repeated."""
    waiting = next(r for r in await cluster.home.items("/requests") if r["state"] == "requested")
    await cluster.home.post(f"/requests/{waiting['id']}/grant", {})
    begin = time.time()
    await cluster.flows("beta")
    consent = next(c for c in await cluster.home.items("/consents") if c["request_id"] == waiting["id"])
    await cluster.revoke(consent["grant_id"])
    await until("the second revocation is in force", lambda: _state(cluster, consent["grant_id"], "revoked"))
    await cluster.flows("alpha")
    await check_everything(cluster, [], begin, ("home", "alpha"))


async def _state(cluster: Cluster, grant: str, state: str) -> bool:
    return bool((await cluster.home.get(f"/consents/{grant}"))["state"] == state)
