"""A debt that a netting left out is signed for once, unless the market refused that order and signed it (A-28)."""

from __future__ import annotations

import pytest

from keys import messages as m
from node.client.book import OrderBook
from node.client.errors import MarketRefused
from node.client.left import LeftDesk
from node.services.asset.rules import Ordered
from tests.unit.node.client.test_book import CHAIN, NOW, PLACE, no_to
from tests.unit.node.client.test_netted import line

DOMAIN = m.market_domain(CHAIN, b"\x0c" * 20)
BUYER = b"\x0b" * 20


async def test_a28_a_debt_whose_order_was_refused_is_signed_for_anew() -> None:
    """Attack beside it: an unsigned no has the same order sent again, for the market may have it."""
    book, body = OrderBook(), line(7, b"\x0a" * 20, BUYER, 900, 900)
    desk = LeftDesk(BUYER, book)
    first = desk.order(body, PLACE, NOW, DOMAIN, again=False)
    order = Ordered(m.digest(first, DOMAIN), BUYER, first.wh, first.price)
    for refused, same in ((MarketRefused("http://m.example", 403, "refused", "no"), True), (await no_to(order), False)):
        with pytest.raises(MarketRefused), book.placing(order, PLACE, CHAIN, NOW, agreed=True):
            raise refused
        assert (desk.order(body, PLACE, NOW + 60, DOMAIN, again=False) == first) is same
