"""Second signatures in real processes: the gateway's switch reaches the chain, the broker and the readers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from channels.checkpoint import Checkpoint
from channels.commit import Commit, Header
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.processes import until
from tests.support.wire import chain_commits

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

SWITCH = "streams.post_quantum_signatures"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(settings={"gateway": {SWITCH: True}})) as cluster:
        await cluster.pair()
        yield cluster


def heard(cluster: Cluster, kind: str) -> list[bytes]:
    """What the gateway published about the raw stream."""
    sid = bytes.fromhex(cluster.raw.removeprefix("0x"))
    return [item.payload for item in cluster.wire.heard if (item.kind, item.sid) == (kind, sid) and item.payload]


def two_signatures_everywhere(cluster: Cluster) -> None:
    commits, checkpoints = heard(cluster, "commits"), heard(cluster, "checkpoints")
    assert commits
    assert checkpoints
    assert {Header.decode(data).version for data in commits} == {2}
    assert {data[:2] for data in checkpoints if Checkpoint.decode(data)} == {b"\x00\x02"}


async def test_a_provider_reads_a_stream_with_two_signatures(cluster: Cluster) -> None:
    """Only a reader that found both signatures right has final readings to show."""
    await cluster.grant("alpha")
    await cluster.flows("home", "alpha")

    async def signed() -> bool:
        return bool(heard(cluster, "checkpoints"))

    await until("the first checkpoint", signed)  # at the end of a slot, or of an epoch
    two_signatures_everywhere(cluster)

    async def agree() -> bool:
        told = {Header.decode(data).epoch: Commit.hash_of(data) for data in heard(cluster, "commits")}
        return told == await chain_commits(cluster, cluster.raw)

    await until("wire and chain hold the same commits", agree)
    assert await cluster.nodes["alpha"].alarms() == []


@pytest.mark.long
async def test_a_registered_stream_keeps_two_signatures_when_the_switch_is_turned_off(cluster: Cluster) -> None:
    """The chain names the key: readers would refuse what one signature less vouches for."""
    await cluster.gateway.stop()
    await cluster.gateway.start(sets={SWITCH: "false"})
    before = len(heard(cluster, "checkpoints"))
    await cluster.flows("alpha", since=time.time())

    async def further() -> bool:
        return len(heard(cluster, "checkpoints")) > before

    await until("the gateway signs on", further)
    two_signatures_everywhere(cluster)
    assert await cluster.nodes["alpha"].alarms() == []
