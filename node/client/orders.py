"""An offer or a request as an asset without a node signs it."""

from __future__ import annotations

from typing import Final

from keys import messages as m
from node.client.link import Place
from node.errors import InvalidInput
from node.services.asset.orders import ANYBODY, Wanted, check_wanted, order_message

__all__ = ["ANYBODY", "Wanted", "order_of"]

DAY_S: Final = 86_400


def order_of(wanted: Wanted, account: bytes, place: Place, now: int) -> m.Offer | m.Request:
    """The message for one market. Raises InvalidInput for what no market takes."""
    check_wanted(wanted, now)
    if place.net and (wanted.end - 1) // DAY_S != wanted.start // DAY_S:
        raise InvalidInput("A netted delivery begins and ends on one day (UTC).", field="end")
    until = wanted.start if wanted.until is None else wanted.until
    return order_message(
        wanted, account=account, device=account, operator=place.operator, terms=place.terms, until=until
    )
