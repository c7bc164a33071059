"""A stream that is given to another owner, on a real chain, with a real gateway (channels.md 4, rule 11)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from channels.envelope import EnvelopeHeader
from channels.errors import EpochErased
from channels.masters import Masters
from contracts.bindings.consent_registry.calls import encode_transfer_stream
from keys.identity import Identity
from keys.keystore import Keystore
from keys.messages import TransferStream, registry_domain
from node.wire.past import PastReceipt, read_past
from tests.e2e.conftest import Clusters
from tests.support.cluster import Cluster, Plan
from tests.support.nodes import Refusal
from tests.support.processes import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

HEIR = Identity(bytes([77]) * 64).wallet()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(providers=("alpha",))) as cluster:
        await cluster.pair()
        await cluster.grant("alpha")
        yield cluster


async def _transfer(cluster: Cluster) -> int:
    """Both owners sign, anybody brings it; returns the time of the block that has it."""
    rpc, registry = cluster.devnet.rpc, cluster.devnet.registry.address
    owner = cluster.home.identity.wallet()
    message = TransferStream(owner.address, HEIR.address, bytes.fromhex(cluster.raw[2:]), 2**200, 2**39)
    domain = registry_domain(cluster.devnet.chain_id, registry)
    signed = [await signer.sign_message(message, domain) for signer in (owner, HEIR)]
    anybody = (await rpc.request("eth_accounts", []))[0]
    call = {"from": anybody, "to": "0x" + registry.hex(), "data": "0x" + encode_transfer_stream(message, *signed).hex()}
    digest = await rpc.request("eth_sendTransaction", [call])

    async def included() -> dict[str, str] | None:
        found: dict[str, str] | None = await rpc.request("eth_getTransactionReceipt", [digest])
        return found

    receipt = await until("the transfer is on chain", included)
    assert receipt is not None
    assert receipt["status"] == "0x1"
    block = await rpc.block(int(receipt["blockNumber"], 16))
    assert block is not None
    return int(block.header.timestamp)


async def test_a_transfer_closes_the_past_and_ends_what_the_former_household_reads(cluster: Cluster) -> None:
    sid = bytes.fromhex(cluster.raw[2:])
    await cluster.flows("home", "alpha", since=time.time())
    at = await _transfer(cluster)

    async def told() -> PastReceipt | None:
        with suppress(Refusal):
            found = await cluster.home.get(f"/streams/{cluster.raw}/erasure")
            return read_past(found["receipt"]) if found["state"] == "told" else None
        return None

    receipt = await until("the former owner has the receipt", told, 90)
    assert receipt is not None
    assert (receipt.before, receipt.owner) == (at, cluster.home.identity.wallet().address)
    assert receipt.envelopes > 0
    keystore = Keystore.open(cluster.gateway.folder / "keystore", cluster.gateway.passphrase)
    [left] = [
        Masters.from_bytes(keystore.get(name))
        for name in keystore.names()
        if name.startswith(f"masters-{cluster.raw[2:]}")
    ]
    for epoch in range(1, receipt.epoch + 1):
        with pytest.raises(EpochErased):
            left.epoch_secret(epoch)

    def later() -> int:
        """Envelopes of the new owner's epochs."""
        heard = [one.payload for one in cluster.wire.heard if one.kind == "data" and one.sid == sid]
        return sum(EnvelopeHeader.decode(envelope).epoch > receipt.epoch for envelope in heard)

    begun, already = int(time.time()), later()

    async def goes_on() -> bool:
        return later() > already + 5

    await until("the gateway goes on for the new owner", goes_on, 60)
    for name in ("home", "alpha"):
        assert await cluster.recent(cluster.nodes[name], begun) == [], "whoever read for the former owner reads on"
        assert await cluster.nodes[name].alarms() == []
    with pytest.raises(Refusal) as refused:
        await cluster.home.post(f"/streams/{cluster.raw}/erase", {"everything": True})
    assert refused.value.status == 409
