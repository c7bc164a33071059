"""What an asset ordered outlives a crash at any byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.client.book import OrderBook
from node.errors import ConfigError
from node.services.asset.rules import Ordered

ORDERS = [Ordered(bytes([n]) * 32, b"\x0a" * 20, 1_000 + n, 2**79) for n in range(3)]


def test_orders_are_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    book = OrderBook(path)
    for order in ORDERS:
        book.add(order)
    again = OrderBook(path)
    assert [again.get(order.order_id) for order in ORDERS] == ORDERS
    assert again.get(b"\x09" * 32) is None
    assert OrderBook().get(ORDERS[0].order_id) is None


def test_a_line_that_was_not_finished_is_forgotten_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    book = OrderBook(path)
    book.add(ORDERS[0])
    whole = path.read_bytes()
    book.add(ORDERS[1])
    full = path.read_bytes()
    for cut in range(len(whole), len(full)):
        path.write_bytes(full[:cut])
        torn = OrderBook(path)
        assert torn.get(ORDERS[0].order_id) == ORDERS[0]
        assert torn.get(ORDERS[1].order_id) is None
        torn.add(ORDERS[2])
        assert OrderBook(path).get(ORDERS[2].order_id) == ORDERS[2]


def test_another_file_is_not_taken_for_orders(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n")
    with pytest.raises(ConfigError):
        OrderBook(path)
    assert path.read_text() == "buy milk\n"


def test_what_was_delivered_before_is_known_as_that_after_a_restart(tmp_path: Path) -> None:
    """An order for what a netting left out; a file from before that was kept names none."""
    path = tmp_path / "orders.jsonl"
    book = OrderBook(path)
    book.add(ORDERS[0], agreed=True)
    book.add(ORDERS[1])
    assert [OrderBook(path).agreed(order.order_id) for order in ORDERS] == [True, False, False]
    old = '{"version": 1, "id": "%s", "account": "%s", "wh": 5, "price": 7}\n'
    path.write_text(old % (ORDERS[2].order_id.hex(), ORDERS[2].account.hex()))
    again = OrderBook(path)
    assert (again.get(ORDERS[2].order_id) is not None, again.agreed(ORDERS[2].order_id)) == (True, False)
