"""Energy flows of a community from the quarter hours that its members let this node read (P-27, B-11).

A household with consent for `electricity/15min` is a consumption unit and, by what it fed in, a source. Nothing is
stored: a consent that ended takes its data with it when it is pruned, and flows of the past are made of what is left.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from channels.readings import decode_batch
from channels.stores.records import OpenedReading
from node.errors import InvalidInput
from node.services.community.flows import Totals, flows_of

__all__ = ["FlowBook", "Measured", "Spent", "Unit"]

QUARTER_S: Final = 900
IMPORTED, EXPORTED = "1-0:1.29.0", "1-0:2.29.0"
"""Wh of an interval: what was taken from the grid, and what was fed into it."""
DAY_S: Final = 86_400
MOST_ROWS: Final = 3_000
MOST_DAYS: Final = 3_660


class Readings(Protocol):
    """What of the channel store this needs."""

    async def readings(
        self, sid: bytes, grant_id: bytes, start: int, end: int, *, limit: int = 10_000, offset: int = 0
    ) -> tuple[OpenedReading, ...]: ...


@dataclass(frozen=True, slots=True)
class Unit:
    """A household whose quarter hours are read: its stream, the consents it is read under, its owner."""

    sid: bytes
    grants: tuple[bytes, ...]
    owner: bytes


@dataclass(frozen=True, slots=True)
class Measured:
    """One quarter of an hour of one unit in Wh. `whole`: no part of it is missing, and a checkpoint covers it."""

    imported: int
    exported: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Spent:
    """One period [start, end): sums, and how many quarter hours were there, not whole, or not there at all."""

    start: int
    end: int
    totals: Totals
    quarters: int
    partial: int
    missing: int


class FlowBook:
    def __init__(self, store: Readings, units: Callable[[], Awaitable[Sequence[Unit]]]) -> None:
        self._store = store
        self._units = units

    async def flows(self, start: int, end: int, by: str, *, pairs: bool = False) -> tuple[Spent, ...]:
        """Periods of [start, end) by `quarter`, `day`, `month` or `year` (UTC), with who used whose production where
        `pairs` asks for it. Raises InvalidInput for too many.

        Works day by day: what is in memory is one day of every household.
        """
        start, end = start - start % QUARTER_S, end + -end % QUARTER_S
        if end - start > MOST_DAYS * DAY_S or (by == "quarter" and end - start > MOST_ROWS * QUARTER_S):
            raise InvalidInput(
                "That is too long for one answer.", field="to", remedy="Ask for less, or by day or month."
            )
        units, sums = await self._units(), dict[int, _Sum]()
        owner = {unit.sid: unit.owner for unit in units}
        for begin in range(start, end, DAY_S):
            day = await self._day(units, begin, min(begin + DAY_S, end))
            for quarter in sorted(day):
                found = sums.setdefault(_period(quarter, by)[0], _Sum(pairs))
                found.add(day[quarter], owner)
        return tuple(found.spent(max(first, start), min(_period(first, by)[1], end), len(units))
                     for first, found in sorted(sums.items()))  # fmt: skip

    async def _day(self, units: Sequence[Unit], begin: int, end: int) -> dict[int, dict[bytes, Measured]]:
        found: dict[int, dict[bytes, Measured]] = {}
        for unit in units:
            for grant in unit.grants:
                for row in await self._store.readings(unit.sid, grant, begin, end):
                    measured = _measured(row)
                    # Two consents for one household show the same quarter twice; it was used once.
                    if measured is not None:
                        found.setdefault(row.meter_time, {}).setdefault(unit.sid, measured)
        return found


def _measured(row: OpenedReading) -> Measured | None:
    """None for a gap, and for what is no quarter hour."""
    measurement = decode_batch(row.payload)[0]
    values = measurement.values
    if measurement.seconds != QUARTER_S or row.meter_time % QUARTER_S or IMPORTED not in values:
        return None
    whole = measurement.completeness == 1_000 and not row.provisional
    return Measured(values[IMPORTED], values.get(EXPORTED, 0), whole)


class _Sum:
    def __init__(self, pairs: bool) -> None:
        self.totals, self.quarters, self.partial, self.seen = Totals(pairs={} if pairs else None), 0, 0, 0

    def add(self, measured: Mapping[bytes, Measured], owner: Mapping[bytes, bytes]) -> None:
        produced = {sid: each.exported for sid, each in measured.items()}
        consumed = {sid: each.imported for sid, each in measured.items()}
        self.totals.add(flows_of(produced, consumed), owner)
        self.quarters += 1
        self.seen += len(measured)
        self.partial += sum(not each.whole for each in measured.values())

    def spent(self, start: int, end: int, units: int) -> Spent:
        return Spent(
            start, end, self.totals, self.quarters, self.partial, (end - start) // QUARTER_S * units - self.seen
        )


def _period(moment: int, by: str) -> tuple[int, int]:
    """The quarter, day, month or year [from, to) in which a time lies."""
    if by == "quarter":
        return moment - moment % QUARTER_S, moment - moment % QUARTER_S + QUARTER_S
    day = datetime.fromtimestamp(moment, UTC).replace(hour=0, minute=0, second=0)
    if by == "day":
        first, after = day, day + timedelta(days=1)
    elif by == "month":
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    else:
        first = day.replace(month=1, day=1)
        after = first.replace(year=first.year + 1)
    return int(first.timestamp()), int(after.timestamp())
