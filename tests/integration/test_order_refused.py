"""An order that its market does not take is over at its asset at once, and only by that market's own word (A-28)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from keys import messages as m
from keys.errors import SignerError
from keys.parcel import pack
from keys.signers import LocalSigner
from node.app.facade.settlement import MarketPart
from node.app.mail import Mailbox
from node.app.spelling import peer_of
from node.app.trading import ordertaking
from node.app.trading.refusals import Refusals
from node.errors import ChainUnreachable, Conflict, NodeUnreachable, Refused
from node.projection.base import Peer
from node.projection.effects import SendParcel
from node.projection.order import Order, OrderStatus
from node.projection.settlement_events import ReceivedRefusal
from node.services.market.errors import OrderRefused
from node.storage.feed import FeedFilter
from node.wire.orderdetails import OrderDetails
from node.wire.refusals import OrderRefusal, signed_refusal
from node.wire.settlement import OrderPlaced, WordRefused
from tests.integration.test_net_market import market as netting
from tests.support.tradenode import Node
from tests.support.tradeworld import DAY, HOUR, World, trading

SIDE = "This account is on the other side of this delivery."


async def refused(world: World, start: int) -> bytes:
    """A request, and an offer of the same account in that delivery, which no market takes (A-19). The offer's id."""
    await world.order("seller", "request", 10, 100, start)
    await world.rounds(2)
    offer = await world.order("seller", "offer", 500, 100, start)
    await world.rounds(2)
    return offer


