"""Reading states and their history without holding them in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import func, select

from node.projection.aggregates import KINDS, initial
from node.projection.base import AggregateId, Event, State
from node.projection.codec import CODEC
from node.projection.errors import WrongAggregate
from node.storage.bykey import states_of
from node.storage.database import Database
from node.storage.group import GroupCommit
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
    """Every call sees what was committed before it. No answer is cached: a permission is read when it is needed.

    Those who ask for one state at the same time share a question that begins after the last of them has asked.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered = database.remembered
        self._asking: GroupCommit[AggregateId, str | None] = GroupCommit("views", self._documents)

    async def get(self, aggregate: AggregateId) -> State:
        """The state; the initial one for an aggregate that nothing has happened to."""
        document = await self._asking.submit(aggregate)
        return (
            initial(aggregate) if document is None else self._remembered.read(aggregate.kind, aggregate.key, document)
        )

    async def _documents(self, asked: Sequence[AggregateId]) -> list[str | None]:
        keys: dict[str, set[bytes]] = {}
        for each in asked:
            keys.setdefault(each.kind, set()).add(each.key)
        found: dict[tuple[str, bytes], str] = {}
        async with self._database.read() as connection:
            for kind, wanted in keys.items():
                rows = await states_of(connection, kind, sorted(wanted))
                found |= {(kind, row.key): row.document for row in rows}
        return [found.get((each.kind, each.key)) for each in asked]

    async def head(self) -> int:
        """The number of the newest event: as long as it stays, every answer stays."""
        async with self._database.read() as connection:
            return int((await connection.execute(select(func.coalesce(func.max(journal.c.seq), 0)))).scalar_one())

    async def one(self, kind: type[S], key: bytes) -> S:
        """`get` by the class of the state, `Consent` for example."""
        return _of(kind, await self.get(AggregateId(_name(kind), key)))

    async def many(self, kind: type[S], keys: Iterable[bytes]) -> dict[bytes, S]:
        """The states that there are of these, by key, in few queries."""
        name = _name(kind)
        async with self._database.read() as connection:
            rows = await states_of(connection, name, list(keys))
        return {row.key: _of(kind, self._remembered.read(name, row.key, row.document)) for row in rows}

    async def page(
        self,
        kind: type[S],
        *,
        status: str | None = None,
        link: tuple[str, bytes] | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[tuple[int, S]]:
        """States with their creation numbers, newest first; the last number as `before` gives the next page. Those
        of one number, which one event made, are never parted: then there are more than `limit`.

        `link`: a name and value of `StateIndex.links`, for example ("sid", sid) or ("reader", address).
        """
        name = _name(kind)
        query = select(states.c.created_seq, states.c.key, states.c.document).where(states.c.kind == name)
        if status is not None:
            query = query.where(states.c.status == status)
        if before is not None:
            query = query.where(states.c.created_seq < before)
        if link is not None:
            keys = select(state_links.c.key).where(
                state_links.c.name == link[0], state_links.c.value == link[1], state_links.c.kind == name
            )
            query = query.where(states.c.key.in_(keys))
        async with self._database.read() as connection:
            rows = list(await connection.execute(query.order_by(states.c.created_seq.desc()).limit(limit + 1)))
            over = rows[limit].created_seq if len(rows) > limit else None
            del rows[limit:]
            if rows and rows[-1].created_seq == over:
                of_it = await connection.execute(query.where(states.c.created_seq == over))
                rows = [*(row for row in rows if row.created_seq != over), *of_it]
        return [(seq, _of(kind, self._remembered.read_once(name, key, document))) for seq, key, document in rows]

    async def overdue(self, kind: type[State], chain_time: int) -> bool:
        """Whether a block of this time ends one that waits for the chain."""
        late = (states.c.kind == _name(kind)) & (states.c.chain_deadline < chain_time)
        async with self._database.read() as connection:
            return (await connection.execute(select(states.c.key).where(late).limit(1))).first() is not None

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


def _of(kind: type[S], state: State) -> S:
    if not isinstance(state, kind):
        raise WrongAggregate(f"{kind.__name__} is not the state of {_name(kind)}")
    return state


_NAMES: Final[Mapping[type[State], str]] = {each.state: name for name, each in KINDS.items()}


def _name(kind: type[State]) -> str:
    return _NAMES[kind]
