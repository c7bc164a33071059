"""What a hostile market, partner or copy of a node tries, on a real chain: the contract refuses, nobody loses money."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from contracts.bindings import market as abi
from keys import messages as m
from keys.signers import LocalSigner
from node.app.cards import fetch_card
from node.app.core import Core
from node.app.trading.markets import ShownTerms, fetch_terms
from node.errors import NodeError
from node.ledger.errors import MessageRefused
from node.projection.order import Order
from node.wire.consents import PartyCard
from tests.support.marketface import face
from tests.support.tradeworld import DAY, HOUR, World, trading, unpaid

pytestmark = pytest.mark.chain


async def two_orders(world: World, *, buyer: str = "buyer") -> tuple[bytes, bytes]:
    """An offer at 100 and a request up to 300, both with the market, which leaves them unmatched."""
    start = world.clock.now() + 2 * HOUR
    world.off.add("market")
    offer = await world.order("seller", "offer", 500, 100, start)
    request = await world.order(buyer, "request", 500, 300, start)
    await world.rounds(2)
    return offer, request


async def put(world: World, offer: bytes, request: bytes, **changes: Any) -> None:
    """The market's operator matches as it likes, and brings it to the chain. Raises MessageRefused."""
    core, orders = world.market.core, [await world.market.order(each) for each in (offer, request)]
    assert world.market.market is not None
    domain = world.market.asset.voice.domain()
    terms = orders[0].terms
    assert terms is not None
    message = m.Match(
        operator=world.operator, offer=offer, request=request, wh=500, price=200, start=terms.start, end=terms.end,
        nonce=secrets.randbits(64), deadline=world.clock.now() + 600,
    )  # fmt: skip
    message = replace(message, **changes)
    signature = await core.keys.identity.wallet().sign_message(message, domain)
    beside = [m.from_stored(order.body)[0] for order in orders]
    await core.chain.relay.relay(message, [signature, *(order.signature for order in orders)], beside, domain)
    await core.chain.sender.step()
    await world.mine()


async def test_a_market_that_lies_about_a_match_is_refused(tmp_path: Path) -> None:
    """Below the offer, above the request, more than is left, nothing, before the time of delivery."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        offer, request = await two_orders(world)
        lies = (
            ({"price": 99}, "PriceOutsideLimits"), ({"price": 301}, "PriceOutsideLimits"), ({"wh": 501}, "OverFilled"),
            ({"wh": 0}, "OverFilled"), ({"start": 1}, "TimeOutsideLimits"),
        )  # fmt: skip
        for changes, reason in lies:
            with pytest.raises(MessageRefused, match=reason):
                await put(world, offer, request, **changes)
        await put(world, offer, request)
        assert await world.balance("buyer") == 1_000_000 - 100, "the honest match is taken"


async def test_an_offer_is_not_matched_twice_and_nobody_trades_with_themselves(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        await world.give("seller", 1_000_000)
        offer, request = await two_orders(world)
        own = await world.order("seller", "request", 500, 300, world.clock.now() + 2 * HOUR)
        await world.rounds(2)
        with pytest.raises(MessageRefused, match="SelfTrade"):
            await put(world, offer, own)
        await put(world, offer, request)
        with pytest.raises(MessageRefused, match="OverFilled"):
            await put(world, offer, request)


async def test_two_nodes_for_one_asset_report_and_pay_once(tmp_path: Path) -> None:
    """A careless copy of the buyer's node runs beside it: each contract is reported, paid and confirmed once."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        copy = await world.open("buyer again", like="buyer")
        await copy.asset.join(world.market.url)
        (contract,) = await world.contract(wh=1_000, price=1_000)
        request = (await world.market.trade(contract)).made[0].request
        stored = await world.nodes["buyer"].order(request)
        assert stored.own
        await world.deliver(contract, out=1_000)
        trade = await world.reach(contract, "confirmed")
        assert trade.paid == 1_000
        assert [step.status.value for step in trade.steps].count("paid") == 1
        assert await world.balance("buyer") == 999_000


async def test_a_late_report_is_refused_by_the_chain(tmp_path: Path) -> None:
    """Late provision: after the lapse time nobody's word counts any more."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract()
        seller = world.nodes["seller"]
        world.off |= {"market", "buyer"}
        await world.pass_time(2 * HOUR + 900 + HOUR + 3 * DAY + 60)
        now = world.clock.now()
        late = m.Provision(seller.asset.account(world.operator).address, world.operator, contract, 1_000, now + HOUR)
        domain = seller.asset.voice.domain()
        signature = await seller.asset.account(world.operator).sign_message(late, domain)
        with pytest.raises(MessageRefused, match="TooLate"):
            await world.market.core.chain.relay.relay(late, [signature], [b"\x00"], domain)


async def test_both_partners_claim_and_only_the_seller_may(tmp_path: Path) -> None:
    """The debtor's counter-claim is refused, before and after the seller's."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await unpaid(world)
        buyer = world.nodes["buyer"].asset.account(world.operator)
        domain = world.nodes["buyer"].asset.voice.domain()
        claim = m.IssueClaim(buyer.address, world.operator, contract, b"\x01" * 32, world.clock.now() + 30 * DAY)
        signature = await buyer.sign_message(claim, domain)
        with pytest.raises(MessageRefused, match="NotPartner"):
            await world.market.core.chain.relay.relay(claim, [signature], (), domain)


