"""What follows when something does not come: reports, money, agreement (M-36 to M-38, A-10, A-12 to A-15, A-28)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keys import messages as m
from keys.identity import Identity
from keys.signers import LocalSigner
from node.app.core import peer_of
from node.app.facade.settlement import MarketPart
from node.app.trading.assetactions import REFUSED
from node.app.trading.assetpool import NOTICES
from node.app.trading.deciding import Arbiter
from node.app.trading.statements import StatementBook, tariffs_of
from node.errors import Conflict, NotFound, Refused
from node.projection.order import OrderStatus
from node.runtime.errors import PermanentFailure
from node.services.settlement.lines import lines_of
from node.storage.deliveries import Span
from node.wire.settlement import EvidenceGiven
from tests.integration.test_owner_funding import allow, owner_of_buyer, reason_of
from tests.support.tradeworld import DAY, HOUR, World, trading, unpaid

pytestmark = pytest.mark.chain


async def claimed(world: World) -> bytes:
    """An unpaid contract after its three reminders and the claim, each at its time."""
    contract = await unpaid(world)
    for number in (1, 2, 3):
        await world.rounds(3)
        assert (await world.market.trade(contract)).reminders == number - 1, "not before its time"
        await world.pass_time(DAY)
        await reminded(world, contract, number)
    await world.rounds(3)
    assert (await world.market.trade(contract)).status.value == "delivered", "the claim waits as well"
    await world.pass_time(DAY)
    await world.reach(contract, "claimed")
    return contract


async def reminded(world: World, contract: bytes, number: int) -> None:
    async def so() -> bool:
        return (await world.market.trade(contract)).reminders == number

    await world.until(f"reminder {number}", so)


async def test_m36_m37_m19_a13_reminders_at_t_2t_3t_and_the_claim_at_4t(tmp_path: Path) -> None:
    """A-14: after the claim nobody reminds any more, however long it stays open. M-7, M-19, M-20: the market tells the
    buyer of each reminder and of the claim."""
    async with trading(tmp_path, terms={"escrow": False, "penalty_bps": 1_000}) as world:
        contract = await claimed(world)
        trade = await world.market.trade(contract)
        claim = trade.steps[-1]
        assert claim.amount == 2_200, "the amount and the penalty of the terms"
        await world.pass_time(2 * DAY)
        await world.rounds(4)
        after = await world.market.trade(contract)
        assert after.reminders == 3
        assert await world.market.refusals() == []
        told = {key.partition("/")[2] for key in await world.nodes["buyer"].core.storage.memory.facts.all(NOTICES)}
        assert {f"asset.payment_reminder/{number}" for number in (1, 2, 3)} | {"asset.claim/3"} <= told


async def waits(world: World) -> str:
    """What the buyer's node says about its newest order."""
    buyer = world.nodes["buyer"]
    return (await MarketPart(buyer.core, buyer.asset, None).orders(None, 1)).items[0].waits


async def test_a_request_that_nobody_can_pay_says_so(tmp_path: Path) -> None:
    """It would stay open without a word: the chain takes no match whose amount is not there."""
    async with trading(tmp_path) as world:
        await world.order("buyer", "request", 1_000, 200, world.clock.now() + 2 * HOUR)
        assert "It may cost 200 minor units, and the market's book has 0" in await waits(world)
        await world.give("buyer", 200)
        assert await waits(world) == ""


