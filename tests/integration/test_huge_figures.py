"""What a partner signs has 64 bits of energy and 40 of time, and no figure of it may cost the other partner, or the
market, anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keys.signers import LocalSigner
from node.app.trading.netforms import body_of
from node.app.trading.statements import StatementBook
from node.client.market import MarketClient
from node.projection.order import OrderStatus
from node.runtime.errors import PermanentFailure
from node.services.asset.orders import Wanted
from node.services.market.slots import AHEAD_S, MOST_PRICE, MOST_WH
from node.storage.deliveries import Span
from node.wire.settlement import NetCounted, NetLeftOut
from tests.integration.test_net_left import end_of, lines, revoke, settled
from tests.integration.test_net_market import deliver, due, market, matched, netted, reports
from tests.support.handlink import HandLink, while_blocks_come
from tests.support.tradeworld import HOUR, World, trading

pytestmark = pytest.mark.chain

HUGE = 2**64 - 1
SELLER, BUYER = LocalSigner(b"\x61" * 32), LocalSigner(b"\x62" * 32)


async def in_statement(book: StatementBook) -> list[tuple[int | None, int]]:
    """What the seller reported and what is due, of every delivery."""
    while await book.step():
        pass
    return [(row.by_seller, row.due) async for page in book.pages(Span(0, 2**40)) for row in page]


async def test_attack_a_huge_report_blinds_no_buyer_and_stops_no_statement(tmp_path: Path) -> None:
    """The contract on chain takes any 64 bits for a report, and counts them as what was agreed. A buyer without a node
    that could not read them would not answer, not pay, and be claimed against."""
    async with trading(tmp_path) as world:
        contract = world.devnet.contracts.find("Market").address
        seller, buyer = [
            MarketClient.over(HandLink(world, each, nets=False), each, world.devnet.chain_id, contract, world.clock)
            for each in (SELLER, BUYER)
        ]
        for each in (seller, buyer):
            await each.__aenter__()
        await world.mint(buyer.account, 5_000)
        await while_blocks_come(world, buyer.deposit(5_000))
        start = world.clock.now() + HOUR
        await seller.offer(1_000, 900, start, start + 900)
        await buyer.request(1_000, 900, start, start + 900)

        async def made() -> bool:
            await seller.look()
            return bool(seller.contracts)

        await world.until("there is a contract", made)
        (found,) = seller.contracts.values()
        await world.pass_time(start + 901 - world.clock.now())
        await seller.report(found, HUGE)
        await world.reach(found.id, "reported")
        await buyer.settle(lambda contract: contract.wh)
        await world.reach(found.id, "delivered")
        await world.rounds(3)
        await buyer.settle(lambda contract: contract.wh)
        await world.reach(found.id, "paid")
        assert await in_statement(StatementBook(world.market.core)) == [(MOST_WH, 900)]


async def test_attack_a_huge_report_of_a_netted_contract_is_none(tmp_path: Path) -> None:
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await world.pass_time(made.end + 1 - world.clock.now())
        with pytest.raises(PermanentFailure, match="No meter counts so much"):
            await reports(world, "seller", HUGE, made.contract_id, made.start)
        await reports(world, "seller", MOST_WH, made.contract_id, made.start)
        await reports(world, "buyer", 1_000, made.contract_id, made.start)
        await world.rounds(2)
        found = await due(world, made)
        assert found is not None
        assert (found["wh"], found["amount"]) == (1_000, 900)
        assert await in_statement(StatementBook(world.market.core, netted(world))) == [(MOST_WH, 900)]


async def refused(world: World, name: str, sells: bool, wh: int, price: int, start: int) -> str:
    """Why the market does not take such an order."""
    order = await world.nodes[name].asset.order(world.market.url, Wanted(sells, wh, price, start, start + 900))
    await world.rounds(2)
    found = await world.nodes[name].order(order)
    assert found.status is OrderStatus.REFUSED
    return found.refused


async def test_attack_two_orders_of_huge_energy_for_nothing_stop_no_market(tmp_path: Path) -> None:
    """For nothing they are within every mandate, and they suit each other. Nothing else was matched any more."""
    async with market(tmp_path) as world:
        start = world.clock.now() + HOUR
        for name, sells in (("seller", True), ("buyer", False)):
            assert "Wh at most" in await refused(world, name, sells, HUGE, 0, start)
        assert "per kWh at most" in await refused(world, "seller", True, 1, MOST_PRICE + 1, start)
        await matched(world, 1_000, 900)
        await matched(world, MOST_WH, 0)


async def test_attack_a_delivery_in_a_year_of_no_calendar(tmp_path: Path) -> None:
    """Its contract can be cancelled for a fee at once, and no statement could say when it would have been."""
    async with trading(tmp_path) as world:
        now = world.clock.now()
        for start in (260_000_000_000, now + AHEAD_S):
            assert "ten years" in await refused(world, "seller", True, 1, 1, start)
        await world.order("seller", "offer", 1, 1, now + AHEAD_S - HOUR)


async def test_a_buyer_that_sold_more_than_a_parcel_holds_is_told_in_several(tmp_path: Path) -> None:
    """Of a line that was left out it hears with what counts of its sales. One that has too many of them held up its own
    line, and every other that came after it."""
    async with market(tmp_path) as world:
        made = await matched(world, 1_000, 900)
        await deliver(world, made, 1_000, 1_000)
        await settled(world, made)
        await revoke(world, "buyer")
        await end_of(world, made, "idle")
        await world.rounds(2)
        (leaf,) = await lines(world).all()
        facts: list[tuple[str, str, object]] = []
        for number in range(1_500):
            sold = replace(made, seller=made.buyer, buyer=made.seller, nonce=number.to_bytes(32, "big"))
            name = sold.contract_id.hex()
            facts.append((f"net_contract_{made.day}", name, body_of(sold, world.operator).to_json()))
            facts.append((f"net_due_{made.day}", name, {"wh": 1_000, "amount": 900, "sold": 1_000, "used": 1_000}))
        await world.market.core.storage.memory.keep((), facts)
        lines(world)._counted = -1, {}
        await lines(world)._change(leaf, told={})
        heard = list[int]()
        buyer, take = world.nodes["buyer"], world.nodes["buyer"].asset.left._counted

        async def counted(body: NetLeftOut, sales: Sequence[NetCounted]) -> None:
            heard.append(len(sales))
            await take(body, sales)

        buyer.asset.left._counted = counted  # type: ignore[method-assign]  # listens, and does the same
        await world.rounds(2)
        assert sum(heard) == 1_500, heard
        assert set((await lines(world).all())[leaf].told) == {"seller", "buyer"}
