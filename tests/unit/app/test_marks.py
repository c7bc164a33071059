"""Marks: no news is lost between what is kept, what is looked at and what was seen, and none is told for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.exc import OperationalError

from channels.stores.memory import MemoryStore
from node.app.memory import Memory
from node.app.trading.marks import Marks, keep_marked
from node.clock import ManualClock
from node.storage.database import Database
from node.storage.journal import Journal


@pytest_asyncio.fixture
async def memory(tmp_path: Path) -> AsyncIterator[Memory]:
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    journal = Journal(database, ManualClock(1_000))
    found = await Memory.open(MemoryStore(), bytes(32), journal, database)
    yield found
    await found.close()
    await journal.close()
    await database.close()


async def test_a_mark_is_kept_with_its_news_and_waits_until_it_is_seen(memory: Memory) -> None:
    marks = Marks(memory, "m")
    await marks.keep([("f", "a", 1)], ("a",))
    assert await memory.facts.get("f", "a") == 1
    assert await marks.look() == await Marks(memory, "m").look() == {"a"}, "after a restart, too"
    assert await marks.look() == {"a"}, "what was not seen is told again"
    await marks.seen(("a", "never marked"))
    assert await marks.look() == await Marks(memory, "m").look() == frozenset()


async def test_what_comes_while_it_is_looked_at_is_seen_next_time(memory: Memory) -> None:
    marks = Marks(memory, "m")
    await marks.keep((), ("a", "b"))
    found = await marks.look()
    await asyncio.gather(marks.keep([("f", "a", 2)], ("a",)), marks.seen(found))
    assert await marks.look() == await Marks(memory, "m").look() == {"a"}


async def test_news_for_several_readers_are_one_step_and_each_sees_for_itself(memory: Memory) -> None:
    one, other = Marks(memory, "one"), Marks(memory, "other")
    await keep_marked([("f", "a", 1)], {one: ("a",), other: ("b", "c")})
    await one.look()
    await one.seen(("a",))
    assert await one.look() == frozenset()
    assert await other.look() == {"b", "c"}


async def test_what_could_not_be_kept_marks_nothing(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    marks = Marks(memory, "m")
    await marks.look()

    async def broken(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the disk is full"))

    with monkeypatch.context() as patched:
        patched.setattr(memory, "keep", broken)
        with pytest.raises(OperationalError):
            await marks.keep((), ("a",))
    assert await marks.look() == frozenset()
    await marks.keep((), ("a",))
    assert await marks.look() == {"a"}, "and the lock is free again"
