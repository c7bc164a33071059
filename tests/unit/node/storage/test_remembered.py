"""A state is made of its text once, and never of another text than the one that was read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.projection import settlement_events as s
from node.projection.codec import CODEC
from node.projection.errors import CodecError
from node.projection.order import Filling, Order, OrderStatus
from node.projection.trade import Trade, TradeStatus
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.remembered import Remembered
from node.storage.views import Views
from tests.unit.node.projection.kit import address, block, h32

KEY = h32("k")
PLAIN, MOVED = Trade(KEY), Trade(KEY, status=TradeStatus.MATCHED)


def test_the_same_text_gives_the_same_state_and_another_text_another_one() -> None:
    remembered = Remembered()
    text = remembered.write("trade", KEY, MOVED)
    assert text == CODEC.encode(MOVED)
    assert remembered.read("trade", KEY, text) is MOVED
    assert remembered.read("trade", KEY, CODEC.encode(PLAIN)) == PLAIN
    assert remembered.read("trade", KEY, text) == MOVED
    assert remembered.read_once("trade", h32("x"), CODEC.encode(PLAIN)) == PLAIN
    with pytest.raises(CodecError):
        remembered.read("trade", KEY, text + " x")


def test_no_more_is_kept_than_was_said() -> None:
    size = len(CODEC.encode(PLAIN))
    remembered = Remembered(most=3 * size)
    for number in range(100):
        remembered.write("trade", bytes([number]) * 32, PLAIN)
        remembered.write("trade", bytes([number]) * 32, PLAIN)
    assert len(remembered._states) == 3
    assert remembered._size == 3 * size


async def test_what_was_undone_is_not_remembered(database: Database, journal: Journal) -> None:
    """A transaction that fails after its states were written leaves what was there before."""
    views, partners = Views(database), (address("s"), address("b"), h32("o"), h32("r"))
    made = s.LoggedMatched(block(1), KEY, *partners, 1_000, 200, 200, True)
    await journal.apply([made])
    before = await views.one(Trade, KEY)
    state = Trade(KEY, TradeStatus.PAID)
    database.remembered.write("trade", KEY, state)  # as a transaction does that is undone afterwards
    assert await views.one(Trade, KEY) == before
    assert (await views.many(Trade, [KEY]))[KEY] == before
    assert await journal.verify() == 1


def test_a_changed_state_has_the_text_that_a_fresh_one_has() -> None:
    """What is taken over from the text before is cut at the right places, whatever stands in the fields."""
    remembered, order = Remembered(), Order(KEY)
    for changed in (
        replace(order, body='{"a":"\\",\\"details\\":"}', details="ä\u2028"),
        replace(order, fills=(Filling(block(3), False, h32("c"), 7),)),
        replace(order, fills=(Filling(block(3), True, h32("c"), 7),), over=True, body="x"),
        replace(order, body="x", at=5, peer=None, status=OrderStatus.OPEN),
        order,
    ):
        again = replace(changed, signature=b"s")
        for state in (changed, again, replace(again, settled_wh=9), PLAIN if changed is order else again, again):
            assert remembered.write("order", KEY, state) == CODEC.encode(state)


def test_after_a_reading_all_is_written_anew() -> None:
    remembered = Remembered()
    known = remembered.read("trade", KEY, CODEC.encode(MOVED))
    assert isinstance(known, Trade)
    changed = replace(known, status=TradeStatus.PAID)
    assert remembered.write("trade", KEY, changed) == CODEC.encode(changed)


def test_what_is_gone_takes_no_room() -> None:
    remembered = Remembered()
    text = remembered.write("trade", KEY, MOVED)
    assert remembered.shown("trade", KEY, MOVED) is remembered.shown("trade", KEY, MOVED)
    assert remembered.shown("trade", KEY, PLAIN).shown.status == "none", "another state is shown for what it is"
    remembered.forget("trade", KEY)
    remembered.forget("trade", KEY)
    assert (remembered._size, remembered._states, remembered._shown) == (0, {}, {})
    assert remembered.read("trade", KEY, text) == MOVED
