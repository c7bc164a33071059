"""Addresses that are told of events: how far each one got, and how it does. Secrets are sealed by whoever calls.

The feed is the outbox of every webhook: an event is in it by the same transaction as what it tells, and `acked` is the
acknowledgement. So a thousand webhooks cost a thousand rows, not a thousand rows for each event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from node.errors import NotFound
from node.storage.database import Database
from node.storage.feed import FeedFilter
from node.storage.schema import webhooks

__all__ = ["Webhook", "Webhooks"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """`secret` is sealed. `failing_since`, `due_at`, `delivered_at` in seconds UTC; `detail` says what failed last."""

    id: str
    url: str
    secret: bytes
    filter: FeedFilter
    acked: int
    created_at: int
    status: str = "active"
    failures: int = 0
    failing_since: int | None = None
    due_at: int = 0
    detail: str = ""
    delivered_at: int | None = None


class Webhooks:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: Webhook) -> None:
        values = {name: getattr(new, name) for name in Webhook.__dataclass_fields__}
        values["filter"] = new.filter.to_text()
        async with self._database.write() as connection:
            await connection.execute(insert(webhooks).values(**values))

    async def all(self) -> list[Webhook]:
        """In the order of their making."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(webhooks).order_by(webhooks.c.created_at, webhooks.c.id))
            return [_webhook(row) for row in rows]

    async def get(self, webhook_id: str) -> Webhook:
        """Raises NotFound."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(webhooks).where(webhooks.c.id == webhook_id))).first()
        if row is None:
            raise NotFound(f"There is no webhook {webhook_id}.")
        return _webhook(row)

    async def count(self) -> int:
        async with self._database.read() as connection:
            return int((await connection.execute(select(func.count()).select_from(webhooks))).scalar_one())

    async def delivered(self, webhook_id: str, seq: int, now: int | None) -> None:
        """Everything up to `seq` was taken in; `now` None: there was nothing for it to take in."""
        values: dict[str, Any] = {"acked": seq}
        if now is not None:
            values |= {"delivered_at": now, "failures": 0, "failing_since": None, "due_at": 0, "detail": ""}
        here = (webhooks.c.id == webhook_id) & (webhooks.c.acked < seq)
        await self._update(here, values)

    async def failed(self, webhook_id: str, now: int, due_at: int, detail: str, *, disable: bool) -> None:
        """One more failure: the next try is due at `due_at`, or none is."""
        values = {
            "failures": webhooks.c.failures + 1,
            "failing_since": func.coalesce(webhooks.c.failing_since, now),
            "due_at": due_at,
            "detail": detail,
        }
        if disable:
            values["status"] = "disabled"
        await self._update(webhooks.c.id == webhook_id, values)

    async def enable(self, webhook_id: str) -> None:
        """A person says: try again, from where it stopped. Raises NotFound."""
        values = {"status": "active", "failures": 0, "failing_since": None, "due_at": 0, "detail": ""}
        if not await self._update(webhooks.c.id == webhook_id, values):
            raise NotFound(f"There is no webhook {webhook_id}.")

    async def remove(self, webhook_id: str) -> None:
        """Raises NotFound."""
        async with self._database.write() as connection:
            gone = (await connection.execute(delete(webhooks).where(webhooks.c.id == webhook_id))).rowcount
        if not gone:
            raise NotFound(f"There is no webhook {webhook_id}.")

    async def _update(self, where: Any, values: dict[str, Any]) -> int:
        async with self._database.write() as connection:
            return (await connection.execute(update(webhooks).where(where).values(**values))).rowcount


def _webhook(row: Any) -> Webhook:
    values = dict(row._mapping)
    return Webhook(**{**values, "filter": FeedFilter.from_text(values["filter"])})
