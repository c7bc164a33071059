"""Claims for what a day's netting left out: not before the times that were agreed, and as far as on the chain."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.app.trading.netleftline import LeftLine
from node.app.trading.twins import Holders, Twins
from node.projection.tradedue import TradeStatus
from node.services.market.netting import DAY
from tests.integration.test_net_left import end_of, lines, only, revoke
from tests.integration.test_net_market import market
from tests.integration.test_net_rings import Day, join
from tests.support.tradeworld import HOUR, World

pytestmark = pytest.mark.chain


async def back_again(world: World, *names: str) -> None:
    """The market is restarted, and those who trade there meet it at its new address."""
    await world.restart("market")
    await world.rounds(4)
    for name in names or ("seller", "buyer"):
        await world.nodes[name].asset.join(world.market.url)


async def mandate_is_renewed(world: World) -> None:
    """What keeps a batch from coming is final, and the buyer looks again."""
    await world.rounds(6)
    await world.pass_time(61)
    await world.rounds(2)


async def reminders(world: World, wanted: int) -> LeftLine:
    """After some rounds, and no more of them than that."""
    await world.rounds(3)
    left = await only(world)
    assert (left.body.reminders, left.body.claimed) == (wanted, False)
    return left


async def test_m36_a13_a_market_that_shortens_its_terms_reminds_at_the_times_that_were_agreed(tmp_path: Path) -> None:
    """The request named terms of a day; today's are an hour. The contract on chain has those of the request too, so
    its seller can neither remind nor claim before."""
    async with market(tmp_path) as world:
        made = await Day(world).buys("buyer", "seller", 900)
        await revoke(world, "buyer")
        await end_of(world, made, "idle")
        await world.rounds(2)
        world.terms = {**world.terms, "payment_due_s": HOUR, "reminder_every_s": HOUR}
        await back_again(world)
        for wait, number in ((22 * HOUR, 0), (2 * HOUR, 1), (22 * HOUR, 1), (2 * HOUR, 2)):
            await world.pass_time(wait)
            await reminders(world, number)
        await world.give("buyer", 900)
        world.off.add("buyer")  # it signed, and pays nothing

        async def delivered() -> bool:
            await world.pass_time(600)
            return [trade.status for trade in await world.market.trades()] == [TradeStatus.DELIVERED]

        await world.until("the contract waits for its money", delivered, 80)
        (trade,) = await world.nodes["seller"].trades()
        assert trade.watch is not None
        assert (trade.watch.waits.payment_due, trade.watch.waits.reminder_every) == (DAY, DAY)
        await world.pass_time(DAY - 3 * HOUR)
        await world.rounds(3)
        assert (await world.market.trade(trade.contract_id)).reminders == 0
        await world.pass_time(3 * HOUR)
        await world.rounds(3)
        assert (await world.market.trade(trade.contract_id)).reminders == 1
        assert await world.market.refusals() == []


async def test_a_buyer_hears_what_counts_of_its_sales_with_the_line_itself(tmp_path: Path) -> None:
    """It may only sign when it knows what a batch had to move; no digital twin told it, and waiting for one it would
    have been claimed against."""
    async with market(tmp_path) as world:
        await join(world, "third")
        twins, world.market.twins = world.market.twins, Twins(world.market.core, Holders(None, None))  # it opens none
        day = Day(world)
        await day.buys("buyer", "seller", 900)
        last = await day.buys("third", "buyer", 400)
        await revoke(world, "buyer")
        await end_of(world, last, "settled")
        await world.give("buyer", 900)

        async def contracted() -> bool:
            return bool((await only(world)).contract)

        await world.until("both signed for it", contracted)
        world.market.twins = twins  # it is paid by its own twin

        async def closed() -> bool:
            return (await only(world)).closed

        await world.until("it is paid and confirmed", closed, 60)
        assert (await only(world)).body.reminders == 0
        held = await world.nodes["buyer"].asset.netted.book.one(last.contract_id)
        assert held is not None
        assert held.due == (400, 400)
        assert await world.balance("seller") == 900


async def test_what_counts_of_a_sale_is_believed_as_far_as_it_was_reported(tmp_path: Path) -> None:
    """Attack: a market that says that more was sold than there was; then what a batch took would look like less."""
    async with market(tmp_path) as world:
        made = await Day(world).buys("buyer", "seller", 900)
        seller = world.nodes["seller"].asset
        story = await seller.netted.story(made.contract_id)
        assert story is not None
        assert not await seller.netted.agree(story, (901, 901))
        assert await seller.netted.agree(story, (899, 899)), "the smaller report counts"


async def test_m37_a_first_debtor_is_claimed_against_on_the_chain(tmp_path: Path) -> None:
    """Who has paid nothing yet has the amount reserved by the contract. It signs, and its node is gone: three
    reminders, the claim, and after the dispute window what was reserved goes to the seller. Until then it is
    excluded."""
    async with market(tmp_path, terms={"escrow": False}) as world:
        made = await Day(world).buys("buyer", "seller", 900)
        await revoke(world, "buyer")
        await end_of(world, made, "idle")
        await mandate_is_renewed(world)
        await world.give("buyer", 1_000)

        async def matched() -> bool:
            return bool(await world.market.trades())

        await world.until("the contract stands", matched, 60)
        world.off.add("buyer")
        (trade,) = await world.market.trades()
        assert trade.terms is not None
        assert trade.terms.escrowed
        await world.reach(trade.contract_id, "reported")
        await world.pass_time(1_900)
        await world.reach(trade.contract_id, "delivered")
        for number in (1, 2, 3):
            await world.pass_time(DAY)

            async def reminded(number: int = number) -> bool:
                return (await world.market.trade(trade.contract_id)).reminders == number

            await world.until(f"reminder {number}", reminded)
        await world.pass_time(DAY)
        await world.reach(trade.contract_id, "claimed")
        await world.rounds(3)
        left = await only(world)
        assert (left.closed, left.body.claimed) == (False, True)
        assert await lines(world).excludes(bytes(left.body.buyer))
        await world.pass_time(3 * DAY + 60)
        await world.reach(trade.contract_id, "resolved")
        await world.rounds(3)
        left = await only(world)
        assert (left.closed, left.body.claimed) == (True, False)
        assert not await lines(world).excludes(bytes(left.body.buyer))
        assert (await world.balance("seller"), await world.balance("buyer")) == (900, 100)


async def test_m37_who_paid_before_owes_without_a_reserve_and_cures_a_claim_on_the_chain(tmp_path: Path) -> None:
    async with market(tmp_path, terms={"escrow": False}) as world:
        first = await Day(world).buys("buyer", "seller", 100)
        await revoke(world, "buyer")
        await end_of(world, first, "idle")
        await mandate_is_renewed(world)
        await world.give("buyer", 100)

        async def closed(count: int = 1) -> bool:
            return [each.closed for each in (await lines(world).shown()).values()] == [True] * count

        await world.until("the first one is paid", closed, 60)
        await world.nodes["buyer"].asset.netting.mandate(world.market.url, 3_000, world.clock.now() + 30 * DAY)
        await world.rounds(5)
        await world.pass_time(DAY - world.clock.now() % DAY + HOUR)
        day = Day(world)
        day.out["seller"], day.into["buyer"] = 100, 100
        second = await day.buys("buyer", "seller", 900)
        await revoke(world, "buyer")
        await end_of(world, second, "idle")
        await mandate_is_renewed(world)

        async def owed() -> bool:
            return [t.status for t in await world.market.trades() if t.terms and t.terms.wh == 900] == [
                TradeStatus.DELIVERED
            ]

        await world.until("it is owed on the chain", owed, 60)
        (trade,) = [t for t in await world.market.trades() if t.terms and t.terms.wh == 900]
        assert trade.terms is not None
        assert not trade.terms.escrowed
        for number in (1, 2, 3):
            await world.pass_time(DAY)

            async def reminded(number: int = number) -> bool:
                return (await world.market.trade(trade.contract_id)).reminders == number

            await world.until(f"reminder {number}", reminded)
        await world.pass_time(DAY)
        await world.reach(trade.contract_id, "claimed")
        await world.pay_in("buyer", 900)
        await world.clock_on(HOUR)
        await world.reach(trade.contract_id, "cured")
        await world.until("nothing is owed", lambda: closed(2))
        assert await world.balance("seller") == 1_000
