"""channels.md 7: log first, then the database; those who tell at one time share both writes and nobody's fate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.exc import OperationalError

from channels.errors import StoreConflict
from channels.private_log import PrivateLog
from channels.stores.records import LogEntry
from channels.stores.sql import SqlStore
from node.app.memory import Memory
from node.clock import ManualClock
from node.projection.base import Event
from node.projection.events import RequestedConsentView, RequestedSubmission
from node.projection.submission import Submission
from node.storage.database import Database
from node.storage.errors import DuplicateParcel, JournalClosed
from node.storage.extras import Extra, SeenParcel
from node.storage.journal import Applied, Journal
from node.storage.views import Views

KEY, LOG = b"\x07" * 32, b"\x08" * 32
UNKNOWN = RequestedConsentView(b"\x01" * 32, 1)
"""Refused: nobody asked for that consent."""


def _wish(number: int) -> RequestedSubmission:
    return RequestedSubmission(number.to_bytes(32, "big"), "Reading", f"m{number}", (b"s",), 9_000, 1_000)


class _Journal(Journal):
    """Counts its calls; `broken` ends the process's work where the database should come next."""

    calls = 0
    broken = False

    async def apply(self, events: Sequence[Event], *extras: Extra, texts: Sequence[str] = ()) -> Applied:
        self.calls += 1
        if self.broken:
            raise OperationalError("INSERT", {}, Exception("the process ends here"))
        return await super().apply(events, *extras, texts=texts)


class _World:
    """Both stores of a node in a folder."""

    def __init__(self, store: SqlStore, database: Database) -> None:
        self.store = store
        self.database = database
        self.views = Views(database)
        self.journal = _Journal(database, ManualClock(1_000))
        self.memory: Memory

    async def open(self) -> None:
        self.memory = await Memory.open(self.store, LOG, self.journal, self.database)
        self.journal.calls = 0

    async def logged(self) -> int:
        return (await PrivateLog.open(self.store, LOG)).tip.count

    async def order(self) -> list[str]:
        """The submissions in the order in which they came into the journal."""
        return [state.message for _, state in reversed(await self.views.page(Submission, limit=1_000))]


@pytest_asyncio.fixture
async def w(tmp_path: Path) -> AsyncIterator[_World]:
    store = await SqlStore.open(f"sqlite+aiosqlite:///{tmp_path / 'channels.db'}", KEY)
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    world = _World(store, database)
    await world.open()
    yield world
    await world.memory.close()
    await world.journal.close()
    await database.close()
    await store.close()


async def test_many_at_one_time_share_the_writes_and_keep_their_order(w: _World) -> None:
    done = await asyncio.gather(*(w.memory.keep([_wish(n)], [("f", str(n), n)]) for n in range(100)))
    assert w.journal.calls == 1
    assert [applied.records[0].event for applied in done] == [_wish(n) for n in range(100)]
    assert [applied.records[0].seq for applied in done] == list(range(1, 101))
    assert await w.logged() == 100
    assert await w.order() == [f"m{n}" for n in range(100)]
    assert await w.memory.facts.all("f") == {str(n): n for n in range(100)}


async def test_one_refused_among_many_sinks_nobody(w: _World) -> None:
    told: list[list[Event]] = [[_wish(n)] for n in range(20)]
    told[7] = [_wish(7), UNKNOWN]
    done = await asyncio.gather(*(w.memory.keep(events) for events in told), return_exceptions=True)
    assert [place for place, each in enumerate(done) if isinstance(each, BaseException)] == [7]
    assert await w.order() == [f"m{n}" for n in range(20) if n != 7]


async def test_the_same_parcel_twice_at_one_time_is_taken_once(w: _World) -> None:
    seen = SeenParcel(b"\x05" * 16, 9_000)
    keeping = [w.memory.keep([_wish(n)], extras=[seen] if n in (3, 5) else []) for n in range(8)]
    done = await asyncio.gather(*keeping, return_exceptions=True)
    assert isinstance(done[5], DuplicateParcel)
    assert await w.order() == [f"m{n}" for n in range(8) if n != 5]
    with pytest.raises(DuplicateParcel):
        await w.memory.keep([_wish(9)], extras=[seen])


