"""How long a line that was left out waits for what its buyer sold itself on that day.

Where others of the day were netted, a buyer signs for such a line only once what was left out of its own sales has a
contract: by that alone it sees that no batch took both. Its own debtors may never sign, though, and theirs may not
either. So the wait of every line has an end that is agreed before and does not depend on how long the chain is: when
its own terms would have had a debtor reminded three times and claimed against. Pure; minor units, seconds UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node.projection.tradedue import REMINDERS
from node.services.market.netting import DAY, NetLine

__all__ = ["MOST_WAIT_S", "NO_WAIT", "OLDEST_DAYS", "Sale", "Wait", "has_to_wait", "wait_ends", "waits"]

MOST_WAIT_S = 14 * DAY
OLDEST_DAYS = 30
"""After 32 days a batch gives its place on chain to another one, and nobody can look it up any more."""

LAST_DAY = OLDEST_DAYS - 2
"""A wait is over while there is time left to sign."""


@dataclass(frozen=True, slots=True)
class Wait:
    """`until`: so long at most a line's buyer waits for its own sales, 0 where nothing of them was left out; `awaited`:
    so long at most its seller waits for it before it pays what it owes itself, 0 where nobody waits."""

    until: int
    awaited: int


NO_WAIT = Wait(0, 0)


@dataclass(frozen=True, slots=True)
class Sale:
    """What was left out of a sale. `offered`: its seller signed for it; `contracted`: it has its contract, for good."""

    offered: bool
    contracted: bool


def wait_ends(netted: int, period: int, payment_due: int, reminder_every: int) -> int:
    """The end of a line's wait, by the terms that its request named (seconds). `netted`: time of the batch's block."""
    agreed = payment_due + REMINDERS * reminder_every
    return min(netted + min(agreed, MOST_WAIT_S), (period + LAST_DAY) * DAY)


def has_to_wait(until: int, now: int, sales: Iterable[Sale]) -> bool:
    """Whether a buyer cannot sign yet. Who does not offer what it sold waits for nobody but itself."""
    return now < until and any(each.offered and not each.contracted for each in sales)


def waits(lines: Iterable[NetLine], owed: Mapping[bytes, int], ends: Mapping[bytes, int]) -> dict[bytes, Wait]:
    """The waits of lines that were left out together, by leaf. `owed`: what stays of each once they were set off, so
    no ring waits for itself; `ends`: where the wait of each would end."""
    open_ = [line for line in lines if owed[line.leaf]]
    creditors, found = {line.creditor for line in open_}, dict[bytes, int]()
    latest = dict[bytes, int]()
    for line in open_:
        if line.debtor in creditors:
            found[line.leaf] = ends[line.leaf]
            latest[line.debtor] = max(latest.get(line.debtor, 0), ends[line.leaf])
    return {line.leaf: Wait(found.get(line.leaf, 0), latest.get(line.creditor, 0)) for line in open_}
