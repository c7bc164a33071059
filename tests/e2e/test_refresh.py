"""A reader's key is refreshed (channels.md 4, rule 8): provider, chain, home and gateway as real processes.

Home and gateway only call out here: they pair by a QR code without an address, and every message to them, offers and
owner's keys, grants, refreshed keys, goes over the broker (permissions.md 2).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from keys.identity import Identity
from keys.keystore import Keystore
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.kills import check_everything
from tests.support.nodes import NodeProcess, Refusal
from tests.support.processes import PROGRAM, until
from tests.support.wire import chain_commits

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

OUTBOUND = {"node.outbound_only": True}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    plan = Plan(providers=("alpha", "beta"), settings={"gateway": OUTBOUND, "home": OUTBOUND})
    async with clusters(plan) as cluster:
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

    async def over() -> bool:
        return bool((await beta.get(f"/consents/{grant}"))["state"] == "revoked")

    # The household revoked it a moment ago; that node knew at once, this one when it reads the chain.
    await until("beta knows that it was revoked", over)
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


async def test_home_and_gateway_have_no_address_and_a_mailbox(cluster: Cluster) -> None:
    """permissions.md 2, outbound-only: nothing but the broker brought them together and carries their messages."""
    for node in (cluster.gateway, cluster.home):
        status = await node.get("/status")
        mailbox = node.identity.sealing_key("inbox").key_hash().hex()
        assert status["broker"]["mailbox"] == f"wattpact/v1/{mailbox}/mail"
        assert {check["name"]: check["ok"] for check in (await node.get("/readiness"))["checks"]}["mailbox"]
    assert [heard.kind for heard in cluster.wire.heard if heard.kind in ("meet", "mail")][:2] == ["meet", "meet"]
    mailboxes = {heard.sid for heard in cluster.wire.heard if heard.kind == "mail"}
    assert {node.identity.sealing_key("inbox").key_hash() for node in (cluster.gateway, cluster.home)} <= mailboxes


@pytest.mark.long
async def test_a_reset_gateway_is_a_new_device_that_a_home_claims(cluster: Cluster, tmp_path: Path) -> None:
    """permissions.md 2: a physical reset that also erases the keys. The owner puts the old device out, as told."""
    gateway, former = cluster.gateway, cluster.gateway.identity.device().address
    await gateway.process.end()
    words = tmp_path / "words"
    reset = (*PROGRAM, "--config", str(gateway.config), "gateway", "reset", "--yes", "--json")
    process = await asyncio.create_subprocess_exec(
        *reset, "--mnemonic-file", str(words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    made = json.loads(said)
    assert made["former"]["device"].lower() == "0x" + former.hex()
    gateway.words = words.read_text().strip()
    gateway.identity = Identity.from_mnemonic(gateway.words)
    await cluster.devnet.fund(gateway.sender().address)
    await cluster.home.call("DELETE", "/pairing")

    async def free() -> bool:
        return bool((await cluster.home.get("/pairing"))["state"] == "unpaired")

    await until("the old device is out", free)
    old = cluster.raw
    await cluster.broker_for_others()  # its mailbox is another one
    await gateway.start()
    await cluster.pair()
    assert cluster.raw != old
    assert (await cluster.home.get("/pairing"))["peer"].lower() == "0x" + gateway.identity.device().address.hex()