async def test_m37_a_debtor_is_excluded_until_the_claim_is_cured(tmp_path: Path) -> None:
    """A-14: it may still pay; then the contract is `Claim cured`, and it trades again."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await claimed(world)
        start = world.clock.now() + 2 * HOUR
        await world.order("seller", "offer", 100, 100, start)
        await world.order("buyer", "request", 100, 100, start)
        assert "A claim against this asset is open" in await waits(world), "the household is told"
        await world.rounds(6)
        assert len(await world.market.trades()) == 2, "no new contract"
        assert any("Excluded" in reason for _, reason in await world.market.refusals())
        await world.give("buyer", 2_000)
        await world.reach(contract, "cured")
        assert await world.balance("seller") == 3_000
        await world.clock_on(11)

        async def traded() -> bool:
            return len(await world.market.trades()) == 3

        await world.until("the two trade again", traded)


async def test_m62_a29_a_claim_is_funded_by_the_owner_within_what_was_signed(tmp_path: Path) -> None:
    """Amount and penalty are more than the allowance for one contract: refused and told. A higher one is a new chance;
    exactly what is missing is drawn, and the claim is cured."""
    async with trading(tmp_path, terms={"escrow": False, "penalty_bps": 1_000}) as world:
        contract = await claimed(world)
        owner = await owner_of_buyer(world, 10_000)
        await allow(world, owner, per_day=5_000, per_contract=2_199)
        await world.clock_on(HOUR)
        assert "AllowanceShort" in await reason_of(world, owner, contract)
        assert await world.token_of(owner.core.keys.identity.wallet().address) == 10_000
        await allow(world, owner, per_day=5_000, per_contract=2_200)
        await world.clock_on(HOUR)
        await world.reach(contract, "cured")
        assert await world.token_of(owner.core.keys.identity.wallet().address) == 7_800
        assert await world.balance("seller") == 1_000 + 2_200


@pytest.mark.long
async def test_a14_a_claim_is_collected_after_the_dispute_window(tmp_path: Path) -> None:
    """Nobody contests it; the market collects what there is, as soon as there is something: `Claim resolved`."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await claimed(world)
        world.off.add("buyer")
        await world.pass_time(3 * DAY + 60)
        await world.rounds(4)
        assert (await world.market.trade(contract)).status.value == "claimed", "there is nothing to collect"
        await world.pay_in("buyer", 2_000)
        await world.pass_time(700)
        trade = await world.reach(contract, "resolved")
        assert trade.steps[-1].amount == 2_000
        assert await world.balance("seller") == 3_000


@pytest.mark.long
async def test_a_claim_is_contested_and_stands_when_nobody_rules(tmp_path: Path) -> None:
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await claimed(world)
        buyer = world.nodes["buyer"]
        with pytest.raises(NotFound):
            await buyer.asset.actions.dispute(b"\x01" * 32, "no such contract")
        with pytest.raises(Conflict):
            await world.nodes["seller"].asset.actions.dispute(contract, "not mine to contest")
        await buyer.asset.actions.dispute(contract, "the meter stood still")
        await world.reach(contract, "disputed")
        await world.pass_time(7 * DAY + 60)
        trade = await world.reach(contract, "claimed")
        assert [step.status.value for step in trade.steps][-2:] == ["disputed", "claimed"]


async def test_the_arbiter_rules_on_a_dispute_and_nobody_else(tmp_path: Path) -> None:
    """The operator of this market is no arbiter of its disputes: its terms name another account. What was ruled is
    owed, with the penalty of the terms, and no more; then it is paid."""
    arbiter = "0x" + Identity(bytes([9]) * 64).wallet().address.hex()
    (tmp_path / "arbiter.seed").write_bytes(bytes([9]) * 64)
    async with trading(tmp_path, terms={"escrow": False, "penalty_bps": 1_000, "arbiter": arbiter}) as world:
        judge = await world.open("arbiter")
        contract = await claimed(world)
        with pytest.raises(Conflict, match="nothing is disputed"):
            await Arbiter(judge.core).rule(contract, 1_000, world.operator)
        await world.nodes["buyer"].asset.actions.dispute(contract, "the meter stood still")
        await world.reach(contract, "disputed")
        await world.rounds(2)
        for name in ("market", "seller", "buyer"):
            with pytest.raises(Refused, match="NotPartner"):
                await Arbiter(world.nodes[name].core).rule(contract, 1_000, world.operator)
        await Arbiter(judge.core).rule(contract, 1_000, world.operator)
        trade = await world.reach(contract, "claimed")
        assert trade.steps[-1].amount == 1_100
        await world.pay_in("buyer", 1_100)
        await world.clock_on(60)

        async def paid() -> bool:
            # The buyer cures, or the market collects: whoever is first.
            return (await world.market.trade(contract)).status.value in ("cured", "resolved")

        await world.until("what was ruled is paid", paid)
        assert await world.balance("seller") == 1_000 + 1_100


