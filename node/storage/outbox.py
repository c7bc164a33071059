"""Effects that wait to be carried out.

An item is leased to one worker, then acknowledged, put off, or buried. A lease that runs out gives the item to the next
worker: at least once. So neither waits for the disk: where the power fails, an item is carried out again. A lane (one
aggregate and type of effect) is worked off in the order in which its items came about, by one worker at a time; lanes
do not wait for each other, so an unreachable party delays only its own.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import ReturningUpdate

from node.errors import NodeError
from node.projection.base import Effect
from node.projection.codec import CODEC
from node.storage.bulk import Writes
from node.storage.database import Database
from node.storage.driver import Statement
from node.storage.group import GroupCommit
from node.storage.schema import outbox

__all__ = ["LOCAL", "Outbox", "OutboxCounts", "OutboxItem", "OutboxJob"]

LOCAL: Final = "Notify"
"""How the names of effects begin that only services of this node are told."""

# Number of the advisory lock under which PostgreSQL hands out items; any constant of ours.
_CLAIM_LOCK: Final = 0x5761_7474_0003
_FAR: Final = 86_400
"""A due time further ahead than any back-off comes from a clock that was wrong; such an item is due now."""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One effect by its event's number and its place among that event's effects. `attempts` counts former failures."""

    seq: int
    position: int
    lane: str
    effect: Effect
    attempts: int
    created_at: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OutboxJob:
    """An item that is not done, as a person sees it: queued, running (somebody holds its lease) or failed for good."""

    item: OutboxItem
    state: str
    due_at: int


@dataclass(frozen=True, slots=True)
class OutboxCounts:
    """`oldest`: when the oldest pending item came about (seconds UTC)."""

    pending: int
    dead: int
    oldest: int | None


