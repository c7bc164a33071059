"""The journal: events in, and in one transaction with them the states, timers, feed and outbox that follow.

Group commit: calls that wait at the same time share one transaction and one flush to disk, each in a savepoint of its
own, so a refused call does not undo its neighbours. When `apply` returns, everything it returned is on disk. If the
process dies before, nothing of it is. Whoever calls keeps what is returned and never computes it again.

Journal rows are numbered without gaps, one row per event that changed something; an outbox row is named by its event's
number and its position among that event's effects, so no replay and no crash can make a second one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from node.clock import Clock
from node.errors import NodeError
from node.projection.aggregates import reduce, route
from node.projection.base import AggregateId, Effect, Event, State
from node.projection.codec import CODEC
from node.projection.events import LoggedRolledBack
from node.projection.feed import announce
from node.projection.replay import World
from node.storage.bulk import Writes
from node.storage.database import Database
from node.storage.errors import JournalDiffers
from node.storage.extras import Extra
from node.storage.feedlog import FeedLog
from node.storage.group import GroupCommit
from node.storage.remembered import Remembered
from node.storage.schema import journal, journal_targets, outbox, states
from node.storage.states import StateSet

__all__ = ["Applied", "Change", "Journal", "Recorded"]

# Number of the advisory lock that orders the journal's writers on PostgreSQL; any constant of ours.
_JOURNAL_LOCK: Final = 0x5761_7474_0002
_TURN: Final = 128
"""Events after which everybody else has a turn: a range of old blocks is seconds of work, and a meter does not wait."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one event did to one aggregate."""

    aggregate: AggregateId
    state: State
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event. `seq` is its number in the journal; None for one that changed nothing and was not written."""

    seq: int | None
    event: Event
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """What one call of `apply` did, in the order of its events. `due`: when the first of the timers that it set falls
    due; None if it set none."""

    records: tuple[Recorded, ...]
    due: int | None = None

    @property
    def effects(self) -> tuple[Effect, ...]:
        return tuple(effect for record in self.records for change in record.changes for effect in change.effects)

    def state(self, aggregate: AggregateId) -> State | None:
        """The state that this call left the aggregate in, if it touched it."""
        found = [c.state for record in self.records for c in record.changes if c.aggregate == aggregate]
        return found[-1] if found else None


@dataclass(frozen=True, slots=True)
class _Call:
    events: tuple[Event, ...]
    texts: tuple[str, ...]
    extras: tuple[Extra, ...]

    @property
    def undoes(self) -> bool:
        """Whether what the tables hold is taken back before all events are reduced."""
        return any(isinstance(event, LoggedRolledBack) for event in self.events)


@dataclass(frozen=True, slots=True)
class _Last:
    """The newest numbers in the journal and in the feed; `feed` is -1 where it was not looked up yet."""

    seq: int
    feed: int = -1


class Journal:
    """The one writer of states. `apply` may be called from many tasks at once."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._group: GroupCommit[_Call, Applied] = GroupCommit("journal", self._commit)
        self._listeners: list[Callable[[Applied], None]] = []
        self._wanted: frozenset[type[Effect]] | None = None
        self._last: _Last | None = None

    def subscribe(self, listener: Callable[[Applied], None]) -> None:
        """Call `listener` after each commit, in order. It must be quick and must not raise; it only wakes others."""
        self._listeners.append(listener)

    def want(self, effects: Iterable[type[Effect]]) -> None:
        """From now on keep only effects of these types in the outbox; before this call, all.

        What nobody carries out would be written, read and acknowledged for nothing, once for every event of a chain
        that mostly concerns others.
        """
        self._wanted = frozenset(effects)

    async def apply(self, events: Sequence[Event], *extras: Extra, texts: Sequence[str] = ()) -> Applied:
        """Write all of it or nothing, and return once it is on disk. `texts`: the events as the codec writes them, if
        the caller has them already.

        Raises what the reducers raise (IllegalMove, RequestRefused, ContradictingFact, ...), what an extra raises
        (DuplicateParcel), JournalClosed after `close`, and the database's own errors; then nothing was written.
        A caller that is cancelled while waiting does not know whether it was written: its event is told again.
        """
        return await self._group.submit(_Call(tuple(events), tuple(texts) or ("",) * len(events), extras))

    async def close(self) -> None:
        """Finish what is waiting, then refuse."""
        await self._group.close()

    async def _commit(self, calls: Sequence[_Call]) -> list[Applied | NodeError]:
        """One transaction for the group; raises only what concerns all of it."""
        # Nobody else writes to a database of SQLite: how far it goes is known as long as every transaction ended well.
        last, self._last = self._last, None
        results: list[Applied | NodeError] = []
        if not self._database.concurrent and len(calls) == 1 and not calls[0].undoes:
            applied, self._last = await self._alone(calls[0], last)
            self._tell([applied])
            return [applied]
        async with self._database.write() as connection:
            if last is None or self._database.concurrent:
                last = await self._look(connection)
            for call in calls:
                if len(calls) == 1:  # its error undoes the whole transaction, so no savepoint is needed
                    applied, last = await self._one(connection, call, last)
                    results.append(applied)
                    continue
                try:
                    async with connection.begin_nested():
                        applied, last = await self._one(connection, call, last)
                except NodeError as error:
                    results.append(error)
                else:
                    results.append(applied)
        self._last = last
        self._tell([each for each in results if isinstance(each, Applied)])
        return results

    def _tell(self, all_applied: Sequence[Applied]) -> None:
        for applied in all_applied:
            for listener in self._listeners:
                listener(applied)

    async def _alone(self, call: _Call, last: _Last | None) -> tuple[Applied, _Last]:
        """One call where nobody else writes states: what follows from its events is worked out before the transaction,
        which everybody else who writes has to wait for. An extra that refuses still undoes all of it."""
        async with self._database.read_before_writing() as connection:
            if last is None:
                last = await self._look(connection)
            work = self._work(connection, last)
            records, writes = await self._reduced(work, call), _extras(call)
            due, newest = await work.finish(writes)
        await writes.commit(self._database)
        return Applied(records, due), newest

    async def _look(self, connection: AsyncConnection) -> _Last:
        if self._database.concurrent:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _JOURNAL_LOCK})
        query = select(func.coalesce(func.max(journal.c.seq), 0))
        return _Last((await connection.execute(query)).scalar_one())

    async def _one(self, connection: AsyncConnection, call: _Call, last: _Last) -> tuple[Applied, _Last]:
        await _extras(call).write(connection)
        work = self._work(connection, last)
        records, writes = await self._reduced(work, call), Writes()
        due, newest = await work.finish(writes)
        await writes.write(connection)
        return Applied(records, due), newest

    def _work(self, connection: AsyncConnection, last: _Last) -> _Work:
        return _Work(connection, last, self._clock.now(), self._wanted, self._database.remembered)

    async def _reduced(self, work: _Work, call: _Call) -> tuple[Recorded, ...]:
        await work.prepare(call.events)
        records: list[Recorded] = []
        for event, written in zip(call.events, call.texts, strict=True):
            records.append(await work.reduce(event, written))
            if not len(records) % _TURN:
                await asyncio.sleep(0)
        return tuple(records)

    async def verify(self) -> int:
        """Replay the whole journal in memory and compare with the stored states; return the number of events.

        Raises JournalDiffers, naming the first aggregate that does not agree.
        """
        world = World()
        async with self._database.read() as connection:
            count = 0
            rows = await connection.stream(select(journal.c.event).order_by(journal.c.seq))
            async for (document,) in rows:
                world.apply(CODEC.decode(document, Event))
                count += 1
            live = await connection.execute(select(states.c.kind, states.c.key, states.c.document))
            stored = {AggregateId(kind, key): CODEC.decode(document, State) for kind, key, document in live}
        wrong = sorted(key for key in world.states.keys() | stored.keys() if world.states.get(key) != stored.get(key))
        if wrong:
            raise JournalDiffers(f"{len(wrong)} states differ from the journal, first {wrong[0]}.")
        return count


