"""Statement lines: measured delivery against contract, imbalance and grid fees apart, and everything sums to zero."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.settlement.errors import StatementRefused
from node.services.settlement.invoices import Bill, Period
from node.services.settlement.lines import Delivery, Kind, Line, lines_of
from node.services.settlement.tariff import GridFee, Tariff, Tariffs
from tests.unit.services.settlement.kit import (
    BUYER,
    GRID,
    NORTH,
    OPERATOR,
    QUARTER,
    SELLER,
    SOUTH,
    deliveries,
    delivery,
    some_tariffs,
    tariffs,
)

WHOLE = (0, 10**6)


def kinds(lines: list[Line]) -> list[tuple[Kind, bytes, bytes, int, int]]:
    return [(line.kind, line.debtor, line.creditor, line.wh, line.amount) for line in lines]


def test_g4_g7_pays_what_was_delivered_and_settles_the_rest_apart() -> None:
    """1.5 kWh agreed at 0.2, 1.2 kWh delivered: 0.24 for the seller, a shortfall of 0.3 kWh, the grid's fee."""
    found = lines_of(delivery(1_500, 1_200), tariffs(shortfall=300_000))
    assert kinds(found) == [
        (Kind.ENERGY, BUYER, SELLER, 1_200, 240_000),
        (Kind.SHORTFALL, SELLER, OPERATOR, 300, 90_000),
        (Kind.GRID_FEE, BUYER, GRID, 1_200, 12_000),
    ]
    assert {line.area for line in found} == {NORTH}


def test_g7_energy_beyond_the_contract_is_never_at_the_contracts_price() -> None:
    found = lines_of(delivery(1_000, 1_000, by_seller=1_250, by_buyer=1_100), tariffs(feed_in=50_000, overdraw=400_000))
    assert kinds(found)[:3] == [
        (Kind.ENERGY, BUYER, SELLER, 1_000, 200_000),
        (Kind.EXCESS, OPERATOR, SELLER, 250, 12_500),
        (Kind.EXCESS, BUYER, OPERATOR, 100, 40_000),
    ]


def test_g7_a_shortfall_is_borne_by_the_side_that_fell_short() -> None:
    """The seller made 900 of 1,000, the buyer took 700: 100 are the seller's, 200 the buyer's."""
    found = lines_of(delivery(1_000, 700, by_seller=900, by_buyer=700), tariffs(shortfall=100_000))
    assert kinds(found)[1:3] == [
        (Kind.SHORTFALL, SELLER, OPERATOR, 100, 10_000),
        (Kind.SHORTFALL, BUYER, OPERATOR, 200, 20_000),
    ]


def test_g4_a_grid_fee_may_be_a_share_and_differs_by_area() -> None:
    shared = Tariffs(OPERATOR, [Tariff(fees={SOUTH: GridFee(GRID, bps=500)})], SOUTH)
    assert kinds(lines_of(delivery(1_000, 1_000), shared))[1] == (Kind.GRID_FEE, BUYER, GRID, 1_000, 10_000)
    elsewhere = Tariffs(OPERATOR, [Tariff(fees={SOUTH: GridFee(GRID, bps=500)})], NORTH)
    assert [line.kind for line in lines_of(delivery(1_000, 1_000), elsewhere)] == [Kind.ENERGY]


def test_a_tariff_holds_from_its_time_on() -> None:
    both = Tariffs(OPERATOR, [Tariff(2_000, shortfall=9_000), Tariff(0, shortfall=1_000)])
    assert lines_of(delivery(1_000, 0), both)[1].amount == 1_000  # begins at 1,800
    assert both.at(2_000).shortfall == 9_000
    assert Tariffs(OPERATOR, [Tariff(5_000, shortfall=7)]).at(4_999).shortfall == 0


def test_what_the_contract_rounded_to_is_what_the_line_says() -> None:
    """A fill hands on its fraction, so a later one may be owed one minor unit more; two would be an error."""
    assert lines_of(delivery(3, 3, price=500, due=2), tariffs())[0].amount == 2
    with pytest.raises(StatementRefused, match="due"):
        lines_of(delivery(3, 3, price=500, due=3), tariffs())


@pytest.mark.parametrize(
    "bad",
    [
        delivery(10, 11), delivery(10, -1, due=0), delivery(10, 5, price=-1, due=0),
        delivery(10, 5)._replace(end=1_800), delivery(10, 5)._replace(seller=BUYER),
    ],
)  # fmt: skip
def test_figures_that_contradict_each_other_make_no_statement(bad: Delivery) -> None:
    with pytest.raises(StatementRefused):
        lines_of(bad, tariffs())


