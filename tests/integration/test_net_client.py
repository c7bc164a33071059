"""The library for third parties in a market that nets, against a real market's roles in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keys.signers import LocalSigner
from node.client.link import Contracts
from node.client.market import MarketClient
from node.errors import InvalidInput, Refused
from node.services.market.netting import DAY
from node.wire.desk import DeskContract
from tests.integration.test_net_market import netted
from tests.integration.test_netting import becomes, operator_deposits
from tests.support.handlink import HandLink, while_blocks_come
from tests.support.tradeworld import HOUR, World, trading

pytestmark = pytest.mark.chain

SELLER, BUYER = LocalSigner(b"\x61" * 32), LocalSigner(b"\x62" * 32)


@asynccontextmanager
async def hall(root: Path) -> AsyncIterator[tuple[World, MarketClient, MarketClient]]:
    """A market that nets, early on a day, and two members that have no node."""
    async with trading(root, terms={"settle": "net", "provision_grace_s": 1_800}) as world:
        await world.pass_time(DAY - world.clock.now() % DAY + HOUR)
        await operator_deposits(world, 1_000)
        contracts = world.devnet.contracts
        both = Contracts(contracts.find("Market").address, contracts.find("NetSettlement").address)
        clients = [
            MarketClient.over(HandLink(world, signer, nets=True), signer, world.devnet.chain_id, both, world.clock)
            for signer in (SELLER, BUYER)
        ]
        for client in clients:
            await client.__aenter__()
            await world.mint(client.account, 5_000)
            await while_blocks_come(world, client.deposit(5_000))
            await client.mandate(3_000, world.clock.now() + 30 * DAY)

        async def ready() -> bool:
            found = [(await client.money()).net for client in clients]
            return all(each is not None and (each.balance, each.most_a_day) == (5_000, 3_000) for each in found)

        await world.until("money and mandates are there", ready)
        yield world, clients[0], clients[1]


async def trade(world: World, seller: MarketClient, buyer: MarketClient, wh: int, price: int) -> None:
    """Delivered, reported by both, and known what counts."""
    start, clients = world.clock.now() + HOUR, (seller, buyer)
    await seller.offer(wh, price, start, start + 900)
    await buyer.request(wh, price, start, start + 900)

    async def matched() -> bool:
        for each in clients:
            await each.look()
        return all(any(c.start == start for c in each.netted.values()) for each in clients)

    await world.until("both see the contract", matched)
    await world.pass_time(start + 901 - world.clock.now())

    async def counted() -> bool:
        for each in clients:
            await each.settle(lambda contract: contract.wh)
        told = [c for each in clients for c in each.netted.values() if c.start == start]
        return [c.status for c in told] == ["delivered"] * 2

    await world.until("it is known what counts", counted)


async def test_m85_two_assets_without_a_node_trade_in_a_market_that_nets(tmp_path: Path) -> None:
    """Offer, request, reports, one sum a day: with nothing but their keys. A contract that the market makes up beyond
    what was ordered is reported by nobody."""
    async with hall(tmp_path) as (world, seller, buyer):
        start = world.clock.now() + HOUR
        with pytest.raises(InvalidInput, match="one day"):
            await buyer.request(10, 900, world.clock.now() + HOUR, world.clock.now() + 2 * DAY)
        await seller.offer(1_000, 800, start, start + 900)
        asked = await buyer.request(1_000, 900, start, start + 900)

        async def matched() -> bool:
            await seller.look()
            await buyer.look()
            return bool(seller.netted and buyer.netted)

        await world.until("both see the contract", matched)
        (made,) = buyer.netted.values()
        assert (made.request, made.wh, made.price, made.status) == (asked, 1_000, 800, "matched")
        lie = made.model_copy(update={"id": b"\x07" * 32, "wh": 1_001})
        assert isinstance(buyer._link, HandLink)
        buyer._link.lie = (lie,)
        await world.pass_time(start + 901 - world.clock.now())
        assert [each.id for each in await seller.settle(lambda contract: contract.wh - 50)] == []
        await buyer.settle(lambda contract: contract.wh)
        assert "beyond the order" in buyer.refused[lie.id]
        await world.rounds(2)
        (told,) = await buyer.settle(lambda contract: contract.wh)
        assert (told.status, told.by_seller, told.by_buyer, told.due) == ("delivered", 950, 1_000, 760)
        found = (await netted(world).dues(start // DAY))[made.id][1]
        assert found["wh"] == 950
        await world.pass_time((start // DAY + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, start // DAY, "settled")
        paid = (await buyer.money()).net
        assert paid is not None
        assert paid.balance == 5_000 - 760
        await buyer.look()
        assert list(buyer.netted) == [lie.id] or not buyer.netted, "what is netted is over"
        assert await world.market.refusals() == []


async def test_a_market_that_nets_elsewhere_is_refused(tmp_path: Path) -> None:
    """Attack: a market names a net settlement of its own; the program named another one, or none."""
    async with trading(tmp_path, terms={"settle": "net"}) as world:
        market = world.devnet.contracts.find("Market").address
        for named in (market, Contracts(market, b"\x09" * 20)):
            client = MarketClient.over(
                HandLink(world, BUYER, nets=True), BUYER, world.devnet.chain_id, named, world.clock
            )
            with pytest.raises(Refused, match="not named"):
                await client.__aenter__()


async def test_m85_what_was_left_out_is_signed_for_and_paid_without_a_node(tmp_path: Path) -> None:
    """The buyer takes its mandate back before its day is netted. It is excluded in the end, signs for the line when it
    wants to, and pays from the market's own book; the seller signs by itself, and nobody's meter is asked again."""
    async with hall(tmp_path) as (world, seller, buyer):
        start = world.clock.now() + HOUR
        await seller.offer(1_000, 800, start, start + 900)
        await buyer.request(1_000, 900, start, start + 900)

        async def matched() -> bool:
            await seller.look()
            await buyer.look()
            return bool(seller.netted and buyer.netted)

        await world.until("both see the contract", matched)
        await world.pass_time(start + 901 - world.clock.now())
        for client in (seller, buyer):
            await client.settle(lambda contract: contract.wh)
        await buyer.mandate(0, world.clock.now() + 30 * DAY)
        await world.rounds(4)
        await world.pass_time((start // DAY + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, start // DAY, "idle")

        def never(_: DeskContract) -> int:
            raise AssertionError("its energy was counted on its day")

        await seller.settle(never)
        await world.rounds(2)
        for _ in range(4):
            await world.pass_time(DAY)
            await world.rounds(2)
        await buyer.look()
        ((leaf, line),) = buyer.left.items()
        assert (line.amount, line.reminders, line.claimed) == (800, 3, True)
        await buyer.sign_left(leaf)
        await world.mint(buyer.account, 800)
        await while_blocks_come(world, buyer.deposit(800, own_book=True))  # the contract takes it at once

        async def paid() -> bool:
            for client in (seller, buyer):
                await client.settle(never)
            trades = await world.market.trades()
            return [trade.status.value for trade in trades] == ["confirmed"]

        await world.until("it is paid and confirmed", paid, 60)
        assert (await seller.money()).balance == 800
        assert not buyer.left


async def test_m85_two_without_a_node_that_face_each_other_pay_the_difference(tmp_path: Path) -> None:
    """Each buys of the other and nothing is netted. What both owe is set off; each sees by its own lines that it loses
    nothing by it, looks whether a batch took anything, and signs for what stays: it is paid once."""
    async with hall(tmp_path) as (world, ann, ben):
        day = world.clock.now() // DAY
        await trade(world, ann, ben, 1_000, 900)
        await trade(world, ben, ann, 400, 1_000)
        for client in (ann, ben):
            await client.mandate(0, world.clock.now() + 30 * DAY)
        await world.rounds(4)
        await world.pass_time((day + 1) * DAY - world.clock.now() + HOUR)
        await becomes(world, day, "idle")
        await world.rounds(2)
        for client in (ann, ben):
            await client.settle(lambda contract: contract.wh)
            net = (await client.money()).net
            assert net is not None
            assert net.balance == 5_000
            ((leaf, line),) = client.left.items()
            assert (line.amount, line.due) == (900, 500)
            await client.sign_left(leaf)
        await world.mint(ben.account, 600)
        await while_blocks_come(world, ben.deposit(600, own_book=True))

        async def paid() -> bool:
            for client in (ann, ben):
                await client.settle(lambda contract: contract.wh)
            return [trade.status.value for trade in await world.market.trades()] == ["confirmed"]

        await world.until("the difference is paid and confirmed", paid, 60)
        assert [(await client.money()).balance for client in (ann, ben)] == [500, 100]
        assert not ann.refused
        assert not ben.refused
        assert await world.market.refusals() == []
