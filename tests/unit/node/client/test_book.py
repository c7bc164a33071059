"""What an asset ordered outlives a crash at any byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from keys.sealing import SealingKey
from keys.signers import LocalSigner
from node.client.book import OrderBook
from node.client.errors import MarketRefused
from node.client.link import Place
from node.errors import ConfigError, NodeUnreachable
from node.services.asset.rules import Ordered
from node.wire.consents import PartyCard
from node.wire.refusals import signed_refusal

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


OPERATOR, CHAIN, NOW = LocalSigner(b"\x21" * 32), 31337, 1_800_000_000
CARD = PartyCard(
    name="M", address=OPERATOR.address, sealing_key=SealingKey.generate().public_bytes, inbox_url="https://m.example"
)
PLACE = Place(OPERATOR.address, b"\x0c" * 32, CARD)


async def no_to(order: Ordered, signer: LocalSigner = OPERATOR) -> MarketRefused:
    """A market's answer with a signed no."""
    proof = (await signed_refusal(signer, order.order_id, "The gate is closed.", CHAIN, NOW)).to_json()
    return MarketRefused("https://market.example", 422, "order_refused", "The gate is closed.", proof)


async def test_a28_an_order_that_the_market_refused_stands_no_more(tmp_path: Path) -> None:
    """Not after a restart either; what was ordered besides stays."""
    path = tmp_path / "orders.jsonl"
    book = OrderBook(path)
    book.add(ORDERS[0])
    no = await no_to(ORDERS[1])
    with pytest.raises(MarketRefused), book.placing(ORDERS[1], PLACE, CHAIN, NOW, agreed=True):
        raise no
    assert path.read_bytes().count(b"\n") == 3, "it was on disk before it was sent"
    with book.placing(ORDERS[2], PLACE, CHAIN, NOW, agreed=False):
        pass
    for each in (book, OrderBook(path)):
        assert [each.get(order.order_id) for order in ORDERS] == [ORDERS[0], None, ORDERS[2]]
        assert not each.agreed(ORDERS[1].order_id)


async def test_attack_nobody_else_takes_an_order_out_of_the_book(tmp_path: Path) -> None:
    """Its market may have it: the bill for it is paid. So it is where nobody knows whether it arrived."""
    book = OrderBook(tmp_path / "orders.jsonl")
    unsigned = MarketRefused("http://market.example", 403, "refused", "no")
    silent = NodeUnreachable("https://market.example cannot be reached.")
    for answer in (unsigned, silent, await no_to(ORDERS[1], LocalSigner(b"\x22" * 32)), await no_to(ORDERS[2])):
        with pytest.raises(type(answer)), book.placing(ORDERS[1], PLACE, CHAIN, NOW, agreed=False):
            raise answer
        assert book.get(ORDERS[1].order_id) == ORDERS[1]
