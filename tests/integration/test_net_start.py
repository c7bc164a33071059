"""What a node with netted contracts looks at when it starts: what is open, whatever there was before."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.app.trading.statements import StatementBook
from node.app.trading.twins import Holders, Twins
from node.services.market.netting import DAY
from node.storage.deliveries import Span
from tests.integration.test_net_left import end_of
from tests.integration.test_net_market import deliver, market, matched, netted
from tests.integration.test_net_rings import Day
from tests.integration.test_net_twins import complete
from tests.support.tradeworld import HOUR, World

pytestmark = pytest.mark.chain


async def looked_at(world: World, name: str) -> tuple[bytes, ...]:
    """The contracts whose twins a node looks at when it was ended and starts again."""
    return await (await world.restart(name)).twins.stories.changed()


async def test_a_start_looks_at_what_is_open_and_at_nothing_that_is_over(tmp_path: Path) -> None:
    """Three contracts of a day that is netted, though its credits are not released; one that is still to be delivered.
    The market has nothing to look at, its members the one that is open."""
    async with market(tmp_path) as world:
        day = Day(world)
        for _ in range(3):
            last = await day.buys("buyer", "seller", 100)
        await end_of(world, last, "settled")
        await world.rounds(3)
        made = await matched(world, 100, 1_000)
        await complete(world, made.contract_id, 3)
        statements = StatementBook(world.market.core, netted(world))
        while await statements.step():
            pass
        assert await looked_at(world, "market") == ()
        assert await netted(world).unwritten.look() == frozenset()
        for name in ("seller", "buyer"):
            assert await looked_at(world, name) == (made.contract_id,)
            book = world.nodes[name].asset.netted.book
            assert set(book._held) == {made.contract_id}, "nothing else was read"
            assert len(await book.newest()) == 4, "and all are there for who asks"


async def test_what_a_crash_kept_from_the_twins_is_written_at_the_next_start(tmp_path: Path) -> None:
    """The journal has a contract, reports and what counts; each node ends before any of it is in its own log."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await complete(world, made.contract_id, 3)
        for name in ("market", "seller", "buyer"):
            world.nodes[name].twins = Twins(world.nodes[name].core, Holders(None, None))  # which writes nothing
        await deliver(world, made, 950, 1_000)

        async def settled() -> bool:
            return bool(await netted(world).dues(made.day))

        await world.until("what counts is known", settled)
        assert await looked_at(world, "market") == (made.contract_id,)
        await world.rounds(4)
        assert await looked_at(world, "market") == (), "and once only"
        _, logs = await world.market.twins.logs(made.contract_id)
        assert logs is not None
        assert len(logs.log(world.operator)) == 4
        # What the market wrote arrived, and is not agreed to yet: the members end and start again.
        for name in ("seller", "buyer"):
            assert await looked_at(world, name) == (made.contract_id,)
        await world.rounds(6)
        for name in ("seller", "buyer"):
            held = await world.nodes[name].asset.netted.book.one(made.contract_id)
            assert held is not None
            assert held.due == (950, 855), name
            assert await looked_at(world, name) == ()


async def test_statements_of_a_day_are_written_after_a_crash_and_then_no_more(tmp_path: Path) -> None:
    async with market(tmp_path) as world:
        made = await Day(world).buys("buyer", "seller", 100)
        await end_of(world, made, "settled")
        await world.restart("market")
        assert await netted(world).unwritten.look() == {str(made.day)}
        book = StatementBook(world.market.core, netted(world))
        while await book.step():
            pass
        span = Span(made.start - DAY, world.clock.now() + HOUR)
        assert [row.due async for page in book.pages(span) for row in page] == [100]
        await world.restart("market")
        assert await netted(world).unwritten.look() == frozenset()
