"""Due times of aggregates. The journal writes them from the states; they are never set by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select, update

from node.projection.aggregates import due_event
from node.projection.base import AggregateId, Event
from node.storage.database import Database
from node.storage.schema import timers

__all__ = ["Timer", "Timers"]


@dataclass(frozen=True, slots=True)
class Timer:
    aggregate: AggregateId
    name: str
    due_at: int

    def event(self, now: int) -> Event:
        """What to tell the journal at the time `now`."""
        return due_event(self.aggregate, self.name, now)


# Built once: building it for each question would cost more than running it.
_NEXT: Final = select(func.min(timers.c.due_at))


class Timers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now: int, limit: int = 256) -> list[Timer]:
        """What has fallen due, oldest first."""
        query = select(timers).where(timers.c.due_at <= now).order_by(timers.c.due_at, timers.c.key).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [Timer(AggregateId(row.kind, row.key), row.name, row.due_at) for row in rows]

    async def next_at(self) -> int | None:
        """When the next one falls due."""
        async with self._database.read() as connection:
            found: int | None = (await connection.execute(_NEXT)).scalar()
        return found

    async def put_off(self, timer: Timer, until: int) -> None:
        """Look at it again later: its event was refused, or changed nothing."""
        here = (
            (timers.c.kind == timer.aggregate.kind)
            & (timers.c.key == timer.aggregate.key)
            & (timers.c.name == timer.name)
        )
        async with self._database.write() as connection:
            await connection.execute(update(timers).where(here).values(due_at=until))
