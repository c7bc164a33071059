"""A statement as CSV (RFC 4180), line by line: memory does not grow with what is written."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from node.services.settlement.lines import Line
from node.services.settlement.texts import kwh, party_text, utc

__all__ = ["CSV_HEADER", "csv_rows"]

CSV_HEADER = "contract,kind,area,start,end,debtor,creditor,energy_kwh,price_per_kwh,amount\r\n"
"""Prices and amounts in minor units of the money. A price is empty where the amount is a share of another."""

_RISKY = frozenset(',"\r\n')
_FORMULA = ("=", "+", "-", "@", "\t")


def csv_rows(lines: Iterable[Line]) -> str:
    """The rows of these lines, each ended by CRLF."""
    rows: list[str] = []
    last: tuple[object, ...] = ()
    front = middle = ""
    for contract, kind, area, start, end, debtor, creditor, wh, price, amount in lines:
        # The lines of one contract stand together and share most of their text.
        if last != (contract, area, start, end):
            last = (contract, area, start, end)
            front, middle = f"0x{contract.hex()},", f",{_field(area)},{utc(start)},{utc(end)},"
        rows.append(
            f"{front}{kind.value}{middle}{party_text(debtor)},{party_text(creditor)},"
            f"{kwh(wh)},{price or ''},{amount}\r\n"
        )
    return "".join(rows)


@lru_cache(256)
def _field(text: str) -> str:
    """The area's name is the one text that a person chose; a spreadsheet must not run it as a formula."""
    if text.startswith(_FORMULA):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _RISKY & set(text) else text
