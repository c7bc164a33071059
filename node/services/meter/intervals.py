"""Differences of counting registers per interval aligned to UTC. Pure, integers only, one reading at a time.

How a stretch between two consecutive readings is booked:

- Both in one interval: the difference belongs to it. Its seconds count as covered if they are at most `max_gap`.
- Across one or more edges and no longer than `max_gap`: the whole difference belongs to the interval of the earlier
  reading, so that intervals add up to exactly what the register moved. With a reading on the edge this is exact;
  otherwise at most `max_gap` seconds of energy stand one interval early.
- Across an edge and longer than `max_gap`: nobody knows how the difference spreads. It is given to no interval;
  the intervals between are emitted as gaps; the last register before and the first one after show what is missing.
- A register that fell, or rose faster than `max_rate`, is a reset, an exchange or an error: the stretch is left out and
  flagged, never negative.

An interval is emitted when a later reading closes it, never by the clock on the wall: a replay gives the same result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from node.services.meter.errors import SavedStateError
from node.services.meter.reading import Quality

__all__ = ["Interval", "IntervalRule", "IntervalState", "IntervalStep", "advance"]

_STATE_VERSION = 1
# A month of quarter hours. After a longer silence only the newest gaps are written out one by one.
_MAX_GAPS = 31 * 96
_CARRIED = Quality.BACKLOG | Quality.CALENDAR_DOUBT | Quality.METER_CHANGED


@dataclass(frozen=True, slots=True)
class IntervalRule:
    """`seconds`: length; `registers`: how many counters a reading has; `max_gap`: longest stretch in seconds that still
    counts as covered, at most `seconds`; `max_rate`: fastest plausible rise of a counter, in units per hour."""

    seconds: int
    registers: int
    max_gap: int
    max_rate: int

    def __post_init__(self) -> None:
        if not 0 < self.max_gap <= self.seconds or self.registers < 1 or self.max_rate < 1:
            raise ValueError("a rule needs a register, a rate and 0 < max_gap <= seconds")


@dataclass(frozen=True, slots=True)
class Interval:
    """[start, start + seconds) UTC. `moved`, `first`, `last`: one integer per register (empty for a gap).
    `completeness` in 1/1000 of the interval's seconds."""

    start: int
    seconds: int
    quality: Quality
    completeness: int
    moved: tuple[int, ...] = ()
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class IntervalState:
    """What is known of the open interval; save it as bytes. `time` -1: no reading yet."""

    time: int = -1
    values: tuple[int, ...] = ()
    start: int = -1
    first: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()
    covered: int = 0
    quality: Quality = Quality.GOOD

    def to_bytes(self) -> bytes:
        lists = [list(self.values), list(self.first), list(self.moved)]
        numbers = [self.time, self.start, self.covered, int(self.quality)]
        return json.dumps({"version": _STATE_VERSION, "numbers": numbers, "lists": lists}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> IntervalState:
        """Raises SavedStateError for anything that `to_bytes` did not write."""
        try:
            found = json.loads(data)
            time, start, covered, quality = found["numbers"]
            values, first, moved = (tuple(part) for part in found["lists"])
            whole = all(type(n) is int for n in (time, start, covered, quality, *values, *first, *moved))
            if found["version"] != _STATE_VERSION or not whole or not len(values) == len(first) == len(moved):
                raise SavedStateError("the saved interval state is of another version")
            return cls(time, values, start, first, moved, covered, Quality(quality))
        except (ValueError, KeyError, TypeError):
            raise SavedStateError("the saved interval state cannot be read") from None


@dataclass(frozen=True, slots=True)
class IntervalStep:
    """The state to keep and the intervals that this reading closed, oldest first."""

    state: IntervalState
    closed: tuple[Interval, ...] = ()


def advance(
    rule: IntervalRule, state: IntervalState, time: int, values: tuple[int, ...], quality: Quality = Quality.GOOD
) -> IntervalStep:
    """Books one reading. A reading that is not newer than the last one changes nothing but the LATE flag, and not even
    that when it only repeats it. Raises SavedStateError when the state belongs to a rule with other registers."""
    if len(values) != rule.registers or (state.time >= 0 and len(state.values) != rule.registers):
        raise SavedStateError("the saved interval state is for other registers")
    if state.time < 0:
        return IntervalStep(_open(rule, time, values, quality))
    if time <= state.time:
        if (time, values) == (state.time, state.values):
            return IntervalStep(state)
        return IntervalStep(replace(state, quality=state.quality | Quality.LATE))
    edge = state.start + rule.seconds
    near = time - state.time <= rule.max_gap
    stretch = _stretch(rule, state, time, values, quality)
    if time < edge:
        booked = _book(state, stretch, time if near else state.time)
        return IntervalStep(replace(booked, time=time, values=values, quality=booked.quality | quality & _CARRIED))
    # The reading behind the edge stands for the register at the edge, for this interval and for the one it opens.
    closing = _book(state, stretch, edge) if near else state
    last = values if near and stretch is not None else state.values
    closed = (_close(rule, closing, last), *_gaps(rule, edge, _start(rule, time)))
    opened = _open(rule, time, values, quality)
    return IntervalStep(replace(opened, covered=time - edge) if near else opened, closed)


def _start(rule: IntervalRule, time: int) -> int:
    return time - time % rule.seconds


def _open(rule: IntervalRule, time: int, values: tuple[int, ...], quality: Quality) -> IntervalState:
    zeros = (0,) * rule.registers
    return IntervalState(time, values, _start(rule, time), values, zeros, 0, quality & _CARRIED)


def _stretch(
    rule: IntervalRule, state: IntervalState, time: int, values: tuple[int, ...], quality: Quality
) -> tuple[int, ...] | None:
    """What each register moved since the last reading; None when the two cannot be compared."""
    if Quality.METER_CHANGED in quality:
        return None
    moved = tuple(new - old for old, new in zip(state.values, values, strict=True))
    # One unit of grace: registers are rounded down, so a moment may seem to move one by a whole unit.
    limit = rule.max_rate * (time - state.time)
    return None if any(step < 0 or (step - 1) * 3600 > limit for step in moved) else moved


def _book(state: IntervalState, stretch: tuple[int, ...] | None, until: int) -> IntervalState:
    """Adds a stretch to the open interval, covered up to `until`."""
    covered = state.covered + until - state.time
    if stretch is None:
        return replace(state, covered=covered, quality=state.quality | Quality.RESET)
    moved = tuple(old + step for old, step in zip(state.moved, stretch, strict=True))
    return replace(state, covered=covered, moved=moved)


def _close(rule: IntervalRule, state: IntervalState, last: tuple[int, ...]) -> Interval:
    completeness = state.covered * 1000 // rule.seconds
    quality = state.quality | (Quality.INCOMPLETE if completeness < 1000 else Quality.GOOD)
    return Interval(state.start, rule.seconds, quality, completeness, state.moved, state.first, last)


def _gaps(rule: IntervalRule, begin: int, end: int) -> list[Interval]:
    begin = max(begin, end - _MAX_GAPS * rule.seconds)
    quality = Quality.GAP | Quality.INCOMPLETE
    return [Interval(start, rule.seconds, quality, 0) for start in range(begin, end, rule.seconds)]