async def test_a10_the_meter_decides_between_two_reports(tmp_path: Path) -> None:
    """The seller's counters, signed by its device, are brought to the contract by the market, at once and for good.
    Counters that another key signed, of another time, or of another device decide nothing."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract()
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]
        with pytest.raises(Conflict, match="nothing is contested"):
            await seller.asset.actions.evidence(contract)
        await world.deliver(contract, out=900, into=850)
        trade = await world.reach(contract, "contested")
        world.off.add("seller")
        await world.rounds(2)
        assert trade.watch is not None
        start, end = trade.watch.waits.start, trade.watch.waits.end
        peer = peer_of((await buyer.asset.markets())[world.operator].card)

        async def forged(device: LocalSigner, of_seller: bool, first_at: int, last_wh: int) -> dict[str, Any]:
            counters = [m.Counter(device.address, wh, at) for wh, at in ((0, first_at), (last_wh, end))]
            domain = buyer.asset.voice.domain()
            first, last = [await device.sign_message(each, domain) for each in counters]
            return EvidenceGiven(
                contract=contract, of_seller=of_seller, device=device.address, first_wh=0, first_at=first_at,
                last_wh=last_wh, last_at=end, first_signature=first, last_signature=last,
            ).to_json()  # fmt: skip

        own = buyer.core.keys.identity.device()
        honest = await forged(own, False, start, 850)
        attacks = {
            "another device for the seller's": await forged(own, True, start, 850),
            "another time": await forged(own, False, start + 301, 850),
            "more than was signed": honest | {"last_wh": 2_000},
            "the seller's device by name alone": honest
            | {"device": "0x" + seller.core.keys.identity.device().address.hex(), "of_seller": True},
            "another contract": honest | {"contract": "0x" + "07" * 32},
        }
        for name, body in attacks.items():
            with pytest.raises(PermanentFailure):
                await buyer.post.send(peer, "market.evidence", body)
            assert (await world.market.trade(contract)).status.value == "contested", name
        world.off.remove("seller")  # which proves by itself what it reported
        trade = await world.reach(contract, "delivered")
        assert trade.delivered is not None
        assert trade.delivered.wh == 900
        await world.reach(contract, "confirmed")
        with pytest.raises(PermanentFailure, match="Nothing is contested"):
            await buyer.post.send(peer, "market.evidence", honest)


@pytest.mark.long
async def test_a_meter_decides_a_dispute_where_one_word_alone_stood(tmp_path: Path) -> None:
    """The buyer was off and contests the claim; the seller's device proves what it had reported."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        await world.give("buyer", 1_000)
        (first,) = await world.contract(wh=1_000, price=1_000)
        await world.deliver(first, out=1_000)
        await world.reach(first, "confirmed")
        (contract,) = await world.contract(wh=2_000, price=1_000)
        world.off.add("buyer")
        await world.deliver(contract, out=2_000)
        await world.reach(contract, "reported")
        await world.pass_time(HOUR + 60)
        await world.reach(contract, "delivered")
        for _ in range(4):
            await world.pass_time(DAY)
            await world.rounds(5)
        await world.reach(contract, "claimed")
        world.off.remove("buyer")
        await world.rounds(3)
        await world.nodes["buyer"].asset.actions.dispute(contract, "nothing came")
        await world.reach(contract, "disputed")
        await world.rounds(2)
        await world.nodes["seller"].asset.actions.evidence(contract)
        trade = await world.reach(contract, "claimed")
        assert trade.steps[-1].amount == 2_000


@pytest.mark.long
async def test_a_claim_is_not_contested_after_the_window(tmp_path: Path) -> None:
    """The chain refuses, and the asset is told so by the market, under its signature."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await claimed(world)
        buyer = world.nodes["buyer"]
        await world.pass_time(3 * DAY + 60)
        said = await buyer.asset.actions.dispute(contract, "too late")

        async def told() -> bool:
            return await buyer.core.storage.memory.facts.get(REFUSED, said.hex()) is not None

        await world.until("the refusal arrived", told)
        found = await buyer.core.storage.memory.facts.get(REFUSED, said.hex())
        assert found["kind"] == "Dispute"
        assert "TooLate" in found["reason"]


async def test_a10_one_report_stands_after_the_grace(tmp_path: Path) -> None:
    """The buyer's node is off: the seller's report counts once the provision grace is over, not before."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract()
        world.off.add("buyer")
        await world.deliver(contract, out=900)
        await world.reach(contract, "reported")
        await world.pass_time(HOUR - 30)
        await world.rounds(3)
        assert (await world.market.trade(contract)).status.value == "reported"
        await world.pass_time(60)
        trade = await world.reach(contract, "delivered")
        assert trade.delivered is not None
        assert trade.delivered.wh == 900