class Outbox:
    """`worker` names this process among those that share the database."""

    def __init__(self, database: Database, worker: str) -> None:
        self._database = database
        self._worker = worker
        self._group: GroupCommit[tuple[OutboxItem, dict[str, object]], None] = GroupCommit("outbox", self._commit)

    async def claim(self, now: int, limit: int, lease: int, *, local: bool | None = None) -> list[OutboxItem]:
        """Take up to `limit` items that are due, each for `lease` seconds.

        `local` True: only what services of this node are told (`Notify`); False: only what goes out to others.
        """
        values = {**_at(now), "most": limit, "until": now + lease, "by": self._worker}
        if not self._database.concurrent:
            claim, names, fixed = _claim_text(local)
            known = {**fixed, **values}
            rows = await self._database.transact([Statement(claim, [known[n] for n in names])], lasting=False)
            return [_item(_Claimed(*row)) for row in sorted(rows)]
        async with self._database.write(lasting=False) as connection:
            # Two claims at once would split a lane between them: the second could not see the first one's leases.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CLAIM_LOCK})
            found = (await connection.execute(_claim(local), values)).all()
        return [_item(_Claimed(*row)) for row in sorted(found)]

    async def acknowledge(self, item: OutboxItem, now: int) -> None:
        """It was carried out."""
        await self._settle(item, status="done", done_at=now, reason="")

    async def put_off(self, item: OutboxItem, due_at: int, reason: str) -> None:
        """It failed and may succeed later."""
        await self._settle(item, due_at=due_at, reason=reason, attempts=item.attempts + 1)

    async def bury(self, item: OutboxItem, now: int, reason: str) -> None:
        """It can never succeed: a dead letter, kept for a person to look at."""
        await self._settle(item, status="dead", done_at=now, reason=reason, attempts=item.attempts + 1)

    async def give_back(self, item: OutboxItem) -> None:
        """It was claimed and not begun; anybody may have it."""
        await self._settle(item)

    async def _settle(self, item: OutboxItem, **values: object) -> None:
        await self._group.submit((item, values))

    async def _commit(self, jobs: Sequence[tuple[OutboxItem, dict[str, object]]]) -> list[NodeError | None]:
        writes, alike = Writes(), dict[tuple[tuple[str, object], ...], list[tuple[int, int]]]()
        for item, values in jobs:
            alike.setdefault(tuple(values.items()), []).append((item.seq, item.position))
        for settled, rows in alike.items():
            # Only the present holder of the lease may speak: one who lost it was slower than somebody else.
            new = {"leased_until": None, "worker": None, **dict(settled)}
            writes.change(outbox, new, rows, {"status": "pending", "worker": self._worker})
        await writes.commit(self._database, lasting=False)
        return [None] * len(jobs)

    async def release(self) -> None:
        """At the start of the only process on the database: leases of a former run mean nothing any more.

        Several processes (PostgreSQL) wait for the leases to run out instead.
        """
        if self._database.concurrent:
            return
        async with self._database.write() as connection:
            await connection.execute(
                update(outbox).where(outbox.c.status == "pending").values(leased_until=None, worker=None)
            )

    async def pass_over(self, wanted: Collection[str], now: int) -> int:
        """Settle what waits for a handler that this node does not have; return how many. `wanted` are names of types.

        So rows that were written before it was known who carries out what cost one statement, not one step each.
        """
        idle = and_(outbox.c.status == "pending", outbox.c.type.not_in(sorted(wanted)))
        async with self._database.write() as connection:
            return (await connection.execute(update(outbox).where(idle).values(status="done", done_at=now))).rowcount

    async def next_due(self, now: int, *, local: bool | None = None) -> int | None:
        """When the next item can be claimed: `now`, or the nearest end of a pause or a lease; None for an empty box."""
        async with self._database.read() as connection:
            at_once, found = (await connection.execute(_next(local), _at(now))).one()
        return now if at_once else found

    async def counts(self) -> OutboxCounts:
        query = select(outbox.c.status, func.count(), func.min(outbox.c.created_at)).group_by(outbox.c.status)
        async with self._database.read() as connection:
            found = {
                row[0]: (row[1], row[2])
                for row in await connection.execute(query.where(outbox.c.status.in_(("pending", "dead"))))
            }
        pending, oldest = found.get("pending", (0, None))
        return OutboxCounts(pending, found.get("dead", (0, None))[0], oldest)

    async def dead(self, limit: int = 100) -> list[OutboxItem]:
        """Dead letters, newest first, with their reasons."""
        query = select(outbox).where(outbox.c.status == "dead").order_by(outbox.c.seq.desc()).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [_item(row) for row in rows]

    async def jobs(self, state: str, now: int, limit: int) -> list[OutboxJob]:
        """Items in one state (queued, running, failed), the newest first."""
        if limit <= 0:
            return []
        query = select(outbox).where(_in_state(state, now)).order_by(outbox.c.seq.desc(), outbox.c.position.desc())
        async with self._database.read() as connection:
            rows = (await connection.execute(query.limit(limit))).all()
        return [OutboxJob(_item(row), state, row.due_at) for row in rows]

    async def job(self, seq: int, position: int, now: int) -> OutboxJob | None:
        """One item; None for one that is done or was never there."""
        query = select(outbox).where(outbox.c.seq == seq, outbox.c.position == position)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None or row.status not in ("pending", "dead"):
            return None
        leased = row.leased_until is not None and now < row.leased_until <= now + _FAR
        state = "failed" if row.status == "dead" else "running" if leased else "queued"
        return OutboxJob(_item(row), state, row.due_at)

    async def call_off(self, item: OutboxItem, now: int) -> bool:
        """A person says: not this one. False if somebody is at it."""
        here = and_(outbox.c.seq == item.seq, outbox.c.position == item.position)
        idle = or_(_in_state("queued", now), _in_state("failed", now))
        values = {"status": "done", "done_at": now, "reason": "called off"}
        async with self._database.write() as connection:
            return bool((await connection.execute(update(outbox).where(here, idle).values(**values))).rowcount)

    async def revive(self, seq: int, position: int, now: int) -> None:
        """A person says: try this dead letter again."""
        here = and_(outbox.c.seq == seq, outbox.c.position == position, outbox.c.status == "dead")
        async with self._database.write() as connection:
            await connection.execute(
                update(outbox).where(here).values(status="pending", attempts=0, due_at=now, done_at=None)
            )

    async def prune(self, before: int) -> int:
        """Forget what was carried out before this time; return how many. Dead letters stay."""
        old = and_(outbox.c.status == "done", outbox.c.done_at < before)
        async with self._database.write() as connection:
            return (await connection.execute(sql_delete(outbox).where(old))).rowcount