async def test_a28_a_refused_order_is_over_says_why_and_another_one_is_made(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        seller, start = world.nodes["seller"], world.clock.now() + 2 * HOUR
        offer = await refused(world, start)
        order = await seller.order(offer)
        assert (order.status, order.left, order.refused) == (OrderStatus.REFUSED, 0, SIDE)
        shown = {each.id: each for each in (await MarketPart(seller.core, seller.asset, None).orders(None, 100)).items}
        assert (shown[offer].state, shown[offer].reason, shown[offer].seed_status) == ("refused", SIDE, "Cancelled")
        assert {each.reason for key, each in shown.items() if key != offer} == {""}
        open_ = await seller.core.storage.views.page(Order, status="open", limit=9)
        assert [each.terms.sells for _, each in open_ if each.terms is not None] == [False]
        page = await seller.core.storage.feed.read(0, 100, FeedFilter())
        told = [(event.kind, event.data) for event in page.events]
        assert ("order.changed", {"status": "refused", "left_wh": 0, "reason": SIDE}) in told
        assert (await seller.executor._outbox.counts()).dead == 0, "it is a result, and no fault of this node"
        with pytest.raises(Conflict, match="refused"):
            await seller.asset.actions.cancel_order(offer)
        assert (await world.market.order(offer)).status is OrderStatus.NONE
        again = await world.order("seller", "offer", 500, 100, start + HOUR)
        await world.order("buyer", "request", 500, 100, start + HOUR)

        async def matched() -> bool:
            return (await seller.order(again)).status is OrderStatus.FILLED

        await world.until("the next one is matched", matched)


async def test_the_pool_of_an_asset_has_the_energy_of_a_refused_order_back(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        seller = world.nodes["seller"]
        offer = await refused(world, world.clock.now() + 2 * HOUR)
        pool = {"available": 500, "orders": [offer.hex()], "counted": [], "wants": []}
        await seller.core.storage.memory.keep((), [("asset_pool", "pool", pool)])
        assert (await seller.pool.pool())["reserved"] == 0


async def leave_the_other_side(world: World, seller: Node) -> None:
    """What was refused for an order on the other side would be taken from now on."""
    rows = await seller.core.storage.views.page(Order, status="open", limit=9)
    (request,) = [order for _, order in rows if order.own]
    await seller.asset.actions.cancel_order(request.order_id)

    async def free() -> bool:
        return (await world.market.order(request.order_id)).status is OrderStatus.CANCELLED

    await world.until("that account is on no side any more", free)


async def test_a_market_that_said_no_keeps_to_it_and_one_that_said_yes_too(tmp_path: Path) -> None:
    """Attack: whoever holds the refused parcel back brings it when the market would take it; the asset sold elsewhere.
    And an order that was taken is not refused to an asset that heard nothing of it and sends it again, too late."""
    async with trading(tmp_path) as world:
        seller, start = world.nodes["seller"], world.clock.now() + 2 * HOUR
        offer = await refused(world, start)
        await leave_the_other_side(world, seller)
        await world.rounds(1)
        for _ in range(2):
            with pytest.raises(OrderRefused, match="other side") as no:
                await world.market.inbox.take(await parcel(world, seller, await seller.order(offer)), "")
            assert isinstance(no.value.proof, OrderRefusal)
        assert (await world.market.order(offer)).status is OrderStatus.NONE
        taken = await world.order("seller", "offer", 500, 100, start)
        await world.rounds(2)
        await world.pass_time(3 * HOUR)
        await world.market.inbox.take(await parcel(world, seller, await seller.order(taken)), "")
        assert (await world.market.order(taken)).terms is not None


async def test_a_market_keeps_to_its_no_over_a_restart(tmp_path: Path) -> None:
    """Attack: the same, after the market was off. By then the asset has sold the energy elsewhere."""
    async with trading(tmp_path) as world:
        seller, start = world.nodes["seller"], world.clock.now() + 2 * HOUR
        offer = await refused(world, start)
        await leave_the_other_side(world, seller)
        market = await world.restart("market")
        await world.rounds(1)
        for _ in range(2):
            with pytest.raises(OrderRefused, match="other side") as no:
                await market.inbox.take(await parcel(world, seller, await seller.order(offer)), "")
            assert isinstance(no.value.proof, OrderRefusal)
        assert (await market.order(offer)).status is OrderStatus.NONE
        assert market.market is not None
        await world.pass_time(4 * DAY)
        assert await market.market.taking.refusals.room(1)
        assert await market.core.storage.memory.facts.all("market_refused") == {}, "nothing can come of it any more"


async def test_an_order_whose_refusal_is_known_is_not_sent_once_more(tmp_path: Path) -> None:
    """The power fails between the asset's note of the no and the acknowledgement of its letter."""
    async with trading(tmp_path) as world:
        seller = world.nodes["seller"]
        offer = await refused(world, world.clock.now() + 2 * HOUR)
        order = await seller.order(offer)
        assert order.peer is not None
        assert order.terms is not None
        assert world.market.market is not None
        await world.market.market.taking.refusals._forget([offer])
        (request,) = [o for _, o in await seller.core.storage.views.page(Order, status="open", limit=9) if o.own]
        await seller.asset.actions.cancel_order(request.order_id)
        await world.rounds(4)
        body = json.dumps(OrderPlaced(**await placed(seller, order)).to_json())
        await seller.post.carry_out(SendParcel(order.peer, "market.order", body, offer, order.terms.until))
        assert (await world.market.order(offer)).terms is None


async def test_no_no_is_signed_for_more_orders_than_can_be_remembered(tmp_path: Path) -> None:
    """Attack: so many orders to be refused that the first no would be forgotten."""
    async with trading(tmp_path) as world:
        now, market = world.clock.now(), world.market
        held = Refusals(market.core, most=2)
        assert await held.room(2)
        await held.keep({b"\x01" * 32: ("no", now + HOUR), b"\x02" * 32: ("no", now + 400 * DAY)})
        assert not await held.room(1)
        assert await held.of([b"\x02" * 32, b"\x03" * 32]) == {b"\x02" * 32: "no"}
        await world.pass_time(3 * DAY)
        assert await held.room(1), "the first one is over"
        assert not await held.room(2)
        await world.pass_time(7 * DAY)
        assert await Refusals(market.core, most=2).room(2), "nobody can bring a parcel from before the second one"
        assert market.market is not None
        market.market.taking.refusals._most = 0
        order = await world.nodes["seller"].order(await refused(world, world.clock.now() + 2 * HOUR))
        assert order.status is OrderStatus.OPEN, "of what nobody signed it is not free"
        assert (await market.order(order.order_id)).terms is None


async def test_a_chain_that_does_not_answer_refuses_nothing(tmp_path: Path) -> None:
    """A market that nets asks the chain about each order. That it cannot is no judgement, and was said for good."""
    async with netting(tmp_path) as world:
        market, seller = world.market, world.nodes["seller"]
        order_id = await world.order("seller", "offer", 500, 100, world.clock.now() + 2 * HOUR)
        sealed = await parcel(world, seller, await seller.order(order_id))
        os.kill(world.devnet.pid, signal.SIGKILL)
        with pytest.raises(ChainUnreachable) as silent:
            await market.inbox.take(sealed, "")
        assert silent.value.proof is None
        assert await market.core.storage.memory.facts.all("market_refused") == {}


async def test_no_no_is_signed_while_a_yes_may_be_on_its_way_to_the_disk(tmp_path: Path) -> None:
    """The same order twice, and its gate closes between the two: the first may still be kept."""
    async with trading(tmp_path) as world:
        seller = world.nodes["seller"]
        order = await seller.order(await refused(world, world.clock.now() + 2 * HOUR))
        assert world.market.market is not None
        taking = world.market.market.taking
        await taking.refusals._forget([order.order_id])
        taking._accepted[order.order_id] = None
        with pytest.raises(OrderRefused) as no:
            await world.market.inbox.take(await parcel(world, seller, order), "")
        assert no.value.proof is None


async def placed(node: Node, order: Order) -> dict[str, Any]:
    details = OrderDetails.model_validate_json(order.details) if order.details else None
    typed = m.typed_data(*m.from_stored(order.body))
    return {"typed": typed, "signature": order.signature, "card": node.core.card, "details": details}


async def parcel(world: World, node: Node, order: Order) -> bytes:
    """The order on its way to the market once more."""
    key, now = world.market.core.keys.sealing.public_bytes, world.clock.now()
    body = OrderPlaced(**await placed(node, order)).to_json()
    chain_id = world.devnet.chain_id
    return await pack(node.core.signer, key, "market.order", body, chain_id=chain_id, now=now, lifetime=600)


# Attacks: somebody else says no


@asynccontextmanager
async def stranger(status: int, document: Any) -> AsyncIterator[str]:
    """Whoever answers at an address in the market's place."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(document, status=status)

    app = web.Application()
    app.router.add_post("/api/v1/inbox", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def standing(world: World) -> Order:
    """An offer of the seller that its market took."""
    offer = await world.order("seller", "offer", 500, 100, world.clock.now() + 2 * HOUR)

    async def taken() -> bool:
        return (await world.market.order(offer)).status is OrderStatus.OPEN

    await world.until("the market has the offer", taken)
    return await world.nodes["seller"].order(offer)


async def test_attack_who_stands_in_the_way_to_the_market_refuses_nothing(tmp_path: Path) -> None:
    """It answers without a signature, or with one of its own, or with the market's for another order."""
    async with trading(tmp_path) as world:
        order, seller = await standing(world), world.nodes["seller"]
        assert order.peer is not None
        assert order.terms is not None
        chain_id, now = world.devnet.chain_id, world.clock.now()
        own = await signed_refusal(LocalSigner(b"\x44" * 32), order.order_id, "no", chain_id, now)
        other = await signed_refusal(world.market.core.signer, b"\x05" * 32, "no", chain_id, now)
        for proof in (None, own.to_json(), other.to_json(), "no", {"about": 7}):
            async with stranger(403, {"detail": "no", "code": "refused", "proof": proof}) as url:
                peer = Peer(order.peer.address, url, order.peer.sealing_key)
                effect = SendParcel(peer, "market.order", "{}", order.order_id, order.terms.until)
                with pytest.raises(NodeUnreachable, match="did not sign that"):
                    await seller.post.carry_out(effect)
            assert await seller.order(order.order_id) == order
            assert "Refused without proof" in await reason(seller, order.order_id)
            assert "refuses a market.order: " in await reason(seller, order.order_id)
        signed = await signed_refusal(world.market.core.signer, order.order_id, "sold out", chain_id, now)
        async with stranger(403, {"detail": "anything", "proof": signed.to_json()}) as url:
            peer = Peer(order.peer.address, url, order.peer.sealing_key)
            await seller.post.carry_out(SendParcel(peer, "market.order", "{}", order.order_id, order.terms.until))
        assert (await seller.order(order.order_id)).refused == "sold out", "the market's own word, whoever brings it"


async def reason(node: Node, order_id: bytes) -> str:
    page = await MarketPart(node.core, node.asset, None).orders(None, 100)
    return {each.id: each.reason for each in page.items}[order_id]


async def test_a_no_without_proof_is_asked_again_until_the_market_can_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The market's key is away for a while. Meanwhile the order stands, a person sees why, and can take it back."""

    async def away(*_: object) -> OrderRefusal:
        raise SignerError("the signer does not answer")

    async with trading(tmp_path) as world:
        seller, start = world.nodes["seller"], world.clock.now() + 20 * HOUR
        with monkeypatch.context() as patch:
            patch.setattr(ordertaking, "signed_refusal", away)
            offer = await refused(world, start)
            order = await seller.order(offer)
            assert (order.status, order.left) == (OrderStatus.OPEN, 500)
            assert SIDE in await reason(seller, offer)
            assert (await seller.executor._outbox.counts()).dead == 0
            again = await refused(world, start + HOUR)
            await seller.asset.actions.cancel_order(again)

            async def free() -> bool:
                return (await seller.order(again)).status is OrderStatus.CANCELLED

            await world.until("it is taken back on the chain", free)

        async def over() -> bool:
            await world.clock_on(60)
            return (await seller.order(offer)).status is OrderStatus.REFUSED

        await world.until("the market signs its no", over)
        assert await reason(seller, offer) == SIDE


async def refusal(world: World, who: Node, about: bytes) -> None:
    """A `market.refusal` of this order, from somebody to the seller."""
    body = WordRefused(about=about, kind="Offer", reason="sold out").to_json()
    key, chain_id, now = world.nodes["seller"].core.keys.sealing.public_bytes, world.devnet.chain_id, world.clock.now()
    sealed = await pack(who.core.signer, key, "market.refusal", body, chain_id=chain_id, now=now, lifetime=600)
    await world.nodes["seller"].inbox.take(sealed, "")


async def test_attack_another_market_refuses_the_order_by_parcel(tmp_path: Path) -> None:
    """A stranger, and one in which this asset trades as well. Then its own market, which is believed."""
    async with trading(tmp_path) as world:
        order, seller, other = await standing(world), world.nodes["seller"], world.nodes["buyer"]
        with pytest.raises(Refused, match="does not trade"):
            await refusal(world, other, order.order_id)
        known = await seller.asset.markets()
        terms = known[world.operator]
        known[other.core.card.address] = terms.model_copy(update={"operator": other.core.card.address})
        with pytest.raises(Refused, match="another market"):
            await refusal(world, other, order.order_id)
        event = ReceivedRefusal(order.order_id, other.core.card.address, "sold out", world.clock.now())
        await seller.core.storage.memory.keep([event])  # the second line: where the order itself is kept
        assert await seller.order(order.order_id) == order
        await refusal(world, world.market, order.order_id)
        found = await seller.order(order.order_id)
        assert (found.status, found.refused) == (OrderStatus.REFUSED, "sold out")


async def test_a_refusal_of_what_is_matched_changes_nothing(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract()
        made = (await world.market.trade(contract)).terms
        assert made is not None
        before = await world.nodes["seller"].order(made.offer)
        assert before.status is OrderStatus.FILLED
        await refusal(world, world.market, made.offer)
        assert await world.nodes["seller"].order(made.offer) == before
        await world.reach(contract, "matched")


async def test_a_mailbox_brings_the_proof_too(tmp_path: Path) -> None:
    """An asset that nobody can reach hears the same answer, by the same words."""
    async with trading(tmp_path) as world:
        seller, start = world.nodes["seller"], world.clock.now() + 2 * HOUR
        order = await seller.order(await refused(world, start))
        assert order.peer == peer_of(world.market.core.card)

        async def take(data: bytes) -> None:
            await world.market.inbox.take(data, "")

        status, text = await Mailbox(world.market.core, take)._judged(await parcel(world, seller, order))
        assert status in (403, 422)
        assert json.loads(text)["proof"]["reason"] == SIDE
