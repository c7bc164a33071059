"""Reading states and their history without holding them in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import func, select

from node.projection.aggregates import KINDS, initial
from node.projection.base import AggregateId, Event, State
from node.projection.codec import CODEC
from node.projection.errors import WrongAggregate
from node.storage.database import Database
from node.storage.schema import journal, journal_targets, state_links, states

__all__ = ["HistoryEntry", "Views"]

S = TypeVar("S", bound=State)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event that touched an aggregate; `recorded_at` by the node's clock."""

    seq: int
    recorded_at: int
    event: Event


class Views:
    """Every call sees what was committed before it. No answer is cached: a permission is read when it is needed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, aggregate: AggregateId) -> State:
        """The state; the initial one for an aggregate that nothing has happened to."""
        query = select(states.c.document).where(states.c.kind == aggregate.kind, states.c.key == aggregate.key)
        async with self._database.read() as connection:
            document = (await connection.execute(query)).scalar()
        return initial(aggregate) if document is None else CODEC.decode(document, State)

    async def one(self, kind: type[S], key: bytes) -> S:
        """`get` by the class of the state, `Consent` for example."""
        state = await self.get(AggregateId(_name(kind), key))
        if not isinstance(state, kind):
            raise WrongAggregate(f"{kind.__name__} is not the state of {_name(kind)}")
        return state

    async def page(
        self,
        kind: type[S],
        *,
        status: str | None = None,
        link: tuple[str, bytes] | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[tuple[int, S]]:
        """States with their creation numbers, newest first; the last number as `before` gives the next page.

        `link`: a name and value of `StateIndex.links`, for example ("sid", sid) or ("reader", address).
        """
        name = _name(kind)
        query = select(states.c.created_seq, states.c.document).where(states.c.kind == name)
        if status is not None:
            query = query.where(states.c.status == status)
        if before is not None:
            query = query.where(states.c.created_seq < before)
        if link is not None:
            keys = select(state_links.c.key).where(
                state_links.c.name == link[0], state_links.c.value == link[1], state_links.c.kind == name
            )
            query = query.where(states.c.key.in_(keys))
        query = query.order_by(states.c.created_seq.desc()).limit(limit)
        async with self._database.read() as connection:
            return [(seq, CODEC.decode(document, kind)) for seq, document in await connection.execute(query)]

    async def counts(self, kind: type[State]) -> dict[str, int]:
        """How many states of this class have each status."""
        query = select(states.c.status, func.count()).where(states.c.kind == _name(kind)).group_by(states.c.status)
        async with self._database.read() as connection:
            return {row[0]: row[1] for row in await connection.execute(query)}

    async def history(self, aggregate: AggregateId, *, after: int = 0, limit: int = 100) -> list[HistoryEntry]:
        """The events that changed this aggregate, oldest first."""
        targets = journal_targets.c
        query = (
            select(journal)
            .join(journal_targets, targets.seq == journal.c.seq)
            .where(targets.kind == aggregate.kind, targets.key == aggregate.key, journal.c.seq > after)
            .order_by(journal.c.seq)
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [HistoryEntry(row.seq, row.recorded_at, CODEC.decode(row.event, Event)) for row in rows]


def _name(kind: type[State]) -> str:
    return next(name for name, each in KINDS.items() if each.state is kind)
