"""The states inside one transaction: load what events concern, keep what reducers returned, write once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from node.projection.aggregates import Route, index_of, initial
from node.projection.base import AggregateId, State, StateIndex
from node.storage.bulk import Writes
from node.storage.bykey import states_of
from node.storage.remembered import Remembered
from node.storage.schema import state_links, states, timers

__all__ = ["StateSet"]

_STATES: Final = select(states.c.kind, states.c.key, states.c.created_seq, states.c.document)
Row = tuple[Any, ...]


class StateSet:
    """Holds only what the present transaction touches. Not shared between tasks."""

    def __init__(self, connection: AsyncConnection, remembered: Remembered) -> None:
        self._connection = connection
        self._remembered = remembered
        self._known: dict[AggregateId, State] = {}
        self._created: dict[AggregateId, int] = {}
        self._changed: dict[AggregateId, int] = {}
        self._stored: dict[AggregateId, State] = {}  # what the tables hold, as far as it was looked at

    async def load(self, aggregates: Iterable[AggregateId]) -> None:
        """Read those that are not known yet, in few queries."""
        missing = sorted({each for each in aggregates if each not in self._known})
        by_kind: dict[str, list[bytes]] = {}
        for aggregate in missing:
            by_kind.setdefault(aggregate.kind, []).append(aggregate.key)
        for kind, keys in by_kind.items():
            for key, created, document in await states_of(self._connection, kind, keys):
                self._take(AggregateId(kind, key), created, document)
        for aggregate in missing:
            self._known.setdefault(aggregate, initial(aggregate))

    async def concerned(self, way: Route) -> list[AggregateId]:
        """Whom an event with this route concerns, in the order of kinds and keys; all of them loaded."""
        if any(each not in self._known for each in way.direct):
            await self.load(way.direct)
        where = _where(way)
        if where is None:
            return sorted(set(way.direct)) if len(way.direct) > 1 else list(way.direct)
        # The tables do not know yet what earlier events of this transaction changed: those are looked at here.
        found = set(way.direct) | {each for each in await self._read(where) if each not in self._changed}
        found |= {each for each in self._changed if way.covers(each, index_of(self._known[each]))}
        return sorted(found)

    def get(self, aggregate: AggregateId) -> State:
        return self._known[aggregate]

    def put(self, aggregate: AggregateId, state: State, seq: int) -> None:
        self._known[aggregate] = state
        self._created.setdefault(aggregate, seq)
        self._changed[aggregate] = seq

    async def _read(self, where: ColumnElement[bool]) -> set[AggregateId]:
        found = set()
        for kind, key, created, document in await self._connection.execute(_STATES.where(where)):
            found.add(AggregateId(kind, key))
            self._take(AggregateId(kind, key), created, document)
        return found

    def _take(self, aggregate: AggregateId, created: int, document: str) -> None:
        """Unless this transaction has it already, and perhaps changed it."""
        if aggregate not in self._known:
            self._known[aggregate] = self._stored[aggregate] = self._remembered.read(*aggregate, document)
            self._created[aggregate] = created

    def flush(self, writes: Writes) -> int | None:
        """Hands over what changed to be written: states, the links to find them by, and their timers. When the first
        of those falls due."""
        work = _Changes()
        for aggregate, seq in self._changed.items():
            self._compare(work, aggregate, seq)
            self._stored[aggregate] = self._known[aggregate]
        self._changed.clear()
        for table, gone in ((state_links, work.no_links), (timers, work.no_timers), (states, work.no_states)):
            writes.remove(table, ("kind", "key"), [(each.kind, each.key) for each in gone])
        writes.add(states, work.states, overwrite=True)
        writes.add(state_links, work.links)
        writes.add(timers, work.timers)
        return min((at for *_, at in work.timers), default=None)

    def _compare(self, work: _Changes, aggregate: AggregateId, seq: int) -> None:
        kind, key = aggregate.kind, aggregate.key
        fresh = initial(aggregate)
        state, before = self._known[aggregate], self._stored.get(aggregate, fresh)
        stored, wanted = before != fresh, state != fresh
        old = self._remembered.shown(kind, key, before) if stored else None
        now = self._remembered.shown(kind, key, state)
        links = now.shown.links if wanted else ()
        old_links = old.shown.links if old is not None else ()
        if links != old_links:
            if old_links:
                work.no_links.append(aggregate)
            work.links.extend((name, value, kind, key) for name, value in dict.fromkeys(links))
        old_due = old.due if old is not None else ()
        if now.due != old_due:
            if old_due:
                work.no_timers.append(aggregate)
            work.timers.extend((kind, key, each.name, each.at) for each in now.due)
        if wanted:
            work.states.append(self._row(aggregate, state, now.shown, seq))
            return
        self._remembered.forget(kind, key)
        if stored:
            work.no_states.append(aggregate)

    def _row(self, aggregate: AggregateId, state: State, index: StateIndex, seq: int) -> Row:
        return (
            aggregate.kind,
            aggregate.key,
            index.status,
            index.top_block,
            index.unsettled,
            index.chain_deadline,
            self._created[aggregate],
            seq,
            self._remembered.write(aggregate.kind, aggregate.key, state),
        )


@dataclass(slots=True)
class _Changes:
    """What one flush writes, table by table, in the order of the columns."""

    states: list[Row] = field(default_factory=list)
    links: list[Row] = field(default_factory=list)
    timers: list[Row] = field(default_factory=list)
    no_states: list[AggregateId] = field(default_factory=list)
    no_links: list[AggregateId] = field(default_factory=list)
    no_timers: list[AggregateId] = field(default_factory=list)


def _where(way: Route) -> ColumnElement[bool] | None:
    """How the tables find whom an event concerns besides those that it names; None: nobody."""
    where: list[ColumnElement[bool]] = []
    if way.above is not None:
        where.append(states.c.top_block > way.above)
    if way.settled is not None:
        height, time = way.settled
        where.append(or_(states.c.unsettled <= height, states.c.chain_deadline < time))
    if way.linked is not None:
        kind, name, value = way.linked
        keys = select(state_links.c.key).where(
            state_links.c.name == name, state_links.c.value == value, state_links.c.kind == kind
        )
        where.append(and_(states.c.kind == kind, states.c.key.in_(keys)))
    return or_(*where) if where else None
