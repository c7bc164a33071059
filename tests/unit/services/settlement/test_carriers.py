"""M-84: heat is not electricity in a statement: each line says its carrier, and prices of one never fall on the other.

All figures are worked out by hand: 1 kWh of electricity at 200,000 of which 0.9 are delivered, and 2 kWh of heat at
80,000 of which 1.5 are. Electricity's shortfall costs 300,000 and its grid 10,000 per kWh.
"""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from xml.etree import ElementTree

import pytest

from node.services.settlement.document import NAMESPACE, Heading
from node.services.settlement.errors import StatementRefused
from node.services.settlement.export import Format, exported_invoices
from node.services.settlement.invoices import Bill
from node.services.settlement.lines import ELECTRIC, Delivery, Kind, Line, lines_of
from node.services.settlement.tariff import GridFee, Tariff, Tariffs
from tests.unit.services.settlement.kit import BUYER, GRID, NORTH, OPERATOR, OTHER_GRID, SELLER, delivery
from tests.unit.services.settlement.test_documents import document

POWER = delivery(1_000, 900)
HEAT = delivery(2_000, 1_500, 80_000, carrier="thermal")._replace(contract=b"\x08" * 32)
OF_POWER = Tariff(0, shortfall=300_000, fees={NORTH: GridFee(GRID, per_kwh=10_000)})
OF_HEAT = Tariff(0, shortfall=60_000, fees={NORTH: GridFee(OTHER_GRID, per_kwh=4_000)}, carriers=("thermal",))
PLAIN, BOTH = Tariffs(OPERATOR, [OF_POWER], NORTH), Tariffs(OPERATOR, [OF_POWER, OF_HEAT], NORTH)
NS = {"d": NAMESPACE}
HEADING = Heading(b"\x0d" * 32, OPERATOR, OPERATOR, NORTH, 0, 86_400, 90_000)

Figures = list[tuple[str, Kind, bytes, bytes, int, int, int]]


def figures(lines: list[Line]) -> Figures:
    return [(line.carrier, line.kind, line.debtor, line.creditor, line.wh, line.price, line.amount) for line in lines]


def bill_of(chosen: Tariffs, *some: Delivery) -> Bill:
    bill = Bill(OPERATOR, (0, 86_400))
    for each in some:
        bill.add(lines_of(each, chosen))
    return bill


def test_m84_a_contract_that_names_no_carrier_is_of_electricity() -> None:
    assert ELECTRIC == "electric"
    assert figures(lines_of(POWER, PLAIN)) == [
        ("electric", Kind.ENERGY, BUYER, SELLER, 900, 200_000, 180_000),
        ("electric", Kind.SHORTFALL, SELLER, OPERATOR, 100, 300_000, 30_000),
        ("electric", Kind.GRID_FEE, BUYER, GRID, 900, 10_000, 9_000),
    ]


def test_m84_no_price_of_electricity_falls_on_heat() -> None:
    """What the market's terms say nothing about costs nothing: heat goes over no electricity grid."""
    assert figures(lines_of(HEAT, PLAIN)) == [
        ("thermal", Kind.ENERGY, BUYER, SELLER, 1_500, 80_000, 120_000),
        ("thermal", Kind.SHORTFALL, SELLER, OPERATOR, 500, 0, 0),
    ]


def test_m84_heat_has_imbalance_and_grid_of_its_own_where_the_market_says_so() -> None:
    assert figures(lines_of(HEAT, BOTH)) == [
        ("thermal", Kind.ENERGY, BUYER, SELLER, 1_500, 80_000, 120_000),
        ("thermal", Kind.SHORTFALL, SELLER, OPERATOR, 500, 60_000, 30_000),
        ("thermal", Kind.GRID_FEE, BUYER, OTHER_GRID, 1_500, 4_000, 6_000),
    ]
    assert figures(lines_of(POWER, BOTH)) == figures(lines_of(POWER, PLAIN))


def test_m84_energy_beyond_the_contract_is_at_the_carriers_price() -> None:
    """250 Wh of heat too much from the seller, 100 Wh too much taken: 20,000 and 70,000 per kWh, not electricity's."""
    heat = Tariff(0, feed_in=20_000, overdraw=70_000, carriers=("thermal",))
    chosen = Tariffs(OPERATOR, [Tariff(0, feed_in=50_000, overdraw=400_000), heat])
    made = delivery(1_000, 1_000, 80_000, by_seller=1_250, by_buyer=1_100, carrier="thermal")
    assert figures(lines_of(made, chosen))[1:] == [
        ("thermal", Kind.EXCESS, OPERATOR, SELLER, 250, 20_000, 5_000),
        ("thermal", Kind.EXCESS, BUYER, OPERATOR, 100, 70_000, 7_000),
    ]


def test_m84_one_tariff_may_be_for_several_carriers_and_each_follows_its_own() -> None:
    """`solar` is electricity that orders name: it pays the grid's fee where the tariff says so."""
    named = Tariff(0, shortfall=1, carriers=("electric", "solar"))
    chosen = Tariffs(OPERATOR, [named, Tariff(5_000, shortfall=2), Tariff(5_000, shortfall=3, carriers=("thermal",))])
    assert [chosen.at(5_000, each).shortfall for each in ("electric", "solar", "thermal")] == [2, 1, 3]
    assert chosen.at(4_999, "thermal").shortfall == 0
    assert chosen.at(5_000).shortfall == 2


