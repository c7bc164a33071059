"""Netting: many lines of a period become one sum for each member. Pure, whole minor units, and free of order.

The sums are zero together, and nobody's net is above what it has in lines. What a member's mandate does not cover is
left out before, line by line of that member alone, so one member's limit never changes what another one owes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node.services.market.errors import LineRefused

__all__ = [
    "DAY",
    "MOST_LINES",
    "Asking",
    "NetLine",
    "Netting",
    "check_day",
    "check_line",
    "deposit_for",
    "net",
    "within",
]

DAY = 86_400
"""A period, as the contract counts them: days since 1970, UTC."""

MOST_LINES = 192
"""Lines of one debtor in one period: two sellers in each quarter of an hour. All of them are shown in one transaction
when the debtor asks, and one that does not fit under the limit of 2^24 gas costs the operator its deposit."""

DEPOSIT_PART = 10
"""An operator's own balance must be at least this part of what a batch takes, as the contract has it."""


@dataclass(frozen=True, slots=True, order=True)
class NetLine:
    """What one request pays to one seller. `leaf`: the line's leaf in the tree, by which it is known (bytes32)."""

    leaf: bytes
    debtor: bytes
    creditor: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Netting:
    """`net` by account: below zero it pays, above it receives; nobody is listed with zero. `lines` by leaf."""

    net: Mapping[bytes, int]
    lines: tuple[NetLine, ...]

    @property
    def total(self) -> int:
        """What moves in all."""
        return sum(amount for amount in self.net.values() if amount > 0)

    def debits(self) -> dict[bytes, int]:
        return {account: -amount for account, amount in self.net.items() if amount < 0}

    def credits(self) -> dict[bytes, int]:
        return {account: amount for account, amount in self.net.items() if amount > 0}


def net(lines: Iterable[NetLine]) -> Netting:
    """The same lines in any order, and each told any number of times, give the same netting."""
    distinct = tuple(sorted(set(lines)))
    sums: dict[bytes, int] = {}
    for line in distinct:
        sums[line.debtor] = sums.get(line.debtor, 0) - line.amount
        sums[line.creditor] = sums.get(line.creditor, 0) + line.amount
    return Netting({account: sums[account] for account in sorted(sums) if sums[account]}, distinct)


def within(lines: Iterable[NetLine], limits: Mapping[bytes, int]) -> tuple[Netting, tuple[NetLine, ...]]:
    """The netting that every debtor's limit covers, and the lines left out, which stay owed by themselves.

    `limits`: minor units that may be taken of an account; 0 for one that is not there. Leaving out what one owes takes
    from what others receive, so it is looked at again until all limits hold.
    """
    kept, out = sorted(set(lines)), list[NetLine]()
    while True:
        found = net(kept)
        over = {account for account, amount in found.debits().items() if amount > limits.get(account, 0)}
        if not over:
            return found, tuple(sorted(out))
        out += [line for line in kept if line.debtor in over]
        kept = [line for line in kept if line.debtor not in over]


@dataclass(frozen=True, slots=True)
class Asking:
    """A request that was signed to be netted: Wh, the highest price in minor units per kWh, delivery (seconds UTC)."""

    account: bytes
    operator: bytes
    partner: bytes
    wh: int
    price: int
    start: int


def check_line(asking: Asking, operator: bytes, seller: bytes, wh: int, price: int, taken: int) -> int:
    """The amount of a line, if its debtor is bound by it; `taken` is what other lines of the request take, in Wh.

    As the contract judges when a line is shown to it: an operator that nets anything else loses its deposit.
    Raises LineRefused.
    """
    if asking.operator != operator:
        raise LineRefused("The request is for another market.", field="operator")
    if seller == asking.account:
        raise LineRefused("Nobody pays themselves.", field="seller")
    if asking.partner not in (bytes(20), seller):
        raise LineRefused("The request names another seller.", field="seller")
    if wh <= 0 or wh + taken > asking.wh:
        raise LineRefused("More is netted than was asked for.", field="wh")
    if not 0 <= price <= asking.price:
        raise LineRefused("The price is above the request's limit.", field="price")
    return wh * price // 1000


def check_day(start: int, now: int, after: int) -> None:
    """A line may be told from the begin of its delivery until its day's lines are netted, `after` seconds past the
    day's end. Seconds UTC. Raises LineRefused."""
    if start > now:
        raise LineRefused("The delivery has not begun.", field="typed.message.start")
    if now >= (start // DAY + 1) * DAY + after:
        raise LineRefused("The time for lines of that day is over. Pay it by itself.", field="typed.message.start")


def deposit_for(total: int) -> int:
    """What an operator must have in its own book for a batch that takes so much, in minor units."""
    return total // DEPOSIT_PART
