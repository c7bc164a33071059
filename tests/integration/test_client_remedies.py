"""The library for third parties beyond the good case: what suits an order, and what a seller and a buyer can say when
something does not come (M-36, M-37, M-38, M-84, M-85, A-14), against a real market's roles and the real contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from keys.signers import LocalSigner
from node.client.market import MarketClient
from node.errors import Conflict, InvalidInput, NodeUnreachable
from node.wire.desk import DeskContract
from node.wire.orderdetails import details_of_carrier
from tests.support.handlink import HandLink, while_blocks_come
from tests.support.tradeworld import DAY, HOUR, World, trading

pytestmark = pytest.mark.chain

SELLER, BUYER = LocalSigner(b"\x63" * 32), LocalSigner(b"\x64" * 32)
MONEY = 1_000


@asynccontextmanager
async def hall(root: Path) -> AsyncIterator[tuple[World, MarketClient, MarketClient]]:
    """A market without escrow, and two assets that have no node; the buyer has money for one contract."""
    async with trading(root, terms={"escrow": False}) as world:
        contract = world.devnet.contracts.find("Market").address
        seller, buyer = [
            MarketClient.over(HandLink(world, signer, nets=False), signer, world.devnet.chain_id, contract, world.clock)
            for signer in (SELLER, BUYER)
        ]
        for client in (seller, buyer):
            await client.__aenter__()
        await pay_in(world, buyer, MONEY)
        yield world, seller, buyer


async def pay_in(world: World, client: MarketClient, amount: int) -> None:
    await world.mint(client.account, amount)
    await while_blocks_come(world, client.deposit(amount, patience=600))


async def agreed(world: World, seller: MarketClient, buyer: MarketClient, wh: int) -> bytes:
    """A contract of so many Wh at 1,000 per kWh. Its id."""
    start, known = world.clock.now() + 2 * HOUR, {trade.contract_id for trade in await world.market.trades()}
    await seller.offer(wh, 1_000, start, start + 900)
    await buyer.request(wh, 1_000, start, start + 900)

    async def made() -> bool:
        return len(await world.market.trades()) > len(known)

    await world.until("a contract stands", made)
    return next(t.contract_id for t in await world.market.trades() if t.contract_id not in known)


async def reaches(world: World, clients: tuple[MarketClient, ...], contract: bytes, status: str) -> None:
    """Both go on settling until the contract is that far, for good."""

    def meter(found: DeskContract) -> int | None:
        return found.wh if world.clock.now() >= found.end else None

    async def so() -> bool:
        for client in clients:
            await client.settle(meter)
        trade = await world.market.trade(contract)
        return trade.status.value == status and trade.settled

    await world.until(f"the contract is {status}", so, 60)
    for client in clients:
        await client.look()


async def test_m36_m37_a14_what_is_not_paid_is_reminded_of_claimed_and_cured(tmp_path: Path) -> None:
    """The seller reminds three times and claims; a fourth reminder, a claim before its time and words of the wrong side
    change nothing. The buyer contests it, nobody rules, and it pays in the end."""
    async with hall(tmp_path) as (world, seller, buyer):
        both = (seller, buyer)
        first = await agreed(world, seller, buyer, 1_000)
        await world.pass_time(3 * HOUR)
        await reaches(world, both, first, "confirmed")
        second = await agreed(world, seller, buyer, 2_000)
        await world.pass_time(3 * HOUR)
        await reaches(world, both, second, "delivered")
        owed = seller.contracts[second]
        with pytest.raises(Conflict, match="buyer"):
            await seller.remedies.cure(owed)
        with pytest.raises(Conflict, match="seller"):
            await buyer.remedies.remind(owed, 1)
        with pytest.raises(InvalidInput, match="three"):
            await seller.remedies.remind(owed, 4)
        await seller.remedies.claim(owed)
        await world.rounds(3)
        assert (await world.market.trade(second)).status.value == "delivered", "before its time"
        for number in (1, 2, 3):
            await world.pass_time(DAY + 60)
            await seller.remedies.remind(owed, number)

            async def reminded(wanted: int = number) -> bool:
                return (await world.market.trade(second)).reminders == wanted

            await world.until(f"reminder {number} is on chain", reminded)
        await world.pass_time(DAY + 60)
        await seller.remedies.claim(owed)
        await reaches(world, both, second, "claimed")
        await buyer.remedies.dispute(buyer.contracts[second], "The meter stood still.")
        await reaches(world, both, second, "disputed")
        await world.pass_time(7 * DAY + 60)
        await reaches(world, both, second, "claimed")
        await pay_in(world, buyer, 2_000)
        await buyer.remedies.cure(buyer.contracts[second])
        await reaches(world, both, second, "cured")
        assert await world.token_of(BUYER.address) == 0
        third = await agreed(world, seller, buyer, 500)
        await buyer.look()
        await buyer.remedies.cancel(buyer.contracts[third])
        await reaches(world, both, third, "cancelled")


async def test_m85_a_report_is_in_time_though_the_market_does_not_tell_the_buyer_its_money(tmp_path: Path) -> None:
    """For one contract nothing is reserved, so its payment asks for the money first; the report of another does not
    wait for that."""
    async with hall(tmp_path) as (world, seller, buyer):
        paid = await agreed(world, seller, buyer, 1_000)
        await world.pass_time(3 * HOUR)
        await reaches(world, (seller, buyer), paid, "confirmed")
        owed = await agreed(world, seller, buyer, 2_000)
        await world.pass_time(3 * HOUR)

        async def delivered() -> bool:
            await seller.settle(lambda contract: contract.wh)
            for contract in await buyer.look():
                if contract.status == "reported" and contract.by_buyer is None:
                    await buyer.report(contract, contract.wh)
            trade = await world.market.trade(owed)
            return trade.status.value == "delivered" and trade.settled

        await world.until("the first is owed", delivered)
        late = await agreed(world, seller, buyer, 400)
        await world.pass_time(3 * HOUR)

        async def told() -> bool:
            await seller.settle(lambda contract: contract.wh)
            await buyer.look()
            return buyer.contracts[late].status == "reported" and buyer.contracts[owed].final

        await world.until("the seller has reported the second", told)
        assert isinstance(buyer._link, HandLink)
        buyer._link.no_money = True
        with pytest.raises(NodeUnreachable):
            await buyer.settle(lambda contract: contract.wh)

        async def counted() -> bool:
            return (await world.market.trade(late)).status.value == "delivered"

        await world.until("the second report is on chain", counted)
        assert (await world.market.trade(owed)).status.value == "delivered", "nothing is paid without an answer"
        buyer._link.no_money = False
        await pay_in(world, buyer, 2_400)
        await reaches(world, (seller, buyer), owed, "confirmed")
        await reaches(world, (seller, buyer), late, "confirmed")


async def test_m84_m85_an_order_of_a_third_party_says_what_it_is_and_whom_it_takes(tmp_path: Path) -> None:
    """Heat is not matched with a request that says nothing, and an offer for one partner with nobody else."""
    async with hall(tmp_path) as (world, seller, buyer):
        start = world.clock.now() + 2 * HOUR
        await seller.offer(100, 500, start, start + 900, details=details_of_carrier("thermal"))
        await seller.offer(100, 500, start, start + 900, partner=b"\x09" * 20)
        await buyer.request(100, 500, start, start + 900)
        await world.rounds(4)
        assert await world.market.trades() == []
        heat = await buyer.request(100, 500, start, start + 900, details=details_of_carrier("thermal"))

        async def matched() -> bool:
            return len(await world.market.trades()) == 1

        await world.until("heat is matched with heat", matched)
        (trade,) = await world.market.trades()
        assert trade.terms is not None
        assert trade.terms.request == heat