def test_two_tariffs_of_one_carrier_do_not_begin_at_one_time() -> None:
    with pytest.raises(StatementRefused, match="one time"):
        Tariffs(OPERATOR, [Tariff(5, carriers=("thermal", "electric")), Tariff(5, carriers=("thermal",))])
    with pytest.raises(StatementRefused, match="no carrier"):
        Tariff(carriers=())


def test_m84_the_fee_of_a_cancelled_contract_says_of_what_energy_it_was() -> None:
    made = delivery(1_000, 0, carrier="thermal")._replace(fee=500, fee_by=SELLER)
    assert figures(lines_of(made, BOTH)) == [("thermal", Kind.CANCELLATION, SELLER, BUYER, 1_000, 0, 500)]


def test_m84_an_invoice_adds_up_each_carrier_by_itself() -> None:
    """The buyer owes 180,000 + 9,000 for electricity and 120,000 + 6,000 for heat: 315,000 in all."""
    found = {each.party: each for each in bill_of(BOTH, POWER, HEAT).invoices()}
    assert [(p.carrier, p.kind, p.lines, p.wh, p.amount) for p in found[BUYER].positions] == [
        ("electric", Kind.ENERGY, 1, 900, -180_000),
        ("electric", Kind.GRID_FEE, 1, 900, -9_000),
        ("thermal", Kind.ENERGY, 1, 1_500, -120_000),
        ("thermal", Kind.GRID_FEE, 1, 1_500, -6_000),
    ]
    assert dict(found[BUYER].totals) == {"electric": -189_000, "thermal": -126_000}
    assert found[BUYER].total == -315_000
    assert dict(found[SELLER].totals) == {"electric": 150_000, "thermal": 90_000}
    assert dict(found[OPERATOR].totals) == {"electric": 30_000, "thermal": 30_000}
    assert (dict(found[GRID].totals), dict(found[OTHER_GRID].totals)) == ({"electric": 9_000}, {"thermal": 6_000})
    for carrier in ("electric", "thermal"):
        assert sum(each.totals.get(carrier, 0) for each in found.values()) == 0


async def test_m84_csv_has_a_column_for_the_carrier() -> None:
    rows = list(csv.DictReader(io.StringIO(await document(Format.CSV, [POWER, HEAT], BOTH))))
    assert [(row["carrier"], row["kind"], row["amount"]) for row in rows] == [
        ("electric", "energy", "180000"), ("electric", "shortfall", "30000"), ("electric", "grid_fee", "9000"),
        ("thermal", "energy", "120000"), ("thermal", "shortfall", "30000"), ("thermal", "grid_fee", "6000"),
    ]  # fmt: skip


async def test_two_carriers_of_one_contract_number_are_not_mixed_up() -> None:
    """The lines of one contract share most of their text; the next one's carrier is its own."""
    alike = HEAT._replace(contract=POWER.contract)
    rows = list(csv.DictReader(io.StringIO(await document(Format.CSV, [POWER, alike], PLAIN))))
    assert [row["carrier"] for row in rows] == ["electric"] * 3 + ["thermal"] * 2


def test_m84_invoices_as_csv_have_the_carrier_and_its_own_total() -> None:
    found = [each for each in bill_of(BOTH, POWER, HEAT).invoices() if each.party == BUYER]
    rows = list(csv.DictReader(io.StringIO(b"".join(exported_invoices(found, Format.CSV, HEADING)).decode())))
    assert [(row["carrier"], row["kind"], row["amount"], row["carrier_total"], row["total"]) for row in rows] == [
        ("electric", "energy", "-180000", "-189000", "-315000"),
        ("electric", "grid_fee", "-9000", "-189000", "-315000"),
        ("thermal", "energy", "-120000", "-126000", "-315000"),
        ("thermal", "grid_fee", "-6000", "-126000", "-315000"),
    ]


async def test_m84_a_market_document_calls_only_electricity_by_its_product_code() -> None:
    """8716867000030 is active (electrical) energy; the code list has no heat, so its product is its name."""
    root = ElementTree.fromstring(await document(Format.XML, [POWER, HEAT], PLAIN))
    series = root.findall("d:TimeSeries", NS)
    assert [one.findtext("d:product", None, NS) for one in series] == ["8716867000030"] * 3 + ["thermal"] * 2
    found = bill_of(PLAIN, POWER, HEAT).invoices()
    root = ElementTree.fromstring(b"".join(exported_invoices(found, Format.XML, HEADING)))
    heat = [one for one in root.findall("d:TimeSeries", NS) if one.findtext("d:product", None, NS) == "thermal"]
    quantities = [Decimal(one.findtext("d:Period/d:Point/d:in_Quantity.quantity", "", NS)) for one in heat]
    assert sorted(quantities) == [Decimal("0.5")] * 2 + [Decimal("1.5")] * 2


async def test_a_carriers_name_cannot_break_out_of_its_field() -> None:
    """Attack: a stored name that a spreadsheet runs, or a parser takes for markup."""
    made = delivery(9, 9, carrier='=1+1,"<b>&')
    rows = list(csv.DictReader(io.StringIO(await document(Format.CSV, [made], PLAIN))))
    assert rows[0]["carrier"] == "'" + made.carrier
    root = ElementTree.fromstring(await document(Format.XML, [made], PLAIN))
    assert root.findtext("d:TimeSeries/d:product", None, NS) == made.carrier
