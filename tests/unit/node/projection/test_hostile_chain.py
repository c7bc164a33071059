"""The chain is never refused: what owners and strangers may write there again and again stops no reading of it."""

from __future__ import annotations

from node.projection import events as e
from node.projection import settlement_events as s
from node.projection.facts import KEPT_FINAL
from node.projection.order import Order, OrderStatus, reduce_order
from node.projection.source import Source, SourceStatus, reduce_source
from tests.unit.node.projection.alphabets import SELLER, SOURCE, order_terms
from tests.unit.node.projection.kit import PROVIDER, STRANGER, address, block, h32

REGISTRAR = address("R")


def test_an_owner_that_ends_its_own_pause_many_times_does_not_end_the_registrars() -> None:
    """Attack: each account pauses by itself, and only so many final facts are kept."""
    source = Source(SOURCE)
    pauses = [s.LoggedSourcePauseSet(block(7 + n), SOURCE, SELLER, False) for n in range(KEPT_FINAL + 4)]
    for event in (
        s.LoggedSourceRegistered(block(5), SOURCE, SELLER, address("d"), 100, 5_000, 1_000),
        s.LoggedSourcePauseSet(block(6), SOURCE, REGISTRAR, True),
        *pauses,
        e.LoggedFinalized(100, 1),
        s.LoggedSourcePauseSet(block(101), SOURCE, SELLER, False),
        e.LoggedFinalized(200, 1),
    ):
        source = reduce_source(source, event).state
    assert source.status is SourceStatus.PAUSED
    assert len(source.pauses) <= KEPT_FINAL + 1
    source = reduce_source(source, s.LoggedSourcePauseSet(block(201), SOURCE, REGISTRAR, False)).state
    assert source.status is SourceStatus.ACTIVE
    source = reduce_source(source, e.LoggedFinalized(300, 1)).state
    assert source.status is SourceStatus.ACTIVE


def test_strangers_who_cancel_an_order_do_not_push_out_its_owners_word() -> None:
    """Attack: anybody may cancel any id, also before the order itself is known."""
    order = Order(h32("o"))
    for event in (
        s.LoggedOrderCancelled(block(5), SELLER, h32("o")),
        *(s.LoggedOrderCancelled(block(6 + n), STRANGER, h32("o")) for n in range(KEPT_FINAL + 4)),
        s.ReceivedOrder(h32("o"), order_terms(), "{}", b"\x01" * 65, PROVIDER, 1),
        e.LoggedFinalized(100, 1),
    ):
        order = reduce_order(order, event).state
    assert order.status is OrderStatus.CANCELLED
    assert {each.account for each in order.cancelled} == {SELLER}
