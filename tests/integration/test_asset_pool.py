"""What an asset's meter counts and what of it is offered or asked for (M-6, M-8, M-9, M-32, M-44, M-70, M-84, M-85,
A-5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.app.trading.assetpool import NOTICES, POOL
from node.errors import NodeUnreachable
from node.projection.order import Order
from node.projection.submission import Submission
from node.services.asset.orders import Wanted
from tests.support.marketface import encrypted, face, orders, set_up
from tests.support.tradeworld import HOUR, Node, trading

pytestmark = pytest.mark.chain


def dying(node: Node, at: int | str) -> tuple[Any, str, Any]:
    """What fails: the write with this number, or the way to the market."""
    keep, count = node.core.storage.memory.keep, iter(range(1, 100))

    async def unreachable(_: str) -> None:
        raise NodeUnreachable("nobody there")

    async def failing(*args: Any) -> Any:
        if next(count) == at:
            raise RuntimeError("the power is gone")
        return await keep(*args)

    if at == "market":
        return node.asset.voice, "join", unreachable
    return node.core.storage.memory, "keep", failing


async def test_m8_m85_a_meter_with_a_token_produces_until_a_lot_is_offered(tmp_path: Path) -> None:
    """M-8, M-29: above the threshold an offer is made.

    A-4: what is there and not promised; A-26: a repeated call with its key counts once; A-3: at the least price.
    """
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller")
        seller = world.nodes["seller"]
        async with face(seller) as api:
            _, token = await api.tokens.issue("meter", frozenset({"asset:meter"}))
            assert (await api.post("/asset/produce", {"energy": 150}, token))[0] == 200
            await world.rounds(1)
            assert await orders(seller) == 0
            for _ in range(2):
                assert (await api.post("/asset/produce", {"energy": 100}, token, "reading-0001"))[0] == 200
            await world.rounds(2)
            assert await seller.pool.pool() == {"available": 250, "reserved": 250, "requested": 0}
            ((_, order),) = await seller.core.storage.views.page(Order, limit=10)
            assert order.terms is not None
            assert (order.terms.sells, order.terms.wh, order.terms.price) == (True, 250, 100)
            assert (await api.post("/asset/produce", {"energy": 100}, token))[0] == 200
            await world.rounds(2)
            assert await orders(seller) == 1, "100 Wh are no lot"


async def test_m8_m29_a_crash_between_any_two_writes_loses_no_offer_and_makes_none_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time a lot is there and the node dies at another write, or the market cannot be reached; started again it
    has offered every Wh once."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller")
        moments: tuple[int | str, ...] = (1, 2, 3, "market")
        for deaths, at in enumerate(moments, 1):
            seller = world.nodes["seller"]
            await seller.pool.produce(250)
            with monkeypatch.context() as patch:
                patch.setattr(*dying(seller, at))
                if at == 3:
                    await seller.pool.step()  # there are no more than two
                else:
                    with pytest.raises((RuntimeError, NodeUnreachable)):
                        await seller.pool.step()
            await world.restart("seller")
            await world.rounds(2)
            assert await orders(world.nodes["seller"]) == deaths, at
            pool = await world.nodes["seller"].pool.pool()
            assert pool == {"available": 250 * deaths, "reserved": 250 * deaths, "requested": 0}, at


async def test_m6_m32_what_is_sold_leaves_the_pool_what_is_cancelled_comes_back_and_nothing_is_left_behind(
    tmp_path: Path,
) -> None:
    """Two lots: one contract is delivered in part, the other cancelled by the buyer. What was delivered is gone, the
    rest is free; once all is final no list remembers any of it."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller", delivery_s=3 * HOUR)
        await world.give("buyer", 1_000_000)
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]
        contracts: list[bytes] = []
        for wh in (300, 250):
            await seller.pool.produce(wh)
            await world.rounds(1)
            ((_, offer),) = await seller.core.storage.views.page(Order, limit=1)
            assert offer.terms is not None
            wanted = Wanted(False, wh, 300, offer.terms.start, offer.terms.end)
            await buyer.asset.order(world.market.url, wanted)

            async def matched(wanted: int = len(contracts) + 1) -> bool:
                return len(await seller.trades()) == wanted

            await world.until("the contract stands", matched)
            contracts += [t.contract_id for t in await seller.trades() if t.contract_id not in contracts]
        assert await seller.pool.pool() == {"available": 550, "reserved": 550, "requested": 0}
        await buyer.asset.actions.cancel_contract(contracts[1])
        await world.reach(contracts[1], "cancelled")
        await world.rounds(3)
        assert await seller.pool.pool() == {"available": 550, "reserved": 300, "requested": 0}
        told = await seller.core.storage.memory.facts.all(NOTICES)
        assert contracts[1].hex() + "/asset.cancel/0" in told, "M-6: both are told"
        await world.deliver(contracts[0], out=280)
        await world.reach(contracts[0], "confirmed")
        await world.rounds(4)
        assert await seller.pool.pool() == {"available": 270, "reserved": 0, "requested": 0}
        await seller.pool.produce(1)
        await world.rounds(1)
        kept = await seller.core.storage.memory.facts.get(POOL, "pool")
        assert (kept["counted"], kept["wants"], len(kept["orders"])) == ([], [], 1), "the 271 Wh are on offer again"
        assert await seller.pool.pool() == {"available": 271, "reserved": 271, "requested": 0}


