"""kill -9 of gateway and home at random moments: nothing lost, nothing published twice, one commit per epoch."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import pytest_asyncio

from node.services.gateway.publisher import AT_ONCE
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.kills import Killer, check_everything, expected
from tests.support.wire import repeated

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
    _published_once(cluster, killer)
    _read_between(cluster, killer)


MOST_AGAIN = 8
"""Envelopes that one crash may send once more: one reading a second, and a commit holds them back for a few."""


def _published_once(cluster: Cluster, killer: Killer) -> None:
    """At least once is what a crash allows: what was on its way and not acknowledged. Never what lies further back."""
    again = repeated(list(cluster.wire.heard), bytes.fromhex(cluster.raw[2:]))
    assert [each for each in again if each.behind >= AT_ONCE] == []
    assert len(again) <= len(killer.away) * MOST_AGAIN, again


def _read_between(cluster: Cluster, killer: Killer) -> None:
    """What is demanded lies between the kills too, and not only before the first and after the last."""
    gaps = [(before.end, after.start) for before, after in pairwise(killer.away)]
    between = [len(expected(cluster, killer.away, *gap)[0]) for gap in gaps]
    assert sum(between) >= len(gaps) // 2, between


async def test_twenty_kills_lose_and_repeat_nothing(cluster: Cluster) -> None:
    await _killed(cluster, 20, SEED)


@pytest.mark.long
async def test_two_hundred_kills_lose_and_repeat_nothing(cluster: Cluster) -> None:
    await _killed(cluster, 200, SEED + 1)