async def test_a_kill_between_the_two_writes_loses_nothing_of_the_group(w: _World) -> None:
    await w.memory.keep([_wish(0)])
    w.journal.broken = True
    told: list[list[Event]] = [[_wish(n)] for n in range(1, 30)]
    told[10] = [UNKNOWN]
    done = await asyncio.gather(*(w.memory.keep(events) for events in told), return_exceptions=True)
    assert all(isinstance(each, OperationalError) for each in done)
    assert (await w.logged(), await w.order()) == (30, ["m0"])
    w.journal.broken = False
    await w.open()  # what the next process does
    assert await w.order() == [f"m{n}" for n in range(30) if n != 11]
    await w.memory.keep([_wish(30)])
    assert await w.logged() == 31


async def test_facts_of_any_size_outlive_a_kill_between_the_two_writes(w: _World) -> None:
    w.journal.broken = True
    facts = [("f", "large", 10**30), ("f", "text", "caf\u00e9 \ud800"), ("f", "none", None)]
    await asyncio.gather(w.memory.keep([_wish(1)], facts), w.memory.keep([_wish(2)]), return_exceptions=True)
    w.journal.broken = False
    await w.open()
    assert await w.order() == ["m1", "m2"]
    assert await w.memory.facts.all("f") == {"large": 10**30, "text": "caf\u00e9 \ud800"}


async def test_after_a_refusal_a_restart_replays_only_what_the_database_does_not_have(w: _World) -> None:
    await asyncio.gather(
        w.memory.keep([_wish(1)]), w.memory.keep([UNKNOWN]), w.memory.keep([_wish(2)]), return_exceptions=True
    )
    await w.open()
    replayed = await w.memory.facts.get("memory", "replayed")
    assert replayed == 3
    assert await w.order() == ["m1", "m2"]


async def test_a_log_that_fails_fails_its_group_and_nobody_after(w: _World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = w.store.append_log

    async def conflict(log_id: bytes, entries: Sequence[LogEntry]) -> int:
        monkeypatch.setattr(w.store, "append_log", real)
        raise StoreConflict("another process wrote the same place")

    monkeypatch.setattr(w.store, "append_log", conflict)
    first = [asyncio.create_task(w.memory.keep([_wish(n)])) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    done = await asyncio.gather(*first, w.memory.keep([_wish(9)]), return_exceptions=True)
    assert all(isinstance(each, StoreConflict) for each in done[:3])
    await w.memory.keep([_wish(10)])
    assert (await w.order())[-1] == "m10"


async def test_the_log_goes_on_while_the_journal_writes_and_the_order_stays(
    w: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the log reaches the journal in its order, also of one who does not wait any more."""
    apply, go = w.journal.apply, asyncio.Event()

    async def later(events: Sequence[Event], *extras: Extra, texts: Sequence[str] = ()) -> Applied:
        await go.wait()
        return await apply(events, *extras, texts=texts)

    monkeypatch.setattr(w.journal, "apply", later)
    keeping = []
    for n in range(5):
        keeping.append(asyncio.create_task(w.memory.keep([_wish(n)])))
        async with asyncio.timeout(20):
            while w.memory.log.tip.count < n + 1:  # noqa: ASYNC110 (the log tells nobody)
                await asyncio.sleep(0.01)
    assert await w.order() == []
    keeping[2].cancel()
    go.set()
    await asyncio.gather(*keeping, return_exceptions=True)
    await w.memory.close()
    assert await w.order() == [f"m{n}" for n in range(5)]
    assert w.journal.calls == 2, "those who waited went together"
    assert await w.memory.facts.get("memory", "replayed") == 5


async def test_a_closed_memory_finishes_what_waits_and_refuses(w: _World) -> None:
    waiting = [asyncio.create_task(w.memory.keep([_wish(n)])) for n in range(3)]
    await asyncio.sleep(0)
    await w.memory.close()
    await asyncio.gather(*waiting)
    with pytest.raises(JournalClosed):
        await w.memory.keep([_wish(4)])
    assert await w.order() == ["m0", "m1", "m2"]
