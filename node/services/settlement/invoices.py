"""Invoices per party and period, added up line by line: the same whatever the order, and zero over all parties."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from node.services.settlement.lines import Kind, Line

__all__ = ["Bill", "Invoice", "Period", "Position"]


class Period(StrEnum):
    """How much time one invoice is for; days and months are those of UTC."""

    ALL = "all"
    MONTH = "month"
    DAY = "day"

    def span(self, start: int, whole: tuple[int, int]) -> tuple[int, int]:
        """The period [from, to) of a delivery that begins at `start`, cut to the whole statement's."""
        if self is Period.ALL:
            return whole
        moment = datetime.fromtimestamp(start, UTC).replace(hour=0, minute=0, second=0)
        if self is Period.DAY:
            first, after = moment, moment + timedelta(days=1)
        else:
            first = moment.replace(day=1)
            after = (first + timedelta(days=32)).replace(day=1)
        return max(whole[0], int(first.timestamp())), min(whole[1], int(after.timestamp()))


@dataclass(frozen=True, slots=True)
class Position:
    """The lines of one kind and one carrier on one side. `amount` is negative for what the party owes."""

    carrier: str
    kind: Kind
    owes: bool
    lines: int
    wh: int
    amount: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """What one party owes (negative) or gets for one period: the sum of its positions."""

    number: str
    party: bytes
    start: int
    end: int
    positions: tuple[Position, ...]

    @property
    def total(self) -> int:
        return sum(position.amount for position in self.positions)

    @property
    def totals(self) -> Mapping[str, int]:
        """The same of each carrier by itself, in the order of their names."""
        found: dict[str, int] = {}
        for each in self.positions:
            found[each.carrier] = found.get(each.carrier, 0) + each.amount
        return found


_Key = tuple[int, int, bytes, str, Kind, bool]


@dataclass(slots=True)
class Bill:
    """Adds lines up. What it holds grows with parties and periods, not with lines. `issuer` makes numbers unique."""

    issuer: bytes
    whole: tuple[int, int]
    period: Period = Period.ALL
    lines: int = 0
    _sums: dict[_Key, list[int]] = field(default_factory=dict)

    def add(self, lines: Iterable[Line]) -> None:
        sums = self._sums
        for line in lines:
            first, after = self.period.span(line.start, self.whole)
            self.lines += 1
            for party, owes in ((line.debtor, True), (line.creditor, False)):
                found = sums.setdefault((first, after, party, line.carrier, line.kind, owes), [0, 0, 0])
                found[0] += 1
                found[1] += line.wh
                found[2] += line.amount

    @property
    def balance(self) -> int:
        """Everything that is got less everything that is owed: zero."""
        return sum(-amount if key[5] else amount for key, (_, _, amount) in self._sums.items())

    def invoices(self) -> tuple[Invoice, ...]:
        """In order of time and party, the positions of one carrier beside each other."""
        found: dict[tuple[int, int, bytes], list[Position]] = {}
        for (first, after, party, carrier, kind, owes), (count, wh, amount) in sorted(self._sums.items()):
            position = Position(carrier, kind, owes, count, wh, -amount if owes else amount)
            found.setdefault((first, after, party), []).append(position)
        return tuple(
            Invoice(self._number(first, after, party), party, first, after, tuple(positions))
            for (first, after, party), positions in found.items()
        )

    def _number(self, first: int, after: int, party: bytes) -> str:
        """The same invoice has the same number whoever makes it, and however often."""
        text = b"|".join((self.issuer, party, str(first).encode(), str(after).encode()))
        return hashlib.sha256(b"wattpact invoice|" + text).hexdigest()[:20]
