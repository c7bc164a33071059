"""A market that nets for years looks at the days that are not over, not at all that went by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.app.trading.netperiods import PERIODS, Periods
from node.storage.database import Database
from node.storage.facts import Facts


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    try:
        yield found
    finally:
        await found.close()


class Counted(Facts):
    """Real facts, and what was read of them."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.read: list[str] = []

    async def get(self, namespace: str, name: str) -> Any:
        self.read.append(name)
        return await super().get(namespace, name)

    async def all(self, namespace: str) -> dict[str, Any]:
        self.read.append("all")
        return await super().all(namespace)


async def test_what_is_over_is_read_once(database: Database) -> None:
    facts = Counted(database)
    for day in range(400):
        await facts.set(PERIODS, str(day), {"state": ("released", "void", "idle")[day % 3]})
    for day, state in ((400, "settled"), (401, "sent"), (402, "open")):
        await facts.set(PERIODS, str(day), {"state": state})
    periods = Periods(facts)
    assert list(await periods.live()) == [400, 401, 402]
    facts.read.clear()
    assert {day: state["state"] for day, state in (await periods.live()).items()} == {
        400: "settled", 401: "sent", 402: "open",
    }  # fmt: skip
    assert facts.read == ["400", "401", "402"]
    await facts.set(PERIODS, "400", {"state": "released"})
    assert list(await periods.live()) == [401, 402]
    facts.read.clear()
    await periods.live()
    assert facts.read == ["401", "402"], "nobody asks again for what is over"


async def test_a_day_that_begins_is_seen_once_its_fact_is_there(database: Database) -> None:
    """Its lines may be refused after all; then there is no such day, and the next line begins it again."""
    facts = Facts(database)
    periods = Periods(facts)
    assert await periods.live() == {}
    periods.begin(7)
    assert await periods.live() == {}
    await facts.set(PERIODS, "7", {"state": "open"})
    assert list(await periods.live()) == [7]
