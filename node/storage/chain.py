"""The chain reader's own memory: the header window and its cursors. Written by `extras.ChainUpdate`, read here."""

from __future__ import annotations

from sqlalchemy import select

from node.storage.database import Database
from node.storage.extras import StoredHeader
from node.storage.schema import blocks, cursors

__all__ = ["ChainStore"]


class ChainStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_headers(self) -> list[StoredHeader]:
        """The stored window, oldest first; it may have gaps where a long catch-up skipped headers."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(blocks).order_by(blocks.c.number))
            return [StoredHeader(row.number, row.hash, row.parent, row.timestamp) for row in rows]

    async def cursor(self, name: str) -> tuple[int, bytes] | None:
        """Block number and hash kept under this name."""
        async with self._database.read() as connection:
            row = (await connection.execute(select(cursors).where(cursors.c.name == name))).first()
        return None if row is None else (row.number, row.hash)
