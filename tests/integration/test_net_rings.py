"""Lines that were left out and lead back to where they came from: nobody waits for itself, and nobody pays twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.app.core import peer_of
from node.app.facade.twins import TwinPart
from node.app.trading.netleftline import LeftLine
from node.services.market.netcontracts import NetContract
from node.services.market.netting import DAY
from tests.integration.test_net_left import end_of, lines, revoke, settled, shown
from tests.integration.test_net_market import become_members, market, matched
from tests.integration.test_netting import book, state
from tests.support.tradeworld import World

pytestmark = pytest.mark.chain


@dataclass
class Day:
    """Trades of one day, one after the other; what each meter showed so far."""

    world: World
    out: Counter[str] = field(default_factory=Counter)
    into: Counter[str] = field(default_factory=Counter)

    async def buys(self, buyer: str, seller: str, amount: int) -> NetContract:
        """So many Wh at one minor unit each, delivered, reported and settled."""
        made = await matched(self.world, amount, 1_000, seller=seller, buyer=buyer)
        for moment in (made.start, made.end):
            await self.world.pass_time(max(1, moment - self.world.clock.now()))
            for name in (seller, buyer):
                self.world.nodes[name].meter(moment, out=self.out[name], into=self.into[name])
            await self.world.round()
            if moment == made.start:
                self.out[seller] += amount
                self.into[buyer] += amount
        await settled(self.world, made)
        return made


async def by_parties(world: World) -> dict[tuple[str, str], LeftLine]:
    """The market's lines by the names of buyer and seller."""
    names = {node.asset.account(world.operator).address: name for name, node in world.nodes.items()}
    return {
        (names[bytes(each.body.buyer)], names[bytes(each.body.seller)]): each
        for each in (await lines(world).shown()).values()
    }


async def all_closed(world: World) -> bool:
    return all(each.closed for each in (await lines(world).shown()).values())


async def join(world: World, *names: str) -> None:
    for name in names:
        await world.open(name)
        await world.nodes[name].asset.join(world.market.url)
    await become_members(world, *names)


async def test_two_that_face_each_other_owe_the_difference(tmp_path: Path) -> None:
    """Each buys from the other and neither is netted, beside a batch of the same day. What each owes is set off; who
    owes more pays the rest, once, and nobody is reminded of what it need not pay. The market is restarted on the
    way."""
    async with market(tmp_path) as world:
        await join(world, "third")
        day = Day(world)
        made = [await day.buys("buyer", "seller", 900), await day.buys("seller", "buyer", 400)]
        last = await day.buys("third", "seller", 100)
        for name in ("seller", "buyer"):
            await revoke(world, name)
        await end_of(world, last, "settled")
        assert (await state(world, last.day))["left"] == 2
        assert await book(world, "third") == 4_900
        await world.rounds(2)
        known = await by_parties(world)
        assert {key: (each.body.amount, each.body.due) for key, each in known.items()} == {
            ("buyer", "seller"): (900, 500),
            ("seller", "buyer"): (400, 0),
        }
        await world.restart("market")
        for name in ("seller", "buyer", "third"):
            await world.nodes[name].asset.join(world.market.url)
        await world.give("buyer", 600)
        await world.until("nothing is owed any more", lambda: all_closed(world), 60)
        (trade,) = await world.market.trades()
        assert (trade.status.value, trade.delivered.amount if trade.delivered else 0) == ("confirmed", 500)
        assert (await world.balance("buyer"), await world.balance("seller")) == (100, 500)
        known = await by_parties(world)
        assert {each.body.reminders for each in known.values()} == {0}
        assert await world.market.refusals() == []
        twins = TwinPart(world.market.core, world.market.twins)
        told = [e.message for each in made for e in (await twins.twin(each.contract_id)).entries]
        assert [(each["paid"], each["line"], each["owed"]) for each in told if each["event"] == "netted"] == [
            (False, 900, 500),
            (False, 400, 0),
        ]
        assert await lines(world).all() == {}, "what is closed is at hand no more"
        await world.restart("market")
        assert await lines(world).all() == {}
        assert await lines(world).settles(trade.contract_id)
        assert not await lines(world).settles(b"\x07" * 32)
        await world.pass_time(42 * DAY)
        await world.rounds(2)
        for name in ("market", "seller", "buyer"):
            rows = {row.amount: (row.state, row.owed) for row in await shown(world, name)}
            assert rows == {900: ("closed", 500), 400: ("set_off", 0)}, name
        assert await world.nodes["buyer"].asset.left.all() == {}


