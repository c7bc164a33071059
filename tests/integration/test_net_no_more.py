"""A market that nets no more: what its nettings left out is still paid, line by line, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.test_net_left import end_of, lines, revoke, settled
from tests.integration.test_net_market import deliver, market, matched
from tests.support.tradeworld import World

pytestmark = pytest.mark.chain


async def both_signed(world: World) -> bool:
    return [len(each.orders) for each in (await lines(world).all()).values()] == [2, 2]


@pytest.mark.parametrize("signed", [True, False], ids=["signed before", "signed after"])
async def test_a_lines_orders_are_matched_with_each_other_alone(tmp_path: Path, signed: bool) -> None:
    """Two lines between the same partners, signed in the same second: in an ordinary book the dearer request takes the
    cheaper offer, so each line would be paid in part, and what is left of them never."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        more = await matched(world, 1_500, 400)
        for moment, counter in ((more.start, 1_000), (more.end, 2_500)):
            await world.pass_time(max(1, moment - world.clock.now()))
            for name in ("seller", "buyer"):
                world.nodes[name].meter(moment, out=counter, into=counter)
            await world.round()
        await settled(world, more)
        await revoke(world, "buyer")
        await end_of(world, made, "idle")

        if signed:
            await world.rounds(2)
            for name in ("seller", "buyer"):  # within one second, as it may happen
                left = world.nodes[name].asset.left
                told = sorted([body for body, _ in (await left.all()).values()], key=lambda body: -body.price)
                for body in told:
                    await left._sign(body, sells=name == "seller")
            await world.until("both signed for both", lambda: both_signed(world))
        world.terms = {**world.terms, "settle": "gross"}
        await world.restart("market")
        await world.pay_in("buyer", 2_000)
        for name in ("seller", "buyer"):  # its address is another one now
            await world.nodes[name].asset.join(world.market.url)

        async def contracted() -> bool:
            await world.pass_time(61)
            return len(await world.market.trades()) >= 2

        await world.until("there are contracts", contracted)
        await world.rounds(5)
        terms = [trade.terms for trade in await world.market.trades()]
        assert sorted((each.wh, each.price) for each in terms if each is not None) == [(1_000, 900), (1_500, 400)]
