"""What may be written in the same transaction as events: the header chain, a parcel mark, a fact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from node.storage.bulk import add_absent, insert_rows
from node.storage.database import upsert
from node.storage.errors import DuplicateParcel
from node.storage.schema import blocks, cursors, facts, parcels

__all__ = ["ChainUpdate", "Extra", "HeaderLike", "SeenParcel", "SeenParcels", "SetFact", "StoredHeader"]


class Extra(Protocol):
    """Something to write together with events, before they are reduced. An error undoes both."""

    async def write(self, connection: AsyncConnection) -> None: ...


class HeaderLike(Protocol):
    """A block header; 32-byte hashes, timestamp in seconds UTC."""

    @property
    def number(self) -> int: ...
    @property
    def hash(self) -> bytes: ...
    @property
    def parent(self) -> bytes: ...
    @property
    def timestamp(self) -> int: ...


@dataclass(frozen=True, slots=True)
class StoredHeader:
    number: int
    hash: bytes
    parent: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class ChainUpdate:
    """One step of the chain reader: forget headers above `rollback_to`, add `headers`, forget those below `keep_from`.

    `cursor` is kept as (name, number, hash). The events of the same call begin with LoggedRolledBack when
    `rollback_to` is set.
    """

    headers: Sequence[HeaderLike] = ()
    rollback_to: int | None = None
    keep_from: int = 0
    cursor: tuple[str, int, bytes] | None = None

    async def write(self, connection: AsyncConnection) -> None:
        if self.rollback_to is not None:
            await connection.execute(delete(blocks).where(blocks.c.number > self.rollback_to))
        rows = [
            {"number": each.number, "hash": each.hash, "parent": each.parent, "timestamp": each.timestamp}
            for each in self.headers
        ]
        await upsert(connection, blocks, rows)
        await connection.execute(delete(blocks).where(blocks.c.number < self.keep_from))
        if self.cursor is not None:
            name, number, block_hash = self.cursor
            await upsert(connection, cursors, [{"name": name, "number": number, "hash": block_hash}])


@dataclass(frozen=True, slots=True)
class SeenParcel:
    """Take a parcel in once. Raises DuplicateParcel, and nothing of the call is written, if its id is known."""

    id: bytes
    expires_at: int

    async def write(self, connection: AsyncConnection) -> None:
        await SeenParcels((self,)).write(connection)


@dataclass(frozen=True, slots=True)
class SeenParcels:
    """At most 1,000 parcels in one statement. Raises DuplicateParcel if one of them is known, or among them twice."""

    seen: Sequence[SeenParcel]

    async def write(self, connection: AsyncConnection) -> None:
        rows = [(each.id, each.expires_at) for each in self.seen]
        if await add_absent(connection, parcels, rows) < len(rows):
            raise DuplicateParcel("This message was taken in before.")


@dataclass(frozen=True, slots=True)
class SetFact:
    """Remember a JSON value under (namespace, name); None forgets it."""

    namespace: str
    name: str
    value: Any

    async def write(self, connection: AsyncConnection) -> None:
        if self.value is None:
            here = (facts.c.namespace == self.namespace) & (facts.c.name == self.name)
            await connection.execute(delete(facts).where(here))
            return
        text = json.dumps(self.value, sort_keys=True, separators=(",", ":"))
        await insert_rows(connection, facts, [(self.namespace, self.name, text)], overwrite=True)
