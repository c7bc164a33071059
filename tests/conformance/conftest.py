"""Every kind of channel store, opened anew for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from channels.stores.base import ChannelStore
from channels.stores.memory import MemoryStore
from channels.stores.sql import SqlStore
from tests.conformance.databases import postgres_server
from tests.conformance.entries import KEY


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest_asyncio.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ChannelStore]:
    opened: ChannelStore
    if request.param == "memory":
        opened = MemoryStore()
    elif request.param == "sqlite":
        opened = await SqlStore.open(f"sqlite+aiosqlite:///{tmp_path}/channels.db", KEY)
    else:
        url: str = request.getfixturevalue("postgres")
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await engine.dispose()
        opened = await SqlStore.open(url, KEY)
    yield opened
    await opened.close()
