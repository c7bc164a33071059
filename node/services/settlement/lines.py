"""The lines of a statement. Pure, whole Wh and minor units; each line is a debt of one party to another, so any set of
lines sums to zero, in whatever order it is taken.

A contract pays min(delivered, contracted) at its price. What is missing or too much is settled apart, with the market
operator as the other side: the side that fell short pays for the shortfall, a seller is paid for what it made beyond
the contract, a buyer pays for what it took beyond it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from node.services.settlement.errors import StatementRefused
from node.services.settlement.tariff import Tariffs
from node.wire.orderdetails import ELECTRIC

__all__ = ["ELECTRIC", "Delivery", "Kind", "Line", "lines_of", "money"]


class Kind(StrEnum):
    """What a line is for. A contract has exactly one `energy` line, or one `cancellation` and nothing else."""

    ENERGY = "energy"
    SHORTFALL = "shortfall"
    EXCESS = "excess"
    GRID_FEE = "grid_fee"
    CANCELLATION = "cancellation"


class Delivery(NamedTuple):
    """One settled contract. Delivery in [start, end), seconds UTC.

    `delivered`: Wh that count as delivered, never more than `contracted`. `due`: what the contract on chain says is
    owed for them, which includes what rounding left over from an earlier part of the same offer. `by_seller`,
    `by_buyer`: what each side's meter counted, None where it did not say. `fee`: what `fee_by`, one of the two, paid
    the other for cancelling the contract; None for one that was delivered. `carrier`: what kind of energy it is (M-84).
    """

    contract: bytes
    start: int
    end: int
    seller: bytes
    buyer: bytes
    contracted: int
    price: int
    delivered: int
    due: int
    by_seller: int | None = None
    by_buyer: int | None = None
    fee: int | None = None
    fee_by: bytes | None = None
    carrier: str = ELECTRIC


class Line(NamedTuple):
    """`debtor` owes `creditor` `amount` minor units for `wh` of a carrier at `price` per kWh; price 0: a share of
    another amount."""

    contract: bytes
    kind: Kind
    area: str
    start: int
    end: int
    debtor: bytes
    creditor: bytes
    wh: int
    price: int
    amount: int
    carrier: str


def money(wh: int, price: int) -> int:
    """Minor units for so much energy, rounded down once."""
    return wh * price // 1000


def lines_of(delivery: Delivery, tariffs: Tariffs) -> list[Line]:
    """The lines of one contract, energy first. Raises StatementRefused for figures that contradict each other."""
    contract, start, end, seller, buyer, contracted, price, delivered, due, by_seller, by_buyer = delivery[:11]
    fee, carrier = delivery.fee, delivery.carrier
    if fee is not None:
        return [_cancellation(delivery, tariffs)]
    if not (0 <= delivered <= contracted and price >= 0 and start < end and seller != buyer):
        raise StatementRefused("A contract has two parties, a time, and delivers at most what it is for.")
    # The contract hands on the fraction that it rounded away, which is less than one minor unit.
    if not 0 <= due - delivered * price // 1000 <= 1:
        raise StatementRefused("What is due is not the delivered energy at the agreed price.", field="due")
    tariff, operator, area = tariffs.at(start, carrier), tariffs.operator, tariffs.area(buyer)
    lines = [Line(contract, Kind.ENERGY, area, start, end, buyer, seller, delivered, price, due, carrier)]
    made = delivered if by_seller is None else by_seller
    used = delivered if by_buyer is None else by_buyer
    short = contracted - delivered
    if short:
        # The seller bears what it did not make, the buyer what was made for it and not taken.
        missing = min(short, max(0, contracted - made))
        for party, wh in ((seller, missing), (buyer, short - missing)):
            if wh:
                owed = money(wh, tariff.shortfall)
                rate = tariff.shortfall
                lines.append(Line(contract, Kind.SHORTFALL, area, start, end, party, operator, wh, rate, owed, carrier))
    if made > contracted:
        wh, rate = made - contracted, tariff.feed_in
        owed = money(wh, rate)
        lines.append(Line(contract, Kind.EXCESS, area, start, end, operator, seller, wh, rate, owed, carrier))
    if used > contracted:
        wh, rate = used - contracted, tariff.overdraw
        owed = money(wh, rate)
        lines.append(Line(contract, Kind.EXCESS, area, start, end, buyer, operator, wh, rate, owed, carrier))
    grid = tariff.fees.get(area)
    if grid is not None and delivered:
        rate, owed = grid.per_kwh, money(delivered, grid.per_kwh) + due * grid.bps // 10_000
        lines.append(Line(contract, Kind.GRID_FEE, area, start, end, buyer, grid.to, delivered, rate, owed, carrier))
    return lines


def _cancellation(made: Delivery, tariffs: Tariffs) -> Line:
    """The one line of a cancelled contract; nothing was delivered, and nobody fell short of it."""
    if made.fee is None or made.fee < 0 or made.delivered or made.due or made.seller == made.buyer:
        raise StatementRefused("A cancelled contract has a fee and no delivery.", field="fee")
    if made.fee_by not in (made.seller, made.buyer):
        raise StatementRefused("One of the partners cancelled.", field="fee_by")
    other = made.buyer if made.fee_by == made.seller else made.seller
    contract, wh, fee, carrier = made.contract, made.contracted, made.fee, made.carrier
    when = (tariffs.area(made.buyer), made.start, made.end)
    return Line(contract, Kind.CANCELLATION, *when, made.fee_by, other, wh, 0, fee, carrier)