async def test_the_words_of_an_asset_that_nobody_knows_change_nothing(tmp_path: Path) -> None:
    """Unknown asset: it never registered nor traded. Whatever it signs about a contract of others, and about one that
    there is not, the chain refuses; the market's address takes it in and has nothing of it."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        await world.give("buyer", 1_000)
        (contract,) = await world.contract(wh=1_000, price=1_000)
        nobody, until = LocalSigner(b"\x77" * 32), world.clock.now() + 30 * DAY
        domain = world.market.asset.voice.domain()
        who, relay = (nobody.address, world.operator), world.market.core.chain.relay
        before = await world.market.trade(contract)
        for known in (contract, b"\x08" * 32):
            words: tuple[tuple[m.Message, tuple[bytes, ...]], ...] = (
                (m.Provision(*who, known, 1_000, until), (b"\x00",)),
                (m.Provision(*who, known, 1_000, until), (b"\x01",)),
                (m.Payment(*who, (known,), 1_000, False, until), ()),
                (m.Confirm(*who, known, until), ()),
                (m.Remind(*who, known, 1, until), ()),
                (m.IssueClaim(*who, known, b"\x01" * 32, until), ()),
                (m.Cure(*who, known, until), ()),
                (m.Dispute(*who, known, b"\x01" * 32, until), ()),
                (m.Cancel(*who, known, until), (b"\x01",)),
            )
            for message, opening in words:
                signature = await nobody.sign_message(message, domain)
                with pytest.raises(MessageRefused, match=r"NotPartner|NotMember|WrongState"):
                    await relay.relay(message, [signature], opening, domain)
        async with face(world.market) as api:
            message = m.Provision(*who, contract, 1_000, until)
            signed = "0x" + (await nobody.sign_message(message, domain)).hex()
            body = {"typed": m.typed_data(message, domain), "signatures": [signed], "opening": ["0x00"]}
            assert (await api.sealed("/market/provision", nobody, "market.word", body))[0] == 200
        await world.rounds(4)
        assert [kind for kind, _ in await world.market.refusals()] == ["Provision"]
        after = await world.market.trade(contract)
        assert (after.status, after.steps) == (before.status, before.steps)


async def test_a31_a_market_is_known_by_its_operator_on_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-31. Somebody else answers at the market's address: with terms that are not its own, then with terms that it
    published itself. The same operator with another card, signed by its key, is the same market."""
    async with trading(tmp_path) as world:
        seller, thief = world.nodes["seller"], world.nodes["buyer"]
        start = world.clock.now() + 2 * HOUR
        views = world.market.core.chain.market
        assert views is not None
        assert world.market.market is not None
        own = replace(world.market.market.terms(), operator=thief.core.card.address, arbiter=thief.core.card.address)
        await world.call(views.address, abi.encode_publish_terms(own))
        stolen = await fetch_terms(seller.core, world.market.url)
        forged = stolen.model_copy(update={"terms": bytes(keccak(abi.encode_publish_terms(own)[4:]))})

        async def thiefs_card(core: Core, url: str) -> PartyCard:
            return await fetch_card(core, thief.url)

        for shown, reason in ((stolen, "not on chain under its name"), (forged, "Another market answers")):

            async def terms(core: Core, url: str, _shown: ShownTerms = shown) -> ShownTerms:
                return _shown

            with monkeypatch.context() as patch:
                patch.setattr("node.app.trading.assetvoice.fetch_card", thiefs_card)
                patch.setattr("node.app.trading.assetvoice.fetch_terms", terms)
                with pytest.raises(NodeError, match=reason):
                    await world.order("seller", "offer", 100, 50, start)
        assert await seller.core.storage.views.page(Order, limit=9) == []

        async def moved(core: Core, url: str) -> PartyCard:
            return (await fetch_card(core, url)).model_copy(update={"contact": "new@market.example"})

        with monkeypatch.context() as patch:
            patch.setattr("node.app.trading.assetvoice.fetch_card", moved)
            await world.order("seller", "offer", 100, 50, start)
        assert (await seller.asset.markets())[world.operator].card.contact == "new@market.example"


async def test_a19_an_account_stays_on_its_side_of_a_delivery_after_its_order_is_filled(tmp_path: Path) -> None:
    """M-44. Attack: a seller whose offer is gone from the book asks for energy of the same time, before and after the
    market's node was off and on again; an offer that was taken back binds nobody."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract()
        terms = (await world.market.trade(contract)).terms
        assert terms is not None
        sold = await world.market.order(terms.offer)
        assert sold.terms is not None
        start = sold.terms.start

        async def refused(name: str, side: str) -> bool:
            wanted = await world.order(name, side, 100, 150, start)
            await world.rounds(2)
            return (await world.market.order(wanted)).terms is None

        assert await refused("seller", "request")
        await world.restart("market")
        await world.rounds(2)
        assert await refused("seller", "request")
        assert await refused("buyer", "offer")
        assert not await refused("seller", "offer"), "on its own side it may go on"
        later = start + 1_800
        back = await world.order("seller", "offer", 100, 900, later)
        await world.rounds(2)
        await world.nodes["seller"].asset.actions.cancel_order(back)

        async def gone() -> bool:
            return (await world.market.order(back)).status.value == "cancelled"

        await world.until("the offer is taken back", gone)
        turned = await world.order("seller", "request", 100, 50, later)
        await world.rounds(2)
        assert (await world.market.order(turned)).terms is not None
