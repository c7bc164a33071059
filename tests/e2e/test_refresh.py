"""A reader's key is refreshed (channels.md 4, rule 8): provider, chain, home and gateway as real processes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from keys.keystore import Keystore
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.kills import check_everything
from tests.support.nodes import NodeProcess, Refusal
from tests.support.processes import until
from tests.support.wire import chain_commits

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(providers=("alpha", "beta"))) as cluster:
        await cluster.pair()
        yield cluster


def _keys(node: NodeProcess) -> list[str]:
    """Private keys that open a Welcome of some consent."""
    names = Keystore.open(node.folder / "keystore", node.passphrase).names()
    return [name for name in names if name.startswith(("reader-", "refresh-"))]


async def test_a_refreshed_key_takes_the_place_of_the_old_one(cluster: Cluster) -> None:
    """One commit removes and adds the leaf; the reader goes on, the others too; the key is deleted once it was used."""
    begin = time.time()
    alpha = cluster.nodes["alpha"]
    grant = await cluster.grant("alpha")
    await cluster.grant("beta")
    await until("the first key is deleted", lambda: _none(alpha))
    epochs = len(await chain_commits(cluster, cluster.raw))
    await alpha.post(f"/consents/{grant}/refresh")
    await until("the writer commits", lambda: _commits(cluster, epochs + 1))
    await until("the new key was used and is deleted", lambda: _none(alpha))
    await cluster.flows("home", "alpha", "beta")
    assert len(await chain_commits(cluster, cluster.raw)) == epochs + 1
    assert (await cluster.stream_at(cluster.gateway))["live_readers"] == 3
    await check_everything(cluster, [], begin + 5, ("home",))
    for name in ("alpha", "beta"):
        assert await cluster.nodes[name].alarms() == []


async def test_a_second_refresh_on_one_day_waits(cluster: Cluster) -> None:
    """A reader cannot make the gateway commit as often as it likes; meanwhile its old key is good."""
    alpha = cluster.nodes["alpha"]
    (grant,) = [consent["grant_id"] for consent in await alpha.items("/consents")]
    epochs = len(await chain_commits(cluster, cluster.raw))
    digest = (await alpha.post(f"/consents/{grant}/refresh"))["digest"]
    with pytest.raises(Refusal) as refused:
        await alpha.post(f"/consents/{grant}/refresh")
    assert refused.value.status == 409

    async def final() -> bool:
        rows = await alpha.items("/transactions")
        return any(row["id"] == digest and row["state"] == "final" for row in rows)

    await until("the refresh is final", final)
    # Another reader's commit shows that the gateway has seen the refresh and made none of it.
    other = (await cluster.nodes["beta"].items("/consents"))[0]["grant_id"]
    await cluster.revoke(other)
    await until("the revocation is committed", lambda: _commits(cluster, epochs + 1))
    await cluster.flows("home", "alpha")
    assert len(await chain_commits(cluster, cluster.raw)) == epochs + 1


async def test_what_is_not_live_has_no_key_to_refresh(cluster: Cluster) -> None:
    beta = cluster.nodes["beta"]
    (grant,) = [consent["grant_id"] for consent in await beta.items("/consents")]
    with pytest.raises(Refusal) as refused:
        await beta.post(f"/consents/{grant}/refresh")
    assert refused.value.status == 409
    with pytest.raises(Refusal) as unknown:
        await beta.post(f"/consents/0x{'ab' * 32}/refresh")
    assert unknown.value.status == 404


async def _none(node: NodeProcess) -> bool:
    return _keys(node) == []


async def _commits(cluster: Cluster, count: int) -> bool:
    return len(await chain_commits(cluster, cluster.raw)) >= count
