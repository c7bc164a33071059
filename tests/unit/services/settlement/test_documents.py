"""CSV and market documents, validated by reading them back with the parsers of others."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.settlement.csvtext import CSV_HEADER, csv_rows
from node.services.settlement.document import NAMESPACE, Heading
from node.services.settlement.export import Format, exported, exported_invoices
from node.services.settlement.invoices import Bill, Period
from node.services.settlement.lines import Delivery, Line, lines_of
from node.services.settlement.tariff import Tariff, Tariffs
from node.services.settlement.texts import duration, kwh
from tests.unit.services.settlement.kit import BUYER, NORTH, OPERATOR, SELLER, deliveries, delivery, tariffs

HEADING = Heading(b"\x0d" * 32, OPERATOR, BUYER, NORTH, 0, 86_400, 90_000)
NS = {"d": NAMESPACE}


async def pages(*some: Sequence[Delivery]) -> AsyncIterator[Sequence[Delivery]]:
    for page in some:
        yield page


async def document(kind: Format, some: Sequence[Delivery], chosen: Tariffs, party: bytes | None = None) -> str:
    half = len(some) // 2
    found = exported(pages(some[:half], some[half:]), chosen, kind, HEADING, party)
    return b"".join([piece async for piece in found]).decode()


@given(st.lists(deliveries(), max_size=6))
async def test_a32_csv_says_exactly_what_the_lines_say(some: list[Delivery]) -> None:
    chosen = tariffs(shortfall=3, feed_in=5, overdraw=7)
    rows = list(csv.DictReader(io.StringIO(await document(Format.CSV, some, chosen))))
    lines = [line for each in some for line in lines_of(each, chosen)]
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert bytes.fromhex(row["contract"][2:]) == line.contract
        assert (row["kind"], row["area"], row["carrier"]) == (line.kind.value, line.area, line.carrier)
        assert (bytes.fromhex(row["debtor"][2:]), bytes.fromhex(row["creditor"][2:])) == (line.debtor, line.creditor)
        assert Decimal(row["energy_kwh"]) * 1000 == line.wh
        assert int(row["amount"]) == line.amount
        assert int(row["price_per_kwh"] or 0) == line.price


async def test_a17_unit_price_and_total_are_two_columns() -> None:
    text = await document(Format.CSV, [delivery(1_500, 1_234)], tariffs())
    row = next(csv.DictReader(io.StringIO(text)))
    assert (row["energy_kwh"], row["price_per_kwh"], row["amount"]) == ("1.234", "200000", "246800")
    assert (row["start"], row["end"]) == ("1970-01-01T00:30:00Z", "1970-01-01T00:45:00Z")


@given(st.lists(deliveries(), max_size=6))
async def test_the_market_document_is_well_formed_and_says_what_the_lines_say(some: list[Delivery]) -> None:
    chosen = tariffs(shortfall=3, feed_in=5, overdraw=7)
    root = ElementTree.fromstring(await document(Format.XML, some, chosen))
    assert root.tag == f"{{{NAMESPACE}}}EnergyAccount_MarketDocument"
    lines = [line for each in some for line in lines_of(each, chosen)]
    series = root.findall("d:TimeSeries", NS)
    assert len(series) == len(lines)
    assert [one.findtext("d:mRID", None, NS) for one in series] == [str(n) for n in range(1, len(lines) + 1)]
    for one, line in zip(series, lines, strict=True):
        _compare(one, line)


@pytest.mark.parametrize("kind", Format)
async def test_a_long_page_leaves_in_short_pieces(kind: Format) -> None:
    """What is in memory does not depend on how long a page of the store is."""
    some = [delivery(1_500, 1_234)] * 2_000
    count = 2_000 * len(list(lines_of(some[0], tariffs())))
    pieces = [piece async for piece in exported(pages(some), tariffs(), kind, HEADING, None)]
    begin, *middle = pieces[:-1] if kind is Format.XML else pieces
    mark = b"</TimeSeries>" if kind is Format.XML else b"\n"
    assert [piece.count(mark) for piece in middle] == [count // 8] * 8
    if kind is Format.XML:
        series = ElementTree.fromstring(b"".join(pieces)).findall("d:TimeSeries", NS)
        assert [one.findtext("d:mRID", None, NS) for one in series] == [str(n) for n in range(1, count + 1)]
    else:
        assert begin.decode() == CSV_HEADER


def _compare(one: ElementTree.Element, line: Line) -> None:
    def text(path: str) -> str:
        found = one.findtext("/".join(f"d:{step}" for step in path.split("/")), None, NS)
        assert found is not None, path
        return found

    assert text("Reason/text") == line.kind.value
    assert text("in_MarketParticipant.mRID") == "0x" + line.debtor.hex()
    assert text("out_MarketParticipant.mRID") == "0x" + line.creditor.hex()
    assert text("Period/resolution") == "PT15M"
    assert text("measure_Unit.name") == "KWH"
    assert Decimal(text("Period/Point/in_Quantity.quantity")) * 1000 == line.wh
    assert int(text("Period/Point/Financial_Price.amount")) == line.amount
    assert len(text("marketAgreement.mRID")) <= 60
    assert text("businessType") in {"A02", "A20", "A04"}


async def test_the_heading_carries_codes_times_and_parties() -> None:
    root = ElementTree.fromstring(await document(Format.XML, [], tariffs()))
    said = {child.tag.split("}")[1]: child.text for child in root}
    assert said["type"] == "A12"
    assert said["process.processType"] == "A06"
    assert root.findtext("d:docStatus/d:value", None, NS) == "A02"
    assert root.findtext("d:period.timeInterval/d:end", None, NS) == "1970-01-02T00:00:00Z"
    assert said["createdDateTime"] == "1970-01-02T01:00:00Z"
    assert said["domain.mRID"] == NORTH
    assert said["receiver_MarketParticipant.mRID"] == "0x" + BUYER.hex()


async def test_a_party_gets_only_its_own_lines() -> None:
    both = [delivery(1_000, 900), delivery(1_000, 900)._replace(buyer=b"\x77" * 20)]
    rows = list(csv.DictReader(io.StringIO(await document(Format.CSV, both, tariffs(shortfall=9), BUYER))))
    assert {row["kind"] for row in rows} == {"energy", "grid_fee"}
    assert all("0x" + BUYER.hex() in (row["debtor"], row["creditor"]) for row in rows)
    mine = list(csv.DictReader(io.StringIO(await document(Format.CSV, both, tariffs(shortfall=9), SELLER))))
    assert [row["kind"] for row in mine] == ["energy", "shortfall", "energy", "shortfall"]


async def test_an_areas_name_cannot_break_out_of_its_field() -> None:
    """A spreadsheet runs what begins like a formula, a parser takes what looks like markup."""
    area = '=HYPERLINK("https://x.example","a"), <b>&'
    chosen = Tariffs(OPERATOR, [Tariff()], area)
    rows = list(csv.DictReader(io.StringIO(await document(Format.CSV, [delivery(9, 9)], chosen))))
    assert rows[0]["area"] == "'" + area
    root = ElementTree.fromstring(await document(Format.XML, [delivery(9, 9)], chosen))
    assert root.findtext("d:TimeSeries/d:area_Domain.mRID", None, NS) == area


def test_numbers_are_exact() -> None:
    assert [kwh(n) for n in (0, 1, 999, 1_000, 2**63 - 1)] == [
        "0.000", "0.001", "0.999", "1.000", "9223372036854775.807",
    ]  # fmt: skip
    assert [duration(n) for n in (900, 3_600, 12)] == ["PT15M", "PT60M", "PT12S"]
    assert csv_rows([]) == ""
    assert CSV_HEADER.count(",") == 10


def _invoices(some: list[Delivery], kind: Format) -> tuple[Bill, str]:
    chosen = tariffs(shortfall=3, feed_in=5, overdraw=7)
    bill = Bill(OPERATOR, (0, 2**40), Period.DAY)
    for each in some:
        bill.add(lines_of(each, chosen))
    return bill, b"".join(exported_invoices(bill.invoices(), kind, HEADING)).decode()


@given(st.lists(deliveries(), max_size=6))
def test_invoices_as_csv_say_what_the_invoices_say(some: list[Delivery]) -> None:
    """One row a position, the invoice's total beside it; over all of them money is neither made nor lost."""
    bill, text = _invoices(some, Format.CSV)
    rows = list(csv.DictReader(io.StringIO(text)))
    wanted = [(each, position) for each in bill.invoices() for position in each.positions]
    assert len(rows) == len(wanted)
    for row, (invoice, position) in zip(rows, wanted, strict=True):
        assert (row["invoice"], row["party"]) == (invoice.number, "0x" + invoice.party.hex())
        assert (row["kind"], row["side"]) == (position.kind.value, "owes" if position.owes else "gets")
        assert (row["carrier"], int(row["carrier_total"])) == (position.carrier, invoice.totals[position.carrier])
        assert int(row["lines"]) == position.lines
        assert Decimal(row["energy_kwh"]) * 1000 == position.wh
        assert (int(row["amount"]), int(row["total"])) == (position.amount, invoice.total)
    assert sum(int(row["amount"]) for row in rows) == 0


@given(st.lists(deliveries(), max_size=6))
def test_invoices_as_a_market_document_say_what_the_invoices_say(some: list[Delivery]) -> None:
    bill, text = _invoices(some, Format.XML)
    series = ElementTree.fromstring(text).findall("d:TimeSeries", NS)
    wanted = [(each, position) for each in bill.invoices() for position in each.positions]
    assert len(series) == len(wanted)
    for number, (one, (invoice, position)) in enumerate(zip(series, wanted, strict=True), 1):
        side = "in" if position.owes else "out"
        assert one.findtext("d:mRID", None, NS) == str(number)
        assert one.findtext("d:marketAgreement.mRID", None, NS) == invoice.number
        assert one.findtext(f"d:{side}_MarketParticipant.mRID", None, NS) == "0x" + invoice.party.hex()
        quantity = one.findtext("d:Period/d:Point/d:in_Quantity.quantity", None, NS)
        assert Decimal(quantity or "") * 1000 == position.wh
        assert one.findtext("d:Period/d:Point/d:Financial_Price.amount", None, NS) == str(abs(position.amount))
        assert one.findtext("d:Reason/d:text", None, NS) == position.kind.value
