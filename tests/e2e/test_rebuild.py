"""Deleting the database and starting again gives the same state, from chain, channel logs, private log and keystore."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from node.app.commands.receipt import verify_receipt
from node.cli.factories import ReceiptOptions
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.kills import check_everything
from tests.support.nodes import NodeProcess
from tests.support.processes import until
from tests.support.wire import chain_commits, forks

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

_MOVING = {"readings", "last_reading_at", "epoch", "alarms", "resyncs"}
"""What goes on while nobody looks: it may be further, not back. `_kept` looks at the readings themselves."""


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
        await until("its commit is on chain", lambda: _settled(cluster, 2))
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


Row = tuple[str, int, int, int, int, tuple[tuple[str, object], ...]]


async def _kept(cluster: Cluster, node: NodeProcess) -> list[Row]:
    """Every reading of every stream that a node shows: stream, time, slot, epoch, seq and all values."""
    found: list[Row] = []
    for name, sid in cluster.sids.items():
        if (await node.raw("GET", f"/streams/{sid}/readings?limit=1")).status == 404:
            continue  # this node reads none of it
        for item in await node.readings(sid):
            values = tuple(sorted(item["values"].items()))
            found.append((name, item["time"], item["slot"], item["epoch"], item["seq"], values))
    return found


async def _has_its_past(cluster: Cluster, node: NodeProcess, past: list[Row]) -> None:
    """Waits until a node shows all that it showed; nothing of it is there twice or with other values."""
    after: list[Row] = []

    async def all_there() -> bool:
        nonlocal after
        after = await _kept(cluster, node)
        return set(past) <= set(after)

    try:
        await until(f"{node.name} has its past again", all_there, every=0.5)
    except AssertionError:
        lost = sorted(set(past) - set(after))
        raise AssertionError(f"{node.name} lost {len(lost)} of {len(past)} readings, first {lost[:3]}") from None
    places = [row[:2] for row in after]
    assert len(places) == len(set(places)), "a reading twice"


READERS = ("home", "alpha", "beta")


async def _resyncs(node: NodeProcess) -> list[dict[str, Any]]:
    return [given for stream in await node.items("/streams") for given in stream["resyncs"]]


async def _knows_of_its_own(node: NodeProcess) -> bool:
    return any(int(given["grant_id"], 16) == 0 for given in await _resyncs(node))


@pytest.mark.parametrize("name", ["home", "gateway", "alpha", pytest.param("beta", marks=pytest.mark.long)])
async def test_a_lost_database_is_rebuilt(cluster: Cluster, name: str) -> None:
    """architecture.md: the database is a cache of what chain, channel logs and keystore say."""
    node = cluster.nodes[name]
    before = await _shown(node)
    past = await _kept(cluster, node)
    assert bool(past) is (name in READERS)
    epoch = (await cluster.stream_at(node))["epoch"] if name != "beta" else 0
    begin = time.time()
    await node.stop()
    node.forget_database()
    await node.start()

    async def same() -> bool:
        return await _shown(node) == before

    try:
        await until(f"{name} shows what it showed", same)
    except AssertionError:
        assert await _shown(node) == before
        raise
    if name != "beta":
        assert int(str((await cluster.stream_at(node))["epoch"])) >= int(str(epoch))
    await cluster.flows("home", "alpha", since=max(begin, time.time()))
    await _has_its_past(cluster, node, past)


@pytest.mark.parametrize("name", ["home", "gateway", "alpha"])
async def test_both_databases_lost_come_back_from_the_second_store(cluster: Cluster, name: str) -> None:
    """channels.md 7: two stores hold commits, capsules and private log; the writer is rebuilt from T and the log."""
    node = cluster.nodes[name]

    async def enough() -> bool:
        return len(await _kept(cluster, node)) >= 20

    if name in READERS:
        await until(f"{name} has a past to lose", enough, every=0.5)
    before, given = await _shown(node), await _resyncs(node)
    commits = await chain_commits(cluster, cluster.raw)
    past = await _kept(cluster, node)
    await node.stop()
    node.forget_both_databases()
    await node.start()

    async def same() -> bool:
        return await _shown(node) == before

    try:
        await until(f"{name} shows what it showed", same)
    except AssertionError:
        assert await _shown(node) == before
        raise
    begin = time.time()
    await cluster.flows("home", "alpha", since=begin)
    await _has_its_past(cluster, node, past)
    known = await _resyncs(node)
    assert all(each in known for each in given)
    if name == "home":
        # Its Welcome was cleared once it had it, so it was let in again, which the gateway tells it some seconds later.
        await until("the household sees its own resync", lambda: _knows_of_its_own(node))
    assert forks(cluster.wire.heard, bytes.fromhex(cluster.raw[2:])) == []
    assert commits.items() <= (await chain_commits(cluster, cluster.raw)).items()
    # A change of readers shows that the tree is the one that the readers know.
    consent = await cluster.grant("beta")
    await cluster.revoke(consent)
    await until("the revocation is in force", lambda: _state(cluster.home, consent, "revoked"))
    await until("beta knows of it", lambda: _state(cluster.nodes["beta"], consent, "revoked"))
    await until("its commit is on chain", lambda: _settled(cluster, 2))
    await cluster.flows("home", "alpha")


async def _settled(cluster: Cluster, readers: int) -> bool:
    """Whether the writer has so many members and the chain has its newest commit."""
    found = await cluster.stream_at(cluster.gateway)
    writes = await chain_commits(cluster, cluster.raw)
    return found["live_readers"] == readers and found["epoch"] == max(writes)


async def test_a_revoked_consents_data_is_erased_with_a_receipt_that_outlives_everything(
    cluster: Cluster, tmp_path: Path
) -> None:
    """permissions.md 1: the owner asks, the provider destroys and signs, `verify-receipt` proves it. The provider
    is killed at once after it was asked, and loses its database afterwards."""
    home, beta = cluster.home, cluster.nodes["beta"]
    consents = [c for c in await home.items("/consents") if c["state"] == "revoked"]
    asked = [c for c in await beta.items("/consents") if c["grant_id"] == consents[-1]["grant_id"]]
    grant = asked[0]["grant_id"]
    live = next(c["grant_id"] for c in await home.items("/consents") if c["state"] == "live")
    assert (await home.raw("POST", f"/consents/{live}/erase", {})).status == 409, "what is read is not erased"
    assert (await beta.raw("GET", f"/consents/{grant}/erasure")).status == 404
    await home.post(f"/consents/{grant}/erase", {"reason": "moved out"})
    await beta.kill()
    await beta.start()

    async def done() -> bool:
        return bool((await home.get(f"/consents/{grant}/erasure"))["state"] == "done")

    await until("the receipt is at home", done)
    found = await home.get(f"/consents/{grant}/erasure")
    assert found["receipt"] == (await beta.get(f"/consents/{grant}/erasure"))["receipt"]
    assert found["receipt"]["receipt"]["requested_by"] == "owner"
    sids = [stream["sid"] for stream in found["receipt"]["receipt"]["streams"]]
    assert any(stream["epoch"] for stream in found["receipt"]["receipt"]["streams"])
    receipt, export = tmp_path / "receipt.json", tmp_path / "export.json"
    receipt.write_text(json.dumps(found["receipt"]))
    export.write_text(json.dumps(await home.get(f"/streams/{sids[0]}/export")))
    account = (await beta.get("/status"))["owner"]
    findings = verify_receipt(ReceiptOptions(receipt, account, (export,)))
    assert all(finding.ok for finding in findings), findings
    assert any("as the chain has it" in finding.detail for finding in findings)
    await beta.stop()
    beta.forget_database()
    await beta.start()

    async def again() -> Any:
        answer = await beta.raw("GET", f"/consents/{grant}/erasure")  # 404 until its log was read
        return answer.status == 200 and json.loads(answer.body)["receipt"]

    assert await until("beta has its receipt again", again) == found["receipt"]


async def test_after_all_rebuilds_the_household_decides_as_before(cluster: Cluster) -> None:
    """The request that waited is granted, a new one is granted and revoked, and nothing was lost or repeated."""
    waiting = next(r for r in await cluster.home.items("/requests") if r["state"] == "requested")
    granted = (await cluster.home.post(f"/requests/{waiting['id']}/grant", {}))["digest"]
    begin = time.time()
    # That beta reads may be thanks to an earlier grant.
    await until("the consent is live", lambda: _state(cluster.home, granted, "live"))
    await cluster.flows("beta")
    await cluster.revoke(granted)
    await until("the second revocation is in force", lambda: _state(cluster.home, granted, "revoked"))
    await cluster.flows("alpha")
    await check_everything(cluster, [], begin, ("home", "alpha"))


async def _state(node: NodeProcess, grant: str, state: str) -> bool:
    answer = await node.raw("GET", f"/consents/{grant}")  # 404 until the chain has shown it
    return answer.status == 200 and bool(json.loads(answer.body)["state"] == state)
