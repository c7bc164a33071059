"""What a day's netting leaves out is owed by itself: told, reminded of, claimed, paid in the market's own contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keys import messages as m
from node.api.netting import NetLeftView
from node.app.core import peer_of
from node.app.facade.netting import NettingPart
from node.app.trading.netleft import LeftLines
from node.app.trading.netleftline import LeftLine
from node.app.trading.statements import StatementBook
from node.errors import Refused
from node.projection.twin import Twin, TwinStatus
from node.runtime.errors import PermanentFailure
from node.services.market.netcontracts import NetContract
from node.services.market.netting import DAY
from node.storage.deliveries import Span
from node.wire.settlement import NetLeftOut
from tests.integration.test_net_market import deliver, due, market, matched, netted
from tests.integration.test_netting import becomes, book, state
from tests.support.tradeworld import HOUR, World

pytestmark = pytest.mark.chain


def lines(world: World) -> LeftLines:
    assert world.market.market is not None
    return world.market.market.netting.left


async def only(world: World) -> LeftLine:
    (left,) = (await lines(world).shown()).values()
    return left


async def revoke(world: World, name: str) -> None:
    """From now on no batch takes anything of an asset."""
    views, asset = world.market.core.chain.netting, world.nodes[name].asset
    assert views is not None
    account = asset.account(world.operator).address
    await asset.netting.mandate(world.market.url, 0, world.clock.now() + 30 * DAY)

    async def so() -> bool:
        return not (await views.member(world.operator, account)).max_debit

    await world.until("the mandate is gone", so)


async def shown(world: World, name: str) -> tuple[NetLeftView, ...]:
    node = world.nodes[name]
    return await NettingPart(node.core, None if node.market else node.asset, node.market).left()


async def settled(world: World, made: NetContract) -> None:
    async def so() -> bool:
        return await due(world, made) is not None

    await world.until("what counts is known", so)


async def end_of(world: World, made: NetContract, wanted: str) -> None:
    await world.pass_time((made.day + 1) * DAY - world.clock.now() + HOUR)
    await becomes(world, made.day, wanted)


async def has_contract(world: World) -> bool:
    return bool(await world.market.trades())


async def test_m36_m37_what_is_left_out_is_reminded_of_claimed_and_paid(tmp_path: Path) -> None:
    """The buyer takes its mandate back before the day is netted, and has no money in the market's book: three
    reminders, a claim, no contract any more. Then it pays: one contract on chain, confirmed, with a digital twin, and
    nothing counted twice. On the way the market is restarted."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        await revoke(world, "buyer")
        await end_of(world, made, "idle")
        assert (await state(world, made.day))["left"] == 1
        await world.rounds(4)
        left = await only(world)
        assert (left.body.wh, left.body.amount, left.body.reminders) == (1_000, 900, 0)
        for number in (1, 2, 3):
            await world.pass_time(DAY)
            await world.rounds(2)
            assert (await only(world)).body.reminders == number
        assert not (await only(world)).body.claimed
        await world.restart("market")
        for name in ("seller", "buyer"):  # its address is another one now
            await world.nodes[name].asset.join(world.market.url)
        await world.pass_time(DAY)
        await world.rounds(2)
        assert (await only(world)).body.claimed
        (told, _) = (await world.nodes["buyer"].asset.left.all())[bytes(left.body.leaf)]
        assert (told.reminders, told.claimed) == (3, True)
        await world.nodes["buyer"].asset.netting.mandate(world.market.url, 3_000, world.clock.now() + 30 * DAY)
        await world.rounds(3)
        start = world.clock.now() + HOUR
        refused = await world.order("buyer", "request", 10, 900, start)
        await world.rounds(2)
        assert (await world.market.order(refused)).terms is None, "no contract while a claim is open"
        assert await world.market.trades() == [], "the contract would reserve what is not there"
        assert [(row.state, row.claimed) for row in await shown(world, "market")] == [("signed", True)]
        await world.give("buyer", 1_000)

        async def closed() -> bool:
            return (await only(world)).closed

        await world.until("it is paid and confirmed", closed, 60)
        (trade,) = await world.market.trades()
        assert trade.status.value == "confirmed"
        for name in ("market", "buyer", "seller"):
            assert [(row.state, row.contract, row.amount) for row in await shown(world, name)] == [
                ("closed", trade.contract_id, 900)
            ]
        assert (await world.balance("buyer"), await world.balance("seller")) == (100, 900)
        for name in ("market", "seller", "buyer"):
            assert await world.market.refusals() == [], name
            twin = await world.nodes[name].core.storage.views.one(Twin, trade.contract_id)
            assert twin.status is not TwinStatus.NONE, name
        statements = StatementBook(world.market.core, netted(world))
        while await statements.step():
            pass
        everything = Span(made.start - DAY, world.clock.now() + 30 * DAY)
        rows = [row async for page in statements.pages(everything) for row in page]
        assert [(row.contract, row.due) for row in rows] == [(made.contract_id, 900)], "its energy counts once"
        again = await world.order("buyer", "request", 10, 900, world.clock.now() + HOUR)
        await world.rounds(2)
        assert (await world.market.order(again)).terms is not None, "and it may order again"


