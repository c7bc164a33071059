"""Reading the event feed, and the cursors of those who read it.

Events are numbered from 1 without gaps, in the order of the journal, and never change once written. The feed belongs to
one database: its `id` is made with it, so a reader notices when a node was rebuilt and its numbers mean other events.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from node.errors import Conflict, Gone, InvalidInput, NotFound
from node.storage.database import Database
from node.storage.facts import Facts
from node.storage.schema import feed, subscriptions, webhooks

__all__ = ["Feed", "FeedEvent", "FeedFilter", "FeedPage", "Subscription", "Subscriptions"]

_ID: Final = ("feed", "id")
_SPAN: Final = 5_000
"""Rows looked at by one query, so that a filter that fits nothing does not hold up everybody else."""


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Events of these kinds (none: all) and of this aggregate, named by kind and key."""

    kinds: tuple[str, ...] = ()
    aggregate: tuple[str, bytes] | None = None

    def to_text(self) -> str:
        aggregate = None if self.aggregate is None else [self.aggregate[0], self.aggregate[1].hex()]
        return json.dumps({"kinds": list(self.kinds), "aggregate": aggregate}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> FeedFilter:
        found = json.loads(text)
        aggregate = found["aggregate"]
        named = None if aggregate is None else (aggregate[0], bytes.fromhex(aggregate[1]))
        return cls(tuple(found["kinds"]), named)

    def where(self) -> tuple[ColumnElement[bool], ...]:
        """As conditions of a query."""
        found: list[ColumnElement[bool]] = []
        if self.kinds:
            found.append(feed.c.kind.in_(self.kinds))
        if self.aggregate is not None:
            found += [feed.c.aggregate == self.aggregate[0], feed.c.key == self.aggregate[1]]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """One event. `undoes`: the number of the event that this one takes back; the rest then repeats that event."""

    seq: int
    kind: str
    aggregate: str
    key: bytes
    recorded_at: int
    undoes: int | None
    block: tuple[int, bytes] | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Events in order; everything up to `upto` was looked at, `last` is the newest number there is."""

    events: tuple[FeedEvent, ...]
    upto: int
    last: int


class Feed:
    def __init__(self, database: Database, feed_id: str) -> None:
        self._database = database
        self.id = feed_id

    @classmethod
    async def open(cls, database: Database) -> Feed:
        """Gives a new database its feed id."""
        facts = Facts(database)
        known = await facts.get(*_ID)
        if known is None:
            known = secrets.token_hex(8)
            await facts.set(*_ID, known)
        return cls(database, str(known))

    async def bounds(self) -> tuple[int, int]:
        """Numbers of the oldest and the newest event that are kept; (1, 0) for an empty feed."""
        async with self._database.read() as connection:
            return await self._bounds(connection)

    @staticmethod
    async def _bounds(connection: AsyncConnection) -> tuple[int, int]:
        first = (await connection.execute(select(func.min(feed.c.seq)))).scalar()
        last = (await connection.execute(select(func.max(feed.c.seq)))).scalar()
        return (first, last) if first is not None and last is not None else (1, 0)

    async def read(self, after: int, limit: int, wanted: FeedFilter) -> FeedPage:
        """Up to `limit` events behind the number `after`.

        Raises Gone if some of them were pruned, InvalidInput for a number that does not exist yet.
        """
        # One view for bounds and rows: what is pruned in between would else be missing from a page that looks whole.
        async with self._database.read() as connection:
            first, last = await self._bounds(connection)
            if after > last:
                raise InvalidInput(f"There is no event {after} yet; the newest is {last}.", field="after")
            if after + 1 < first and last:
                remedy = f"Read the present state, then from {first - 1}."
                raise Gone(f"Events before {first} are not kept.", remedy=remedy)
            span = min(last, after + _SPAN)
            query = select(feed).where(feed.c.seq > after, feed.c.seq <= span, *wanted.where())
            rows = (await connection.execute(query.order_by(feed.c.seq).limit(limit))).all()
        events = tuple(_event(row) for row in rows)
        return FeedPage(events, events[-1].seq if len(events) == limit else span, last)

    async def prune(self, before: int, idle_before: int) -> int:
        """Forget events recorded before this time; return how many.

        The newest event stays, because the next number follows it, and so does what a reader has not acknowledged: a
        webhook unless it is disabled, a subscription unless it has not been heard of since `idle_before`.
        """
        heard = func.coalesce(subscriptions.c.acked_at, subscriptions.c.created_at) >= idle_before
        waiting = (
            select(func.min(subscriptions.c.acked)).where(heard),
            select(func.min(webhooks.c.acked)).where(webhooks.c.status != "disabled"),
        )
        async with self._database.write() as connection:
            marks = [(await connection.execute(query)).scalar() for query in waiting]
            young = select(func.min(feed.c.seq)).where(feed.c.recorded_at >= before)
            marks.append((await connection.execute(young)).scalar())
            newest = (await connection.execute(select(func.max(feed.c.seq)))).scalar()
            marks.append(newest)
            keep = min((mark for mark in marks if mark is not None), default=0)
            return (await connection.execute(delete(feed).where(feed.c.seq < keep))).rowcount


def _event(row: Any) -> FeedEvent:
    block = None if row.block_number is None else (row.block_number, row.block_hash)
    data = json.loads(row.document)
    return FeedEvent(row.seq, row.kind, row.aggregate, row.key, row.recorded_at, row.undoes, block, data)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A reader by name. Events up to `acked` were taken in by it."""

    name: str
    filter: FeedFilter
    acked: int
    created_at: int
    acked_at: int | None


class Subscriptions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, wanted: FeedFilter, after: int, now: int) -> Subscription:
        """A new one that begins behind `after`; the same one again is found. Raises Conflict for another filter."""
        async with self._database.write() as connection:
            query = select(subscriptions).where(subscriptions.c.name == name)
            known = (await connection.execute(query)).first()
            if known is None:
                values = {"filter": wanted.to_text(), "acked": after, "created_at": now}
                await connection.execute(insert(subscriptions).values(name=name, acked_at=None, **values))
                return Subscription(name, wanted, after, now, None)
        found = _subscription(known)
        if found.filter != wanted:
            raise Conflict(f"The subscription {name} has another filter.", remedy="Remove it first, or use its filter.")
        return found

    async def get(self, name: str) -> Subscription:
        """Raises NotFound."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(subscriptions).where(subscriptions.c.name == name))).first()
        if row is None:
            raise NotFound(f"There is no subscription {name}.")
        return _subscription(row)

    async def all(self) -> list[Subscription]:
        async with self._database.read() as connection:
            rows = await connection.execute(select(subscriptions).order_by(subscriptions.c.name))
            return [_subscription(row) for row in rows]

    async def ack(self, name: str, seq: int, now: int) -> Subscription:
        """Everything up to `seq` was taken in. Never moves back. Raises NotFound, InvalidInput for what is to come."""
        here = subscriptions.c.name == name
        async with self._database.write() as connection:
            newest = (await connection.execute(select(func.coalesce(func.max(feed.c.seq), 0)))).scalar_one()
            if seq > newest:
                raise InvalidInput(f"There is no event {seq} yet.", field="seq")
            forward = update(subscriptions).where(here, subscriptions.c.acked < seq)
            await connection.execute(forward.values(acked=seq, acked_at=now))
        return await self.get(name)

    async def remove(self, name: str) -> None:
        """Raises NotFound."""
        async with self._database.write() as connection:
            gone = (await connection.execute(delete(subscriptions).where(subscriptions.c.name == name))).rowcount
        if not gone:
            raise NotFound(f"There is no subscription {name}.")


def _subscription(row: Any) -> Subscription:
    return Subscription(row.name, FeedFilter.from_text(row.filter), row.acked, row.created_at, row.acked_at)
