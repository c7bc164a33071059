"""architecture.md: deadlines are state with a due time; a node that was off catches up at start."""

from __future__ import annotations

import asyncio

from node.clock import ManualClock
from node.projection import events as e
from node.projection.consent import Consent, ConsentStatus
from node.projection.request import Request, RequestStatus
from node.runtime.scheduler import Scheduler
from node.runtime.supervisor import Lifecycle
from node.storage.database import Database
from node.storage.journal import Applied, Journal
from node.storage.timers import Timers
from node.storage.views import Views
from tests.support.processes import PATIENCE
from tests.unit.node.projection.kit import PROVIDER, granted, h32


async def test_it_tells_what_is_due_and_nothing_before(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    scheduler = Scheduler(Timers(database), journal, clock)
    await journal.apply([granted(5, end=2_000), e.ReceivedConsentRequest(h32("q"), PROVIDER, "{}", 1_500, 1_000)])
    views = Views(database)
    assert await scheduler.step() == 0
    clock.set(1_500)
    assert await scheduler.step() == 1
    assert (await views.one(Request, h32("q"))).status is RequestStatus.EXPIRED
    assert (await views.one(Consent, h32("g"))).status is ConsentStatus.SEEN
    clock.set(2_000)
    assert [await scheduler.step(), await scheduler.step()] == [1, 0]
    assert (await views.one(Consent, h32("g"))).status is ConsentStatus.ENDED
    assert await Timers(database).next_at() is None


async def test_a_node_that_was_off_catches_up_before_it_is_ready(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    letters = [chr(letter) for letter in range(ord("A"), ord("z"))]
    await journal.apply([granted(5, grant=letter, end=2_000) for letter in letters])
    clock.set(9_000)
    life = Lifecycle()
    running = asyncio.create_task(Scheduler(Timers(database), journal, clock).run(life))
    await life.until_ready()
    assert await Views(database).counts(Consent) == {"ended": len(letters)}
    life.stop.set()
    await running


async def test_it_wakes_for_a_deadline_that_came_while_it_slept(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    life, told = Lifecycle(), asyncio.Event()

    def committed(applied: Applied) -> None:
        if any(isinstance(record.event, e.DueConsentEnd) for record in applied.records):
            told.set()

    journal.subscribe(committed)
    running = asyncio.create_task(Scheduler(Timers(database), journal, clock).run(life))
    await life.until_ready()
    clock.set(3_000)
    await journal.apply([granted(5, end=2_000)])
    async with asyncio.timeout(PATIENCE):
        await told.wait()
    life.stop.set()
    await running
    assert await Views(database).counts(Consent) == {"ended": 1}


async def test_a_clock_in_2099_ends_nothing_beyond_the_horizon(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    chain_time = 1_000
    scheduler = Scheduler(Timers(database), journal, clock, horizon=lambda: chain_time + 600)
    await journal.apply([granted(5, end=2_000)])
    clock.set(4_070_908_800)
    assert await scheduler.step() == 0
    chain_time = 1_400
    assert await scheduler.step() == 1
    assert (await Views(database).one(Consent, h32("g"))).status is ConsentStatus.ENDED


async def test_a_timer_whose_event_changes_nothing_is_looked_at_later(
    journal: Journal, database: Database, clock: ManualClock
) -> None:
    """A timer that somebody moved forward by hand must not spin."""
    timers = Timers(database)
    await journal.apply([granted(5, end=2_000)])
    clock.set(1_990)
    await timers.put_off((await timers.due(2_000))[0], 1_500)
    assert await Scheduler(timers, journal, clock).step() == 1
    assert await timers.next_at() == 2_050