async def test_m70_a_paused_asset_counts_on_and_offers_when_it_goes_on(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller", status="paused")
        seller = world.nodes["seller"]
        await seller.pool.produce(250)
        await world.rounds(2)
        assert await orders(seller) == 0
        assert (await seller.pool.pool())["available"] == 250
        await set_up(world, "seller", status="running")
        await world.rounds(1)
        assert await orders(seller) == 1


@pytest.mark.parametrize("status", ["paused", "retired"])
async def test_m77_what_is_open_is_taken_back_by_an_asset_that_pauses_or_retires(tmp_path: Path, status: str) -> None:
    """No contract comes of what it offered before. When it goes on, the energy is on offer again."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller", delivery_s=3 * HOUR)
        await world.give("buyer", 1_000_000)
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]
        await seller.pool.produce(500)
        by_hand = await world.order("seller", "offer", 100, 150, world.clock.now() + 2 * HOUR)
        await world.rounds(2)
        rows = await seller.core.storage.views.page(Order, limit=9)
        (offer,) = [order for _, order in rows if order.order_id != by_hand]
        assert offer.terms is not None
        await set_up(world, "seller", delivery_s=3 * HOUR, status=status)

        async def gone() -> bool:
            found = [await world.market.order(each) for each in (offer.order_id, by_hand)]
            return [each.status.value for each in found] == ["cancelled"] * 2

        await world.until("both offers are taken back", gone)
        await buyer.asset.order(world.market.url, Wanted(False, 500, 300, offer.terms.start, offer.terms.end))
        await world.rounds(4)
        assert await world.market.trades() == []
        assert await seller.pool.pool() == {"available": 500, "reserved": 0, "requested": 0}
        words = [s.kind for _, s in await world.market.core.storage.views.page(Submission, limit=100)]
        assert words.count("Cancel") == 2, "each is taken back once"
        if status == "paused":
            await set_up(world, "seller", delivery_s=3 * HOUR)

            async def matched() -> bool:
                return len(await world.market.trades()) == 1

            await world.until("it is offered and sold", matched)


async def test_m9_m32_a_meter_consumes_and_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    """M-9, M-30: below the threshold a request is made, of at least a lot."""
    """A-3: at the highest price that its owner set, which is another one than the least."""
    async with trading(tmp_path) as world:
        await world.open("buyer's owner")
        await set_up(world, "buyer", role="consumer")
        buyer = world.nodes["buyer"]
        async with face(buyer) as api:
            _, token = await api.tokens.issue("meter", frozenset({"asset:meter"}))
            assert (await api.post("/asset/consume", {"energy": 300}, token))[0] == 200
            await world.rounds(2)
            ((_, order),) = await buyer.core.storage.views.page(Order, limit=10)
            assert order.terms is not None
            assert (order.terms.sells, order.terms.wh, order.terms.price) == (False, 500, 300)
            assert (await buyer.pool.pool())["requested"] == 500
            await world.pass_time(3 * HOUR)
            await world.rounds(2)
            assert (await buyer.pool.pool())["requested"] == 0, "what ran out binds nothing"


async def test_m85_without_the_token_or_with_senseless_energy_nothing_is_counted(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller")
        seller = world.nodes["seller"]
        async with face(seller) as api:
            _, token = await api.tokens.issue("meter", frozenset({"asset:meter"}))
            _, reader = await api.tokens.issue("reader", frozenset({"read"}))
            for shown, wanted in ((None, 401), (reader, 403), ("wattpact_nothing", 401)):
                status, answer = await api.post("/asset/produce", {"energy": 300}, shown)
                assert (status, answer["success"]) == (wanted, False)
            for energy in (0, -5, 1.5, 2**63, "300", None, True):
                status, answer = await api.post("/asset/produce", {"energy": energy}, token)
                assert (status, answer["success"]) == (422, False), energy
            await world.rounds(1)
            assert (await seller.pool.pool())["available"] == 0


async def test_a5_a_sealed_reading_counts_once_and_only_from_the_household(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        owner = await world.open("seller's owner")
        await set_up(world, "seller")
        seller = world.nodes["seller"]
        async with face(seller) as api:
            told = await encrypted(owner, seller, owner.core.signer, "asset.produce", {"energy": 70})
            for _ in range(2):
                assert (await api.post("/asset/produce", told))[0] == 200
            stranger = world.nodes["buyer"].core.signer
            status, answer = await api.sealed("/asset/produce", stranger, "asset.produce", {"energy": 9_000})
            assert (status, answer["success"]) == (403, False)
            await world.rounds(1)
            assert (await seller.pool.pool())["available"] == 70


async def test_m84_heat_is_never_matched_with_electricity(tmp_path: Path) -> None:
    """The carrier is an attribute of what an asset offers and asks for, not only of its registration."""
    async with trading(tmp_path) as world:
        for name in ("seller", "buyer"):
            await world.open(f"{name}'s owner")
        await world.give("buyer", 1_000_000)
        await set_up(world, "seller", carrier="thermal", delivery_s=3 * HOUR)
        await set_up(world, "buyer", role="consumer", delivery_s=3 * HOUR)
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]
        await seller.pool.produce(500)
        await buyer.pool.consume(500)
        await world.rounds(4)
        assert await orders(world.market) == 2, "the market took both"
        assert await world.market.trades() == []
        await set_up(world, "buyer", role="consumer", carrier="thermal", delivery_s=3 * HOUR)
        await buyer.pool.consume(100)

        async def matched() -> bool:
            return len(await world.market.trades()) == 1

        await world.until("heat is matched with heat", matched)
        (trade,) = await world.market.trades()
        assert trade.terms is not None
        assert trade.terms.wh == 200


async def test_m44_a_prosumer_asks_for_energy_in_a_delivery_in_which_it_offers_none(tmp_path: Path) -> None:
    """One role in each slot (A-19): what it lacks while it sells is asked for in the next one, and the other way
    round; the market refuses none of it."""
    async with trading(tmp_path) as world:
        await world.open("seller's owner")
        await set_up(world, "seller", delivery_s=3 * HOUR)
        seller = world.nodes["seller"]
        await seller.pool.produce(250)
        await world.rounds(2)
        await seller.pool.consume(300)
        await world.rounds(2)
        await seller.pool.produce(900)
        await world.rounds(2)
        rows = [order.terms for _, order in await seller.core.storage.views.page(Order, limit=10)]
        made = [(terms.sells, terms.start) for terms in reversed(rows) if terms is not None]
        first = made[0][1]
        assert made == [(True, first), (False, first + 3 * HOUR), (True, first)]
        assert await orders(world.market) == 3, "the market took them all"


async def test_an_asset_keeps_to_its_markets_slots_gates_and_kinds_of_energy(tmp_path: Path) -> None:
    """Whatever its own settings say: an order that the market would refuse is not made. A market that knows no heat is
    no market for a thermal asset, and its owner is told so at once."""
    terms = {"slot_s": 1_800, "gate_closure_s": 900, "energies": ("electric",)}
    async with trading(tmp_path, terms=terms) as world:
        await world.open("seller's owner")
        status, answer = await set_up(world, "seller", carrier="thermal")
        assert (status, answer["success"]) == (403, False)
        assert "thermal" in answer["error"]
        assert (await set_up(world, "seller", delivery_s=900))[0] == 200
        seller = world.nodes["seller"]
        # Behind the gate of the next slot: what is made now is for the one after it.
        await world.pass_time(1_800 - world.clock.now() % 1_800 + 1_000)
        await seller.pool.produce(500)
        await world.rounds(3)
        ((_, order),) = await world.market.core.storage.views.page(Order, limit=9)
        assert order.terms is not None
        assert order.terms.start % 1_800 == 0
        assert order.terms.end - order.terms.start == 1_800
        assert order.terms.start - world.clock.now() > 900
