"""M-84: heat and electricity in the statements of a real market and of its partners, each by itself."""

from __future__ import annotations

from pathlib import Path

from node.app.trading.statements import StatementBook
from node.storage.deliveries import Span
from tests.integration.test_net_left import end_of, has_contract, revoke, settled
from tests.integration.test_net_market import deliver, market, matched, netted
from tests.support.tradeworld import DAY, HOUR, World, trading

ALL = Span(0, 2**40)


async def rows(book: StatementBook) -> list[tuple[str, int, int]]:
    """Carrier, Wh delivered and what is due for them, in order of time and amount."""
    while await book.step():
        pass
    found = [each async for page in book.pages(ALL) for each in page]
    return sorted((each.carrier, each.delivered, each.due) for each in found)


def at(world: World, name: str) -> StatementBook:
    asset = world.nodes[name].asset
    return StatementBook(world.nodes[name].core, stands_for=asset.left.stands_for)


async def test_m84_a_statement_tells_heat_from_electricity(tmp_path: Path) -> None:
    """900 Wh of electricity at 200 and 500 Wh of heat at 80, at one time: 180 and 40, at the market and at both."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        start = world.clock.now() + 2 * HOUR
        for carrier, wh, price in (("electric", 900, 200), ("thermal", 500, 80)):
            await world.order("seller", "offer", wh, price, start, carrier=carrier)
            await world.order("buyer", "request", wh, price, start, carrier=carrier)

        async def two() -> bool:
            return len(await world.market.trades()) == 2

        await world.until("both are matched, each with its own kind", two)
        first, second = [each.contract_id for each in await world.market.trades()]
        await world.deliver(first, out=1_400)
        for contract in (first, second):
            await world.reach(contract, "confirmed")
        wanted = [("electric", 900, 180), ("thermal", 500, 40)]
        assert await rows(StatementBook(world.market.core)) == wanted
        for name in ("seller", "buyer"):
            assert await rows(at(world, name)) == wanted, name


async def test_m84_a_market_that_nets_tells_them_apart_too(tmp_path: Path) -> None:
    """1 kWh of heat at 900, which no mandate covers in the end: it is left out, and paid by a contract of its own. The
    orders for that say nothing of heat; what they stand for does."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900, carrier="thermal")
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        assert await rows(StatementBook(world.market.core, netted(world))) == [("thermal", 1_000, 900)]
        await revoke(world, "buyer")
        await end_of(world, made, "idle")
        await world.give("buyer", 1_000)
        await world.until("it has a contract of its own", lambda: has_contract(world), 100)
        (trade,) = await world.market.trades()
        await world.pass_time(DAY // 24)
        await world.reach(trade.contract_id, "confirmed")
        assert await rows(StatementBook(world.market.core, netted(world))) == [("thermal", 1_000, 900)]
        for name in ("seller", "buyer"):
            assert await rows(at(world, name)) == [("thermal", 1_000, 900)], name