def _item(row: Any) -> OutboxItem:
    effect = CODEC.decode(row.effect, Effect)
    return OutboxItem(row.seq, row.position, row.lane, effect, row.attempts, row.created_at, row.reason)


def _reach(local: bool | None) -> ColumnElement[bool]:
    if local is None:
        return true()
    told = outbox.c.type.startswith(LOCAL, autoescape=True)
    return told if local else ~told


# Statements are built once: building one for each claim would cost more than running it.


def _at(now: int) -> dict[str, int]:
    """The times that the statements ask for."""
    return {"now": now, "far": now + _FAR}


def _claimable() -> ColumnElement[bool]:
    """Due and not leased. A time far ahead was written by a clock that was wrong and does not count."""
    now: BindParameter[int] = bindparam("now")
    far: BindParameter[int] = bindparam("far")
    until = outbox.c.leased_until
    return and_(or_(outbox.c.due_at <= now, outbox.c.due_at > far), or_(until.is_(None), until <= now, until > far))


def _ready(local: bool | None) -> ColumnElement[bool]:
    """Those with nobody before them in their lane."""
    waiting = select(outbox.c.lane).where(outbox.c.status == "pending", ~_claimable())
    return and_(outbox.c.status == "pending", _claimable(), outbox.c.lane.not_in(waiting), _reach(local))


class _Claimed(NamedTuple):
    """What a claim returns of an item, in its order."""

    seq: int
    position: int
    lane: str
    effect: str
    attempts: int
    created_at: int
    reason: str


@functools.cache
def _claim(local: bool | None, place: str = "ctid") -> ReturningUpdate[Any]:
    """Leases the next ones and returns them, in any order. `place`: what names a row in this database."""
    ready: Select[Any] = select(literal_column(place)).select_from(outbox).where(_ready(local))
    chosen = ready.order_by(outbox.c.seq, outbox.c.position).limit(bindparam("most"))
    leased = update(outbox).where(literal_column(f"outbox.{place}").in_(chosen))
    leased = leased.values(leased_until=bindparam("until"), worker=bindparam("by"))
    return leased.returning(*(outbox.c[name] for name in _Claimed._fields))


@functools.cache
def _claim_text(local: bool | None) -> tuple[str, tuple[str, ...], Mapping[str, Any]]:
    """The same as text of SQLite's driver, the names of its values in their order, and which are always the same."""
    compiled = _claim(local, "rowid").compile(dialect=sqlite.dialect(paramstyle="qmark"))
    return str(compiled), tuple(compiled.positiontup or ()), compiled.params


@functools.cache
def _next(local: bool | None) -> Select[Any]:
    leased = func.coalesce(outbox.c.leased_until, 0)
    free_at = case((outbox.c.due_at > leased, outbox.c.due_at), else_=leased)
    later = select(func.min(free_at)).where(outbox.c.status == "pending", ~_claimable(), _reach(local))
    return select(select(outbox.c.seq).where(_ready(local)).exists(), later.scalar_subquery())


def _in_state(state: str, now: int) -> ColumnElement[bool]:
    if state == "failed":
        return outbox.c.status == "dead"
    running = and_(outbox.c.leased_until > now, outbox.c.leased_until <= now + _FAR)
    if state == "running":
        return and_(outbox.c.status == "pending", running)
    return and_(outbox.c.status == "pending", or_(outbox.c.leased_until.is_(None), ~running))
