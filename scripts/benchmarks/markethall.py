"""A market as a node of its own on a chain that mines every second, and assets in this process that talk to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from contracts.bindings import dev_token
from contracts.bindings import market as market_abi
from keys import messages as m
from keys.parcel import pack
from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.client.link import MarketLink, Place
from node.clock import SystemClock
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.wire.consents import PartyCard
from node.wire.settlement import OrderPlaced
from tests.support.nodes import NodeProcess, Surroundings
from tests.support.processes import free_port

__all__ = ["GAS_LIMIT", "Hall", "endow", "opened_hall", "order_parcels"]

GAS_LIMIT = 200_000_000
"""Of a block: a chain for so many trades a second has room for them."""


@dataclass(slots=True)
class Hall:
    """The chain, and the market's process."""

    devnet: Devnet
    node: NodeProcess

    @property
    def contract(self) -> bytes:
        """Address of the Market contract."""
        return self.devnet.contracts.find("Market").address

    async def place(self) -> Place:
        """The market as it shows itself, once its terms are on chain."""
        async with aiohttp.ClientSession() as http:
            link = MarketLink(self.node.url, LocalSigner.generate(), self.devnet.chain_id, http, SystemClock())
            return await link.find(self.contract, None)


@asynccontextmanager
async def opened_hall(folder: Path) -> AsyncIterator[Hall]:
    """A devnet and a market on it, ended afterwards."""
    options = DevnetOptions(AnvilOptions(block_time=1, gas_limit=GAS_LIMIT), settlement=True)
    async with Devnet(options, SystemClock()) as devnet:
        registry = devnet.registry
        around = Surroundings(folder, devnet.url, devnet.chain_id, "0x" + registry.address.hex(), registry.block, "")
        broker = f"127.0.0.1:{free_port()}"
        settings = {
            "broker.embedded": True,
            "broker.listen": broker,
            "broker.url": f"mqtt://{broker}",
            "api.open_calls_per_minute": 1_000_000,
            "api.max_connections_per_address": 1_000,
            "api.max_connections": 2_000,
            "chain.finality_depth": 1,
            "settlement.market": "0x" + devnet.contracts.find("Market").address.hex(),
        }
        node = NodeProcess("market", "market", around, settings)
        node.init()
        await devnet.fund(node.identity.sender().address, 10**24)
        try:
            await node.start()
            hall = Hall(devnet, node)
            await _published(hall)
            yield hall
        finally:
            await node.process.end()


async def _published(hall: Hall) -> None:
    place = await hall.place()
    for _ in range(100):
        answer = await hall.devnet.rpc.call(hall.contract, market_abi.encode_terms_of(place.terms))
        if market_abi.decode_terms_of(answer).operator == place.operator:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(hall.node.process.said()[-2_000:])


async def endow(devnet: Devnet, operator: bytes, accounts: list[bytes], amount: int) -> None:
    """Money from nowhere, in the market's book of each account: what is measured begins with offers, not with money."""
    money, market = devnet.contracts.find("DevToken").address, devnet.contracts.find("Market").address
    payer = await devnet.payer()
    calls = [
        (money, dev_token.encode_mint(payer, amount * len(accounts))),
        (money, dev_token.encode_approve(market, amount * len(accounts))),
        *((market, market_abi.encode_deposit_for(operator, account, amount)) for account in accounts),
    ]
    for start in range(0, len(calls), 100):
        wanted = [
            ("eth_sendTransaction", [{"from": _hex(payer), "to": _hex(to), "data": _hex(data), "gas": "0x40000"}])
            for to, data in calls[start : start + 100]
        ]
        for answer in await devnet.rpc.request_many(wanted):
            assert isinstance(answer, str), answer
    await asyncio.sleep(2)  # a block
    last = market_abi.encode_member_of(operator, accounts[-1])
    member = market_abi.decode_member_of(await devnet.rpc.call(market, last))
    assert member.balance == amount, member


def order_parcels(place: Place, chain_id: int, contract: bytes, count: int) -> list[bytes]:
    """Sealed offers, as assets hand them over; runs in a process of its own."""
    return asyncio.run(_order_parcels(place, chain_id, contract, count))


async def _order_parcels(place: Place, chain_id: int, contract: bytes, count: int) -> list[bytes]:
    domain, now = m.market_domain(chain_id, contract), int(time.time())
    start, parcels = now + 7_200, []
    for number in range(count):
        signer = LocalSigner.generate()
        message = m.Offer(
            signer.address, place.operator, place.terms, bytes(20), signer.address, 1_000 + number,
            200_000 + number % 1_000, start, start + 900, number, start,
        )  # fmt: skip
        signature = await signer.sign_message(message, domain)
        card = PartyCard(
            name="asset",
            address=signer.address,
            sealing_key=SealingKey.generate().public_bytes,
            inbox_url="https://asset.invalid",
        )
        body = OrderPlaced(typed=m.typed_data(message, domain), signature=signature, card=card).to_json()
        key = place.card.sealing_key
        parcels.append(await pack(signer, key, "market.order", body, chain_id=chain_id, now=now, lifetime=3_600))
    return parcels


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
