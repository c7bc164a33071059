"""A statement as CSV (RFC 4180), line by line: memory does not grow with what is written. Its invoices as well."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from node.services.settlement.invoices import Invoice
from node.services.settlement.lines import Line
from node.services.settlement.texts import kwh, party_text, utc

__all__ = ["CSV_HEADER", "INVOICE_HEADER", "csv_rows", "invoice_rows"]

CSV_HEADER = "contract,kind,area,start,end,debtor,creditor,energy_kwh,price_per_kwh,amount,carrier\r\n"
"""Prices and amounts in minor units of the money. A price is empty where the amount is a share of another. `carrier`:
`electric`, `thermal`, or what the market calls it."""

INVOICE_HEADER = "invoice,party,start,end,kind,side,lines,energy_kwh,amount,total,carrier,carrier_total\r\n"
"""`side`: whether the party owes or gets; money is in minor units and negative for what it owes. `total`: of the whole
invoice; `carrier_total`: of its positions of that carrier."""

_RISKY = frozenset(',"\r\n')
_FORMULA = ("=", "+", "-", "@", "\t")


def csv_rows(lines: Iterable[Line]) -> str:
    """The rows of these lines, each ended by CRLF."""
    rows: list[str] = []
    last: tuple[object, ...] = ()
    front = middle = back = ""
    for contract, kind, area, start, end, debtor, creditor, wh, price, amount, carrier in lines:
        # The lines of one contract stand together and share most of their text.
        if last != (contract, area, start, end, carrier):
            last = (contract, area, start, end, carrier)
            front, middle = f"0x{contract.hex()},", f",{_field(area)},{utc(start)},{utc(end)},"
            back = f",{_field(carrier)}\r\n"
        rows.append(
            f"{front}{kind.value}{middle}{party_text(debtor)},{party_text(creditor)},"
            f"{kwh(wh)},{price or ''},{amount}{back}"
        )
    return "".join(rows)


def invoice_rows(invoices: Iterable[Invoice]) -> str:
    """One row for each position of these invoices, with the invoice's total beside it."""
    return "".join(
        f"{invoice.number},{party_text(invoice.party)},{utc(invoice.start)},{utc(invoice.end)},{each.kind.value},"
        f"{'owes' if each.owes else 'gets'},{each.lines},{kwh(each.wh)},{each.amount},{invoice.total},"
        f"{_field(each.carrier)},{totals[each.carrier]}\r\n"
        for invoice, totals in ((invoice, invoice.totals) for invoice in invoices)
        for each in invoice.positions
    )


@lru_cache(256)
def _field(text: str) -> str:
    """Names of areas and carriers are the texts that a person chose; a spreadsheet must not run one as a formula."""
    if text.startswith(_FORMULA):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _RISKY & set(text) else text
