"""kill -9 of gateway and home at random moments: nothing lost, nothing published twice, one commit per epoch."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.kills import Killer, check_everything

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

SEED = 20_261_121


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(providers=("alpha", "beta"))) as cluster:
        await cluster.pair()
        yield cluster


async def _killed(cluster: Cluster, count: int, seed: int) -> None:
    """Grants and revokes while it kills, so that commits, capsules and transactions are hit as well as readings."""
    killer = Killer(cluster, random.Random(seed))
    # Of the readings before the grant the provider has none; its slots begin with the next slot.
    grant = await cluster.grant("alpha")
    begin = time.time()
    while killer.kills < count:
        await killer.rounds(min(10, count - killer.kills))
        await cluster.home.up()
        grant_id = await cluster.grant("beta", wait=False)
        await killer.rounds(min(4, count - killer.kills))
        await cluster.home.up()
        await cluster.revoke(grant_id)
    await cluster.gateway.up()
    await cluster.flows("home", "alpha")
    await check_everything(cluster, killer.away, begin, ("home", "alpha"))
    assert (await cluster.home.get(f"/consents/{grant}"))["state"] == "live"


async def test_twenty_kills_lose_and_repeat_nothing(cluster: Cluster) -> None:
    await _killed(cluster, 20, SEED)


@pytest.mark.long
async def test_two_hundred_kills_lose_and_repeat_nothing(cluster: Cluster) -> None:
    await _killed(cluster, 200, SEED + 1)
