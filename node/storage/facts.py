"""Small things that are remembered: facts by namespace and name, and which parcels were taken in."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import delete, select

from node.storage.bulk import Writes
from node.storage.database import Database
from node.storage.extras import SetFact
from node.storage.schema import facts, parcels

__all__ = ["Facts", "Parcels"]

_CHUNK: Final = 400


class Facts:
    """JSON values. To change one together with events, hand `SetFact` to `Journal.apply`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, namespace: str, name: str) -> Any:
        """The value, or None."""
        query = select(facts.c.value).where(facts.c.namespace == namespace, facts.c.name == name)
        async with self._database.read() as connection:
            text = (await connection.execute(query)).scalar()
        return None if text is None else json.loads(text)

    async def many(self, namespace: str, names: Collection[str]) -> dict[str, Any]:
        """Those that there are of these."""
        wanted, found = sorted(names), dict[str, Any]()
        async with self._database.read() as connection:
            for start in range(0, len(wanted), _CHUNK):
                here = (facts.c.namespace == namespace) & facts.c.name.in_(wanted[start : start + _CHUNK])
                rows = await connection.execute(select(facts.c.name, facts.c.value).where(here))
                found |= {name: json.loads(text) for name, text in rows}
        return found

    async def all(self, namespace: str) -> dict[str, Any]:
        query = select(facts.c.name, facts.c.value).where(facts.c.namespace == namespace).order_by(facts.c.name)
        async with self._database.read() as connection:
            return {name: json.loads(text) for name, text in await connection.execute(query)}

    async def set(self, namespace: str, name: str, value: Any) -> None:
        """Remember; None forgets."""
        writes = Writes()
        SetFact(namespace, name, value).tell(writes)
        await writes.commit(self._database)

    async def forget(self, namespace: str, names: Collection[str]) -> None:
        """Forget several; those that are not there are forgotten already."""
        gone = sorted(names)
        async with self._database.write() as connection:
            for start in range(0, len(gone), _CHUNK):
                here = (facts.c.namespace == namespace) & facts.c.name.in_(gone[start : start + _CHUNK])
                await connection.execute(delete(facts).where(here))


class Parcels:
    """Ids of parcels that were taken in with `SeenParcel`, kept until the parcel itself is too old to be accepted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, parcel_id: bytes) -> bool:
        async with self._database.read() as connection:
            return (await connection.execute(select(parcels).where(parcels.c.id == parcel_id))).first() is not None

    async def prune(self, now: int) -> int:
        """Forget ids of parcels that have expired; return how many."""
        async with self._database.write() as connection:
            return (await connection.execute(delete(parcels).where(parcels.c.expires_at < now))).rowcount