def _extras(call: _Call) -> Writes:
    writes = Writes()
    for extra in call.extras:
        extra.tell(writes)
    return writes


class _Work:
    """One call inside a transaction."""

    def __init__(
        self,
        connection: AsyncConnection,
        last: _Last,
        now: int,
        wanted: frozenset[type[Effect]] | None,
        remembered: Remembered,
    ) -> None:
        self._wanted = wanted
        self._seq = last.seq
        self._now = now
        self._states = StateSet(connection, remembered)
        self._feed = FeedLog(connection, now, last.feed)
        self._rows: list[tuple[Any, ...]] = []
        self._targets: list[tuple[Any, ...]] = []
        self._outbox: list[tuple[Any, ...]] = []

    async def prepare(self, events: Sequence[Event]) -> None:
        """Load at once what the events name, instead of one by one."""
        await self._states.load(aggregate for event in events for aggregate in route(event).direct)

    async def reduce(self, event: Event, text: str) -> Recorded:
        if isinstance(event, LoggedRolledBack):
            await self._feed.undo(event.ancestor_height)
        changes: list[Change] = []
        for aggregate in await self._states.concerned(route(event)):
            before = self._states.get(aggregate)
            step = reduce(before, event)
            if step.state != before or step.effects:
                changes.append(Change(aggregate, step.state, step.effects))
        if not changes:
            return Recorded(None, event, ())
        self._seq += 1
        for change in changes:
            self._states.put(change.aggregate, change.state, self._seq)
        self._record(event, text, changes)
        return Recorded(self._seq, event, tuple(changes))

    def _record(self, event: Event, text: str, changes: Sequence[Change]) -> None:
        self._rows.append((self._seq, type(event).__name__, self._now, text or CODEC.encode(event)))
        position = 0
        for change in changes:
            self._feed.add(announce(event, change.aggregate, change.state, change.effects))
            self._targets.append((change.aggregate.kind, change.aggregate.key, self._seq))
            for effect in change.effects:
                if self._wanted is None or type(effect) in self._wanted:
                    self._outbox.append(self._outbox_row(position, change.aggregate, effect))
                position += 1

    def _outbox_row(self, position: int, aggregate: AggregateId, effect: Effect) -> tuple[Any, ...]:
        name, document = type(effect).__name__, CODEC.encode(effect)
        lane, now = f"{aggregate}/{name}", self._now
        return (self._seq, position, name, lane, document, "pending", 0, now, None, None, "", now, None)

    async def finish(self, writes: Writes) -> tuple[int | None, _Last]:
        """Hands all of it over to be written; when the first timer of it falls due, and the newest numbers then."""
        due = self._states.flush(writes)
        await self._feed.flush(writes)
        for table, rows in ((journal, self._rows), (journal_targets, self._targets), (outbox, self._outbox)):
            writes.add(table, rows)
        return due, _Last(self._seq, self._feed.last)
