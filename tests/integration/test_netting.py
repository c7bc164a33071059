"""A day's trades settled by one sum for each member: mandates, the batch, its release, demands and lies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.bindings import dev_token
from contracts.bindings import net_settlement as abi
from keys import messages as m
from node.api.settlementviews import DepositForm
from node.app.core import peer_of
from node.app.facade.netting import NettingPart
from node.app.trading.netperiods import PERIODS
from node.errors import Conflict
from node.runtime.errors import PermanentFailure
from node.services.market.netting import DAY, MOST_LINES
from tests.support.tradeworld import HOUR, World, trading

pytestmark = pytest.mark.chain


async def book(world: World, name: str) -> int:
    views = world.market.core.chain.netting
    assert views is not None
    account = world.operator if name == "market" else world.nodes[name].asset.account(world.operator).address
    return int((await views.member(world.operator, account)).balance)


async def state(world: World, period: int) -> dict[str, Any]:
    found: dict[str, Any] = await world.market.core.storage.memory.facts.get(PERIODS, str(period)) or {}
    return found


async def becomes(world: World, period: int, wanted: str) -> None:
    async def so() -> bool:
        return (await state(world, period)).get("state") == wanted

    await world.until(f"the period is {wanted}", so)


async def operator_deposits(world: World, amount: int) -> None:
    contracts = world.devnet.contracts
    place = contracts.find("NetSettlement").address
    await world.mint(await world.devnet.payer(), amount)
    await world.call(contracts.find("DevToken").address, dev_token.encode_approve(place, amount))
    await world.call(place, abi.encode_deposit_for(world.operator, world.operator, amount))


@asynccontextmanager
async def netted(root: Path, *, own: int = 1_000) -> AsyncIterator[World]:
    """Two assets with money and mandates, and a market with a deposit of its `own`."""
    async with trading(root) as world:
        await operator_deposits(world, own)
        for name in ("seller", "buyer"):
            node = world.nodes[name]
            await world.mint(node.asset.account(world.operator).address, 5_000)
            await node.asset.netting.deposit(world.market.url, 5_000)
            await node.asset.netting.mandate(world.market.url, 3_000, world.clock.now() + 30 * DAY)

        async def ready() -> bool:
            views = world.market.core.chain.netting
            assert views is not None
            accounts = [world.nodes[name].asset.account(world.operator).address for name in ("seller", "buyer")]
            members = [await views.member(world.operator, account) for account in accounts]
            return all(member.balance == 5_000 and member.max_debit == 3_000 for member in members)

        await world.until("money and mandates are there", ready)
        yield world


async def owe(world: World, debtor: str, creditor: str, wh: int, price: int = 1_000) -> int:
    """A line of today; returns the day."""
    seller = world.nodes[creditor].asset.account(world.operator).address
    now = world.clock.now()
    await world.nodes[debtor].asset.netting.owe(world.market.url, seller, wh, price, now, now + 900)
    return now // DAY


async def test_a_days_lines_are_one_sum_each_and_the_credits_wait_for_the_window(tmp_path: Path) -> None:
    async with netted(tmp_path) as world:
        period = await owe(world, "buyer", "seller", 2_000)
        await owe(world, "buyer", "seller", 700)
        await owe(world, "seller", "buyer", 500)
        await world.rounds(3)
        assert (await state(world, period))["state"] == "open", "not before the day is over"
        await world.pass_time((period + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, period, "settled")
        assert (await book(world, "buyer"), await book(world, "seller")) == (2_800, 5_000)
        await world.pass_time(3 * DAY - 60)
        await world.rounds(2)
        assert await book(world, "seller") == 5_000, "credits are frozen for the dispute window"
        await world.pass_time(120)
        await becomes(world, period, "released")
        assert (await book(world, "buyer"), await book(world, "seller")) == (2_800, 7_200)
        seller = world.nodes["seller"].asset.account(world.operator).address
        with pytest.raises(PermanentFailure, match="time for lines of that day is over"):
            await world.nodes["buyer"].asset.netting.owe(world.market.url, seller, 1, 1, period * DAY, period * DAY + 9)


async def test_what_the_mandate_does_not_cover_is_left_out(tmp_path: Path) -> None:
    """The buyer's debit would pass its mandate: its lines stay owed, the other's are netted."""
    async with netted(tmp_path) as world:
        period = await owe(world, "buyer", "seller", 4_000)
        await owe(world, "seller", "buyer", 900)
        await world.pass_time((period + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, period, "settled")
        assert (await book(world, "buyer"), await book(world, "seller")) == (5_000, 4_100)
        assert (await state(world, period))["left"] == 1


@pytest.mark.parametrize("count", [2, pytest.param(MOST_LINES, marks=pytest.mark.long)])
async def test_a_debtor_who_asks_is_shown_its_lines(tmp_path: Path, count: int) -> None:
    """Nobody has to answer by hand: otherwise the batch would be void and the operator's deposit gone in a day.

    Attack: a debtor has so many lines that they fit into no transaction, and asks for them. As many as are taken fit.
    """
    async with netted(tmp_path) as world:
        period = await owe(world, "buyer", "seller", 2_000)
        for wh in range(1, count):
            await owe(world, "buyer", "seller", wh, 10)
        if count == MOST_LINES:
            with pytest.raises(PermanentFailure, match="at most"):
                await owe(world, "buyer", "seller", 300)
        await world.pass_time((period + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, period, "settled")
        found, buyer = await state(world, period), world.nodes["buyer"].asset.account(world.operator)
        views = world.market.core.chain.netting
        assert views is not None
        domain = m.net_settlement_domain(world.devnet.chain_id, views.address)
        demand = m.Demand(buyer.address, world.operator, period, world.clock.now() + HOUR)
        signature = await buyer.sign_message(demand, domain)
        assert world.market.market is not None
        described = world.market.market.netting._described(found)
        data = abi.encode_demand_lines(demand, described, bytes.fromhex(found["debits"]), 0, signature)
        await world.call(views.address, data)
        assert len(await views.demanded(world.operator, period, found["block"])) == 1

        async def shown() -> bool:
            return not await views.demanded(world.operator, period, found["block"])

        await world.until("the lines were shown", shown)
        await world.pass_time(3 * DAY + 60)
        await becomes(world, period, "released")


async def test_a_line_that_its_debtor_did_not_sign_is_refused(tmp_path: Path) -> None:
    """The seller cannot say what the buyer owes, and nobody says more than the request asks for."""
    async with netted(tmp_path) as world:
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]
        buyer_account = buyer.asset.account(world.operator).address
        original = seller.asset.voice.signer(world.operator).sign_message
        now = world.clock.now()

        async def forged(message: m.Message, domain: Any) -> bytes:
            """The seller signs a request in the buyer's name."""
            return await original(message, domain)

        class Forger:
            address = buyer_account
            sign_message = staticmethod(forged)

        seller.asset.voice._signers[world.operator] = Forger()  # type: ignore[assignment]
        with pytest.raises(PermanentFailure, match="not signed by the account"):
            await seller.asset.netting.owe(world.market.url, b"\x05" * 20, 100, 100, now, now + 900)


