"""From a contract as the chain has it to a row of a statement: only what is final, settled and known."""

from __future__ import annotations

from dataclasses import replace

from node.app.trading.statements import delivery_of
from node.projection import settlement_events as s
from node.projection.base import Event
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.order import Order
from node.projection.trade import Trade, reduce_trade
from tests.unit.node.projection.kit import address, block, h32

SELLER, BUYER = address("s"), address("b")
TERMS = s.OrderTerms(True, SELLER, 1_500, 200_000, 900, 1_800, 900)
ORDERS = {h32("o"): Order(h32("o"), terms=TERMS)}
MADE = s.LoggedMatched(block(1), h32("c"), SELLER, BUYER, h32("o"), h32("r"), 1_000, 200_000, 200_000, True)


def said(height: int, who: bytes, wh: int) -> Event:
    return s.LoggedProvisioned(block(height), h32("c"), who, wh)


def settled(height: int, wh: int, due: int) -> Event:
    return s.LoggedDelivered(block(height), h32("c"), wh, due)


def trade(*events: Event) -> Trade:
    state = Trade(h32("c"))
    for event in (MADE, *events):
        state = reduce_trade(state, event).state
    return state


BOTH = (said(2, SELLER, 950), said(3, BUYER, 900), settled(3, 900, 180_000))


def test_a_final_delivery_is_a_row_with_what_each_meter_counted() -> None:
    row = delivery_of(trade(*BOTH, LoggedFinalized(3, 30)), ORDERS)
    assert row is not None
    assert (row.start, row.end, row.contracted, row.delivered, row.due) == (900, 1_800, 1_000, 900, 180_000)
    assert (row.by_seller, row.by_buyer) == (950, 900)


def test_what_a_reorganisation_may_take_back_is_in_no_statement() -> None:
    assert delivery_of(trade(*BOTH), ORDERS) is None
    assert delivery_of(trade(*BOTH, LoggedFinalized(2, 20)), ORDERS) is None
    assert delivery_of(trade(*BOTH, LoggedRolledBack(2), LoggedFinalized(2, 20)), ORDERS) is None
    assert delivery_of(Trade(h32("c")), ORDERS) is None


def test_a_payment_on_its_way_does_not_take_a_settled_delivery_back() -> None:
    paid = trade(*BOTH, LoggedFinalized(3, 30), s.LoggedPaid(block(4), h32("c"), 180_000))
    assert not paid.settled
    assert delivery_of(paid, ORDERS) == delivery_of(trade(*BOTH, LoggedFinalized(3, 30)), ORDERS)


def test_nothing_delivered_is_a_row_too() -> None:
    """All of it is shortfall; the contract on chain resolves at once, since nothing is owed."""
    none = (said(2, SELLER, 0), said(3, BUYER, 0), settled(3, 0, 0), LoggedFinalized(3, 30))
    row = delivery_of(trade(*none), ORDERS)
    assert row is not None
    assert (row.delivered, row.due, row.by_seller) == (0, 0, 0)


def test_a_contract_of_another_market_is_passed_over() -> None:
    done = trade(*BOTH, LoggedFinalized(3, 30))
    assert delivery_of(done, {}) is None
    assert delivery_of(done, {h32("o"): replace(ORDERS[h32("o")], terms=None)}) is None
    assert delivery_of(done, {h32("r"): Order(h32("r"), terms=replace(TERMS, sells=False))}) is not None


def test_a_contract_that_was_cancelled_for_a_fee_is_a_row_with_it() -> None:
    """One that lapsed, or was cancelled for nothing, is none."""
    for who, fee, wanted in ((SELLER, 20_000, (20_000, SELLER)), (BUYER, 0, None), (b"", 0, None)):
        cancelled = s.LoggedContractCancelled(block(2), h32("c"), who, fee)
        assert delivery_of(trade(cancelled), ORDERS) is None, "not before it is final"
        row = delivery_of(trade(cancelled, LoggedFinalized(2, 20)), ORDERS)
        assert (None if row is None else (row.fee, row.fee_by)) == wanted
        assert row is None or (row.delivered, row.due) == (0, 0)
