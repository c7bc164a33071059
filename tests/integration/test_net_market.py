"""A market whose settings say that it nets: from orders to one sum a day for each member, and what attacks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keys import messages as m
from node.app.core import peer_of
from node.app.facade.netting import NettingPart
from node.app.trading.netcontracts import NetContracts
from node.app.trading.netforms import body_of, contract_of
from node.app.trading.netlines import net_domain_of
from node.app.trading.statements import StatementBook
from node.errors import Conflict, InvalidInput
from node.projection.order import Order
from node.runtime.errors import PermanentFailure
from node.services.market.errors import LineRefused
from node.services.market.netcontracts import NetContract
from node.services.market.netting import DAY
from node.storage.deliveries import Span
from node.wire.assets import AssetConfig
from node.wire.settlement import NetReported
from tests.integration.test_netting import becomes, book, operator_deposits, state
from tests.support.marketface import an_order
from tests.support.tradeworld import HOUR, World, trading

pytestmark = pytest.mark.chain


def netted(world: World) -> NetContracts:
    assert world.market.market is not None
    return world.market.market.netting.contracts


@asynccontextmanager
async def market(
    root: Path, *, most: int = 3_000, own: int = 1_000, terms: Mapping[str, Any] | None = None
) -> AsyncIterator[World]:
    """Two assets, members with money and a mandate, early on a day. `own`: what the operator has deposited."""
    async with trading(root, terms={"settle": "net", "provision_grace_s": 1_800, **(terms or {})}) as world:
        await world.pass_time(DAY - world.clock.now() % DAY + HOUR)
        await operator_deposits(world, own)
        await become_members(world, "seller", "buyer", most=most)
        yield world


async def become_members(world: World, *names: str, most: int = 3_000) -> None:
    """Each has 5,000 in the book of the net settlement, and a mandate."""
    views = world.market.core.chain.netting
    assert views is not None
    accounts = []
    for name in names:
        asset = world.nodes[name].asset
        accounts.append(asset.account(world.operator).address)
        await world.mint(accounts[-1], 5_000)
        await asset.netting.deposit(world.market.url, 5_000)
        await asset.netting.mandate(world.market.url, most, world.clock.now() + 30 * DAY)

    async def ready() -> bool:
        members = [await views.member(world.operator, account) for account in accounts]
        return all((member.balance, member.max_debit) == (5_000, most) for member in members)

    await world.until("money and mandates are there", ready)


async def matched(
    world: World, wh: int, price: int, *, seller: str = "seller", buyer: str = "buyer", carrier: str = "electric"
) -> NetContract:
    """An offer and a request of one delivery that become a contract of which both partners know."""
    start = world.clock.now() + HOUR
    before = set(await netted(world).of(start // DAY))
    await world.order(seller, "offer", wh, price, start, carrier=carrier)
    await world.order(buyer, "request", wh, price, start, carrier=carrier)

    async def known() -> bool:
        fresh = set(await netted(world).of(start // DAY)) - before
        told = [set(await world.nodes[name].asset.netted.book.newest()) for name in (seller, buyer)]
        return bool(fresh) and all(fresh <= each for each in told)

    await world.until("both know of the contract", known)
    contracts = await netted(world).of(start // DAY)
    (key,) = set(contracts) - before
    return contracts[key]


async def deliver(world: World, made: NetContract, out: int, into: int, *, off: str = "") -> None:
    for moment, sent, taken in ((made.start, 0, 0), (made.end, out, into)):
        await world.pass_time(max(1, moment - world.clock.now()))
        for name in ("seller", "buyer"):
            if name != off:
                world.nodes[name].meter(moment, out=sent, into=taken)
        await world.round()


async def reports(world: World, name: str, wh: int, contract: bytes, start: int) -> None:
    """A partner says by itself what it delivered or used."""
    node = world.nodes[name]
    signer, domain = node.asset.account(world.operator), net_domain_of(node.core)
    message = m.Provision(signer.address, world.operator, contract, wh, world.clock.now() + HOUR)
    signature = await signer.sign_message(message, domain)
    said = NetReported(typed=m.typed_data(message, domain), signature=signature, start=start)
    await node.post.send(peer_of(world.market.core.card), "market.netreport", said.to_json())


async def due(world: World, made: NetContract) -> dict[str, Any] | None:
    found = (await netted(world).dues(made.day)).get(made.contract_id)
    return found[1] if found is not None else None


async def test_from_orders_to_one_sum_a_day_without_a_transaction_for_each_contract(tmp_path: Path) -> None:
    """The seller delivers 50 Wh less than agreed: what both reported at the most is owed, in the statement and the
    batch alike. On the way the market is restarted, and nothing is matched twice."""
    async with market(tmp_path) as world:
        netting = world.nodes["buyer"].asset.netting
        with pytest.raises(Conflict, match="minor units"):
            await netting.deposit(world.market.url, 10**9)
        with pytest.raises(InvalidInput, match="still to come"):
            await netting.mandate(world.market.url, 1, world.clock.now())
        made = await matched(world, 1_000, 900)
        assert await world.market.trades() == [], "nothing of it is on the chain"
        await deliver(world, made, 950, 1_000)

        async def settled() -> bool:
            return await due(world, made) is not None

        await world.until("both reported", settled)
        assert await due(world, made) == {"wh": 950, "amount": 855, "sold": 950, "used": 1_000}
        statements = StatementBook(world.market.core, netted(world))
        await statements.step()
        rows = [row async for page in statements.pages(Span(made.start, made.start + 1)) for row in page]
        assert [(row.contract, row.delivered, row.due) for row in rows] == [(made.contract_id, 950, 855)]
        await world.restart("market")
        await world.rounds(2)
        assert list(await netted(world).of(made.day)) == [made.contract_id]
        await world.pass_time((made.day + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, made.day, "settled")
        assert (await book(world, "buyer"), await book(world, "seller")) == (4_145, 5_000)
        part = NettingPart(world.market.core, None, world.market.market)
        (shown,) = await part.days()
        assert (shown.state, shown.contracts, shown.lines, shown.total, shown.left) == ("settled", 1, 1, 855, 0)
        (own,) = await NettingPart(world.nodes["buyer"].core, world.nodes["buyer"].asset, None).contracts()
        assert (own.id, own.wh, own.reported_wh) == (made.contract_id, 1_000, 1_000)
        await world.pass_time(3 * DAY + 60)
        await becomes(world, made.day, "released")
        assert await book(world, "seller") == 5_855
        for name in ("market", "seller", "buyer"):
            assert await world.nodes[name].refusals() == []


async def test_two_like_contracts_are_owed_twice(tmp_path: Path) -> None:
    """Two fills of one request, alike in everything: as two lines they would be one for the contract."""
    async with market(tmp_path) as world:
        start = world.clock.now() + HOUR
        for _ in range(2):
            await world.order("seller", "offer", 400, 1_000, start)
        await world.order("buyer", "request", 800, 1_000, start)

        async def two() -> bool:
            return len(await world.nodes["buyer"].asset.netted.book.newest()) == 2

        await world.until("two contracts", two)
        first = next(iter((await netted(world).of(start // DAY)).values()))
        await deliver(world, first, 800, 800)
        await world.rounds(3)
        await world.pass_time((first.day + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, first.day, "settled")
        assert await book(world, "buyer") == 4_200
        assert (await state(world, first.day))["left"] == 0


async def test_the_lines_of_a_day_are_made_once(tmp_path: Path) -> None:
    """Attack: the operator's deposit is short, so the day waits to be netted with its lines made; a contract of which
    nobody has said anything is reported only then, and would make a second line with the first one's energy in it."""
    async with market(tmp_path, own=0) as world:
        start = world.clock.now() + HOUR
        for _ in range(2):
            await world.order("seller", "offer", 400, 1_000, start)
        await world.order("buyer", "request", 800, 1_000, start)
        day, lines = start // DAY, netted(world)._lines

        async def two() -> bool:
            return len(await world.nodes["buyer"].asset.netted.book.newest()) == 2

        await world.until("two contracts", two)
        first, second = (await netted(world).of(day)).values()
        await world.pass_time(first.end - world.clock.now() + 1)
        for name in ("seller", "buyer"):
            await reports(world, name, 400, first.contract_id, start)
        await world.pass_time((day + 1) * DAY - world.clock.now() + HOUR)

        async def short() -> bool:
            return bool((await state(world, day)).get("deposit_short"))

        await world.until("the deposit is short", short)
        made = await lines.of(day)
        assert [each.line.wh for each in made.values()] == [400]
        for name in ("seller", "buyer"):
            with pytest.raises(PermanentFailure, match="netted"):
                await reports(world, name, 400, second.contract_id, start)
            await reports(world, name, 400, first.contract_id, start)  # what was said before may be said again
        await world.rounds(2)
        await world.restart("market")
        for name in ("seller", "buyer"):
            await world.nodes[name].asset.join(world.market.url)
            with pytest.raises(PermanentFailure, match="netted"):
                await reports(world, name, 400, second.contract_id, start)
        await operator_deposits(world, 1_000)
        await becomes(world, day, "settled")
        assert await netted(world)._lines.of(day) == made
        assert await book(world, "buyer") == 4_600
        with pytest.raises(PermanentFailure, match="netted"):
            await reports(world, "seller", 400, second.contract_id, start)


