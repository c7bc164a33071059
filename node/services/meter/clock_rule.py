"""Which meter times are believed. Pure: (meter time, what the gateway knows of time, state) -> (verdict, state).

channels.md 1: a reading whose meter time differs from the gateway clock, or a gateway clock that differs from the
newest block, by more than `max_skew` is set aside and reported, not sealed. On top of that a clock must move: a meter
that repeats itself, or steps back, would let old telegrams be replayed as new ones.

`max_backlog` (off by default) is for loggers that replay buffered telegrams in order after an outage: older readings
are believed as long as they are not older than that and strictly newer than the newest one accepted before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["ClockPolicy", "ClockState", "ClockView", "Reason", "Verdict", "judge", "judge_gas"]

_DAY = 86400


class Reason(StrEnum):
    """Why a reading was set aside."""

    GATEWAY_CLOCK = "gateway_clock"  # our own clock and the chain disagree: the reading may be right, we cannot tell
    FUTURE = "future"
    FAR_FUTURE = "far_future"  # more than a day ahead: a clock that was never set, or the year 2099
    PAST = "past"
    REPEATED = "repeated"  # the same meter time again
    STUCK = "stuck"  # the same meter time for longer than `stuck_after`
    BACKWARD = "backward"  # not newer than what was accepted before
    GAS = "gas"  # gas captured in the future, or too long ago to say anything about now

    @property
    def recoverable(self) -> bool:
        """Whether the same reading may be judged again once the gateway's clock or its view of the chain is right."""
        return self is Reason.GATEWAY_CLOCK


@dataclass(frozen=True, slots=True)
class ClockPolicy:
    """All in seconds. `max_backlog` 0 means that nothing older than `max_skew` is taken."""

    max_skew: int = 120
    max_backlog: int = 0
    stuck_after: int = 30
    max_gas_age: int = 2 * _DAY

    def __post_init__(self) -> None:
        if self.max_skew < 1 or self.max_backlog < 0 or self.stuck_after < 1 or self.max_gas_age < 0:
            raise ValueError("the clock policy's spans must be positive; max_backlog and max_gas_age may be zero")


@dataclass(frozen=True, slots=True)
class ClockView:
    """`gateway`: our wall clock; `block`: time of the newest block seen, None when none was seen yet (then the writer
    stays closed by its own rule, channels.md 4.5)."""

    gateway: int
    block: int | None = None


@dataclass(frozen=True, slots=True)
class ClockState:
    """`newest`: newest meter time accepted; `last_seen`: meter time of the telegram before; `since`: gateway clock when
    `last_seen` was first seen. -1 means never."""

    newest: int = -1
    last_seen: int = -1
    since: int = -1


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` None: accepted, as backlog or live. Otherwise set aside."""

    reason: Reason | None = None
    backlog: bool = False


def judge(meter_time: int, view: ClockView, state: ClockState, policy: ClockPolicy) -> tuple[Verdict, ClockState]:
    """Judges one reading. The caller keeps the state that is returned."""
    if view.block is not None and abs(view.gateway - view.block) > policy.max_skew:
        # State stays as it is, so that the same reading can be judged again later.
        return Verdict(Reason.GATEWAY_CLOCK), state
    if _lags(meter_time, view, policy):
        return Verdict(Reason.GATEWAY_CLOCK), state
    if state.newest > view.gateway + policy.max_skew:
        # What was accepted lies in our future: the clock was wrong then or is wrong now. The chain decides which; were
        # the old value kept, one hour with a clock in 2099 would shut the meter out for good.
        if view.block is None:
            return Verdict(Reason.GATEWAY_CLOCK), state
        state = replace(state, newest=-1)
    repeated = meter_time == state.last_seen
    since = state.since if repeated else view.gateway
    seen = replace(state, last_seen=meter_time, since=since)
    verdict = _verdict(meter_time, view.gateway, seen if repeated else None, state.newest, policy)
    if verdict.reason is None:
        seen = replace(seen, newest=meter_time)
    return verdict, seen


def _lags(meter_time: int, view: ClockView, policy: ClockPolicy) -> bool:
    """Whether the meter is too far ahead of our clock and not of the chain, which is well ahead of it too.

    The newest block known is always some seconds old, so a clock that stands still leaves the meter's time first; what
    the meter says in those seconds is right and must not be lost.
    """
    if view.block is None or 2 * (view.block - view.gateway) <= policy.max_skew:
        return False
    return meter_time - view.gateway > policy.max_skew >= meter_time - view.block


def _verdict(meter_time: int, now: int, repeated: ClockState | None, newest: int, policy: ClockPolicy) -> Verdict:
    ahead = meter_time - now
    if ahead > _DAY:
        return Verdict(Reason.FAR_FUTURE)
    if ahead > policy.max_skew:
        return Verdict(Reason.FUTURE)
    if repeated is not None:
        return Verdict(Reason.STUCK if now - repeated.since >= policy.stuck_after else Reason.REPEATED)
    if -ahead > max(policy.max_skew, policy.max_backlog):
        return Verdict(Reason.PAST)
    if meter_time <= newest:
        return Verdict(Reason.BACKWARD)
    return Verdict(backlog=-ahead > policy.max_skew)


def judge_gas(capture_time: int, meter_time: int, policy: ClockPolicy) -> Verdict:
    """Judges a gas capture time against the time of the accepted telegram that carried it."""
    if capture_time > meter_time + policy.max_skew or capture_time < meter_time - policy.max_gas_age:
        return Verdict(Reason.GAS)
    return Verdict()
