"""A step that moves data does so on both databases."""

from __future__ import annotations

from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from node.storage.database import Database
from node.storage.migrate import _config
from node.storage.transactions import TransactionRow, TransactionRows
from tests.unit.node.projection.kit import address, h32

SENDER = address("s")


def _to_the_fifth(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "0005")


async def test_what_may_still_move_has_its_document_as_its_call(url: str) -> None:
    rows = [
        TransactionRow(1, SENDER, h32("a"), 3, "sent", False, 10, '{"v":2,"reason":"\u20ac"}'),
        TransactionRow(1, SENDER, h32("b"), 2, "final", True, 11, '{"v":2}'),
    ]
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(_to_the_fifth)
        for row in rows:
            await connection.execute(
                text("insert into transactions values (1, :sender, :key, :nonce, :status, :finished, :at, :document)"),
                {
                    "sender": row.sender,
                    "key": row.key,
                    "nonce": row.nonce,
                    "status": row.status,
                    "finished": row.finished,
                    "at": row.created_at,
                    "document": row.document,
                },
            )
    await engine.dispose()
    database = await Database.open(url)
    store = TransactionRows(database)
    (open_one,) = await store.unfinished(1, SENDER)
    assert open_one.document == rows[0].document
    assert open_one.call == rows[0].document.encode()
    assert await store.finished_from(1, SENDER, 0) == [rows[1]]
    await database.close()
