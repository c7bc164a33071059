"""What a market and a bid manager of its own say to each other: orders for the book, removals, proposed matches.

They are numbered from 1 on within a session, which the market draws anew whenever it fills the book from the start. The
bid manager takes each number once and in order. A proposal names the numbers under which it was told of both orders,
so that the market knows one that was made before the latest change of either.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from node.wire.fields import Address, Body, Hash, Seconds
from node.wire.orderdetails import ConditionBody, Name

__all__ = ["AuctionHeld", "BidPlaced", "BidRemoved", "GateClosed", "MatchProposed"]

Wh = Annotated[int, Field(gt=0, lt=2**64, strict=True)]
Price = Annotated[int, Field(ge=0, lt=2**88, strict=True)]
Number = Annotated[int, Field(gt=0, lt=2**62, strict=True)]
Gate = Annotated[int, Field(ge=-(2**40), lt=2**40, strict=True)]


class GateClosed(Body):
    """The gate of a delivery has come: the auction of it is to be held, with what was told until here."""

    session: Hash
    number: Number
    start: Seconds
    end: Seconds
    gate: Gate


class BidRemoved(Body):
    """An order leaves the book (M-25). `start`, `end`, `gate`: of its delivery, seconds UTC."""

    session: Hash
    number: Number
    start: Seconds
    end: Seconds
    gate: Gate
    transaction: Hash


class BidPlaced(BidRemoved):
    """An offer or a request for the book (M-23, M-24): `energy` may be matched, `matched` is matched already; `place`
    is its place in the order of arrival."""

    account: Address
    energy: Wh
    price: Price
    place: Annotated[int, Field(ge=0, lt=2**62, strict=True)]
    matched: Annotated[int, Field(ge=0, lt=2**64, strict=True)] = 0
    area: Name | None = None
    energy_kind: Name | None = None
    partner: Address | None = None
    conditions: Annotated[tuple[ConditionBody, ...], Field(max_length=8)] = ()


class MatchProposed(Body):
    """Two orders that go together (M-14); the market checks it, signs it, or refuses it."""

    session: Hash
    offer: Hash
    offer_number: Number
    request: Hash
    request_number: Number
    energy: Wh
    price: Price


class AuctionHeld(Body):
    """All that an auction matched, in answer to `GateClosed`; the same again to whoever asks again. `fault`: why the
    engine answered nothing."""

    matches: tuple[MatchProposed, ...]
    fault: Annotated[str, Field(max_length=500)] = ""