async def test_a_buyer_signs_only_for_what_no_batch_took(tmp_path: Path) -> None:
    """Attacks: a market that netted a line and calls it left out, or asks for more than was used. Beside it a line that
    really was left out of a batch in which the buyer earned something, though less than it reported itself."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        sold = await matched(world, 400, 1_000, seller="buyer", buyer="seller")
        for moment, counter in ((sold.start, 0), (sold.end, 400)):
            await world.pass_time(max(1, moment - world.clock.now()))
            world.nodes["buyer"].meter(moment, out=counter, into=1_000)
            world.nodes["seller"].meter(moment, out=1_000, into=max(0, counter - 20))
            await world.round()
        await settled(world, sold)
        await revoke(world, "buyer")
        await end_of(world, made, "settled")
        assert await book(world, "seller") == 4_620
        left, buyer = await only(world), world.nodes["buyer"]
        assert bytes(left.body.request) == made.request

        async def signed() -> bool:
            return len((await only(world)).orders) == 2

        await world.until("both signed for what was left out", signed)
        lie = left.body.model_copy(
            update={
                "leaf": b"\x07" * 32, "request": sold.request, "seller": sold.seller, "buyer": sold.buyer,
                "wh": 380, "price": 1_000, "amount": 380, "owed": None,
            }
        )  # fmt: skip
        seller = world.nodes["seller"]

        async def tell(name: str, body: NetLeftOut) -> None:
            await world.market.post.send(peer_of(world.nodes[name].core.card), "asset.netleft", body.to_json())

        await tell("seller", lie)
        with pytest.raises(PermanentFailure, match="another leaf"):
            await tell("seller", lie.model_copy(update={"leaf": b"\x06" * 32}))
        await world.rounds(3)
        assert (await seller.asset.left.all())[b"\x07" * 32][1] == b"", "the chain says that it was debited for it"
        assert [row.waits for row in await shown(world, "seller") if row.state == "owed"] == [
            "By what the day's batch moved it may have been paid already."
        ]
        await world.give("buyer", 1_000)
        await world.until("the sale has its contract", lambda: has_contract(world))
        await world.pass_time(60)
        await world.rounds(3)
        assert (await seller.asset.left.all())[b"\x07" * 32][1] == b"", "the chain says that it was debited for it"
        assert [row.waits for row in await shown(world, "seller") if row.state == "owed"] == [
            "By what the day's batch moved it may have been paid already."
        ]
        with pytest.raises(PermanentFailure, match="more than the contracts"):
            await tell("buyer", left.body.model_copy(update={"leaf": b"\x08" * 32, "wh": 1_001}))
        with pytest.raises(PermanentFailure, match="no such contract"):
            await tell("buyer", left.body.model_copy(update={"leaf": b"\x08" * 32, "price": 899}))
        with pytest.raises(PermanentFailure, match="Something else was told"):
            await tell("buyer", left.body.model_copy(update={"wh": 999, "amount": 1, "owed": 1}))
        with pytest.raises(PermanentFailure, match="does not trade"):
            await seller.post.send(peer_of(buyer.core.card), "asset.netleft", left.body.to_json())


async def test_a_sale_is_not_left_out_because_the_market_says_so(tmp_path: Path) -> None:
    """Attack: everything was netted. The market says that of the seller's sale so much was left out as a batch took for
    its purchase, and that the purchase was left out as well: then the sums are right, and it would be paid twice."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        bought = await matched(world, 400, 1_000, seller="buyer", buyer="seller")
        for moment, counter in ((bought.start, 0), (bought.end, 400)):
            await world.pass_time(max(1, moment - world.clock.now()))
            world.nodes["buyer"].meter(moment, out=counter, into=1_000)
            world.nodes["seller"].meter(moment, out=1_000, into=counter)
            await world.round()
        await settled(world, bought)
        await end_of(world, made, "settled")
        seller, block = world.nodes["seller"], (await state(world, made.day))["block"]

        def said(contract: NetContract, leaf: bytes, wh: int) -> NetLeftOut:
            return NetLeftOut(
                operator=world.operator,
                period=contract.day,
                block=block,
                leaf=leaf,
                request=contract.request,
                seller=contract.seller,
                buyer=contract.buyer,
                wh=wh,
                price=contract.price,
                amount=400,
            )

        for body in (said(made, b"\x07" * 32, 500), said(bought, b"\x08" * 32, 400)):
            await world.market.post.send(peer_of(seller.core.card), "asset.netleft", body.to_json())
        await world.rounds(4)
        await world.pass_time(60)
        await world.rounds(2)
        assert (await seller.asset.left.all())[b"\x08" * 32][1] == b""
        waits = {row.amount * row.wh: row.waits for row in await shown(world, "seller") if row.state == "owed"}
        assert waits[400 * 500] == "It is for something else than what counts of its contracts."
        assert "A sale of that day that was left out has no contract of its own yet." in waits[400 * 400]


