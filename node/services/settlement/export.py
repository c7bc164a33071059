"""A statement as a stream of bytes: what is in memory is one page of deliveries and the text of a part of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from enum import StrEnum

from node.services.settlement.csvtext import CSV_HEADER, INVOICE_HEADER, csv_rows, invoice_rows
from node.services.settlement.document import Heading, xml_begin, xml_end, xml_invoices, xml_series
from node.services.settlement.invoices import Invoice
from node.services.settlement.lines import Delivery, Line, lines_of
from node.services.settlement.tariff import Tariffs

__all__ = ["Format", "exported", "exported_invoices", "lines_for"]

_PART = 250
"""Deliveries in one piece: a market document takes most of a kilobyte for each of their lines."""


class Format(StrEnum):
    CSV = "csv"
    XML = "xml"

    @property
    def content_type(self) -> str:
        return "text/csv" if self is Format.CSV else "application/xml"


def lines_for(deliveries: Sequence[Delivery], tariffs: Tariffs, party: bytes | None) -> Iterator[Line]:
    """The lines of a page; with a party those that it owes or gets."""
    for delivery in deliveries:
        for line in lines_of(delivery, tariffs):
            if party is None or party in (line.debtor, line.creditor):
                yield line


async def exported(
    pages: AsyncIterator[Sequence[Delivery]], tariffs: Tariffs, kind: Format, heading: Heading, party: bytes | None
) -> AsyncIterator[bytes]:
    """The document in pieces. Raises StatementRefused at the page that has a wrong figure."""
    yield (CSV_HEADER if kind is Format.CSV else xml_begin(heading)).encode()
    count = 0
    async for page in pages:
        for begin in range(0, len(page), _PART):
            lines = list(lines_for(page[begin : begin + _PART], tariffs, party))
            text = csv_rows(lines) if kind is Format.CSV else xml_series(lines, count + 1)
            count += len(lines)
            if text:
                yield text.encode()
    if kind is Format.XML:
        yield xml_end().encode()


def exported_invoices(invoices: Sequence[Invoice], kind: Format, heading: Heading) -> Iterator[bytes]:
    """Invoices as a document, in pieces."""
    yield (INVOICE_HEADER if kind is Format.CSV else xml_begin(heading)).encode()
    count = 0
    for begin in range(0, len(invoices), _PART):
        some = invoices[begin : begin + _PART]
        yield (invoice_rows(some) if kind is Format.CSV else xml_invoices(some, count + 1)).encode()
        count += sum(len(each.positions) for each in some)
    if kind is Format.XML:
        yield xml_end().encode()