async def test_a_repeated_line_counts_once(tmp_path: Path) -> None:
    async with netted(tmp_path) as world:
        period = await owe(world, "buyer", "seller", 100)
        assert world.market.market is not None
        lines = await world.market.market.netting.lines.of(period)
        (line,) = lines.values()
        key = (await world.market.core.storage.memory.facts.all(f"net_lines_{period}")).popitem()[1]
        peer = peer_of(world.market.core.card)
        await world.nodes["buyer"].post.send(peer, "market.netline", key)
        assert list(await world.market.market.netting.lines.of(period)) == [line.leaf]
        with pytest.raises(PermanentFailure, match="More is netted"):
            await world.nodes["buyer"].post.send(peer, "market.netline", key | {"wh": 99})


async def test_lines_come_in_their_day_and_from_members_with_a_mandate(tmp_path: Path) -> None:
    """Attacks: lines of days to come, which would stay; of days that are over; of accounts without mandate."""
    async with netted(tmp_path) as world:
        assert world.market.market is not None
        cycle, now = world.market.market.netting, world.clock.now()
        seller = world.nodes["seller"].asset.account(world.operator).address
        buyer = world.nodes["buyer"].asset
        for start, why in ((now + 60, "not begun"), (now + 5 * DAY, "not begun"), (now - 2 * DAY, "is over")):
            with pytest.raises(PermanentFailure, match=why):
                await buyer.netting.owe(world.market.url, seller, 1, 1, start, start + 900)
        await world.open("stranger")
        with pytest.raises(PermanentFailure, match="No mandate"):
            await owe(world, "stranger", "seller", 100)
        assert await world.market.core.storage.memory.facts.all(PERIODS) == {}, "nothing of it was kept"
        period = await owe(world, "buyer", "seller", 100)
        # The day's last lines are told after midnight; when it is netted, none is taken any more.
        await world.pass_time((period + 1) * DAY - world.clock.now() + 60)
        begin = period * DAY + 86_000
        await buyer.netting.owe(world.market.url, seller, 50, 1_000, begin, begin + 400)
        await world.pass_time(HOUR)
        with pytest.raises(PermanentFailure, match="is over"):
            await buyer.netting.owe(world.market.url, seller, 50, 1_000, begin, begin + 400)
        await becomes(world, period, "settled")
        assert len(await cycle.lines.of(period)) == 2
        assert await book(world, "buyer") == 4_850


async def test_a_market_without_the_deposit_waits_for_it(tmp_path: Path) -> None:
    """The contract wants a tenth of what moves; a batch without it would be refused again and again."""
    async with netted(tmp_path, own=150) as world:
        period = await owe(world, "buyer", "seller", 2_000)
        await world.pass_time((period + 1) * DAY - world.clock.now() + HOUR)
        await world.rounds(3)
        found = await state(world, period)
        assert (found["state"], found["deposit_short"]) == ("open", 50)
        assert await world.market.refusals() == [], "nothing was sent that the contract refuses"
        await operator_deposits(world, 50)
        await becomes(world, period, "settled")
        assert (await state(world, period))["deposit_short"] == 0


async def test_an_operator_deposits_for_its_batches_itself(tmp_path: Path) -> None:
    """Nobody else has to know its account or the contract for that; more than its wallet has is refused at once."""
    async with trading(tmp_path) as world:
        views = world.market.core.chain.netting
        assert views is not None
        await world.mint(world.operator, 700)
        part = NettingPart(world.market.core, None, world.market.market)
        with pytest.raises(Conflict, match="has 700 minor units"):
            await part.deposit(DepositForm(market=world.market.url, amount=701))
        await part.deposit(DepositForm(market=world.market.url, amount=500))

        async def there() -> bool:
            return (await views.member(world.operator, world.operator)).balance == 500

        await world.until("the deposit is in the operator's book", there)
        assert await world.token_of(world.operator) == 200