@pytest.mark.long
async def test_a10_the_smaller_of_two_reports_counts_without_evidence(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract()
        await world.deliver(contract, out=900, into=850)
        await world.reach(contract, "contested")
        world.off.add("seller")
        await world.pass_time(3 * DAY + 60)
        trade = await world.reach(contract, "delivered")
        assert trade.delivered is not None
        assert trade.delivered.wh == 850


async def test_nobody_reports_and_the_contract_lapses_with_its_escrow_returned(tmp_path: Path) -> None:
    """Refund from escrow: what was reserved for a contract that nobody delivered is free again."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000)
        (contract,) = await world.contract(wh=1_000, price=1_000)
        assert await world.balance("buyer") == 0
        world.off |= {"seller", "buyer"}
        await world.pass_time(2 * HOUR + 900 + HOUR + 3 * DAY + 60)
        await world.reach(contract, "cancelled")
        assert await world.balance("buyer") == 1_000


async def test_m38_an_offer_lives_a_day_by_default_and_its_energy_is_free_again(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        start = world.clock.now() + 3 * DAY
        offer = await world.order("seller", "offer", 500, 100, start)

        async def taken() -> bool:
            return (await world.market.order(offer)).status is OrderStatus.OPEN

        await world.until("the market has the offer", taken)
        await world.pass_time(DAY - 60)
        await world.rounds(2)
        assert (await world.nodes["seller"].order(offer)).status is OrderStatus.OPEN
        await world.pass_time(120)
        await world.rounds(3)
        for name in ("seller", "market"):
            found = await world.nodes[name].order(offer)
            assert found.status is OrderStatus.ENDED
            assert found.left == 0
        await world.order("buyer", "request", 500, 100, start)
        await world.rounds(4)
        assert await world.market.trades() == []


async def test_m38_a15_a_contract_is_cancelled_before_its_delivery_and_never_after_it_began(tmp_path: Path) -> None:
    """The one who cancels pays what the terms ask for, and the statement says so."""
    async with trading(tmp_path, terms={"cancel_bps": 1_000}) as world:
        await world.give("seller", 100)
        await world.give("buyer", 1_000)
        early, late = await world.contract(wh=500, price=1_000, count=2)
        seller = world.nodes["seller"]
        await seller.asset.actions.cancel_contract(early)
        await world.reach(early, "cancelled")
        assert (await world.balance("buyer"), await world.balance("seller")) == (550, 50)
        await world.rounds(2)
        book = StatementBook(world.market.core)
        await book.step()
        rows = [row async for page in book.pages(Span(0, 2**40)) for row in page]
        seller_account = seller.asset.account(world.operator).address
        assert [(row.contract, row.delivered, row.fee, row.fee_by) for row in rows] == [(early, 0, 50, seller_account)]
        (line,) = lines_of(rows[0], tariffs_of(world.market.core, world.operator))
        assert (line.kind.value, line.debtor, line.amount) == ("cancellation", seller_account, 50)
        made = (await world.market.trade(late)).watch
        assert made is not None
        await world.pass_time(made.waits.start - world.clock.now() + 1)
        with pytest.raises(Conflict, match="has begun"):
            await seller.asset.actions.cancel_contract(late)
        assert (await world.market.trade(late)).status.value == "matched"


async def test_a28_match_and_cancel_at_once_the_first_on_chain_wins(tmp_path: Path) -> None:
    """The match is on its way when the order is taken back: the contract stands, and the loser is told, signed."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        seller, start = world.nodes["seller"], world.clock.now() + 2 * HOUR
        offer = await world.order("seller", "offer", 500, 100, start)
        await world.order("buyer", "request", 500, 100, start)
        await seller.work()
        await world.nodes["buyer"].work()
        await world.market.work()  # the match is signed and sent
        cancel = await seller.asset.actions.cancel_order(offer)

        async def told() -> bool:
            return await seller.core.storage.memory.facts.get(REFUSED, cancel.hex()) is not None

        await world.until("the refusal arrived", told)
        assert (await seller.core.storage.memory.facts.get(REFUSED, cancel.hex()))["reason"].startswith("OrderFilled")
        (trade,) = await world.market.trades()
        assert trade.status.value == "matched"
        assert (await seller.order(offer)).status is OrderStatus.FILLED


async def test_a28_the_cancel_is_first_and_the_match_is_refused(tmp_path: Path) -> None:
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        seller, start = world.nodes["seller"], world.clock.now() + 2 * HOUR
        offer = await world.order("seller", "offer", 500, 100, start)
        await world.rounds(2)
        await seller.asset.actions.cancel_order(offer)
        await world.market.executor.step()
        await world.market.core.chain.sender.step()
        await world.order("buyer", "request", 500, 100, start)
        await world.rounds(6)
        assert await world.market.trades() == []
        assert (await world.market.order(offer)).status is OrderStatus.CANCELLED
        with pytest.raises(Conflict, match="cancelled already"):
            await seller.asset.actions.cancel_order(offer)
