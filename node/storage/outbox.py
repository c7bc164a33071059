"""Effects that wait to be carried out.

An item is leased to one worker, then acknowledged, put off, or buried. A lease that runs out gives the item to the next
worker: at least once. Within one lane (one aggregate and type of effect) items are handed out one after the other, in
the order in which they came about; lanes do not wait for each other, so an unreachable party delays only its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, update
from sqlalchemy import delete as sql_delete

from node.projection.base import Effect
from node.projection.codec import CODEC
from node.storage.database import Database
from node.storage.schema import outbox

__all__ = ["Outbox", "OutboxCounts", "OutboxItem"]

_FAR: Final = 86_400
"""A due time further ahead than any back-off comes from a clock that was wrong; such an item is due now."""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One effect by its event's number and its place among that event's effects. `attempts` counts former failures."""

    seq: int
    position: int
    effect: Effect
    attempts: int
    created_at: int
    reason: str = ""


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

    async def claim(self, now: int, limit: int, lease: int) -> list[OutboxItem]:
        """Take up to `limit` items that are due, each for `lease` seconds."""
        due = or_(outbox.c.due_at <= now, outbox.c.due_at > now + _FAR)
        free = or_(outbox.c.leased_until.is_(None), outbox.c.leased_until <= now, outbox.c.leased_until > now + _FAR)
        query = (
            select(outbox)
            .where(outbox.c.status == "pending", due, free, ~_blocked())
            .order_by(outbox.c.seq, outbox.c.position)
            .limit(limit)
            .with_for_update(skip_locked=True, of=outbox)
        )
        async with self._database.write() as connection:
            rows = (await connection.execute(query)).all()
            for row in rows:
                await connection.execute(
                    update(outbox)
                    .where(outbox.c.seq == row.seq, outbox.c.position == row.position)
                    .values(leased_until=now + lease, worker=self._worker)
                )
        return [
            OutboxItem(
                row.seq, row.position, CODEC.decode(row.effect, Effect), row.attempts, row.created_at, row.reason
            )
            for row in rows
        ]

    async def acknowledge(self, item: OutboxItem, now: int) -> None:
        """It was carried out."""
        await self._settle(item, status="done", done_at=now, reason="")

    async def put_off(self, item: OutboxItem, due_at: int, reason: str) -> None:
        """It failed and may succeed later."""
        await self._settle(item, due_at=due_at, reason=reason, attempts=item.attempts + 1)

    async def bury(self, item: OutboxItem, now: int, reason: str) -> None:
        """It can never succeed: a dead letter, kept for a person to look at."""
        await self._settle(item, status="dead", done_at=now, reason=reason, attempts=item.attempts + 1)

    async def _settle(self, item: OutboxItem, **values: object) -> None:
        # Only the present holder of the lease may speak: one who lost it was slower than somebody else.
        mine = and_(
            outbox.c.seq == item.seq,
            outbox.c.position == item.position,
            outbox.c.status == "pending",
            outbox.c.worker == self._worker,
        )
        async with self._database.write() as connection:
            await connection.execute(update(outbox).where(mine).values(leased_until=None, worker=None, **values))

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

    async def next_due(self) -> int | None:
        """When the next item can be claimed: due, not leased, and the first of its lane."""
        leased = func.coalesce(outbox.c.leased_until, 0)
        free_at = case((outbox.c.due_at > leased, outbox.c.due_at), else_=leased)
        query = select(func.min(free_at)).where(outbox.c.status == "pending", ~_blocked())
        async with self._database.read() as connection:
            found: int | None = (await connection.execute(query)).scalar()
        return found

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
        return [
            OutboxItem(r.seq, r.position, CODEC.decode(r.effect, Effect), r.attempts, r.created_at, r.reason)
            for r in rows
        ]

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


def _blocked() -> ColumnElement[bool]:
    """An earlier item of the same lane is still pending."""
    earlier = outbox.alias("earlier")
    return exists().where(
        earlier.c.lane == outbox.c.lane,
        earlier.c.status == "pending",
        or_(
            earlier.c.seq < outbox.c.seq,
            and_(earlier.c.seq == outbox.c.seq, earlier.c.position < outbox.c.position),
        ),
    )
