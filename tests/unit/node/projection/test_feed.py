"""What is announced: every notification is, or it takes something back and is told as undone."""

from __future__ import annotations

from node.projection.base import AggregateId
from node.projection.effects import EFFECTS, NotifyOrderChanged, NotifySourceChanged
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.feed import ANNOUNCED, Announcement, announce
from node.projection.order import Order
from node.projection.source import Source
from tests.unit.node.projection.kit import granted, h32

UNDOING = {"NotifyStreamUndone", "NotifyCommitUndone", "NotifyGrantUndone", "NotifyPairingUndone"}


def test_every_notification_is_announced_or_undoes_one() -> None:
    """A new effect without a rule would silently be missing from the feed."""
    announced = {effect.__name__ for effect in EFFECTS if effect.__name__.startswith("Notify")} - UNDOING
    assert len(ANNOUNCED) == len(set(ANNOUNCED)) == len(announced)


def test_kinds_name_their_aggregate_and_fit_their_column() -> None:
    assert all(len(kind) <= 32 and kind.count(".") == 1 for kind in ANNOUNCED)


def test_settlement_is_announced_in_whole_units() -> None:
    order, source = AggregateId("order", h32("o")), AggregateId("source", bytes(8))
    event = granted(7)
    found = announce(event, order, Order(h32("o")), (NotifyOrderChanged(h32("o"), "open", 250),))
    assert found == (Announcement("order.changed", order, {"status": "open", "left_wh": 250}, event.block, 7),)
    (changed,) = announce(event, source, Source(bytes(8)), (NotifySourceChanged(bytes(8), 3, 9_000),))
    assert changed.data == {"index": 3, "minted_mwh": 9_000}


def test_a_roll_back_announces_nothing_by_itself() -> None:
    order = AggregateId("order", h32("o"))
    told = (NotifyOrderChanged(h32("o"), "open", 250),)
    assert announce(LoggedRolledBack(3), order, Order(h32("o")), told) == ()
    assert announce(LoggedFinalized(3, 1), order, Order(h32("o")), told)[0].undo is None