async def test_a10_one_report_counts_after_the_grace_and_a_buyer_owes_within_its_mandate(tmp_path: Path) -> None:
    """A-23: what the mandate does not cover is not matched in the first place."""
    async with market(tmp_path, most=1_000) as world:
        made = await matched(world, 1_000, 900)
        start = made.start
        await world.order("seller", "offer", 200, 900, start)
        await world.order("buyer", "request", 200, 900, start)
        await world.rounds(3)
        assert len(await netted(world).of(made.day)) == 1, "180 more are above 1,000 a day"
        await deliver(world, made, 1_000, 0, off="buyer")
        await world.rounds(2)
        assert await due(world, made) is None, "the buyer may still say something else"
        await world.pass_time(1_900)
        await world.rounds(2)
        found = await due(world, made)
        assert found is not None
        assert (found["wh"], found["sold"], found["used"]) == (1_000, 1_000, None)


async def test_what_a_lying_market_or_partner_says_is_refused(tmp_path: Path) -> None:
    """A market tells of contracts beyond what was signed; a stranger, a partner twice, or one too early reports."""
    async with market(tmp_path) as world:
        start = world.clock.now() + HOUR
        await world.order("seller", "offer", 900, 500, start)
        await world.order("buyer", "request", 1_000, 500, start)

        async def known() -> bool:
            return all([bool(await world.nodes[name].asset.netted.book.newest()) for name in ("seller", "buyer")])

        await world.until("both know of the contract", known)
        (made,) = (await netted(world).of(start // DAY)).values()  # 100 Wh of the request are left
        buyer, operator = world.nodes["buyer"], world.operator
        core = world.market.core
        assert world.market.market is not None
        tell = world.market.post
        lies: dict[str, dict[str, Any]] = {
            "more than was ordered": {"nonce": b"\x01" * 32},
            "no part": {"buyer": b"\x07" * 20, "seller": b"\x08" * 20},
            "no such order": {"request": b"\x09" * 32},
            "outside of the order's time": {"start": made.start - 1, "wh": 1},
            "outside of the order's limit": {"price": 501, "wh": 1},
        }
        for reason, changes in lies.items():
            body = body_of(replace(made, **changes), operator).to_json()
            with pytest.raises(PermanentFailure, match=reason):
                await tell.send(peer_of(buyer.core.card), "asset.netcontract", body)
        with pytest.raises(PermanentFailure, match="does not trade"):
            await world.nodes["seller"].post.send(
                peer_of(buyer.core.card), "asset.netcontract", body_of(made, operator).to_json()
            )

        async def report(name: str, wh: int, contract: bytes = made.contract_id) -> None:
            await reports(world, name, wh, contract, made.start)

        with pytest.raises(PermanentFailure, match="not over"):
            await report("seller", 1_000)
        await world.pass_time(made.end - world.clock.now() + 1)
        await world.open("stranger")
        with pytest.raises(PermanentFailure, match="no such contract"):
            await report("stranger", 5)
        with pytest.raises(PermanentFailure, match="no such contract"):
            await report("seller", 5, b"\x01" * 32)
        await report("seller", 900)
        await report("seller", 900)
        with pytest.raises(PermanentFailure, match="Something else was reported"):
            await report("seller", 1_000)
        await report("buyer", 800)
        await world.rounds(1)
        found = await due(world, made)
        assert found is not None
        assert found["wh"] == 800
        # An order that was signed for the market's own contract, and a line of an asset's own making.
        start = world.clock.now() + HOUR
        gross = await an_order(world, "seller")
        with pytest.raises(PermanentFailure, match="only what was left out"):
            await world.nodes["seller"].post.send(peer_of(core.card), "market.order", gross)
        with pytest.raises(PermanentFailure, match="lines of its own contracts"):
            await buyer.asset.netting.owe(world.market.url, b"\x05" * 20, 1, 1, world.clock.now(), start)
        with pytest.raises(LineRefused, match="one day"):
            await world.order("buyer", "request", 10, 10, (made.day + 1) * DAY - 60)


async def test_a_pool_does_not_offer_what_was_netted_once_more(tmp_path: Path) -> None:
    """M-32 with nothing on the chain: what was delivered is gone, and what is promised is not free."""
    async with market(tmp_path) as world:
        owner, seller = await world.open("seller's owner"), world.nodes["seller"]
        form = {"market": world.market.url, "offer_price": 100, "limit_price": 0, "min_offer_wh": 200}
        await owner.assets.configure(AssetConfig.model_validate({**form, "role": "producer"}))
        await seller.pool.produce(500)
        await world.rounds(2)
        ((_, offer),) = await seller.core.storage.views.page(Order, limit=9)
        assert offer.terms is not None
        await world.order("buyer", "request", 500, 200, offer.terms.start)

        async def known() -> bool:
            return bool(await seller.asset.netted.book.newest())

        await world.until("the seller knows of the contract", known)
        (held,) = (await seller.asset.netted.book.newest()).values()
        assert (await seller.pool.pool())["reserved"] == 500
        await deliver(world, contract_of(held.made), 400, 500)
        await world.rounds(3)
        assert await seller.pool.pool() == {"available": 100, "reserved": 0, "requested": 0}
