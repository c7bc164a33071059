"""The market's matching on a real chain (market.md, Matching): engines by config, conditions, restarts, prices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keys import messages as m
from keys.parcel import Parcel
from node.api.settlementviews import OrderForm
from node.app.facade.marketdata import MarketDataPart
from node.app.facade.settlement import MarketPart
from node.app.trading.matching import Matching
from node.app.trading.matchsigning import market_domain_of
from node.app.trading.orderreading import read_order
from node.errors import NodeError
from node.services.asset.orders import Wanted
from node.services.market.engine import Engine, EngineKind, Fill, Slot
from node.services.market.slots import Rules
from node.storage.views import Views
from node.wire.orderdetails import OrderDetails
from node.wire.settlement import OrderPlaced
from tests.support.tradeworld import HOUR, Node, World, trading
from tests.unit.services.market.test_desk import Rogue

pytestmark = pytest.mark.chain

SLOT = 900


def matching_of(world: World) -> Matching:
    assert world.market.market is not None
    return world.market.market.matching


def next_slot(world: World, lead: int) -> int:
    """The begin of the first quarter hour that is at least so far ahead."""
    return -(-(world.clock.now() + lead) // SLOT) * SLOT


async def contracts(world: World, count: int) -> None:
    async def so() -> bool:
        return len(await world.market.trades()) == count

    await world.until(f"{count} contracts stand", so)


async def place(node: Node, world: World, **form: Any) -> bytes:
    """An order as the REST interface takes it."""
    part = MarketPart(node.core, node.asset, None)
    return (await part.order(OrderForm(market=world.market.url, **form))).id


async def test_conditions_decide_and_the_chain_learns_nothing_of_them(tmp_path: Path) -> None:
    """G-5: a request for solar energy passes over the cheaper offer; after a restart of the market as well."""
    async with trading(tmp_path, terms={"areas": ("north",), "energies": ("solar", "coal")}) as world:
        await world.give("buyer", 1_000_000)
        start = next_slot(world, HOUR)
        times = {"start": start, "end": start + SLOT}
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]
        await place(seller, world, side="offer", wh=900, price=100, energy="coal", **times)
        sunny = await place(seller, world, side="offer", wh=900, price=150, energy="solar", area="north", **times)
        await world.rounds(3)
        await world.restart("market")
        wish = [{"energies": ["solar"], "areas": ["north"]}]
        asked = await place(buyer, world, side="request", wh=500, price=200, conditions=wish, **times)
        await contracts(world, 1)
        [trade] = await world.market.trades()
        assert trade.terms is not None
        assert (trade.terms.offer, trade.terms.request, trade.terms.price) == (sunny, asked, 150)
        signed, _ = m.from_stored((await world.market.order(asked)).body)
        kept = OrderDetails.model_validate_json((await world.market.order(asked)).details)
        assert isinstance(signed, m.Request)
        assert signed.nonce == kept.nonce()


async def test_details_that_were_not_signed_are_refused(tmp_path: Path) -> None:
    """Whoever carries an order cannot give it other conditions, or names that the market does not have."""
    async with trading(tmp_path, terms={"areas": ("north", "south")}) as world:
        buyer = world.nodes["buyer"]
        start = next_slot(world, HOUR)
        honest = OrderDetails(salt=b"\x05" * 32, area="north")
        wanted = Wanted(False, 500, 200, start, start + SLOT, details=honest)
        order = await buyer.order(await buyer.asset.order(world.market.url, wanted))
        card, typed = buyer.core.card, m.typed_data(*m.from_stored(order.body))
        for details in (honest.model_copy(update={"area": "south"}), honest.model_copy(update={"salt": b"\x06" * 32})):
            body = OrderPlaced(typed=typed, signature=order.signature, card=card, details=details)
            now = world.clock.now()
            parcel = Parcel(card.address, "market.order", body.to_json(), b"\x01" * 32, now, now + HOUR)
            with pytest.raises(NodeError, match="does not commit"):
                read_order((market_domain_of(world.market.core),), parcel)
        # Attack: without a card, or with another one than the sender's, an order would stand for whoever brings it.
        other = world.nodes["seller"].core.card
        for shown, sender in ((None, other.address), (card, other.address), (other, card.address)):
            body = OrderPlaced(typed=typed, signature=order.signature, card=shown, details=honest)
            parcel = Parcel(sender, "market.order", body.to_json(), b"\x01" * 32, now, now + HOUR)
            with pytest.raises(NodeError, match="card"):
                read_order((market_domain_of(world.market.core),), parcel)
        mars = Wanted(False, 500, 200, start, start + SLOT, details=OrderDetails(salt=b"\x07" * 32, area="mars"))
        await buyer.asset.order(world.market.url, mars)
        await world.rounds(3)
        assert [slot.start for slot in matching_of(world).slots()] == [start]


async def test_a_uniform_price_auction_at_the_gate(tmp_path: Path) -> None:
    """One price for both requests, in the middle of what both sides allow; a late order finds the gate closed."""
    terms = {"engine": "uniform_price", "slot_s": SLOT, "gate_closure_s": 600}
    async with trading(tmp_path, terms=terms) as world:
        await world.give("buyer", 1_000_000)
        start = next_slot(world, HOUR)
        for wh, price in ((400, 100), (400, 120)):
            await world.order("seller", "offer", wh, price, start)
        for wh, price in ((300, 200), (500, 141)):
            await world.order("buyer", "request", wh, price, start)
        await world.rounds(4)
        assert await world.market.trades() == []
        assert len(matching_of(world).depth((start, start + SLOT))[0]) == 2
        await world.pass_time(start - 600 - world.clock.now())
        await contracts(world, 3)
        prices = {trade.terms.price for trade in await world.market.trades() if trade.terms}
        assert prices == {130}
        await world.restart("market")
        await world.order("buyer", "request", 100, 900, start)
        await world.rounds(4)
        assert len(await world.market.trades()) == 3
        [slot] = MarketDataPart(world.market.core, world.market.market).prices(0, 2**40)
        assert (slot.contracts, slot.wh, slot.low, slot.high, slot.mean) == (3, 800, 130, 130, 130)


async def test_prices_and_depth_are_made_anew_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A-17, M-26: what the market shows is made from the projection, and is the same before and after; also when it
    has to begin again while it is made, after which it still hears what comes."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        start = next_slot(world, HOUR)
        times = (start, start + SLOT)
        await world.order("seller", "offer", 1_000, 200, start)
        with matching_of(world).watch() as watch:
            await world.order("buyer", "request", 400, 250, start)
            await contracts(world, 1)
            await world.rounds(2)
            assert watch.take() == (times,)
        part = MarketDataPart(world.market.core, world.market.market)
        before = part.slot(times)
        assert [(level.price, level.wh) for level in before.offers] == [(200, 600)]
        assert before.prices is not None
        assert (before.prices.mean, before.prices.wh, before.prices.amount) == (200, 400, 80)
        await world.restart("market")
        await world.rounds(2)
        part = MarketDataPart(world.market.core, world.market.market)
        assert part.slot(times) == before
        [fill] = await part.fills(None, 10)
        assert (fill.price, fill.amount, fill.wh) == (200, 80, 400)
        read = Matching._read_prices

        async def begun_again(matching: Matching) -> None:
            monkeypatch.undo()
            matching.begin_again()
            await read(matching)

        matching_of(world).begin_again()
        monkeypatch.setattr(Matching, "_read_prices", begun_again)
        await world.rounds(1)
        await world.order("buyer", "request", 300, 250, start)
        await contracts(world, 2)


async def test_a_round_in_which_nothing_changed_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With open orders and a contract, a step of the market looks nothing up."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        await world.contract()
        await world.order("seller", "offer", 1_000, 900, next_slot(world, 3 * HOUR))
        await world.rounds(4)
        looked: list[str] = []
        for name in ("one", "page", "get"):
            original = getattr(Views, name)

            def counting(self: Views, *args: Any, _name: str = name, _original: Any = original, **rest: Any) -> Any:
                looked.append(_name)
                return _original(self, *args, **rest)

            monkeypatch.setattr(Views, name, counting)
        await matching_of(world).step()
        assert looked == []


async def test_a_hostile_engine_in_a_real_market(tmp_path: Path) -> None:
    """G-6, M-31: it proposes more than there is, at a price that nobody signed; nothing is signed, and it is told."""
    words: list[object] = []

    def make(_slot: Slot) -> Engine:
        return Rogue(words)

    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        matching = matching_of(world)
        matching.rules, matching._desk = Rules(EngineKind(make, "rogue")), None  # as it would be made at a start
        start = next_slot(world, HOUR)
        offer = await world.order("seller", "offer", 1_000, 200, start)
        request = await world.order("buyer", "request", 1_000, 250, start)
        words += [Fill(offer, request, 1_000, 199), Fill(offer, request, 1_001, 200), Fill(offer, offer, 1, 200)]
        await world.rounds(5)
        assert await world.market.trades() == []
        assert [kind for kind, _ in await world.market.refusals()] == []
        words[:] = [Fill(offer, request, 700, 220)]
        await world.pass_time(20)
        await contracts(world, 1)


async def test_of_a_match_refused_among_others_only_the_guilty_side_waits(tmp_path: Path) -> None:
    """The buyer's money is enough for each of two contracts, not for both, and both go in one transaction. The offer
    that the chain refused is matched with somebody else while the buyer's request still waits."""
    async with trading(tmp_path) as world:
        other = await world.open("other")
        await other.asset.join(world.market.url)
        await world.give("buyer", 1_000)
        await world.give("other", 1_000)
        start = world.clock.now() + 2 * HOUR
        requests = [await world.order("buyer", "request", 800, 1_000, start) for _ in range(2)]
        await world.rounds(3)
        offers = [await world.order("seller", "offer", 800, 1_000, start) for _ in range(2)]

        async def refused() -> bool:
            return any("BalanceShort" in reason for _, reason in await world.market.refusals())

        await world.until("one of the two is refused", refused)
        await world.round()
        desk = matching_of(world)._desk
        assert desk is not None
        open_ = [key for key in (*offers, *requests) if not (await world.market.order(key)).filled]
        assert [desk._live[key].waits for key in open_] == [False, True], "the offer is free, the buyer has no money"
        await world.order("other", "request", 800, 1_000, start)
        await contracts(world, 2)
        made = [trade.terms for trade in await world.market.trades()]
        assert {terms.buyer for terms in made if terms is not None} == {
            world.nodes[name].asset.account(world.operator).address for name in ("buyer", "other")
        }
