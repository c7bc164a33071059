"""An order as an asset wants it, and as it signs it for one market; for a node and for programs without one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from keys import messages as m
from node.errors import InvalidInput
from node.wire.orderdetails import OrderDetails

__all__ = ["ANYBODY", "Wanted", "check_wanted", "order_message"]

ANYBODY: Final = bytes(20)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order to be made: Wh at minor units per kWh, delivered in [start, end), seconds UTC.

    `until`: the last second in which it is matched; None for what is usual. `partner`: the only account that it is
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


def check_wanted(wanted: Wanted, now: int) -> None:
    """Raises InvalidInput for what no market takes."""
    if wanted.wh <= 0 or wanted.price < 0 or not now <= wanted.start < wanted.end:
        raise InvalidInput("An order needs energy, a price, and a delivery that is still to come.", field="wh")


def order_message(
    wanted: Wanted, *, account: bytes, device: bytes, operator: bytes, terms: bytes, until: int
) -> m.Offer | m.Request:
    """The message for the market of an operator under its terms, with a nonce that commits to the details."""
    kind = m.Offer if wanted.sells else m.Request
    return kind(
        account=account,
        operator=operator,
        terms=terms,
        partner=wanted.partner,
        device=device,
        wh=wanted.wh,
        price=wanted.price,
        start=wanted.start,
        end=wanted.end,
        nonce=secrets.randbits(256) if wanted.details is None else wanted.details.nonce(),
        deadline=until,
    )
