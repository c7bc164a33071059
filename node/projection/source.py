"""A source of energy on the token's chain: its meter, its readings, and what they minted.

At the gateway it also remembers the reading that its device signed last, so that no index is signed twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import Effect, Event, State, StateIndex, Step
from node.projection.effects import NotifySourceChanged, SendParcel
from node.projection.errors import ContradictingFact, WrongAggregate, WrongParty
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.facts import Fact, add, cut, settle, top_block, unsettled_block
from node.projection.machine import Machine
from node.projection.settlement_events import (
    LoggedMeterReset,
    LoggedProduced,
    LoggedSharesIssued,
    LoggedSourcePauseSet,
    LoggedSourceRegistered,
    RequestedReading,
)

__all__ = [
    "SOURCE_MACHINE",
    "Count",
    "Pause",
    "Signed",
    "Source",
    "SourceStatus",
    "index_source",
    "reduce_source",
]

MWH_PER_WH = 1_000
READING_LIFETIME_S = 86_400
"""How long a signed reading is offered to the community; a later one replaces it, since the counter is absolute."""


class SourceStatus(StrEnum):
    NONE = "none"
    ACTIVE = "active"
    PAUSED = "paused"


_N, _A, _P = SourceStatus.NONE, SourceStatus.ACTIVE, SourceStatus.PAUSED
SOURCE_MACHINE = Machine(
    "source",
    _N,
    {
        (_N, LoggedSourceRegistered): frozenset({_A}),
        (_A, LoggedSourcePauseSet): frozenset({_P}),
        (_P, LoggedSourcePauseSet): frozenset({_A}),
        (_A, LoggedRolledBack): frozenset({_N, _P}),
        (_P, LoggedRolledBack): frozenset({_N, _A}),
    },
)


@dataclass(frozen=True, slots=True)
class Count(Fact):
    """The counter at a reading, a reset or the registration; `minted` is the mWh of all time up to here."""

    device: bytes
    max_power_w: int
    index: int
    counter_wh: int
    meter_time: int
    minted: int


@dataclass(frozen=True, slots=True)
class Pause(Fact):
    account: bytes
    paused: bool


@dataclass(frozen=True, slots=True)
class Signed:
    """The reading that this gateway's device signed last."""

    index: int
    counter_wh: int
    meter_time: int


@dataclass(frozen=True, slots=True)
class Source(State):
    """By its number, 8 bytes big endian. `owner` is empty until it is registered."""

    source: bytes
    status: SourceStatus = SourceStatus.NONE
    owner: bytes = b""
    counts: tuple[Count, ...] = ()
    pauses: tuple[Pause, ...] = ()
    signed: Signed | None = None

    @property
    def last(self) -> Count | None:
        return self.counts[-1] if self.counts else None

    @property
    def device(self) -> bytes:
        return self.counts[-1].device if self.counts else b""

    @property
    def max_power_w(self) -> int:
        """The greatest power that the source can make."""
        return self.counts[-1].max_power_w if self.counts else 0

    @property
    def minted(self) -> int:
        """mWh that readings minted in all."""
        return self.counts[-1].minted if self.counts else 0


def _status(source: Source) -> SourceStatus:
    if not source.counts:
        return _N
    latest = {pause.account: pause.paused for pause in source.pauses}
    return _P if any(latest.values()) else _A


def _settled(pauses: tuple[Pause, ...], height: int) -> tuple[Pause, ...]:
    """A pause that no later word of its account ends is kept, however many words of others came since."""
    kept = settle(pauses, height)
    said = {pause.account for pause in kept}
    latest = {pause.account: pause for pause in pauses[: len(pauses) - len(kept)]}
    standing = (pause for pause in latest.values() if pause.paused and pause.account not in said)
    return (*(replace(pause, final=True) for pause in standing), *kept)


def _moved(before: Source, event: Event, after: Source, *effects: Effect) -> Step[Source]:
    if after == before:
        return Step(before)
    after = replace(after, status=SOURCE_MACHINE.move(before.status, event, _status(after)))
    if (after.last, after.status) != (before.last, before.status):
        index = after.last.index if after.last else 0
        effects = (*effects, NotifySourceChanged(after.source, index, after.minted))
    return Step(after, effects)


def _registered(source: Source, event: LoggedSourceRegistered) -> Step[Source]:
    count = Count(event.block, False, event.device, event.max_power_w, 0, event.initial_counter, 0, 0)
    if source.counts and source.counts[0].index == 0 and replace(source.counts[0], final=False) != count:
        raise ContradictingFact("one source was registered twice")
    return _moved(source, event, replace(source, owner=event.owner, counts=add(source.counts, count)))


def _produced(source: Source, event: LoggedProduced) -> Step[Source]:
    last = source.last
    if last is None:
        raise ContradictingFact("a reading of a source that was never registered")
    if event.index <= last.index:
        return Step(source)  # told twice
    minted = last.minted + (event.counter_wh - last.counter_wh) * MWH_PER_WH
    count = Count(
        event.block, False, last.device, last.max_power_w, event.index, event.counter_wh, event.meter_time, minted
    )
    return _moved(source, event, replace(source, counts=add(source.counts, count)))


def _reset(source: Source, event: LoggedMeterReset) -> Step[Source]:
    last = source.last
    if last is None:
        raise ContradictingFact("a reset of a source that was never registered")
    again = (event.block, event.device, event.index, event.new_initial)
    if any((count.block, count.device, count.index, count.counter_wh) == again for count in source.counts):
        return Step(source)  # told twice
    minted = last.minted + (event.old_final - last.counter_wh) * MWH_PER_WH
    count = Count(
        event.block, False, event.device, event.max_power_w, event.index, event.new_initial, last.meter_time, minted
    )
    return _moved(source, event, replace(source, counts=add(source.counts, count)))


def _signed(source: Source, event: RequestedReading) -> Step[Source]:
    latest = source.signed
    if latest is not None and (event.index <= latest.index or event.meter_time <= latest.meter_time):
        raise WrongParty("a reading of this index or of a later time was signed already")
    after = replace(source, signed=Signed(event.index, event.counter_wh, event.meter_time))
    until = event.at + READING_LIFETIME_S
    return Step(after, (SendParcel(event.peer, "energy.reading", event.body, event.source, until),))


def reduce_source(source: Source, event: Event) -> Step[Source]:
    match event:
        case LoggedSourceRegistered():
            return _registered(source, event)
        case LoggedProduced():
            return _produced(source, event)
        case LoggedMeterReset():
            return _reset(source, event)
        case LoggedSharesIssued():
            return Step(source)  # shares are read from the chain, where they move
        case LoggedSourcePauseSet():
            if not source.counts:
                raise ContradictingFact("a pause of a source that was never registered")
            pause = Pause(event.block, False, event.account, event.paused)
            return _moved(source, event, replace(source, pauses=add(source.pauses, pause)))
        case RequestedReading():
            return _signed(source, event)
        case LoggedRolledBack():
            height = event.ancestor_height
            after = replace(source, counts=cut(source.counts, height), pauses=cut(source.pauses, height))
            return _moved(source, event, after if after.counts else replace(after, owner=b""))
        case LoggedFinalized():
            height = event.height
            after = replace(source, counts=settle(source.counts, height), pauses=_settled(source.pauses, height))
            return _moved(source, event, after)
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a source")


def index_source(source: Source) -> StateIndex:
    lists = (source.counts, source.pauses)
    links = (("owner", source.owner), ("device", source.device)) if source.counts else ()
    return StateIndex(source.status.value, top_block(*lists), unsettled_block(*lists), None, links)
