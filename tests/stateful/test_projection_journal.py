"""architecture.md: what the journal stores is what the reducers return; replayed, it gives the live states."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.clock import ManualClock
from node.errors import NodeError
from node.projection import events as e
from node.projection.base import AggregateId, Effect, Event, State
from node.projection.replay import World
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.outbox import Outbox
from node.storage.views import Views
from tests.unit.node.projection.kit import (
    OWNER,
    PROVIDER,
    READER,
    STRANGER,
    address,
    block,
    commit,
    granted,
    h32,
    revoked,
)

ALPHABET: tuple[Event, ...] = (
    granted(2, end=2_000),
    granted(3, grant="a", sids=("s",)),
    revoked(4),
    revoked(3, by=READER, sid=h32("t")),
    e.ReceivedRevocation(h32("a"), OWNER, bytes(32), 1),
    e.DueConsentEnd(h32("g"), 2_000),
    e.LoggedStreamRegistered(block(1), h32("s"), OWNER, address("w"), h32("n"), h32("k"), 0, 60),
    e.LoggedStreamTransferred(block(5), h32("s"), OWNER, STRANGER),
    commit(2, 1),
    commit(4, 2),
    e.LoggedDevicePaired(block(2), OWNER, h32("d"), address("d")),
    e.LoggedDeviceUnpaired(block(4), OWNER, h32("d")),
    e.ReceivedConsentRequest(h32("q"), PROVIDER, "{}", 100, 1),
    e.RequestedConsentGrant(h32("q"), h32("g"), "{}", 2),
    e.DueRequestDeadline(h32("q"), 100),
    e.RequestedSubmission(h32("m"), "Grant", "{}", (b"\x01" * 65,), 100, 1),
    e.RequestedSubmission(h32("v"), "Revoke", "{}", (b"\x01" * 65,), None, 1),
    e.ReceivedSubmissionRefused(h32("v"), "no", 1),
    e.LoggedMessageIncluded(block(3), h32("m")),
    *(e.LoggedRolledBack(height) for height in range(5)),
    *(e.LoggedFinalized(height, height * 40) for height in range(5)),
)


async def stored(folder: Path, chunks: Sequence[Sequence[Event]]) -> tuple[dict[AggregateId, State], list[Effect]]:
    database = await Database.open(f"sqlite:///{folder / 'node.db'}")
    journal = Journal(database, ManualClock(1))
    known: set[AggregateId] = set()
    for chunk in chunks:
        applied = await journal.apply(chunk)
        known |= {change.aggregate for record in applied.records for change in record.changes}
    await journal.verify()
    views, outbox = Views(database), Outbox(database, "one")
    states = {aggregate: await views.get(aggregate) for aggregate in known}
    effects: list[Effect] = []
    while items := await outbox.claim(1, 1_000, 60):
        effects.extend(item.effect for item in items)
        for item in items:
            await outbox.acknowledge(item, 1)
    await journal.close()
    await database.close()
    return states, effects


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(ALPHABET), max_size=40), st.lists(st.integers(1, 6), min_size=40, max_size=40))
def test_journal_equals_fold(wishes: list[Event], sizes: list[int]) -> None:
    """However the events are cut into calls."""
    world = World()
    accepted: list[Event] = []
    effects: list[Effect] = []
    for event in wishes:
        try:
            effects.extend(world.apply(event))
        except NodeError:
            continue
        accepted.append(event)
    chunks, rest = [], accepted
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    with tempfile.TemporaryDirectory() as folder:
        states, carried = asyncio.run(stored(Path(folder), chunks))
    assert {key: world.get(key) for key in states} == states
    assert world.states.keys() <= states.keys()
    assert sorted(map(repr, carried)) == sorted(map(repr, effects))
