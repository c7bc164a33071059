"""Payments of an asset: verified, queued, cured, on the terms of their orders (M-45 to M-60, A-24)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from channels.twin import Twin as Logs
from contracts.bindings import market as abi
from keys import messages as m
from node.app.trading.twins import Twins
from node.app.trading.verifying import verified_bill
from node.ledger.market import MarketViews
from node.projection.order import Order
from node.projection.submission import Submission
from node.projection.trade import Trade, TradeStatus
from node.projection.twin import Twin, TwinStatus
from node.services.asset.errors import PaymentRefused, PaymentWaits
from node.services.twin.records import decode_record, encode_record
from node.storage.views import Views
from tests.support.tradeworld import DAY, HOUR, Node, trading, unpaid

pytestmark = pytest.mark.chain


async def payments(node: Node) -> list[m.Payment]:
    """What was paid with, in the order in which the market took it."""
    rows = await node.core.storage.views.page(Submission, limit=1_000)
    found = [m.from_stored(s.message)[0] for _, s in reversed(rows)]
    return [message for message in found if isinstance(message, m.Payment)]


async def test_m52_to_m60_ten_at_a_time_every_so_often_until_all_are_paid(tmp_path: Path) -> None:
    """M-52: no sooner than the interval; M-53: up to ten; M-54: their sum; M-55: the balance; M-57: one payment;
    M-58: confirmed at finality, not at the first block; M-59: removed; M-60: reported; M-61."""
    async with trading(tmp_path, settlement={"payment_every_s": 5}) as world:
        await world.give("buyer", 1_000_000)
        contracts = await world.contract(wh=1_000, price=100, count=12)
        await world.deliver(contracts[0], out=12_000)
        seller, buyer = world.nodes["seller"], world.nodes["buyer"]

        async def some_paid() -> bool:
            return any(trade.status is TradeStatus.PAID for trade in await seller.trades())

        await world.until("the first are paid", some_paid)
        paid_now = [trade for trade in await seller.trades() if trade.status is TradeStatus.PAID]
        assert all(not trade.settled and trade.word("Confirm") is None for trade in paid_now)
        assert 0 <= buyer.asset.trades.payments.waits(world.operator) <= 5
        for contract in contracts:
            await world.reach(contract, "confirmed", 60)
        paid = await payments(world.market)
        said = sorted(payment.deadline for payment in paid)
        assert len(said) > 1
        assert all(later - earlier >= 5 for earlier, later in pairwise(said)), "each round waits for its time"
        assert sorted(len(payment.contracts) for payment in paid)[-1] <= 10
        assert sum(len(payment.contracts) for payment in paid) == 12
        assert sum(payment.amount for payment in paid) == 1_200
        queue = world.nodes["buyer"].asset.trades.payments
        assert queue.owed(world.operator) == ()
        assert await world.market.refusals() == []


def tampered(
    order: Callable[[Order], Order] = lambda o: o, trade: Callable[[Trade], Trade] = lambda t: t, forked: bool = False
) -> Any:
    """Views.one that shows an own order, a contract or its twin otherwise than it is."""
    original = Views.one

    async def one(self: Views, kind: Any, key: bytes) -> Any:
        found = await original(self, kind, key)
        if isinstance(found, Order):
            return order(found)
        if isinstance(found, Twin) and forked:
            return replace(found, status=TwinStatus.FORKED)
        return trade(found) if isinstance(found, Trade) else found

    return one


def _terms(order: Order, **changes: Any) -> Order:
    assert order.terms is not None
    return replace(order, terms=replace(order.terms, **changes))


def _body(order: Order, **changes: Any) -> Order:
    message, domain = m.from_stored(order.body)
    return replace(order, body=m.stored_form(replace(message, **changes), domain))


def _made(trade: Trade, **changes: Any) -> Trade:
    return replace(trade, made=(replace(trade.made[-1], **changes),))


ATTACKS: dict[str, tuple[str, Any, Any]] = {
    "M-45 a request that is not in the database": ("request", lambda o: Order(o.order_id), None),
    "M-45 a request of another asset": ("request", lambda o: replace(o, own=False), None),
    "M-46 a contract that is paid already": ("status", None, lambda t: replace(t, status=TradeStatus.PAID)),
    "M-48 a signature by another key": ("signature", lambda o: replace(o, signature=b"\x01" * 64 + b"\x1b"), None),
    "M-48 a body that was not signed": ("signature", lambda o: _body(o, wh=99_999), None),
    "M-49 stored for more than was signed": ("request", lambda o: _terms(o, wh=5_000_000), None),
    "M-49 stored at a higher price than was signed": ("request", lambda o: _terms(o, price=9_999), None),
    "M-50 a contract for another buyer": ("buyer", None, lambda t: _made(t, buyer=b"\x09" * 20)),
    "M-50 a contract for more energy": ("energy", None, lambda t: _made(t, wh=2_000_001)),
    "M-50 a contract above the limit": ("price", None, lambda t: _made(t, price=1_001)),
    "M-51 a contract at another price than the chain's": ("due", None, lambda t: _made(t, price=999)),
}


async def test_m45_to_m51_each_is_attacked_and_nothing_is_paid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The honest contract passes; with any one thing changed it does not, and the refusal names what.

    A-11: what a contract may change of a request (price below the limit, less energy) is compared by bounds.
    """
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await unpaid(world)
        await world.rounds(2)
        buyer = world.nodes["buyer"]

        async def check() -> None:
            trade = await buyer.core.storage.views.one(Trade, contract)
            await verified_bill(buyer.core, buyer.asset.voice, trade, world.operator, buyer.twins)

        await check()
        for name, (field, order, trade) in ATTACKS.items():
            changes = {key: value for key, value in (("order", order), ("trade", trade)) if value is not None}
            with monkeypatch.context() as patch:
                patch.setattr(Views, "one", tampered(**changes))
                with pytest.raises(PaymentRefused) as refused:
                    await check()
                assert refused.value.field == field, name
        with monkeypatch.context() as patch:
            patch.setattr(Views, "one", tampered(forked=True))
            with pytest.raises(PaymentRefused, match="two histories"):  # M-47
                await check()
        original = MarketViews.contract
        chain: dict[str, tuple[str, dict[str, Any]]] = {
            "M-46 claimed meanwhile": ("status", {"state": 7}),
            "M-51 other energy on chain": ("contract", {"wh": 1}),
            "M-51 another price on chain": ("contract", {"price": 7}),
            "M-51 another amount on chain": ("due", {"due": 2_001}),
        }
        for name, (field, values) in chain.items():

            async def lying(self: MarketViews, *args: bytes, _values: dict[str, Any] = values) -> abi.Trade:
                return replace(await original(self, *args), **_values)

            with monkeypatch.context() as patch:
                patch.setattr(MarketViews, "contract", lying)
                with pytest.raises(PaymentRefused) as refused:
                    await check()
                assert refused.value.field == field, name


