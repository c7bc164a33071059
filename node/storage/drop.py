"""Emptying a database on a server of everything that a node made in it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import MetaData, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from node.storage.errors import DatabaseUnusable
from node.storage.schema import METADATA as NODE_TABLES

__all__ = ["drop_tables"]


async def drop_tables(url: str, tables: Sequence[MetaData]) -> None:
    """Drops these tables, and with a node's own the number of their schema, in one transaction; other tables stay:
    the database may be another node's as well. Raises DatabaseUnusable where the server does not answer or refuses."""
    where = make_url(url)
    engine = create_async_engine(where)
    try:
        async with engine.begin() as connection:
            for each in tables:
                await connection.run_sync(each.drop_all)
            if NODE_TABLES in tables:
                await connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
    except (SQLAlchemyError, OSError) as error:
        shown = where.render_as_string(hide_password=True)
        raise DatabaseUnusable(f"{shown} cannot be emptied ({type(error).__name__}).") from error
    finally:
        await engine.dispose()
