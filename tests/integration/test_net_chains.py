"""Left-out lines that wait for each other in a chain: nobody's wait is without end, and nobody pays twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.app.core import peer_of
from node.app.trading.assetnetsales import moment
from node.app.trading.netleftline import LeftLine
from node.app.trading.twins import Holders, Twins
from node.services.market.netcontracts import NetContract
from node.services.market.netting import DAY
from node.wire.settlement import NetLeftOut
from tests.integration.test_net_left import end_of, lines, revoke, shown
from tests.integration.test_net_market import market
from tests.integration.test_net_rings import Day, by_parties, join
from tests.integration.test_netting import book, state
from tests.support.tradeworld import HOUR, World

pytestmark = pytest.mark.chain

C_TO_A, A_TO_B = ("third", "buyer"), ("buyer", "seller")


async def chain(world: World, *off: str) -> int:
    """On one day C (the third) buys of A (the buyer) and A of B (the seller). Neither is netted, beside a batch of
    others, and some are gone by then. Returns the time of the batch."""
    await join(world, "third", "fourth")
    day = Day(world)
    await day.buys("third", "buyer", 500)
    await day.buys("buyer", "seller", 300)
    last = await day.buys("fourth", "seller", 100)
    for name in ("third", "buyer"):
        await revoke(world, name)
    world.off |= set(off)
    await end_of(world, last, "settled")
    found = await state(world, last.day)
    assert found["left"] == 2
    await world.rounds(2)
    return int(found["settled_at"])


async def line(world: World, pair: tuple[str, str]) -> LeftLine:
    return (await by_parties(world))[pair]


async def so_far(world: World, pair: tuple[str, str]) -> tuple[int, bool]:
    body = (await line(world, pair)).body
    return body.reminders, body.claimed


async def days(world: World, count: int) -> None:
    for _ in range(count):
        await world.pass_time(DAY)
        await world.rounds(3)


async def why(world: World, name: str, owed: int) -> str:
    """What a node shows of why a line waits."""
    (row,) = [row for row in await shown(world, name) if row.owed == owed]
    return row.waits


async def closed(world: World, pair: tuple[str, str]) -> bool:
    return (await line(world, pair)).closed


async def test_m36_m37_a_debt_waits_for_a_sale_no_longer_than_was_agreed(tmp_path: Path) -> None:
    """market.md, Settlement: C owes A, A owes B, and C does not sign. A waits until C would have been claimed against
    by the times of A's own terms; then it signs and pays B. What C owes A stays owed, reminded of and claimed, and C
    pays it when it is back. All three are shown why, and until when."""
    async with market(tmp_path) as world:
        netted = await chain(world, "third")
        until = netted + 4 * DAY
        body = (await line(world, A_TO_B)).body
        assert (body.until, body.awaited) == (until, 0)
        claim = (await line(world, C_TO_A)).body
        assert (claim.until, claim.awaited) == (0, until)
        await world.give("buyer", 300)
        await days(world, 3)
        for name in ("market", "seller"):
            assert await why(world, name, 300) == (
                f"Its buyer waits for what it sold itself on that day, until {moment(until)} at most."
            )
        assert await why(world, "buyer", 300) == (
            f"A sale of that day that was left out has no contract of its own yet. Until {moment(until)} at most."
        )
        for name in ("market", "buyer", "third"):
            assert moment(until) in await why(world, name, 500), name
        assert await so_far(world, A_TO_B) == (0, False), "nobody is reminded of what it cannot sign"
        await world.pass_time(until - world.clock.now() + 61)
        await world.until("A has paid B", lambda: closed(world, A_TO_B), 60)
        assert await so_far(world, A_TO_B) == (0, False)
        assert (await world.balance("buyer"), await world.balance("seller")) == (0, 300)
        for name in ("market", "buyer", "third"):
            assert "this stays owed" in await why(world, name, 500), name
        await days(world, 1)
        assert await so_far(world, C_TO_A) == (3, True)
        debtor = bytes((await line(world, C_TO_A)).body.buyer)
        assert await lines(world).excludes(debtor)
        world.off.clear()
        await world.give("third", 500)
        await world.pass_time(61)
        await world.until("C has paid A", lambda: closed(world, C_TO_A), 60)
        assert [await world.balance(name) for name in ("third", "buyer", "seller")] == [0, 500, 300]
        assert not await lines(world).excludes(debtor)
        assert len(await world.market.trades()) == 2
        assert await world.market.refusals() == []


async def test_m36_m37_who_waited_and_does_not_pay_then_is_reminded_and_claimed_against(tmp_path: Path) -> None:
    """B's wait ends as well: from the day on which A's ended A is reminded, and three reminders later claimed against.
    The market is restarted on the way."""
    async with market(tmp_path) as world:
        netted = await chain(world, "third")
        await world.restart("market")
        for name in ("seller", "buyer"):
            await world.nodes[name].asset.join(world.market.url)
        await world.pass_time(netted + 4 * DAY - world.clock.now() - HOUR)
        await world.rounds(3)
        assert await so_far(world, A_TO_B) == (0, False)
        await world.pass_time(HOUR + 61)
        await world.rounds(3)
        signed = (await line(world, A_TO_B)).orders
        assert set(signed) == {"seller", "buyer"}, "it signed, and has no money in the book"
        for number in (1, 2, 3):
            await days(world, 1)
            assert await so_far(world, A_TO_B) == (number, False)
        await days(world, 1)
        assert await so_far(world, A_TO_B) == (3, True)


async def test_m36_who_does_not_sign_for_its_own_sale_is_waited_for_by_nobody(tmp_path: Path) -> None:
    """Attack: A withholds its signature under what C owes it, so that what it owes B itself would not become due."""
    async with market(tmp_path) as world:
        await chain(world, "third", "buyer")
        for number in (1, 2, 3):
            await days(world, 1)
            assert await so_far(world, A_TO_B) == (number, False)
        assert await so_far(world, C_TO_A) == (0, False)


async def test_m36_without_a_batch_nobody_waits_for_a_sale(tmp_path: Path) -> None:
    """Where a day has no batch, a renewed mandate keeps one from coming: A can sign at once, and is reminded else."""
    async with market(tmp_path) as world:
        await join(world, "third")
        day = Day(world)
        await day.buys("third", "buyer", 500)
        last = await day.buys("buyer", "seller", 300)
        for name in ("third", "buyer"):
            await revoke(world, name)
        world.off |= {"third"}
        await end_of(world, last, "idle")
        await world.rounds(2)
        world.off |= {"buyer"}
        assert (await line(world, A_TO_B)).body.until == 0
        await days(world, 1)
        assert await so_far(world, A_TO_B) == (1, False)
        await days(world, 3)
        assert await so_far(world, A_TO_B) == (3, True)


async def test_where_the_twin_does_not_come_the_first_reminder_is_waited_for(tmp_path: Path) -> None:
    """As with payments (M-47): a market could withhold it else, and have A claimed against who means to pay."""
    async with market(tmp_path) as world:
        world.market.twins = Twins(world.market.core, Holders(None, None))  # it opens none
        netted = await chain(world, "third")
        await world.pass_time(netted + 4 * DAY - world.clock.now() + 61)
        await world.rounds(3)
        assert "does not say yet" in await why(world, "buyer", 300)
        await days(world, 1)
        await world.pass_time(61)
        await world.rounds(3)
        assert await so_far(world, A_TO_B) == (1, False)
        assert set((await line(world, A_TO_B)).orders) == {"seller", "buyer"}


async def tell(world: World, name: str, made: NetContract, leaf: bytes) -> bytes:
    """The market calls a contract left out."""
    body = NetLeftOut(
        operator=world.operator,
        period=made.day,
        block=(await state(world, made.day))["block"],
        leaf=leaf,
        request=made.request,
        seller=made.seller,
        buyer=made.buyer,
        wh=made.wh,
        price=made.price,
        amount=made.amount,
    )
    await world.market.post.send(peer_of(world.nodes[name].core.card), "asset.netleft", body.to_json())
    return leaf


async def test_after_the_wait_a_sale_is_not_left_out_because_the_market_says_so(tmp_path: Path) -> None:
    """Attacks: everything was netted. The market says that a sale was left out which came to as much as a purchase, and
    so the purchase: then the sums are right, and after the wait it would be paid twice. One sale is to somebody of whom
    the batch took money; the other is to somebody that earned more, and its digital twin knows better."""
    async with market(tmp_path) as world:
        await join(world, "third", "fourth")
        day = Day(world)
        sold = await day.buys("third", "buyer", 300)
        bought = await day.buys("buyer", "seller", 300)
        await day.buys("fourth", "third", 500)
        other_sold = await day.buys("fourth", "seller", 200)
        other_bought = await day.buys("seller", "third", 200)
        await end_of(world, bought, "settled")
        names = ("buyer", "seller", "third", "fourth")
        assert [await book(world, name) for name in names] == [5_000, 5_000, 5_000, 4_300], "the credits wait"
        debts = {
            "buyer": await tell(world, "buyer", bought, b"\x08" * 32),
            "seller": await tell(world, "seller", other_bought, b"\x06" * 32),
        }
        await tell(world, "buyer", sold, b"\x07" * 32)
        await tell(world, "seller", other_sold, b"\x05" * 32)

        async def reasons() -> list[str]:
            await world.pass_time(61)
            await world.rounds(3)
            for name, leaf in debts.items():
                assert (await world.nodes[name].asset.left.all())[leaf][1] == b"", name
            return [world.nodes[name].asset.left.waits[leaf] for name, leaf in debts.items()]

        assert all("has no contract of its own yet" in each for each in await reasons())
        await world.pass_time(5 * DAY)
        assert await reasons() == [
            "The digital twin of a sale says otherwise than that it was left out.",
            "The day's batch took money of the buyer of a sale that the market calls left out.",
        ]