@pytest.mark.parametrize("short", [{"wh": 500, "amount": 450}, {"amount": 450}], ids=["energy", "amount"])
async def test_a_seller_signs_for_no_less_than_counts(tmp_path: Path, short: dict[str, int]) -> None:
    """Attack: the market calls half of a sale left out, though it had said itself that all of it counts."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        seller = world.nodes["seller"]

        async def agreed() -> bool:
            held = await seller.asset.netted.book.one(made.contract_id)
            return held is not None and held.due == (1_000, 900)

        await world.until("the seller agrees to what counts", agreed)
        await revoke(world, "buyer")
        world.off |= {"seller", "buyer"}
        await end_of(world, made, "idle")
        (await seller.asset.left.all()).clear()  # what the market says to it is said by hand
        lie = (await only(world)).body.model_copy(update={"owed": None, **short})
        await world.market.post.send(peer_of(seller.core.card), "asset.netleft", lie.to_json())
        await seller.read_chain()
        await seller.asset.left.step()
        _, order = (await seller.asset.left.all())[bytes(lie.leaf)]
        assert order == b""
        assert "something else" in seller.asset.left.waits[bytes(lie.leaf)]


async def test_nobody_signs_for_a_day_that_the_chain_may_have_forgotten(tmp_path: Path) -> None:
    """Attack: a line is told in time and lies there until the day's batch has lost its place on chain."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        await revoke(world, "buyer")
        world.off.add("buyer")
        await end_of(world, made, "idle")
        await world.rounds(3)
        left, buyer = (await only(world)).body, world.nodes["buyer"].asset.left
        assert list(await buyer.all()) == [bytes(left.leaf)]
        await world.pass_time(32 * DAY)
        world.off.clear()
        for _ in range(3):
            await world.pass_time(60)
            await world.rounds(2)
        assert (await buyer.all())[bytes(left.leaf)][1] == b""
        assert "too long ago" in buyer.waits[bytes(left.leaf)]


