"""The timers of a contract, from its state alone: A-10, A-12 to A-14, M-36, M-37, and the table of waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from node.projection import events as e
from node.projection import settlement_events as s
from node.projection.aggregates import deadlines_of, initial, reduce
from node.projection.base import AggregateId, Event
from node.projection.effects import NotifyTradeDue, NotifyTradeMoved
from node.projection.trade import Trade, TradeStatus
from node.projection.tradedue import OVER, TRY_AGAIN_S, UNPAID, TradeDue, seed_of
from tests.unit.node.projection.alphabets import BUYER, SELLER, matched
from tests.unit.node.projection.kit import block, h32

C = h32("c")
WAITS = s.Waits(
    start=1_000,
    end=2_000,
    start_grace=60,
    provision_grace=600,
    payment_due=7_000,
    reminder_every=8_000,
    dispute_window=90_000,
    ruling_window=95_000,
)


def watch(*, seller: bool = False, buyer: bool = False, operator: bool = False) -> s.RequestedTradeWatch:
    return s.RequestedTradeWatch(C, WAITS, seller, buyer, operator, 900)


def after(*events: Event) -> Trade:
    state: Any = initial(AggregateId("trade", C))
    for event in events:
        state = reduce(state, event).state
    assert isinstance(state, Trade)
    return state


REPORTED = s.LoggedProvisioned(block(6), C, SELLER, 8, 2_100)
DELIVERED = s.LoggedDelivered(block(8), C, 8, 5, 3_000)


def reminded(number: int) -> s.LoggedReminded:
    return s.LoggedReminded(block(10 + number), C, number, 10_000 + number)


CLAIMED = s.LoggedClaimIssued(block(20), C, 6, 0, h32("e"), 50_000)


@pytest.mark.parametrize(
    ("what", "events", "wanted"),
    [
        ("the seller reports after the end", (watch(seller=True), matched(5)), [(TradeDue.REPORT, 2_000)]),
        ("the buyer answers", (watch(buyer=True), matched(5), REPORTED), [(TradeDue.REPORT, 2_000)]),
        ("who reported waits", (watch(seller=True), matched(5), REPORTED), []),
        ("reminder 1 at T (A-13)", (watch(seller=True), matched(5), REPORTED, DELIVERED), [(TradeDue.REMIND, 10_000)]),
        (
            "reminder 2 at 2T",
            (watch(seller=True), matched(5), REPORTED, DELIVERED, reminded(1)),
            [(TradeDue.REMIND, 18_001)],
        ),
        (
            "the claim at 4T (M-37)",
            (watch(seller=True), matched(5), REPORTED, DELIVERED, *map(reminded, (1, 2, 3))),
            [(TradeDue.CLAIM, 18_003)],
        ),
        (
            "no reminder after the claim (A-14)",
            (watch(seller=True), matched(5), REPORTED, DELIVERED, *map(reminded, (1, 2, 3)), CLAIMED),
            [],
        ),
        ("a buyer reminds nobody", (watch(buyer=True), matched(5), REPORTED, DELIVERED), []),
        ("nobody says anything", (watch(operator=True), matched(5)), [(TradeDue.LAPSE, 92_600)]),
        ("one report stands (A-10)", (watch(operator=True), matched(5), REPORTED), [(TradeDue.STAND, 2_700)]),
        (
            "the smaller of two (A-10)",
            (watch(operator=True), matched(5), REPORTED, s.LoggedProvisioned(block(7), C, BUYER, 3, 2_200)),
            [(TradeDue.SMALLER, 92_200)],
        ),
        (
            "a claim is collected",
            (watch(operator=True), matched(5), REPORTED, DELIVERED, CLAIMED),
            [(TradeDue.COLLECT, 140_000)],
        ),
        (
            "a dispute is closed",
            (
                watch(operator=True), matched(5), REPORTED, DELIVERED, CLAIMED,
                s.LoggedDisputed(block(21), C, h32("y"), 60_000),
            ),
            [(TradeDue.CLOSE, 155_000)],
        ),
        (
            "after the ruling at once",
            (
                watch(operator=True), matched(5), REPORTED, DELIVERED, CLAIMED,
                s.LoggedDisputed(block(21), C, h32("y"), 60_000), s.LoggedRuled(block(22), C, 4, 61_000),
            ),
            [(TradeDue.COLLECT, 61_000)],
        ),
    ],
)  # fmt: skip
def test_a12_what_is_due_when(what: str, events: tuple[Event, ...], wanted: list[tuple[TradeDue, int]]) -> None:
    trade = after(*events)
    assert list(trade.waits_for()) == wanted, what
    assert [each.at for each in deadlines_of(trade)] == [at for _, at in wanted]


def test_nothing_is_due_once_it_is_over() -> None:
    for status in OVER:
        trade = replace(after(watch(seller=True, buyer=True, operator=True), matched(5)), status=status)
        assert trade.waits_for() == ()
    assert {TradeStatus.CLAIMED, TradeStatus.DISPUTED, TradeStatus.PAID} & OVER == set()


def test_what_falls_due_is_told_once_and_again_while_it_is_not_done() -> None:
    trade = after(watch(seller=True), matched(5), REPORTED, DELIVERED)
    early = reduce(trade, s.DueTradeStep(C, 9_999))
    assert early.state == trade
    assert early.effects == ()
    told = reduce(trade, s.DueTradeStep(C, 10_500))
    assert told.effects == (NotifyTradeDue(C, "remind"),)
    assert [each.at for each in deadlines_of(told.state)] == [10_500 + TRY_AGAIN_S]
    assert reduce(told.state, s.DueTradeStep(C, 10_600)).effects == ()
    again = reduce(told.state, s.DueTradeStep(C, 10_500 + TRY_AGAIN_S))
    assert again.effects == (NotifyTradeDue(C, "remind"),)
    done = reduce(again.state, reminded(1))
    assert [each.at for each in deadlines_of(done.state)] == [18_001]


def test_a_reminder_is_a_move_and_a_reorg_takes_it_back() -> None:
    trade = after(watch(seller=True), matched(5), REPORTED, DELIVERED)
    step = reduce(trade, reminded(1))
    assert NotifyTradeMoved(C, "delivered") in step.effects
    back = reduce(step.state, e.LoggedRolledBack(9))
    assert NotifyTradeMoved(C, "delivered") in back.effects
    assert [each.at for each in deadlines_of(back.state)] == [10_000]


def test_two_parts_of_one_node_are_watched_together() -> None:
    trade = after(matched(5), watch(seller=True), watch(operator=True))
    assert {step for step, _ in trade.waits_for()} == {TradeDue.REPORT, TradeDue.LAPSE}
    assert [each.at for each in deadlines_of(trade)] == [2_000]


def test_m32_m33_m40_the_names_of_the_life_cycle() -> None:
    """Both partners have finished (M-32) before payment is requested, which waits until the delivery is final (M-33).
    M-40: four names in which a contract may still have to be paid; what is over has none of them."""
    assert seed_of(TradeStatus.CONTESTED, True) == seed_of(TradeStatus.DELIVERED, False) == "Energy provision finished"
    assert seed_of(TradeStatus.DELIVERED, True) == "Payment requested"
    assert {"Energy provision finished", "Payment requested", "Payment processed", "Claim issued"} == UNPAID
    found = {status for status in TradeStatus for final in (False, True) if seed_of(status, final) in UNPAID}
    assert not found & OVER
    assert found == {
        TradeStatus.CONTESTED, TradeStatus.DELIVERED, TradeStatus.PAID, TradeStatus.CLAIMED, TradeStatus.DISPUTED,
    }  # fmt: skip