async def test_m47_to_m49_the_twin_is_there_and_says_what_is_to_be_paid(tmp_path: Path) -> None:
    """The twin is fetched, and the contract that this asset wrote into its own log there, under its own signature, is
    compared with what is to be paid. One that does not come holds a payment up until the seller reminds: a market that
    withholds it must not bring the buyer a claim."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await unpaid(world)
        await world.rounds(2)
        buyer = world.nodes["buyer"]
        voice, twins = buyer.asset.voice, buyer.twins
        trade = await buyer.core.storage.views.one(Trade, contract)
        await verified_bill(buyer.core, voice, trade, world.operator, twins)
        twin, logs = await twins.logs(contract)
        assert logs is not None
        account = voice.signer(world.operator)

        async def shown(record: dict[str, Any] | None) -> PaymentRefused:
            entries: tuple[bytes, ...] = ()
            if record is not None:
                fresh = Logs(contract, twins._key(twin), twin.parties, twins._domain())
                draft = fresh.draft(account.address, b"\x07" * 16, encode_record(record), world.clock.now())
                signature = await account.sign_message(draft.statement(), twins._domain())
                entries = (replace(draft, signature=signature).encode(),)
            other = Told(twins, replace(twin, entries=entries))
            with pytest.raises(PaymentRefused) as refused:
                await verified_bill(buyer.core, voice, trade, world.operator, other)
            return refused.value

        own = next(decode_record(each.content) for each in logs.log(account.address))
        assert own is not None
        for field, value in (("wh", 1), ("price", 7), ("request", "0x" + "01" * 32), ("buyer", "0x" + "02" * 20)):
            refused = await shown({**own, field: value})
            assert refused.field == "twin"
            assert field in str(refused)
        assert isinstance(await shown(None), PaymentWaits)
        missing = Told(twins, Twin(contract))
        with pytest.raises(PaymentWaits):
            await verified_bill(buyer.core, voice, trade, world.operator, missing)
        step = next(each for each in trade.steps if each.status is TradeStatus.DELIVERED)
        reminded = replace(trade, steps=(*trade.steps, replace(step, wh=0, amount=0, number=1)))
        assert reminded.reminders == 1
        assert await verified_bill(buyer.core, voice, reminded, world.operator, missing)


class Told:
    """Twins in which one contract's entries are others than they are."""

    def __init__(self, twins: Twins, twin: Twin) -> None:
        self._twins = twins
        self._twin = twin

    async def logs(self, contract_id: bytes) -> tuple[Twin, Logs | None]:
        if self._twin.status is TwinStatus.NONE:
            return self._twin, None
        return self._twin, self._twins._logs(self._twin)


