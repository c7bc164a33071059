"""What an engine proposes is checked against what was signed (market.md, Matching; M-31, A-1, A-16, A-25)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.market.book import Fill
from node.services.market.errors import MatchRefused
from node.services.market.matching import Standing, amount_due, check_fill

OPERATOR = b"\x0a" * 20
OFFER = Standing(b"o" * 32, b"\x01" * 20, True, 1_000, 200, 150, OPERATOR, 100, 200, 90)
REQUEST = Standing(b"r" * 32, b"\x02" * 20, False, 900, 0, 250, OPERATOR, 100, 200, 80)
FILL = Fill(OFFER.key, REQUEST.key, 800, 150)


def test_what_both_signed_is_accepted_to_the_last_wh_and_second() -> None:
    check_fill(FILL, OFFER, REQUEST, OPERATOR, 80)
    check_fill(FILL._replace(price=250), OFFER, REQUEST, OPERATOR, 80)


@pytest.mark.parametrize(
    ("fill", "offer", "request_", "now", "field"),
    [
        (FILL._replace(wh=801), OFFER, REQUEST, 80, "energy"),
        (FILL._replace(wh=0), OFFER, REQUEST, 80, "energy"),
        (FILL._replace(wh=-5), OFFER, REQUEST, 80, "energy"),
        (FILL._replace(price=149), OFFER, REQUEST, 80, "price"),
        (FILL._replace(price=251), OFFER, REQUEST, 80, "price"),
        (FILL, OFFER, REQUEST, 81, "until"),
        (FILL, OFFER, replace(REQUEST, party=OFFER.party), 80, "request"),
        (FILL, OFFER, replace(REQUEST, operator=b"\x0b" * 20), 80, "operator"),
        (FILL, replace(OFFER, operator=b"\x0b" * 20), REQUEST, 80, "operator"),
        (FILL, OFFER, replace(REQUEST, end=201), 80, "start"),
        (FILL, replace(OFFER, sells=False), REQUEST, 80, "offer"),
        (FILL, OFFER, replace(REQUEST, sells=True), 80, "offer"),
        (FILL._replace(offer=REQUEST.key), OFFER, REQUEST, 80, "offer"),
    ],
)
def test_a_lying_engine_or_operator_is_refused(
    fill: Fill, offer: Standing, request_: Standing, now: int, field: str
) -> None:
    with pytest.raises(MatchRefused) as refused:
        check_fill(fill, offer, request_, OPERATOR, now)
    assert refused.value.field == field


@given(st.lists(st.integers(0, 10**9), max_size=30), st.integers(0, 10**12))
def test_parts_of_a_delivery_sum_to_the_whole(parts: list[int], price: int) -> None:
    """contracts.md, Market: floor(total Wh x price / 1000), cumulative."""
    total, settled = 0, 0
    for part in parts:
        total += part
        due = amount_due(total, price, settled)
        assert due >= 0
        settled += due
    assert settled == sum(parts) * price // 1000


@pytest.mark.parametrize("bad", [(-1, 1, 0), (1, -1, 0), (1, 1, -1)])
def test_negative_energy_and_money_are_refused(bad: tuple[int, int, int]) -> None:
    with pytest.raises(MatchRefused):
        amount_due(*bad)
