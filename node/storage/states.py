"""The states inside one transaction: load what events concern, keep what reducers returned, write once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, delete, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from node.projection.aggregates import Route, deadlines_of, index_of, initial
from node.projection.base import AggregateId, State, StateIndex
from node.projection.codec import CODEC
from node.storage.database import upsert
from node.storage.schema import state_links, states, timers

__all__ = ["StateSet"]

_CHUNK: Final = 400


class StateSet:
    """Holds only what the present transaction touches. Not shared between tasks."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._known: dict[AggregateId, State] = {}
        self._created: dict[AggregateId, int] = {}
        self._changed: dict[AggregateId, int] = {}
        self._stored: dict[AggregateId, State] = {}  # what the tables hold, as far as it was looked at

    async def load(self, aggregates: Iterable[AggregateId]) -> None:
        """Read those that are not known yet, in few queries."""
        missing = sorted(set(aggregates) - set(self._known))
        by_kind: dict[str, list[bytes]] = {}
        for aggregate in missing:
            by_kind.setdefault(aggregate.kind, []).append(aggregate.key)
        for kind, keys in by_kind.items():
            for start in range(0, len(keys), _CHUNK):
                await self._read(and_(states.c.kind == kind, states.c.key.in_(keys[start : start + _CHUNK])))
        for aggregate in missing:
            self._known.setdefault(aggregate, initial(aggregate))

    async def concerned(self, way: Route) -> list[AggregateId]:
        """Whom an event with this route concerns, in the order of kinds and keys; all of them loaded."""
        await self.load(way.direct)
        found = set(way.direct)
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
        if where:
            # The search reads the tables, so what earlier events of this transaction changed must stand there.
            await self.flush()
            found |= await self._read(or_(*where))
        return sorted(found)

    def get(self, aggregate: AggregateId) -> State:
        return self._known[aggregate]

    def put(self, aggregate: AggregateId, state: State, seq: int) -> None:
        self._known[aggregate] = state
        self._created.setdefault(aggregate, seq)
        self._changed[aggregate] = seq

    async def _read(self, where: ColumnElement[bool]) -> set[AggregateId]:
        rows = await self._connection.execute(
            select(states.c.kind, states.c.key, states.c.created_seq, states.c.document).where(where)
        )
        found = set()
        for kind, key, created, document in rows:
            aggregate = AggregateId(kind, key)
            found.add(aggregate)
            if aggregate not in self._known:
                self._known[aggregate] = self._stored[aggregate] = CODEC.decode(document, State)
                self._created[aggregate] = created
        return found

    async def flush(self) -> None:
        """Write what changed: states, the links to find them by, and their timers."""
        rows: list[dict[str, Any]] = []
        links: list[dict[str, Any]] = []
        due: list[dict[str, Any]] = []
        for aggregate, seq in self._changed.items():
            here = {"kind": aggregate.kind, "key": aggregate.key}
            state, fresh = self._known[aggregate], initial(aggregate)
            before = self._stored.get(aggregate, fresh)
            index, old = index_of(state), index_of(before)
            if before == fresh or index.links != old.links:
                if before != fresh:
                    await self._remove(state_links, aggregate)
                if state != fresh:
                    links.extend({**here, "name": name, "value": value} for name, value in dict.fromkeys(index.links))
            if deadlines_of(state) != deadlines_of(before):
                await self._remove(timers, aggregate)
                due.extend({**here, "name": each.name, "due_at": each.at} for each in deadlines_of(state))
            if state == fresh:
                await self._remove(states, aggregate)
            else:
                rows.append({**here, **self._row(aggregate, state, index, seq)})
            self._stored[aggregate] = state
        self._changed.clear()
        await upsert(self._connection, states, rows)
        for table, wanted in ((state_links, links), (timers, due)):
            if wanted:
                await self._connection.execute(insert(table), wanted)

    def _row(self, aggregate: AggregateId, state: State, index: StateIndex, seq: int) -> dict[str, Any]:
        return {
            "status": index.status,
            "top_block": index.top_block,
            "unsettled": index.unsettled,
            "chain_deadline": index.chain_deadline,
            "created_seq": self._created[aggregate],
            "updated_seq": seq,
            "document": CODEC.encode(state),
        }

    async def _remove(self, table: Table, aggregate: AggregateId) -> None:
        here = (table.c.kind == aggregate.kind) & (table.c.key == aggregate.key)
        await self._connection.execute(delete(table).where(here))