@pytest.mark.long
async def test_m47_a_twin_that_never_comes_delays_a_payment_until_the_first_reminder(tmp_path: Path) -> None:
    async with trading(tmp_path, terms={"escrow": False}) as world:
        await world.give("buyer", 10_000)
        (contract,) = await world.contract(wh=1_000, price=1_000)
        buyer = world.nodes["buyer"]

        class Nothing:
            async def logs(self, contract_id: bytes) -> tuple[Twin, Logs | None]:
                return Twin(contract_id), None

        buyer.asset.trades.payments.twins = Nothing()
        await world.deliver(contract, out=1_000)
        await world.reach(contract, "delivered")
        await world.rounds(8)
        assert (await world.market.trade(contract)).status.value == "delivered"
        assert "twin" in buyer.asset.trades.payments.refused[contract]
        await world.pass_time(DAY + 60)
        await world.reach(contract, "confirmed", 60)
        assert contract not in buyer.asset.trades.payments.refused


async def test_a24_what_fits_is_paid_in_order_and_the_rest_waits_longer_and_longer(tmp_path: Path) -> None:
    """Three are owed and there is money for the first: it is paid, the small third one does not overtake the second."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        await world.give("buyer", 1_000)
        (first,) = await world.contract(wh=1_000, price=1_000)
        await world.deliver(first, out=1_000)
        await world.reach(first, "confirmed")
        owed = []
        for wh in (2_000, 3_000, 500):
            (contract,) = await world.contract(wh=wh, price=1_000)
            await world.deliver(contract, out=wh)
            await world.reach(contract, "delivered")
            owed.append(contract)
        await world.pay_in("buyer", 2_600)
        await world.clock_on(120)
        await world.reach(owed[0], "confirmed")
        await world.rounds(6)
        assert [(await world.market.trade(each)).status.value for each in owed] == [
            "confirmed",
            "delivered",
            "delivered",
        ]
        queue = world.nodes["buyer"].asset.trades.payments
        assert queue.owed(world.operator) == (owed[1], owed[2])
        first_wait = queue.waits(world.operator)
        await world.clock_on(round(first_wait) + 1)
        await world.round()
        assert queue.waits(world.operator) > 0
        await world.pay_in("buyer", 2_900)
        await world.clock_on(3_700)
        for contract in owed:
            await world.reach(contract, "confirmed")


async def test_cures_and_payments_of_one_round_do_not_spend_the_same_money(tmp_path: Path) -> None:
    """Two claims and a bill: money for one claim cures one and nothing else is promised; what comes on top is spent
    once, on the second claim, and the rest of it is too little for the bill. The chain has nothing to refuse."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        await world.give("buyer", 1_000)
        (first,) = await world.contract(wh=1_000, price=1_000)
        await world.deliver(first, out=1_000)
        await world.reach(first, "confirmed")
        claims = await world.contract(wh=2_000, price=1_000, count=2)
        await world.deliver(claims[0], out=4_000)
        for contract in claims:
            await world.reach(contract, "delivered")
        for number in (1, 2, 3):
            await world.pass_time(DAY)

            async def reminded(wanted: int = number) -> bool:
                return all([(await world.market.trade(each)).reminders == wanted for each in claims])

            await world.until(f"reminder {number} of both", reminded)
        (bill,) = await world.contract(wh=1_000, price=1_000)
        await world.deliver(bill, out=1_000)
        await world.reach(bill, "delivered")
        await world.pass_time(DAY)
        for contract in claims:
            await world.reach(contract, "claimed")

        async def cured(count: int) -> bool:
            states = [(await world.market.trade(each)).status.value for each in claims]
            return states.count("cured") == count

        for count, money in ((1, 2_000), (2, 2_500)):
            await world.pay_in("buyer", money)
            await world.until(f"{count} cured", partial(cured, count))
            await world.rounds(6)
            assert await cured(count)
            assert (await world.market.trade(bill)).status.value == "delivered"
        assert await world.balance("buyer") == 500
        assert await world.market.refusals() == []


