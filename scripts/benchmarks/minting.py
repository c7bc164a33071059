"""Signed readings to minted energy: sealed parcels into a real community node, batches on a real chain, final state.

The gateways' part was done before: each reading is signed by its device and sealed to the community, as its gateway
would hand it over. What is measured begins with the first parcel at the community's door and ends when the community's
own database says of every reading that it is on chain and final.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from contracts.bindings import energy_token as abi
from keys.messages import Message, Reading, RegisterSource, energy_domain, typed_data
from keys.parcel import pack
from keys.signers import LocalSigner
from node.clock import SystemClock
from node.ledger.energy import EnergyViews, energy_call
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.deploy import deploy_energy_token
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.wire.settlement import SignedMessage
from scripts.benchmarks.rows import Row, at_least
from tests.support.nodes import NodeProcess, Surroundings
from tests.support.processes import free_port

__all__ = ["measure"]

SOURCES = 500
EACH = 8
CONNECTIONS = 64
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class _Source:
    """A meter with a key, and the time from which its readings count."""

    number: int
    device: LocalSigner
    since: int


def measure() -> list[Row]:
    """One run with a node as a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return asyncio.run(_minted(Path(folder)))


async def _minted(folder: Path) -> list[Row]:
    async with Devnet(DevnetOptions(AnvilOptions(block_time=1)), SystemClock()) as devnet:
        around = Surroundings(
            folder, devnet.url, devnet.chain_id, "0x" + devnet.registry.address.hex(), devnet.registry.block, ""
        )
        broker = f"127.0.0.1:{free_port()}"
        settings = {
            "broker.embedded": True,
            "broker.listen": broker,
            "broker.url": f"mqtt://{broker}",
            "api.open_calls_per_minute": 1_000_000,
        }
        node = NodeProcess("community", "community", around, settings)
        node.init()
        await devnet.fund(node.identity.sender().address)
        registrar = node.identity.wallet()
        token = await deploy_energy_token(devnet.rpc, registrar.address, payer=await devnet.payer())
        sources = await _register(devnet, token.address, registrar)
        parcels = await _parcels(node, devnet.chain_id, token.address, sources)
        try:
            await node.start(sets={"settlement.energy_token": "0x" + token.address.hex()})
            known = await _known(node, "source", "active", SOURCES)
            assert known == SOURCES, node.process.said()[-2_000:]
            began = time.perf_counter()
            posting = asyncio.create_task(_post(node.url, parcels))
            final = await _known(node, "submission", "final", len(parcels))
            seconds = time.perf_counter() - began
            posting.cancel()
            await asyncio.wait([posting])
            if not posting.cancelled():
                posting.result()
        finally:
            await node.process.end()
        minted = await EnergyViews(devnet.rpc, token.address).supply()
        assert minted >= final * 1_000, f"{minted} mWh minted, and {final} readings of 1 Wh are called final"
    how = f"{final} of {len(parcels)} readings of {SOURCES} sources, each sealed by itself, over {CONNECTIONS} "
    how += "connections, one-second blocks"
    return [at_least("readings_minted_per_s", final / seconds, "per second", 200, how)]


async def _register(devnet: Devnet, token: bytes, registrar: LocalSigner) -> Sequence[_Source]:
    """Sources with one owner, put on chain by anybody."""
    owner, domain = LocalSigner.generate(), energy_domain(devnet.chain_id, token)
    payer, now = await devnet.payer(), (await devnet.rpc.head()).timestamp
    # Told, because the devnet would count the calls of one batch at the same time, and give a number twice.
    nonce = await devnet.rpc.nonce(payer)
    sources = []
    calls: list[tuple[str, list[Any]]] = []
    for number in range(1, SOURCES + 1):
        device = LocalSigner.generate()
        message = RegisterSource(number, owner.address, device.address, 0, 1_000_000, 0, number, now + 3_600)
        signatures = [await each.sign_message(message, domain) for each in (owner, device, registrar)]
        data = energy_call(token, message, signatures, ()).data
        query = {"from": "0x" + payer.hex(), "to": "0x" + token.hex(), "data": "0x" + data.hex(), "gas": hex(400_000)}
        calls.append(("eth_sendTransaction", [query | {"nonce": hex(nonce + len(calls))}]))
        sources.append(_Source(number, device, now))
    for start in range(0, len(calls), 50):
        for answer in await devnet.rpc.request_many(calls[start : start + 50]):
            assert isinstance(answer, str), answer
        await devnet.mine()
    last = await devnet.rpc.call(token, abi.encode_total_supply())
    assert abi.decode_total_supply(last) == 0
    return sources


async def _parcels(node: NodeProcess, chain_id: int, token: bytes, sources: Sequence[_Source]) -> list[bytes]:
    """In the order of time: one reading of each source, then the next one of each."""
    domain, gateway, now = energy_domain(chain_id, token), LocalSigner.generate(), int(time.time())
    sealing = node.identity.sealing_key("inbox").public_bytes
    parcels = []
    for index in range(1, EACH + 1):
        for source in sources:
            message: Message = Reading(source.number, index, index, source.since + 60 + 10 * index)
            signature = await source.device.sign_message(message, domain)
            body = SignedMessage(typed=typed_data(message, domain), signatures=(signature,)).to_json()
            sealed = pack(gateway, sealing, "energy.reading", body, chain_id=chain_id, now=now, lifetime=3_600)
            parcels.append(await sealed)
    return parcels


async def _post(url: str, parcels: Sequence[bytes]) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as http:

        async def connection(number: int) -> None:
            for parcel in parcels[number::CONNECTIONS]:
                async with http.post(f"{url}/api/v1/inbox", data=parcel) as answer:
                    assert answer.status == 202, (answer.status, await answer.text())

        await asyncio.gather(*(connection(number) for number in range(CONNECTIONS)))


async def _known(node: NodeProcess, kind: str, status: str, count: int) -> int:
    """Until the node's own database has so many of a kind in a status, or the time is over; how many it has."""
    ends = time.monotonic() + WITHIN_S
    question = "SELECT status, count(*) FROM states WHERE kind = ? GROUP BY status"
    found: dict[str, int] = {}
    while time.monotonic() < ends:
        assert node.process.running, node.process.said()[-2_000:]
        with sqlite3.connect(f"file:{node.folder / 'wattpact.db'}?mode=ro", uri=True) as connection:
            found = dict(connection.execute(question, (kind,)).fetchall())
        if found.get(status, 0) >= count:
            break
        await asyncio.sleep(0.1)
    return found.get(status, 0)