async def test_a_ring_of_three_loses_its_least_debt_and_the_rest_is_paid_in_turn(tmp_path: Path) -> None:
    async with market(tmp_path) as world:
        await join(world, "third", "fourth")
        day = Day(world)
        await day.buys("seller", "buyer", 500)
        await day.buys("buyer", "third", 300)
        await day.buys("third", "seller", 400)
        last = await day.buys("fourth", "seller", 100)
        for name in ("seller", "buyer", "third"):
            await revoke(world, name)
        await end_of(world, last, "settled")
        assert (await state(world, last.day))["left"] == 3
        for name in ("seller", "third"):
            await world.give(name, 300)
        await world.until("nothing is owed any more", lambda: all_closed(world), 80)
        known = await by_parties(world)
        assert {key: each.body.due for key, each in known.items()} == {
            ("seller", "buyer"): 200,
            ("buyer", "third"): 0,
            ("third", "seller"): 100,
        }
        names = ("seller", "buyer", "third", "fourth")
        assert [await world.balance(name) for name in names] == [200, 200, 200, 0]
        assert {each.body.reminders for each in known.values()} == {0}


async def test_what_is_set_off_on_one_side_alone_is_signed_by_nobody(tmp_path: Path) -> None:
    """Attacks: the market calls a debt smaller than it is, or a claim; or it takes both off where the debt was netted,
    and so paid already."""
    async with market(tmp_path) as world:
        await join(world, "third")
        day = Day(world)
        sold = await day.buys("buyer", "seller", 900)
        bought = await day.buys("seller", "third", 400)
        await revoke(world, "buyer")
        world.off.add("seller")
        await end_of(world, sold, "settled")
        assert await book(world, "seller") == 4_600, "what it bought was netted"
        (left,) = (await by_parties(world)).values()
        seller = world.nodes["seller"]
        (await seller.asset.left.all()).clear()  # what the market says to it is said by hand

        async def tell(leaf: bytes, made: NetContract, owed: int) -> bytes:
            body = left.body.model_copy(
                update={
                    "leaf": leaf, "request": made.request, "seller": made.seller, "buyer": made.buyer,
                    "wh": made.wh, "price": made.price, "amount": made.wh, "owed": owed,
                }
            )  # fmt: skip
            await world.market.post.send(peer_of(seller.core.card), "asset.netleft", body.to_json())
            return leaf

        async def signed(leaf: bytes) -> tuple[bool, str]:
            await world.pass_time(61)
            await seller.read_chain()
            await seller.asset.left.step()
            _, order = (await seller.asset.left.all())[leaf]
            return bool(order), seller.asset.left.waits.get(leaf, "")

        claim = await tell(bytes(left.body.leaf), sold, 500)
        assert await signed(claim) == (False, "More is set off on one side than on the other.")
        debt = await tell(b"\x07" * 32, bought, 0)
        assert await signed(claim) == (False, "By what the day's batch moved it may have been paid already.")
        assert not (await signed(debt))[0]


async def test_a_reorg_may_still_take_the_batch_by_which_a_line_was_left_out(tmp_path: Path) -> None:
    """Nothing is signed by what is not final: another batch might take the same line."""
    async with market(tmp_path) as world:
        await join(world, "third")
        day = Day(world)
        bought = await day.buys("buyer", "seller", 900)
        await day.buys("third", "seller", 100)
        await revoke(world, "buyer")
        world.off.add("buyer")
        await end_of(world, bought, "settled")
        await world.rounds(2)
        (left,) = (await by_parties(world)).values()
        buyer, leaf = world.nodes["buyer"], bytes(left.body.leaf)
        await buyer.read_chain()
        assert buyer.core.chain.final >= left.body.block > 0
        final, buyer.core.chain.final = buyer.core.chain.final, left.body.block - 1
        await buyer.asset.left.step()
        assert buyer.asset.left.waits[leaf] == "The day's batch is not final yet."
        buyer.core.chain.final = final
        await world.pass_time(61)
        await buyer.asset.left.step()
        assert (await buyer.asset.left.all())[leaf][1], "now it is"


async def test_the_last_mandate_counts_once_it_is_final(tmp_path: Path) -> None:
    """Where no batch came, the mandate that keeps one from coming may be taken back by a reorg as well."""
    async with market(tmp_path) as world:
        day = Day(world)
        bought = await day.buys("buyer", "seller", 900)
        await revoke(world, "buyer")
        await end_of(world, bought, "idle")
        await world.rounds(1)
        world.off.add("buyer")
        (left,) = (await by_parties(world)).values()
        buyer, leaf = world.nodes["buyer"], bytes(left.body.leaf)
        views, account = buyer.core.chain.netting, buyer.asset.account(world.operator).address
        assert views is not None
        await world.pass_time(61)
        await buyer.asset.left.step()
        await world.rounds(6)
        assert (await views.member(world.operator, account)).last_period >= left.body.period
        before = buyer.core.chain.final
        assert (await views.member(world.operator, account, at=before)).last_period < left.body.period
        await world.pass_time(61)
        await buyer.asset.left.step()
        assert not (await buyer.asset.left.all())[leaf][1]
        await buyer.read_chain()
        await world.pass_time(61)
        await buyer.asset.left.step()
        assert (await buyer.asset.left.all())[leaf][1]
        assert left.body.period == bought.start // DAY