async def test_the_terms_that_an_order_named_hold_for_its_contract_whatever_the_market_promises_today(
    tmp_path: Path,
) -> None:
    """The operator publishes other terms while a contract is young: partners and market wait as it was agreed, and the
    buyer pays the penalty that was agreed, not today's."""
    agreed = {"escrow": False, "penalty_bps": 1_000, "payment_due_s": DAY, "reminder_every_s": DAY}
    async with trading(tmp_path, terms=agreed) as world:
        await world.give("buyer", 1_000)
        (first,) = await world.contract(wh=1_000, price=1_000)
        await world.deliver(first, out=1_000)
        await world.reach(first, "confirmed")
        start = world.clock.now() + 2 * HOUR
        for name, side in (("seller", "offer"), ("buyer", "request")):
            await world.order(name, side, 1_000, 1_000, start)
            await world.nodes[name].work()
        await world.market.work()  # the match is signed and sent; nobody has looked at the contract yet
        await world.mine()
        world.terms = {**agreed, "penalty_bps": 0, "payment_due_s": DAY // 2, "provision_grace_s": 7_200}
        await world.restart("market")
        views = world.market.core.chain.market
        assert views is not None

        async def published() -> bool:
            assert world.market.market is not None
            await world.market.market.step()
            return (await views.terms(world.market.market.terms_id)).operator == world.operator

        await world.until("the new terms are on chain", published)
        for name in ("seller", "buyer"):
            await world.nodes[name].asset.join(world.market.url)

        async def watched() -> bool:
            trades = [t for node in world.nodes.values() for t in await node.trades() if t.contract_id != first]
            return len(trades) == 3 and all(t.watch is not None for t in trades)

        await world.until("all three watch the contract", watched)
        for node in world.nodes.values():
            (trade,) = [t for t in await node.trades() if t.contract_id != first]
            assert trade.watch is not None
            assert (trade.watch.waits.payment_due, trade.watch.waits.provision_grace) == (DAY, HOUR), node.name
        contract = trade.contract_id
        await world.deliver(contract, out=1_000)
        await world.reach(contract, "delivered")
        for _ in range(4):
            await world.pass_time(DAY)
            await world.rounds(6)
        await world.reach(contract, "claimed")
        await world.pay_in("buyer", 1_100)
        trade = await world.reach(contract, "cured")
        assert trade.steps[-1].amount == 1_100
