"""What any fill must satisfy before it is accepted, whichever engine proposed it. Pure; no float.

An engine is a plug-in and may be wrong or hostile. What it proposes binds two households, so it is checked against the
orders that they signed, and the contract on chain checks it once more.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.services.market.conditions import PLAIN, Particulars, accords
from node.services.market.engine import Fill
from node.services.market.errors import MatchRefused

__all__ = ["Standing", "amount_due", "check_fill", "is_fill"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A signed order and what of it is committed already.

    `price` is the offer's least or the request's highest, in minor units per kWh; `until` is the last second (UTC) in
    which it may be matched; `start` and `end` bound the time of delivery; `operator` is whom its signer named.
    """

    key: bytes
    party: bytes
    sells: bool
    wh: int
    filled: int
    price: int
    operator: bytes
    start: int
    end: int
    until: int
    particulars: Particulars = PLAIN

    @property
    def left(self) -> int:
        return self.wh - self.filled


def is_fill(fill: object) -> bool:
    """Whether an engine's word has the form of a fill; a class of its own could lie."""
    return (
        type(fill) is Fill
        and type(fill.offer) is bytes
        and type(fill.request) is bytes
        and type(fill.wh) is int
        and type(fill.price) is int
    )


def check_fill(fill: Fill, offer: Standing, request: Standing, operator: bytes, now: int) -> None:
    """Raises MatchRefused naming the first rule that the fill breaks."""
    if not offer.sells or request.sells or fill.offer != offer.key or fill.request != request.key:
        raise MatchRefused("A match takes one offer and one request.", field="offer")
    if offer.party == request.party:
        raise MatchRefused("Nobody trades with themselves.", field="request")
    if offer.operator != operator or request.operator != operator:
        raise MatchRefused("Both sides must have named this market.", field="operator")
    if now > min(offer.until, request.until):
        raise MatchRefused("The offer or the request is no longer valid.", field="until")
    if (offer.start, offer.end) != (request.start, request.end):
        raise MatchRefused("Offer and request are for different times of delivery.", field="start")
    if fill.wh <= 0 or fill.wh > min(offer.left, request.left):
        raise MatchRefused("More is matched than is left of the offer or the request.", field="energy")
    if not offer.price <= fill.price <= request.price:
        raise MatchRefused("The price lies outside what both sides signed.", field="price")
    if not any(fill.wh <= way.wh and way.low <= fill.price <= way.high for way in accords(offer, request)):
        raise MatchRefused("The offer and the request do not meet each other's conditions.", field="conditions")


def amount_due(total_wh: int, price: int, settled: int) -> int:
    """Minor units still due once `total_wh` were delivered at `price` per kWh and `settled` were due before.

    Cumulative, rounded down once (contracts.md, Market): the parts of a delivery always sum to the whole.
    """
    if total_wh < 0 or price < 0 or settled < 0:
        raise MatchRefused("Energy and money are not negative.", field="energy")
    return total_wh * price // 1000 - settled
