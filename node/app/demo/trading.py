"""The second half, step by step: a source mints for three shareholders; two households trade, measure and settle."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Final

from eth_utils.address import to_canonical_address

from node.app.demo.nodes import DemoNode
from node.app.demo.story import GATEWAY, HOME, Story
from node.app.demo.village import BUYER, COMMUNITY, MARKET, NEIGHBOUR, Village

__all__ = ["admit_source", "pair_neighbours", "trade"]

SHARES: Final = 1_000_000
GIVEN: Final = 5_000_000
"""Minor units that the buyer's asset gets to begin with."""

LEAD_S: Final = 7
DELIVERY_S: Final = 12
OFFERS: Final = ((8, 200_000), (10, 220_000))
"""Wh and least price in minor units per kWh."""
WANTED: Final = (18, 250_000)

FINISHED: Final = "confirmed"


def _village(story: Story) -> Village:
    assert story.village is not None  # noqa: S101 (made with the stage)
    return story.village


async def pair_neighbours(story: Story) -> None:
    """The second household pairs its own gateway; its meter uses energy all the time."""
    buyer, neighbour = story.nodes[BUYER], story.nodes[NEIGHBOUR]
    code = json.loads(await buyer.cli("pair", "new", "--json"))
    await neighbour.cli("pair", code["code"], "--url", buyer.url, "--json")

    async def paired() -> bool:
        return bool((await buyer.get("/pairing"))["state"] == "paired")

    await story.until("the neighbours are paired", paired)
    await _village(story).used.tell("live")


async def admit_source(story: Story) -> None:
    """The gateway proposes its meter, the owner accepts, the community's registrar admits; the owner shares."""
    village, home, community = _village(story), story.nodes[HOME], story.nodes[COMMUNITY]
    made = json.loads(
        await story.nodes[GATEWAY].cli(
            "energy", "propose", community.url, "--max-power", "20000", "--shares", str(SHARES), "--json"
        )
    )
    village.source = int(made["source"])
    await _asked(story, home, "owner")
    await home.cli("energy", "accept", str(village.source), "--json")
    await _asked(story, community, "community")
    await community.cli("energy", "approve", str(village.source), "--json")

    async def active() -> bool:
        found = (await home.get("/energy"))["sources"]
        return any(row["source"] == village.source and row["state"] == "active" for row in found)

    await story.until("the source is registered", active)
    owner, neighbour = _wallet(home), _wallet(story.nodes[NEIGHBOUR])
    operator = _wallet(community)
    village.holders = [owner, neighbour, operator]
    for receiver, shares in ((neighbour, 300_000), (operator, 100_000)):
        await home.cli("energy", "share", str(village.source), "0x" + receiver.hex(), str(shares), "--yes", "--json")

    async def shared() -> bool:
        words = [
            (await village.ask(village.contracts.energy, "balanceOf(address,uint256)", h, village.source))[0]
            for h in village.holders
        ]
        return words == [600_000, 300_000, 100_000]

    await story.until("three members hold shares", shared)


async def _asked(story: Story, node: DemoNode, who: str) -> None:
    async def arrived() -> bool:
        return any(row["waits_for"] == who for row in (await node.get("/energy"))["asked"])

    await story.until(f"the source waits for the {who}", arrived)


def _wallet(node: DemoNode) -> bytes:
    return to_canonical_address(node.addresses["wallet"])


async def trade(story: Story) -> None:
    """Two offers and a request; the market matches; meters count; one payment settles both contracts."""
    steps, village = story.steps, _village(story)
    seller, buyer, market = story.nodes[GATEWAY], story.nodes[BUYER], story.nodes[MARKET]
    with steps.step("two households offer and request; the market matches"):
        village.seller = await _join(seller, market)
        village.buyer = await _join(buyer, market)
        await _give(story, village.buyer, GIVEN)
        await buyer.cli("market", "deposit", str(GIVEN), "--market", market.url, "--json")
        await story.until("the deposit is in the market's book", lambda: _funded(buyer))
        start = int(time.time()) + LEAD_S
        village.delivery = (start, start + DELIVERY_S)
        for wh, price in OFFERS:
            await _order(village, seller, market, ("offer", wh, price), start)
        await _order(village, buyer, market, ("request", *WANTED), start)
        await story.until("two contracts stand on chain", lambda: _contracts(market, {"matched"}))
    with steps.step("the energy flows, both meters count it, both sides report"):
        reached = {"delivered", "paid", FINISHED}
        await story.until("both deliveries are settled", lambda: _contracts(market, reached), DELIVERY_S + 60)
    with steps.step("one payment settles both contracts; the seller confirms"):
        await story.until("both contracts are confirmed", lambda: _contracts(market, {FINISHED}))
    with steps.step("readings mint kilowatt-hours; every shareholder claims"):
        await _claim(story)


async def _join(asset: DemoNode, market: DemoNode) -> bytes:
    return to_canonical_address((await asset.post("/market/accounts", {"market": market.url}))["account"])


async def _give(story: Story, account: bytes, amount: int) -> None:
    """Money from nowhere, as a devnet has it."""
    village = _village(story)
    data = "0x40c10f19" + account.hex().rjust(64, "0") + f"{amount:064x}"  # mint(address,uint256)
    payer = (await village.watch.call("eth_accounts"))[0]
    call = {"from": payer, "to": "0x" + village.contracts.money.hex(), "data": data}
    await village.watch.call("eth_sendTransaction", call)
    village.given[account] = amount

    async def arrived() -> bool:
        return (await village.ask(village.contracts.money, "balanceOf(address)", account))[0] == amount

    await story.until("the buyer has money", arrived)


async def _funded(buyer: DemoNode) -> bool:
    return any(row["balance"] == GIVEN for row in await buyer.items("/market/accounts"))


async def _order(
    village: Village, asset: DemoNode, market: DemoNode, wish: tuple[str, int, int], start: int
) -> Mapping[str, Any]:
    side, wh, price = wish
    body = {"market": market.url, "side": side, "wh": wh, "price": price, "start": start, "end": start + DELIVERY_S}
    made = await asset.post("/market/orders", body)
    village.orders[bytes.fromhex(made["id"][2:])] = (side == "offer", wh, price)
    return made


async def _contracts(market: DemoNode, wanted: set[str]) -> bool:
    rows = await market.items("/market/trades")
    return len(rows) == len(OFFERS) and all(row["status"] in wanted for row in rows)


async def _claim(story: Story) -> None:
    """Everybody claims what is there by now; readings go on meanwhile."""
    village = _village(story)
    holders = (story.nodes[HOME], story.nodes[NEIGHBOUR], story.nodes[COMMUNITY])
    await asyncio.gather(*(node.cli("energy", "claim", str(village.source), "--json") for node in holders))

    async def claimed() -> bool:
        found = [(await village.ask(village.contracts.energy, "balanceOf(address)", h))[0] for h in village.holders]
        return all(found)

    await story.until("every shareholder has energy", claimed)
