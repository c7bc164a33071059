"""A statement as a market document in the style of IEC 62325-451-4: an energy account, written piece by piece.

`EnergyAccount_MarketDocument`: type A12 (imbalance report), process A06 (imbalance settlement), status A02 (final).
Each line is a time series with one period and one point: resolution PT15M for a quarter of an hour, quantity in kWh as
an exact decimal. Business types: A02 internal trade (energy of a contract), A20 imbalance volume (shortfall, excess),
A04 consumption (what a grid fee is charged on). The point also says the money, which this document type knows no place
for, as `Financial_Price.amount` in minor units. `product` is 8716867000030, active energy, for electricity; the list
has no code for other carriers, so theirs is their name as the market's orders say it: `thermal` for heat.

Parties are accounts on chain. They have no scheme of the code list and are longer than its identifiers, so their
coding scheme is Z01, by bilateral agreement; areas are EIC codes (A01). That, the money, and the product of what is not
electricity, is where the document leaves the schema.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from node.services.settlement.invoices import Invoice
from node.services.settlement.lines import ELECTRIC, Kind, Line
from node.services.settlement.texts import duration, kwh, mrid, party_text, utc

__all__ = ["NAMESPACE", "Heading", "xml_begin", "xml_end", "xml_invoices", "xml_series"]

NAMESPACE: Final = "urn:iec62325.351:tc57wg16:451-4:energyaccountdocument:4:0"
_ACTIVE_ENERGY: Final = "8716867000030"
_BUSINESS: Final = {
    Kind.ENERGY: "A02",
    Kind.SHORTFALL: "A20",
    Kind.EXCESS: "A20",
    Kind.GRID_FEE: "A04",
    # There is no code for the fee of a trade; its time series says what it is in its reason.
    Kind.CANCELLATION: "A02",
}


@dataclass(frozen=True, slots=True)
class Heading:
    """Who sends the document to whom, for which area and time, and when it was made (seconds UTC)."""

    document: bytes
    sender: bytes
    receiver: bytes
    area: str
    start: int
    end: int
    created: int


def xml_begin(heading: Heading) -> str:
    """Everything before the first time series."""
    domain = f'\n <domain.mRID codingScheme="A01">{escape(heading.area)}</domain.mRID>' if heading.area else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<EnergyAccount_MarketDocument xmlns="{NAMESPACE}">\n'
        f" <mRID>{mrid(heading.document)}</mRID>\n <revisionNumber>1</revisionNumber>\n <type>A12</type>\n"
        " <docStatus><value>A02</value></docStatus>\n <process.processType>A06</process.processType>\n"
        f' <sender_MarketParticipant.mRID codingScheme="Z01">{party_text(heading.sender)}'
        "</sender_MarketParticipant.mRID>\n"
        " <sender_MarketParticipant.marketRole.type>A05</sender_MarketParticipant.marketRole.type>\n"
        f' <receiver_MarketParticipant.mRID codingScheme="Z01">{party_text(heading.receiver)}'
        "</receiver_MarketParticipant.mRID>\n"
        " <receiver_MarketParticipant.marketRole.type>A08</receiver_MarketParticipant.marketRole.type>\n"
        f" <createdDateTime>{utc(heading.created)}</createdDateTime>\n"
        f" <period.timeInterval><start>{utc(heading.start)}</start><end>{utc(heading.end)}</end>"
        f"</period.timeInterval>{domain}\n"
    )


def xml_series(lines: Iterable[Line], first: int) -> str:
    """The time series of these lines, numbered from `first`: an mRID is unique in its document."""
    series: list[str] = []
    last: tuple[object, ...] = ()
    where = when = agreement = product = ""
    for number, (contract, kind, area, start, end, debtor, creditor, wh, _, amount, carrier) in enumerate(lines, first):
        # The lines of one contract stand together and share most of their text.
        if last != (contract, area, start, end, carrier):
            last = (contract, area, start, end, carrier)
            product = _product(carrier)
            where = f'<area_Domain.mRID codingScheme="A01">{escape(area)}</area_Domain.mRID>' if area else ""
            agreement = f"<marketAgreement.mRID>{mrid(contract)}</marketAgreement.mRID>"
            when = (
                f"<timeInterval><start>{utc(start)}</start><end>{utc(end)}</end></timeInterval>"
                f"<resolution>{duration(end - start)}</resolution>"
            )
        series.append(
            f" <TimeSeries><mRID>{number}</mRID><businessType>{_BUSINESS[kind]}</businessType>"
            f"{product}{where}"
            f'<in_MarketParticipant.mRID codingScheme="Z01">{party_text(debtor)}</in_MarketParticipant.mRID>'
            f'<out_MarketParticipant.mRID codingScheme="Z01">{party_text(creditor)}</out_MarketParticipant.mRID>'
            f"{agreement}<measure_Unit.name>KWH</measure_Unit.name>"
            f"<Period>{when}<Point><position>1</position><in_Quantity.quantity>{kwh(wh)}</in_Quantity.quantity>"
            f"<Financial_Price.amount>{amount}</Financial_Price.amount></Point></Period>"
            f"<Reason><text>{kind.value}</text></Reason></TimeSeries>\n"
        )
    return "".join(series)


def xml_invoices(invoices: Iterable[Invoice], first: int) -> str:
    """A time series for each position of these invoices, numbered from `first`; the agreement is the invoice's number.
    A position sums up the lines with many partners, so only the invoice's party is named, on the side that it is on."""
    series: list[str] = []
    positions = ((invoice, each) for invoice in invoices for each in invoice.positions)
    for number, (invoice, each) in enumerate(positions, first):
        side, start, end = "in" if each.owes else "out", invoice.start, invoice.end
        series.append(
            f" <TimeSeries><mRID>{number}</mRID><businessType>{_BUSINESS[each.kind]}</businessType>"
            f"{_product(each.carrier)}"
            f'<{side}_MarketParticipant.mRID codingScheme="Z01">{party_text(invoice.party)}'
            f"</{side}_MarketParticipant.mRID>"
            f"<marketAgreement.mRID>{invoice.number}</marketAgreement.mRID><measure_Unit.name>KWH</measure_Unit.name>"
            f"<Period><timeInterval><start>{utc(start)}</start><end>{utc(end)}</end></timeInterval>"
            f"<resolution>{duration(end - start)}</resolution>"
            f"<Point><position>1</position><in_Quantity.quantity>{kwh(each.wh)}</in_Quantity.quantity>"
            f"<Financial_Price.amount>{abs(each.amount)}</Financial_Price.amount></Point></Period>"
            f"<Reason><text>{each.kind.value}</text></Reason></TimeSeries>\n"
        )
    return "".join(series)


def _product(carrier: str) -> str:
    return f"<product>{_ACTIVE_ENERGY if carrier == ELECTRIC else escape(carrier)}</product>"


def xml_end() -> str:
    """Everything after the last time series."""
    return "</EnergyAccount_MarketDocument>\n"