@pytest.mark.parametrize("fee", [{"per_kwh": -1}, {"bps": 10_001}, {"bps": -1}, {"bps": 1, "per_kwh": 1}])
def test_senseless_fees_and_tariffs_are_refused(fee: dict[str, int]) -> None:
    with pytest.raises(StatementRefused):
        GridFee(GRID, **fee)
    with pytest.raises(StatementRefused):
        Tariff(shortfall=-1)
    with pytest.raises(StatementRefused, match="one time"):
        Tariffs(OPERATOR, [Tariff(5), Tariff(5)])


@given(st.lists(deliveries(), max_size=12), some_tariffs(), st.sampled_from(Period), st.randoms())
def test_every_statement_balances_in_any_order(
    some: list[Delivery], chosen: Tariffs, period: Period, chance: random.Random
) -> None:
    """5c: over all parties, operator and grids included, the sum is zero; no order changes an invoice."""
    lines = [line for each in some for line in lines_of(each, chosen)]
    bill = Bill(OPERATOR, WHOLE, period)
    bill.add(lines)
    assert bill.balance == 0
    assert sum(invoice.total for invoice in bill.invoices()) == 0
    chance.shuffle(lines)
    again = Bill(OPERATOR, WHOLE, period)
    for line in lines:
        again.add([line])
    assert again.invoices() == bill.invoices()
    assert again.lines == len(lines)


@given(deliveries(), some_tariffs())
def test_the_lines_of_a_contract_conserve_its_energy(one: Delivery, chosen: Tariffs) -> None:
    """Agreed energy is delivered or short, never both and never lost; nothing is negative; one energy line."""
    found = lines_of(one, chosen)
    count = Counter(line.kind for line in found)
    assert count[Kind.ENERGY] == 1
    assert count[Kind.GRID_FEE] <= 1
    short = sum(line.wh for line in found if line.kind is Kind.SHORTFALL)
    assert found[0].wh + short == one.contracted
    assert all(line.wh >= 0 and line.amount >= 0 and line.debtor != line.creditor for line in found)
    beyond = {line.creditor if line.creditor == one.seller else line.debtor: line.wh
              for line in found if line.kind is Kind.EXCESS}  # fmt: skip
    assert beyond.get(one.seller, 0) == max(0, (one.by_seller or 0) - one.contracted)
    assert beyond.get(one.buyer, 0) == max(0, (one.by_buyer or 0) - one.contracted)


def test_g8_invoices_by_day_and_month_add_up_to_the_whole() -> None:
    """Periods are cut to the statement's; a number is the same whoever makes the invoice."""
    day = 86_400
    some = [delivery(1_000, 900)._replace(start=n * day // 2, end=n * day // 2 + QUARTER) for n in range(120)]
    lines = [line for each in some for line in lines_of(each, tariffs(shortfall=5_000))]
    whole = (day // 2, 45 * day)
    totals = {}
    for period in Period:
        bill = Bill(OPERATOR, whole, period)
        bill.add(line for line in lines if whole[0] <= line.start < whole[1])
        found = bill.invoices()
        assert len({invoice.number for invoice in found}) == len(found)
        assert min(invoice.start for invoice in found) == whole[0]
        assert max(invoice.end for invoice in found) == whole[1]
        totals[period] = {party: sum(i.total for i in found if i.party == party) for party in (SELLER, BUYER, GRID)}
    assert totals[Period.ALL] == totals[Period.MONTH] == totals[Period.DAY]


def test_a_cancelled_contract_has_its_fee_and_nothing_else() -> None:
    """The one who cancelled pays the other; no shortfall and no grid fee, since nobody owed energy any more."""
    for who, other in ((SELLER, BUYER), (BUYER, SELLER)):
        made = delivery(1_000, 0)._replace(fee=500, fee_by=who)
        (line,) = lines_of(made, tariffs(shortfall=300_000))
        assert (line.kind, line.debtor, line.creditor, line.amount) == (Kind.CANCELLATION, who, other, 500)
    free = lines_of(delivery(1_000, 0)._replace(fee=0, fee_by=SELLER), tariffs())
    assert [line.amount for line in free] == [0]


@pytest.mark.parametrize(
    "wrong",
    [{"fee": -1}, {"delivered": 5, "due": 1_000}, {"due": 1}, {"fee_by": b"\x09" * 20}, {"fee_by": None}],
)
def test_a_cancellation_that_contradicts_itself_is_refused(wrong: dict[str, Any]) -> None:
    made = delivery(1_000, 0)._replace(**{"fee": 500, "fee_by": SELLER, **wrong})
    with pytest.raises(StatementRefused):
        lines_of(made, tariffs())
