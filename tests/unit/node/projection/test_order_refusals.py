"""An order that its market does not take (A-28): over at the asset at once, by that market's word alone, and only while
nothing of it was matched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from node.projection import settlement_events as s
from node.projection.aggregates import deadlines_of, index_of, reduce
from node.projection.base import Event, Peer
from node.projection.codec import CODEC
from node.projection.effects import NotifyOrderChanged
from node.projection.events import LoggedRolledBack
from node.projection.order import ORDER_MACHINE, Order, OrderStatus, reduce_order, seed_of_order
from tests.unit.node.projection.kit import address, block, h32

ASSET, MARKET, OTHER = address("a"), address("m"), address("x")
PEER = Peer(MARKET, "https://market.example", b"\x01" * 1216)
TERMS = s.OrderTerms(True, ASSET, 900, 200, 900, 1_800, 850)
PLACED = s.RequestedOrder(h32("o"), TERMS, "{}", b"\x01" * 65, "{}", PEER, 1)
REFUSED = s.ReceivedRefusal(h32("o"), MARKET, "The gate of this delivery is closed.", 2)


def matched(wh: int, height: int = 5, contract: str = "c") -> Event:
    terms = (h32(contract), ASSET, address("b"), h32("o"), h32("r"), wh, 200, wh // 5, True)
    return s.LoggedMatched(block(height), *terms)


def after(*events: Event) -> Order:
    order = Order(h32("o"))
    for event in events:
        order = reduce_order(order, event).state
    return order


def test_a28_a_refused_order_is_over_at_once_and_says_why() -> None:
    step = reduce_order(after(PLACED), REFUSED)
    assert (step.state.status, step.state.left) == (OrderStatus.REFUSED, 0)
    assert step.state.refused == "The gate of this delivery is closed."
    assert step.effects == (NotifyOrderChanged(h32("o"), "refused", 0, "The gate of this delivery is closed."),)
    assert index_of(step.state).status == "refused"
    assert deadlines_of(step.state) == ()
    assert seed_of_order(step.state) == "Cancelled"
    again = reduce_order(step.state, REFUSED)
    assert (again.state, again.effects) == (step.state, ())


def test_a_refusal_without_a_reason_is_one_all_the_same() -> None:
    order = after(PLACED, s.ReceivedRefusal(h32("o"), MARKET, "", 2))
    assert (order.status, bool(order.refused)) == (OrderStatus.REFUSED, True)


@pytest.mark.parametrize("who", [OTHER, ASSET, b""])
def test_attack_nobody_but_its_market_refuses_an_order(who: bytes) -> None:
    step = reduce_order(after(PLACED), s.ReceivedRefusal(h32("o"), who, "no", 2))
    assert (step.state, step.effects) == (after(PLACED), ())


def test_attack_at_the_market_a_taken_order_is_refused_by_nobody() -> None:
    """There an order is its sender's, whose node is the order's peer."""
    taken = after(s.ReceivedOrder(h32("o"), TERMS, "{}", b"\x01" * 65, PEER, 1))
    assert reduce_order(taken, REFUSED).state == taken
    assert reduce_order(Order(h32("o")), REFUSED).state == Order(h32("o"))


@pytest.mark.parametrize("wh", [100, 900])
def test_a_refusal_of_what_is_matched_changes_nothing(wh: int) -> None:
    order = after(PLACED, matched(wh))
    step = reduce_order(order, REFUSED)
    assert (step.state, step.effects) == (order, ())


def test_a_refusal_of_what_is_over_changes_nothing() -> None:
    for event in (s.DueOrderEnd(h32("o"), 851), s.LoggedOrderCancelled(block(4), ASSET, h32("o"))):
        order = after(PLACED, event)
        assert reduce_order(order, REFUSED).state == order


def test_what_the_chain_shows_goes_before_the_markets_no() -> None:
    """A market that refuses an order and matches it all the same: it is bound, and what is left of it stands again."""
    assert after(PLACED, REFUSED, matched(900)).status is OrderStatus.FILLED
    part = after(PLACED, REFUSED, matched(300))
    assert (part.status, part.left) == (OrderStatus.OPEN, 600)
    assert [each.at for each in deadlines_of(part)] == [851]
    assert after(PLACED, REFUSED, matched(300), s.DueOrderEnd(h32("o"), 851)).status is OrderStatus.ENDED
    for wh in (300, 900):
        assert after(PLACED, REFUSED, matched(wh), LoggedRolledBack(4)).status is OrderStatus.REFUSED
    assert after(PLACED, REFUSED, s.LoggedOrderCancelled(block(4), ASSET, h32("o"))).status is OrderStatus.CANCELLED


def test_the_table_leads_to_refused_and_the_event_goes_to_its_order() -> None:
    assert OrderStatus.REFUSED in ORDER_MACHINE.reachable()
    assert reduce(after(PLACED), REFUSED).state == after(PLACED, REFUSED)


def old(text: str, version: int, *without: str) -> str:
    """A stored value as a former version wrote it."""
    document: dict[str, Any] = json.loads(text)
    for name in without:
        del document["data"][name]
    return json.dumps({**document, "v": version}, sort_keys=True, separators=(",", ":"))


def test_orders_and_notices_of_former_versions_are_read() -> None:
    order = after(PLACED, matched(100))
    assert CODEC.decode(old(CODEC.encode(order), 3, "refused"), Order) == order
    told = NotifyOrderChanged(h32("o"), "open", 250, "")
    assert CODEC.decode(old(CODEC.encode(told), 1, "reason"), NotifyOrderChanged) == told
    refused = after(PLACED, REFUSED)
    assert CODEC.decode(CODEC.encode(refused), Order) == refused
