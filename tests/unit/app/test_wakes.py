"""A change is told at once, and many soon after each other together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from node.app.core import Core
from node.app.wakes import Wakes
from node.clock import ManualClock
from node.projection.consent import Consent
from node.projection.erasure import Erasure
from node.projection.trade import Trade
from node.storage.database import Database
from node.storage.journal import Journal
from tests.unit.node.projection.kit import granted


async def test_the_first_change_is_told_at_once_and_those_that_follow_together() -> None:
    wakes = Wakes()
    one, other = wakes.new(), wakes.new()
    wakes.tell()
    assert one.is_set()
    assert other.is_set()
    one.clear()
    for _ in range(100):
        wakes.tell()
    assert not one.is_set()
    rounds = 0
    async with asyncio.timeout(20):
        await one.wait()
        rounds += 1
    one.clear()
    await asyncio.sleep(0.3)
    assert not one.is_set(), "what was told is told once"
    wakes.tell()
    assert one.is_set(), "after a quiet time at once again"


async def test_nothing_that_comes_while_others_are_told_is_lost() -> None:
    """A loop that clears its event before it looks sees every change, late at the most."""
    wakes, changes, seen = Wakes(), 0, 0
    event = wakes.new()

    async def follow() -> None:
        nonlocal seen
        while seen < 500:
            await event.wait()
            event.clear()
            seen = changes

    async with asyncio.timeout(60):
        following = asyncio.create_task(follow())
        for _ in range(500):
            changes += 1
            wakes.tell()
            await asyncio.sleep(0.001)
        await following
    assert seen == 500


async def test_who_follows_some_states_is_woken_by_these_alone(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    journal = Journal(database, ManualClock(1_000))
    core = cast("Core", SimpleNamespace(storage=SimpleNamespace(journal=journal)))
    consents, trades = Core.wake_for(core, Consent, Erasure), Core.wake_for(core, Trade)
    await journal.apply([granted(5)])
    assert consents.is_set()
    assert not trades.is_set()
    await journal.close()
    await database.close()
