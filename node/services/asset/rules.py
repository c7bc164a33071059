"""Pure rules of an asset: delivery by counter differences, and the checks before it pays (M-45 to M-54). Integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node.errors import InvalidInput
from node.services.asset.errors import PaymentRefused

__all__ = [
    "AT_ONCE",
    "Asked",
    "Bill",
    "Ordered",
    "check_asked",
    "check_bill",
    "check_initial",
    "choose_bills",
    "order_until",
    "progress_moments",
    "share_delivery",
]

LEAST_TTL = 3_600
"""Seconds for which an order is valid at least (M-38)."""

AT_ONCE = 10
"""Contracts that one payment settles at most (M-53)."""


def order_until(now: int, start: int, ttl: int, wanted: int | None) -> int:
    """The last second in which an order may be matched: its time to live, but not into its own delivery (M-38).

    Raises InvalidInput for a wish of less than an hour, unless the delivery begins before that. Seconds UTC.
    """
    if wanted is None:
        return min(now + ttl, start)
    if wanted < min(now + LEAST_TTL, start):
        raise InvalidInput("An order is valid for at least an hour.", field="valid_until")
    return min(wanted, start)


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


def progress_moments(start: int, end: int, every: int, most: int) -> range:
    """Times within a delivery at which its progress is told (M-43), at most `most`; none where `every` is 0."""
    if not every or end <= start:
        return range(0)
    wait = max(every, -(-(end - start) // (most + 1)))
    return range(start + wait, end, wait)


@dataclass(frozen=True, slots=True)
class Ordered:
    """The request as this asset signed it. `price` is the most that it pays, in minor units per kWh."""

    order_id: bytes
    account: bytes
    wh: int
    price: int


@dataclass(frozen=True, slots=True)
class Bill:
    """A contract as the chain has it: who pays for which request, what was delivered, and what is owed for it.

    `since`: number of the block from which on it is owed; `escrowed`: the market holds the money already.
    """

    contract_id: bytes
    buyer: bytes
    request: bytes
    wh: int
    price: int
    delivered: int
    due: int
    since: int
    escrowed: bool = False

    @property
    def cost(self) -> int:
        """What paying it takes out of the free balance."""
        return 0 if self.escrowed else self.due


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


def check_initial(stored: Ordered | None, signed: Ordered | None) -> None:
    """The request as it is stored against the request as it was signed. Raises PaymentRefused."""
    if signed is None:
        raise PaymentRefused("The request is not signed by this asset's own key.", field="signature")  # M-48
    if stored != signed:
        raise PaymentRefused("The request that is stored is not the one that was signed.", field="request")  # M-49


@dataclass(frozen=True, slots=True)
class Asked:
    """The contract as the chain has it at this moment. `payable`: it is delivered, and neither paid nor claimed."""

    payable: bool
    wh: int
    price: int
    delivered: int
    due: int


def check_asked(bill: Bill, asked: Asked) -> None:
    """What is asked for against the contract on chain, just before it is paid. Raises PaymentRefused."""
    if not asked.payable:
        raise PaymentRefused("The contract on chain is not one that is to be paid.", field="status")  # M-46
    if (asked.wh, asked.price) != (bill.wh, bill.price):
        raise PaymentRefused("The contract on chain is for other energy or another price.", field="contract")  # M-51
    if (asked.delivered, asked.due) != (bill.delivered, bill.due):
        raise PaymentRefused("The chain says that another amount is owed.", field="due")  # M-51


def choose_bills(bills: Iterable[Bill], funds: int) -> tuple[Bill, ...]:
    """The oldest first, up to ten, as far as the free money goes (M-53 to M-55, A-24). `funds` in minor units."""
    chosen: list[Bill] = []
    for bill in sorted(bills, key=lambda each: (each.since, each.contract_id)):
        if len(chosen) == AT_ONCE or bill.cost > funds:
            break
        funds -= bill.cost
        chosen.append(bill)
    return tuple(chosen)
