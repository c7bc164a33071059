"""Settlement statements as the REST interface shows them. Wh and minor units; what a party owes is negative."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from node.api.values import AddressHex, UnixTime, View

__all__ = ["CarrierTotalView", "InvoiceView", "PositionView", "StatementFile", "StatementQuery", "StatementView"]


class PositionView(View):
    """The lines of one kind and one carrier on one side of an invoice."""

    carrier: str = Field(description="electric, thermal, or what the market's orders name")
    kind: Literal["energy", "shortfall", "excess", "grid_fee", "cancellation"]
    owes: bool = Field(description="whether the party is the debtor of these lines")
    lines: int
    wh: int
    amount: int = Field(description="minor units; negative where the party owes")


class CarrierTotalView(View):
    """What of an invoice is for one carrier."""

    carrier: str
    total: int = Field(description="minor units; negative where the party owes")


class InvoiceView(View):
    """What one party owes or gets for one period."""

    number: str
    party: AddressHex
    start: UnixTime
    end: UnixTime
    total: int = Field(description="minor units; negative where the party owes")
    totals: tuple[CarrierTotalView, ...] = Field(description="the total by carrier")
    positions: tuple[PositionView, ...]


class StatementView(View):
    """Invoices of all parties that this node may see. Over all of them `balance` is zero."""

    operator: AddressHex = Field(description="the market that the statement is of")
    start: UnixTime
    end: UnixTime
    contracts: int
    lines: int
    balance: int = Field(description="everything that is got less everything that is owed: zero")
    invoices: tuple[InvoiceView, ...]


@dataclass(frozen=True, slots=True)
class StatementQuery:
    """Deliveries that begin in [start, end), seconds UTC; of one party (20 bytes) or of all."""

    start: int
    end: int
    party: bytes | None = None
    period: str = "all"
    kind: str = "csv"


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A document on its way: its media type, a file name, the contracts in it, and its bytes in pieces."""

    content_type: str
    name: str
    contracts: int
    pieces: AsyncIterator[bytes]
