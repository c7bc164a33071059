"""Pure rules of an asset: delivery by counter differences, and the checks before it pays (M-45 to M-54). Integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node.services.asset.errors import PaymentRefused

__all__ = ["Bill", "Ordered", "check_bill", "choose_bills", "share_delivery"]

AT_ONCE = 10
"""Contracts that one payment settles at most (M-53)."""


def share_delivery(first: int, last: int, contracts: Mapping[bytes, int]) -> dict[bytes, int]:
    """Wh between two values of an absolute counter, shared among the contracts of one time of delivery.

    `contracts` are Wh by contract id. Both partners share in the order of the ids, so that they come to the same; no
    contract gets more than it is for, and no Wh is reported twice.
    """
    left, found = max(0, last - first), {}
    for contract_id in sorted(contracts):
        found[contract_id] = min(left, contracts[contract_id])
        left -= found[contract_id]
    return found


@dataclass(frozen=True, slots=True)
class Ordered:
    """The request as this asset signed it. `price` is the most that it pays, in minor units per kWh."""

    order_id: bytes
    account: bytes
    wh: int
    price: int


@dataclass(frozen=True, slots=True)
class Bill:
    """A contract as the chain has it: who pays for which request, what was delivered, and what is owed for it."""

    contract_id: bytes
    buyer: bytes
    request: bytes
    wh: int
    price: int
    delivered: int
    due: int
    since: int


def check_bill(bill: Bill, ordered: Ordered | None) -> None:
    """Raises PaymentRefused, naming the first rule that fails.

    The chain's own figures are compared with the order in hand, so neither the market nor a wrong chain can have more
    than was signed for.
    """
    if ordered is None or ordered.order_id != bill.request:
        raise PaymentRefused("The contract is for a request that this asset did not make.", field="request")  # M-45
    if bill.buyer != ordered.account:
        raise PaymentRefused("The contract names another buyer.", field="buyer")  # M-48
    if bill.wh > ordered.wh or bill.delivered > bill.wh:
        raise PaymentRefused("The contract is for more energy than was asked for.", field="energy")  # M-49, M-50
    if bill.price > ordered.price:
        raise PaymentRefused("The price is above the request's limit.", field="price")  # M-50, M-51
    # Fills of one offer hand on what rounding left over, which is less than one minor unit.
    if not 0 <= bill.due - bill.delivered * bill.price // 1000 <= 1:
        raise PaymentRefused("What is owed is not the delivered energy at the agreed price.", field="due")  # M-51


def choose_bills(bills: Iterable[Bill], funds: int) -> tuple[Bill, ...]:
    """The oldest first, up to ten, as far as the money goes (M-53 to M-55, A-24). `funds` in minor units."""
    chosen: list[Bill] = []
    for bill in sorted(bills, key=lambda each: (each.since, each.contract_id)):
        if len(chosen) == AT_ONCE or bill.due > funds:
            break
        funds -= bill.due
        chosen.append(bill)
    return tuple(chosen)
