"""States page by page: none is passed over, also where one event made two."""

from __future__ import annotations

import pytest

from node.projection import settlement_events as s
from node.projection.order import Order
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.views import Views
from tests.unit.node.projection.kit import address, block, h32


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
async def test_two_orders_that_one_match_told_of_stand_on_one_page(
    journal: Journal, database: Database, limit: int
) -> None:
    orders = [(f"o{n}", f"r{n}") for n in range(4)]
    for height, (offer, request) in enumerate(orders, 1):
        sides = (address("s"), address("b"), h32(offer), h32(request))
        await journal.apply([s.LoggedMatched(block(height), h32(f"c{height}"), *sides, 1_000, 200, 200, True)])
    seen, before = list[bytes](), None
    while rows := await Views(database).page(Order, before=before, limit=limit):
        seen += [order.order_id for _, order in rows]
        before = rows[-1][0]
    assert len(seen) == len(set(seen))
    assert set(seen) == {h32(name) for pair in orders for name in pair}
