"""An offer or a request as an asset without a node signs it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from keys import messages as m
from node.client.link import Place
from node.errors import InvalidInput
from node.wire.orderdetails import OrderDetails

__all__ = ["ANYBODY", "Wanted", "order_of"]

ANYBODY: Final = bytes(20)
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order to be made: Wh at minor units per kWh, delivered in [start, end), seconds UTC.

    `until`: the last second in which it is matched, by default the start. `partner`: the only account that it is
    matched with (bytes20, zero for any). `details`: area, kind of energy, conditions; None where it says nothing.
    """

    sells: bool
    wh: int
    price: int
    start: int
    end: int
    until: int | None = None
    partner: bytes = ANYBODY
    details: OrderDetails | None = None


def order_of(wanted: Wanted, account: bytes, place: Place, now: int) -> m.Offer | m.Request:
    """The message for one market. Raises InvalidInput for what no market takes."""
    if wanted.wh <= 0 or wanted.price < 0 or not now <= wanted.start < wanted.end:
        raise InvalidInput("An order needs energy, a price, and a delivery that is still to come.", field="wh")
    if place.net and (wanted.end - 1) // DAY_S != wanted.start // DAY_S:
        raise InvalidInput("A netted delivery begins and ends on one day (UTC).", field="end")
    kind = m.Offer if wanted.sells else m.Request
    return kind(
        account=account,
        operator=place.operator,
        terms=place.terms,
        partner=wanted.partner,
        device=account,
        wh=wanted.wh,
        price=wanted.price,
        start=wanted.start,
        end=wanted.end,
        nonce=secrets.randbits(256) if wanted.details is None else wanted.details.nonce(),
        deadline=wanted.start if wanted.until is None else wanted.until,
    )
