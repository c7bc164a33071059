"""What an asset offers, reports and pays: M-8, M-9, M-43, M-45 to M-55, A-4, A-10, A-24."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.asset.errors import PaymentRefused
from node.services.asset.pool import MOST_WH, to_offer, to_request
from node.services.asset.rules import Bill, Ordered, check_bill, choose_bills, progress_moments, share_delivery

ME = b"\x01" * 20
ORDER = Ordered(b"r" * 32, ME, 1_000, 250)
BILL = Bill(b"c" * 32, ME, ORDER.order_id, 800, 200, 700, 140, 5)


@pytest.mark.parametrize(
    ("first", "last", "shares"),
    [(10, 15, (5, 0)), (10, 500, (100, 40)), (10, 10, (0, 0)), (10, 3, (0, 0)), (10, 130, (100, 20))],
)
def test_delivered_is_the_counters_difference_up_to_the_contracts(
    first: int, last: int, shares: tuple[int, int]
) -> None:
    """market.md: pay = min(delivered, contracted) x price; no Wh is sold twice."""
    one, two = b"a" * 32, b"b" * 32
    assert share_delivery(first, last, {two: 40, one: 100}) == {one: shares[0], two: shares[1]}


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.dictionaries(st.binary(min_size=1, max_size=4), st.integers(1, 10**6)),
)
def test_shares_never_exceed_what_was_counted_or_contracted(first: int, last: int, contracts: dict[bytes, int]) -> None:
    found = share_delivery(first, last, contracts)
    assert sum(found.values()) == min(max(0, last - first), sum(contracts.values()))
    assert all(0 <= found[key] <= contracts[key] for key in contracts)


def test_an_honest_bill_passes() -> None:
    check_bill(BILL, ORDER)
    check_bill(replace(BILL, due=141), ORDER)  # with what earlier fills left over


@pytest.mark.parametrize(
    ("bill", "field"),
    [
        (replace(BILL, request=b"x" * 32), "request"),
        (replace(BILL, buyer=b"\x02" * 20), "buyer"),
        (replace(BILL, wh=1_001), "energy"),
        (replace(BILL, delivered=801), "energy"),
        (replace(BILL, price=251, due=175), "price"),
        (replace(BILL, due=142), "due"),
        (replace(BILL, due=139), "due"),
    ],
)
def test_whatever_differs_from_the_order_is_not_paid(bill: Bill, field: str) -> None:
    """M-45, M-48 to M-51."""
    with pytest.raises(PaymentRefused) as refused:
        check_bill(bill, ORDER)
    assert refused.value.field == field


def test_a_contract_that_nobody_ordered_is_not_paid() -> None:
    """M-45."""
    with pytest.raises(PaymentRefused):
        check_bill(BILL, None)


@given(st.lists(st.integers(1, 50), max_size=25), st.integers(0, 400))
def test_the_oldest_are_paid_as_far_as_the_money_goes(dues: list[int], funds: int) -> None:
    """M-53 to M-55, A-24: first come first served, pay what fits, ten at the most."""
    bills = [replace(BILL, contract_id=bytes([n]) * 32, due=due, since=n) for n, due in enumerate(dues)]
    chosen = choose_bills(reversed(bills), funds)
    assert list(chosen) == bills[: len(chosen)]
    assert sum(bill.due for bill in chosen) <= funds
    assert len(chosen) <= 10
    if len(chosen) < min(10, len(bills)):
        assert sum(bill.due for bill in chosen) + bills[len(chosen)].due > funds


@pytest.mark.parametrize(
    ("end", "every", "found"),
    [(1_900, 300, [1_300, 1_600]), (1_900, 900, []), (1_900, 0, []), (1_000, 300, []), (1_900, 7, None)],
)
def test_m43_progress_is_told_within_the_delivery_and_not_too_often(
    end: int, every: int, found: list[int] | None
) -> None:
    """Neither at its ends, which are reported; a day in seconds has as many entries as there is room for."""
    moments = progress_moments(1_000, end, every, 24)
    assert found is None or list(moments) == found
    assert len(moments) <= 24
    assert all(1_000 < moment < end for moment in moments)
    assert len(progress_moments(0, 86_400, every or 1, 24)) <= 24


def test_a4_what_is_not_promised_is_offered_and_what_is_missing_is_asked_for() -> None:
    assert [to_offer(available, 100, 200) for available in (299, 300, 450, -5)] == [0, 200, 350, 0]
    assert [to_request(available, 100, 200) for available in (100, 99, -500)] == [0, 200, 600]


def test_a_meter_gone_mad_makes_no_order_that_nobody_can_sign() -> None:
    """Huge energy, told again and again: an order has at most what its message holds, and the rest waits."""
    huge = 5 * 2**63
    assert to_offer(huge, 0, 200) == MOST_WH < 2**63
    assert to_offer(huge, MOST_WH, 200) == MOST_WH
    assert to_request(-huge, 0, 200) == MOST_WH