def offer_for(world: World, left: LeftLine, start: int, until: int) -> tuple[m.Offer, bytes]:
    """What a seller signs for a line, and its id."""
    assert world.market.market is not None
    body = left.body
    message = m.Offer(
        account=bytes(body.seller),
        operator=world.operator,
        terms=world.market.market.terms_id,
        partner=bytes(body.buyer),
        device=bytes(20),
        wh=body.wh,
        price=body.price,
        start=start,
        end=until,
        nonce=int.from_bytes(body.leaf, "big"),
        deadline=until,
    )
    return message, m.digest(message, world.nodes["seller"].asset.voice.domain())


async def test_a_buyer_is_reminded_only_while_its_own_part_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attacks: a seller that does not sign, or for a time that never comes; an order that comes while its line is
    worked on; a buyer that lets the contract be cancelled to be rid of the debt and of the claim."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        await revoke(world, "buyer")
        world.off |= {"seller", "buyer"}
        await end_of(world, made, "idle")
        work, leaf = lines(world), bytes((await only(world)).body.leaf)
        for _ in range(2):
            await world.pass_time(DAY + 60)
            await world.rounds(2)
        assert (await only(world)).body.reminders == 0, "its seller did not sign"
        now = world.clock.now()
        for start, until in ((now + DAY, now + 2 * DAY), (now - DAY, now)):
            with pytest.raises(Refused, match="reach into now"):
                await work.accept(*offer_for(world, await only(world), start, until))
        message, order_id = offer_for(world, await only(world), now - 300, now + DAY)
        assert (await work.accept(message, order_id))[2] == order_id.hex()
        await work.step()
        assert (await only(world)).orders == {"seller": order_id.hex()}, "it is not on disk yet"
        world.off.clear()

        async def signed() -> bool:
            orders = (await only(world)).orders
            return len(orders) == 2 and orders["seller"] != order_id.hex()

        await world.rounds(4)
        await world.pass_time(60)
        await world.until("both signed", signed)
        await world.rounds(2)
        known, left = await work.all(), await only(world)
        views = world.market.core.chain.market
        assert views is not None
        member = views.member
        await world.pass_time(DAY)
        await world.market.read_chain()
        anew, anew_id = offer_for(world, left, world.clock.now() - 300, world.clock.now() + DAY)

        async def asked(operator: bytes, account: bytes) -> Any:
            await work.accept(anew, anew_id)
            return await member(operator, account)

        with monkeypatch.context() as patched:
            patched.setattr(views, "member", asked)
            await work.step()
        after = await only(world)
        assert (after.body.reminders, after.orders["seller"]) == (1, anew_id.hex()), "neither overwrites the other"
        known[leaf] = replace(after, orders=left.orders)
        for _ in range(3):
            await world.pass_time(DAY)
            await world.rounds(2)
        assert (await only(world)).body.claimed
        await world.give("buyer", 1_000)

        async def contracted() -> bool:
            return bool((await only(world)).contract)

        await world.until("the contract is signed", contracted)
        world.off |= {"seller", "buyer"}
        first = (await only(world)).contract
        await world.reach(first, "matched")
        await world.rounds(2)
        assert (await only(world)).body.claimed, "until it is paid"
        await world.pass_time(1_000)
        buyer = world.nodes["buyer"]
        await buyer.read_chain()
        await buyer.asset.actions.cancel_contract(first)
        await world.reach(first, "cancelled")
        await world.rounds(3)
        after = await only(world)
        assert (after.closed, after.contract, after.orders, after.body.claimed) == (False, b"", {}, True)
        assert await work.excludes(bytes(after.body.buyer))
        world.off.clear()
        await world.pass_time(60)

        async def closed() -> bool:
            return (await only(world)).closed

        await world.until("it is paid and confirmed", closed, 60)
        assert (await only(world)).contract != first
        assert (await world.balance("buyer"), await world.balance("seller")) == (100, 900)
