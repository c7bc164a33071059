"""Two assets and a market in one process on a real chain: the life of a contract, by the roles alone (M-29 to M-42)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from node.projection.base import Block
from node.projection.settlement_events import LoggedMatched
from node.storage.views import Views
from tests.support.tradeworld import HOUR, trading, unpaid

pytestmark = pytest.mark.chain


async def test_m29_to_m35_from_offer_to_confirmed(tmp_path: Path) -> None:
    """Both report what their meters counted, the buyer pays what is owed, the seller confirms; all by themselves.

    M-34: the buyer paid, and the chain shows it; M-35: the seller saw it there, at finality, and the contract is over.
    M-83: provider, consumer and market operator, each a node of its own with keys of its own.
    """
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract(wh=1_000, price=200)
        assert await world.balance("buyer") == 1_000_000 - 200, "a buyer without history is held to escrow (A-23)"
        await world.deliver(contract, out=700)
        trade = await world.reach(contract, "confirmed")
        delivered = trade.delivered
        assert delivered is not None
        assert (delivered.wh, delivered.amount, trade.paid) == (700, 140, 140)
        assert [step.status.value for step in trade.steps] == ["reported", "reported", "delivered", "paid", "confirmed"]
        assert await world.balance("buyer") == 1_000_000 - 140, "what was reserved above it came back"
        assert await world.balance("seller") == 140
        names = ("market", "seller", "buyer")
        assert len({world.nodes[name].core.signer.address for name in names}) == 3
        for name in names:
            assert await world.nodes[name].refusals() == []


async def test_a_round_in_which_nothing_changed_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of a round is what happened since the last one: with two open contracts, none."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        await world.contract(count=2)
        await world.rounds(4)
        looked: list[str] = []
        for name in ("one", "page", "get", "many"):
            original = getattr(Views, name)

            def counting(self: Views, *args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
                looked.append(_name)
                return _original(self, *args, **kwargs)

            monkeypatch.setattr(Views, name, counting)
        for node in world.nodes.values():
            await node.asset.step()
        await world.market.market.duties.step()  # type: ignore[union-attr]
        assert looked == []


async def test_contracts_beyond_any_page_are_found_at_the_start(tmp_path: Path) -> None:
    """More than a thousand open contracts: a node that comes back has every one of them in hand."""
    many = 1_203
    async with trading(tmp_path) as world:
        seller = world.nodes["seller"]
        offer = await world.order("seller", "offer", many, 200, world.clock.now() + 2 * HOUR)
        account, block = seller.asset.account(world.operator).address, Block(3, b"\x0b" * 32)
        made = [
            LoggedMatched(block, n.to_bytes(32, "big"), account, b"\x0c" * 20, offer, b"\x0d" * 32, 1, 200, 0, False, 9)
            for n in range(1, many + 1)
        ]
        world.off.add("seller")
        await seller.core.storage.journal.apply(made)
        seller = await world.restart("seller")
        await seller.asset.step()
        found = [t for t in await seller.trades() if t.watch is not None and t.watch.seller]
        assert len(found) == many


async def test_a_node_that_was_off_for_a_week_catches_up(tmp_path: Path) -> None:
    """The seller is off from before the payment until a week later: then it confirms, and it said nothing twice."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 1_000_000)
        (contract,) = await world.contract()
        await world.deliver(contract, out=1_000)
        await world.reach(contract, "delivered")
        world.off.add("seller")
        await world.reach(contract, "paid")
        await world.pass_time(7 * 24 * HOUR)
        await world.rounds(2)
        assert (await world.market.trade(contract)).status.value == "paid"
        world.off.remove("seller")
        await world.restart("seller")
        await world.reach(contract, "confirmed")
        assert await world.market.refusals() == []


async def test_a_seller_who_was_off_a_week_reminds_once_at_a_time(tmp_path: Path) -> None:
    """All reminders are overdue, and still each waits for the one before: nobody is reminded twice at once. M-39: what
    is pending is looked through at both after the week, and the buyer has what it owes in its queue again."""
    async with trading(tmp_path, terms={"escrow": False}) as world:
        contract = await unpaid(world)
        world.off |= {"seller", "buyer"}
        await world.pass_time(7 * 24 * HOUR)
        world.off.remove("seller")
        await world.restart("seller")
        await world.rounds(8)
        assert (await world.market.trade(contract)).reminders == 1
        await world.pass_time(24 * HOUR)
        await world.rounds(8)
        assert (await world.market.trade(contract)).reminders == 2
        assert await world.market.refusals() == []
        world.off.remove("buyer")
        buyer = await world.restart("buyer")
        await world.rounds(3)
        assert buyer.asset.trades.payments.owed(world.operator) == (contract,)


async def test_matches_of_one_moment_share_a_transaction_and_one_refused_sinks_no_other(tmp_path: Path) -> None:
    """Each of three could be paid, all of them together not: two stand, of the third the chain says why."""
    async with trading(tmp_path) as world:
        await world.give("buyer", 500)
        start = world.clock.now() + 2 * HOUR
        world.off.add("market")
        for _ in range(3):
            await world.order("seller", "offer", 1_000, 200, start)
            await world.order("buyer", "request", 1_000, 200, start)
        await world.rounds(2)
        world.off.discard("market")
        sender = world.market.core.chain.sender.address
        before = await world.devnet.rpc.nonce(sender)

        async def told() -> bool:
            return len(await world.market.trades()) == 2 and bool(await world.market.refusals())

        await world.until("two contracts stand and one was refused", told)
        assert await world.devnet.rpc.nonce(sender) == before + 1
        assert [(kind, reason[:11]) for kind, reason in await world.market.refusals()] == [("Match", "The balance")]
        assert await world.balance("buyer") == 500 - 2 * 200
