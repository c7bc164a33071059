"""A stream that is given to another owner, on a real chain, with a real gateway (channels.md 4, rule 11)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from eth_utils.crypto import keccak

from channels.envelope import EnvelopeHeader
from channels.errors import EpochErased
from channels.masters import Masters
from keys.keystore import Keystore
from node.wire.past import PastReceipt, read_past
from tests.e2e.conftest import Clusters
from tests.support.cluster import RAW, SLOT, Cluster, Plan
from tests.support.nodes import NodeProcess, Refusal
from tests.support.processes import PROGRAM, Process, until
from tests.support.wire import forks

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

HEIR, ANNEX = "heir", "annex"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan(providers=("alpha", "beta"), households=(HEIR,), spares=(ANNEX,))) as cluster:
        await cluster.pair()
        await cluster.grant("alpha")
        yield cluster


async def _transfer(cluster: Cluster) -> int:
    """One household gives, the other accepts; returns the time of the block that has it, as the receipt says it."""
    given = await cluster.home.post(f"/streams/{cluster.raw}/transfer", {"to": cluster.nodes[HEIR].url})
    assert given["state"] == "waiting to be accepted"
    [offered] = await cluster.nodes[HEIR].items("/transfers")
    assert (offered["sid"], offered["name"], offered["new_owner"]) == (cluster.raw, RAW, given["new_owner"])
    await cluster.nodes[HEIR].post(f"/streams/{cluster.raw}/accept")
    registry = "0x" + cluster.devnet.registry.address.hex()
    topics = [[keccak_hex("StreamTransferred(bytes32,address,address)")], [cluster.raw]]
    wanted = {"address": registry, "fromBlock": "0x0", "topics": topics}

    async def logged() -> list[dict[str, str]]:
        found: list[dict[str, str]] = await cluster.devnet.rpc.request("eth_getLogs", [wanted])
        return found

    [log] = await until("the transfer is on chain", logged) or []
    block = await cluster.devnet.rpc.block(int(log["blockNumber"], 16))
    assert block is not None
    return int(block.header.timestamp)


def keccak_hex(text: str) -> str:
    return "0x" + bytes(keccak(text=text)).hex()


async def test_a_home_that_is_not_there_is_said_of_the_member_that_named_it(cluster: Cluster) -> None:
    home, nobody = cluster.home, "http://127.0.0.1:1"
    with pytest.raises(Refusal) as refused:
        await home.post(f"/streams/{cluster.raw}/transfer", {"to": nobody})
    assert (refused.value.status, refused.value.problem["field"]) == (503, "to")
    command = (*PROGRAM, "--config", str(home.config), "stream", "transfer", RAW, "--to", nobody, "--yes")
    run = Process("transfer", command, cluster.root / "logs" / "transfer.log")
    await run.start()
    assert await run.ended() == 4
    assert f"{nobody} cannot be reached. (to)" in run.said()
    assert await home.items("/transfers") == []


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
    await _reads_from(cluster, at)


async def _reads_from(cluster: Cluster, at: int) -> None:
    """The new owner has what was sealed from the first slot after the transfer on, and nothing of before."""
    heir = cluster.nodes[HEIR]
    first = cluster.genesis + -(-(at - cluster.genesis) // SLOT) * SLOT

    async def whole() -> bool:
        times = [reading["time"] for reading in await heir.readings(cluster.raw)] if await _knows(heir, cluster) else []
        return bool(times) and min(times) <= first + 2 and max(times) > time.time() - 10

    await until("the new owner reads from the transfer on", whole, 180)
    times = [reading["time"] for reading in await heir.readings(cluster.raw)]
    assert min(times) >= first
    assert len(times) == len(set(times))
    assert await heir.alarms() == []
    assert [gift["state"] for gift in await heir.items("/transfers")] == []
    assert (await heir.get(f"/streams/{cluster.raw}"))["relation"] == "owner"


async def _knows(node: NodeProcess, cluster: Cluster) -> bool:
    return any(stream["sid"] == cluster.raw and stream["readings"] for stream in await node.items("/streams"))


async def test_the_new_owner_decides_who_reads(cluster: Cluster) -> None:
    """contracts.md, Grant and Revoke by the owner; the gateway stands at the former household still."""
    heir = cluster.nodes[HEIR]
    granted = await cluster.grant("beta", of=HEIR)
    begun = time.time()
    await cluster.flows(HEIR, "beta", since=begun)
    await heir.post(f"/consents/{granted}/revoke", {})
    await cluster.flows(HEIR, since=time.time() + 5)
    last = max(await cluster.recent(cluster.nodes["beta"], int(begun)))
    assert last < time.time() - 3, "a revoked reader reads on"
    assert await heir.alarms() == []


@pytest.mark.parametrize("name", [HEIR, "gateway"])
async def test_afterwards_everybody_can_be_rebuilt(cluster: Cluster, name: str) -> None:
    """What a household inherited, and whom a gateway serves, is on their private logs."""
    node = cluster.nodes[name]
    await node.stop()
    node.forget_database()
    await node.start()
    await cluster.flows(HEIR, since=time.time())


async def test_the_gateway_goes_over_to_the_new_owner(cluster: Cluster) -> None:
    """channels.md 4, rules 10 and 11: the former household unpairs it, which takes nothing that is another's, and the
    new one pairs it: the stream goes on under its id, with keys that never were of the former household's time."""
    heir, gateway = cluster.nodes[HEIR], cluster.gateway
    granted = await cluster.grant("beta", of=HEIR)
    begun, before = time.time(), await heir.get(f"/streams/{cluster.raw}")
    await cluster.flows(HEIR, "beta", since=begun)
    await cluster.home.call("DELETE", "/pairing")

    async def free() -> dict[str, Any]:
        with suppress(Refusal):
            return await gateway.post("/pairing/code")
        return {}

    code = await until("the former household has put the gateway out", free)
    assert code is not None
    await heir.post("/pairing", {"code": code["qr"]})

    async def taken_over() -> bool:
        found = await heir.get(f"/streams/{cluster.raw}")
        return found["writer"] not in (None, before["writer"]) and not await heir.items("/pairing/move")

    await until("the gateway writes for its new household", taken_over)
    await cluster.flows(HEIR, "beta", since=time.time(), within=180)
    assert [s["sid"] for s in await heir.items("/streams")] == [cluster.raw], (
        "the name goes on in the stream that has it"
    )
    times = [reading["time"] for reading in await heir.readings(cluster.raw)]
    assert len(times) == len(set(times))
    for name in (HEIR, "beta"):
        assert await cluster.nodes[name].alarms() == []
    sid = bytes.fromhex(cluster.raw[2:])
    assert forks(cluster.wire.heard, sid) == []
    await heir.post(f"/consents/{granted}/revoke", {})
    await cluster.flows(HEIR, since=time.time() + 3)
    assert await cluster.home.alarms() == []


@pytest.mark.long
async def test_it_moves_on_like_any_other_stream(cluster: Cluster) -> None:
    """channels.md 4, rule 10: a gateway that never saw the former household writes under the same id."""
    heir, annex = cluster.nodes[HEIR], cluster.nodes[ANNEX]
    await cluster.meters[ANNEX].tell("live")
    code, device = await annex.post("/pairing/code"), (await annex.get("/status"))["device"]
    await heir.post("/pairing/move", {"code": code["qr"]})

    async def moved() -> bool:
        return (await heir.get("/pairing"))["peer"] == device and not await heir.items("/pairing/move")

    await until("the stream has moved to the annex", moved)
    await cluster.flows(HEIR, since=time.time(), within=180)
    await cluster.grant("beta", of=HEIR)
    await annex.stop()
    annex.forget_database()
    await annex.start()
    await cluster.flows(HEIR, "beta", since=time.time(), within=180)
    assert await heir.alarms() == []
