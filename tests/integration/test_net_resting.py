"""An asset that pauses or retires trades no more, but what it owes and is owed for what was delivered stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from node.app.trading.assetresting import AssetResting
from node.projection.order import Order, OrderStatus
from node.wire.assets import AssetConfig
from tests.integration.test_net_left import end_of, has_contract, only, revoke, settled
from tests.integration.test_net_market import deliver, market, matched
from tests.support.tradeworld import HOUR, World

pytestmark = pytest.mark.chain


async def left_out(world: World) -> None:
    """A line of 900, of which nobody knows yet."""
    made = await matched(world, 1_000, 900)
    await deliver(world, made, 1_000, 1_000)
    await settled(world, made)
    await revoke(world, "buyer")
    await end_of(world, made, "idle")


async def signed(world: World) -> bool:
    return len((await only(world)).orders) == 2


async def later(world: World, what: str, so: Callable[[World], Awaitable[bool]]) -> None:
    """A line that waits is looked at once in a minute."""

    async def found() -> bool:
        await world.pass_time(61)
        return await so(world)

    await world.until(what, found)


async def test_a_pause_takes_back_no_order_for_what_is_owed_already(tmp_path: Path) -> None:
    """It was taken back and signed anew every minute, at the market's cost, and what was owed was never paid."""
    async with market(tmp_path) as world:
        await left_out(world)
        await later(world, "both signed", signed)
        start = world.clock.now() + HOUR
        ordinary = await world.order("seller", "offer", 10, 100, start)
        seller = world.nodes["seller"]
        taken = await AssetResting(seller.core, seller.asset).take_back(world.operator)
        assert [order.order_id for order in taken] == [ordinary]
        await world.rounds(4)
        assert (await seller.order(ordinary)).status is OrderStatus.CANCELLED
        found = await seller.core.storage.views.page(Order, status="open", limit=9)
        assert [order.order_id.hex() for _, order in found] == [(await only(world)).orders["seller"]]
        await world.give("buyer", 1_000)
        await later(world, "it becomes a contract", has_contract)


@pytest.mark.parametrize("name", ["seller", "buyer"])
async def test_who_retires_is_still_paid_and_pays_for_what_was_left_out(tmp_path: Path, name: str) -> None:
    """The market took no order of a retired asset, not even for its debts: it had only to retire to owe nothing."""
    async with market(tmp_path) as world:
        node = world.nodes[name]
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        await revoke(world, "buyer")
        config = AssetConfig(market=world.market.url, offer_price=1, limit_price=1, min_offer_wh=1, status="retired")
        await node.pool.announce(config)
        await end_of(world, made, "idle")
        await world.give("buyer", 1_000)
        await later(world, "it becomes a contract", has_contract)
