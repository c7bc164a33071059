"""A journal on a fresh SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from node.clock import ManualClock
from node.storage.database import Database
from node.storage.journal import Journal


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    yield opened
    await opened.close()


@pytest.fixture
async def journal(database: Database, clock: ManualClock) -> AsyncIterator[Journal]:
    made = Journal(database, clock)
    yield made
    await made.close()
