"""The strict rule of the seed (A-1, M-23 to M-26)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from node.services.market.engine import Fill, Quote
from node.services.market.seed import SeedEngine
from tests.unit.services.market.kit import PLAIN_ORDERS, SLOT, assert_conserved, offer, request


@pytest.mark.parametrize(
    ("wanted", "offered", "limit", "price", "matched"),
    [(5, 6, 11, 10, True), (6, 6, 11, 10, False), (5, 6, 10, 10, False), (7, 6, 11, 10, False), (5, 6, 9, 10, False)],
)
def test_strictly_less_energy_and_a_strictly_higher_price(
    wanted: int, offered: int, limit: int, price: int, matched: bool
) -> None:
    """A-1: request energy < offered energy and offered price < requested price; energy of the request, price of the
    offer, whichever came first."""
    placed = [offer("o", price, offered), request("r", limit, wanted)]
    for steps in (placed, placed[::-1]):
        engine = SeedEngine(SLOT)
        fills = [fill for order in steps for fill in engine.add(order)]
        assert fills == ([Fill(b"o", b"r", wanted, price)] if matched else [])


def test_neither_order_is_matched_again() -> None:
    """One to one: what is left of the offer goes to nobody, not after a restart either."""
    engine = SeedEngine(SLOT)
    big = offer("o", 10, 100)
    engine.add(big)
    assert len(list(engine.add(request("r", 11, 5)))) == 1
    assert list(engine.add(request("s", 11, 5))) == []
    engine.add(replace(big, wh=95, filled=5))
    assert list(engine.add(request("t", 11, 5))) == []


@settings(max_examples=200, deadline=None)
@given(PLAIN_ORDERS)
def test_each_order_once_and_nothing_else(placed: list[Quote]) -> None:
    engine = SeedEngine(SLOT)
    fills = [fill for order in placed for fill in engine.add(order)]
    assert_conserved(placed, fills)
    named = [key for fill in fills for key in (fill.offer, fill.request)]
    assert len(named) == len(set(named))
    again = SeedEngine(SLOT)
    assert fills == [fill for order in placed for fill in again.add(order)]
    free = [order for order in placed if order.key not in named]
    for sold in (o for o in free if o.sells):
        for bought in (o for o in free if not o.sells and o.party != sold.party):
            assert not (bought.wh < sold.wh and sold.price < bought.price)
