"""Contracts of a market that nets: made by its operator's word, never on the chain one by one.

The buyer is bound by its request, which was signed for the net settlement: up to its energy, at its price or less.
Pure; Wh, minor units per kWh, seconds UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eth_utils.crypto import keccak

from node.services.market.errors import LineRefused
from node.services.market.netting import DAY, MOST_LINES

__all__ = ["NetContract", "Reports", "check_exposure", "check_order_day", "delivered"]


@dataclass(frozen=True, slots=True)
class NetContract:
    """`offer` and `request` are the orders' ids (bytes32), `seller` and `buyer` accounts; delivery in [start, end)."""

    offer: bytes
    request: bytes
    seller: bytes
    buyer: bytes
    wh: int
    price: int
    start: int
    end: int
    nonce: bytes

    @property
    def contract_id(self) -> bytes:
        """Its hash: whoever is told of it knows all of it."""
        numbers = b"".join(each.to_bytes(16, "big") for each in (self.wh, self.price, self.start, self.end))
        parts = (b"wattpact net contract", self.offer, self.request, self.seller, self.buyer, numbers, self.nonce)
        return bytes(keccak(b"".join(parts)))

    @property
    def day(self) -> int:
        return self.start // DAY

    @property
    def amount(self) -> int:
        """What all of it costs, in minor units."""
        return self.wh * self.price // 1000


@dataclass(frozen=True, slots=True)
class Reports:
    """Wh that each partner reported; None for one that has said nothing."""

    sold: int | None = None
    used: int | None = None


def check_order_day(start: int, end: int) -> None:
    """A delivery lies in one day (UTC), or nobody could say on which one it is netted. Raises LineRefused."""
    if (end - 1) // DAY != start // DAY:
        raise LineRefused("A netted delivery begins and ends on one day (UTC).", field="typed.message.end")


def check_exposure(contracts: Iterable[NetContract], fresh: NetContract, limit: int) -> None:
    """Whether its buyer can owe this besides what its other contracts of the day may come to. `limit`: what mandate and
    balance cover on that day. What others owe the buyer does not count: it is not there yet. Raises LineRefused."""
    own = [each for each in contracts if each.buyer == fresh.buyer and each.day == fresh.day]
    if len(own) >= MOST_LINES:
        raise LineRefused(f"A day has at most {MOST_LINES} contracts of one buyer.", field="buyer")
    if sum(each.amount for each in own) + fresh.amount > limit:
        raise LineRefused("The buyer's mandate and balance do not cover it.", field="buyer")


def delivered(contract: NetContract, reports: Reports, *, graced: bool) -> int | None:
    """Wh that count: the smaller of both reports; after the grace the only one (A-10); None while it is not known."""
    said = [each for each in (reports.sold, reports.used) if each is not None]
    if len(said) < 2 and not (graced and said):
        return None
    return min(contract.wh, *said)
