"""A reader's view of the chain: counted rightly, read again whenever anything happened, and not oftener."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.app.core import Core
from node.app.streams.chainfacts import PAGE, FactsAnswers, StreamView
from node.projection.consent import Consent
from node.projection.stream import Stream

SID = bytes(range(32))


@given(
    st.lists(st.tuples(st.integers(0, 40), st.none() | st.integers(0, 40)), max_size=30),
    st.integers(0, 45),
)
def test_grants_are_counted_as_one_by_one(grants: list[tuple[int, int | None]], block: int) -> None:
    one_by_one = sum(granted <= block and (ended is None or ended > block) for granted, ended in grants)
    assert StreamView({}, grants).live_grants(block) == one_by_one


@dataclass
class Journal:
    """The states that are asked for, and how often each was read."""

    number: int = 7
    grants: int = 3
    epochs: range = range(5, 8)
    read: Counter[str] = field(default_factory=Counter)

    async def head(self) -> int:
        return self.number

    async def one(self, kind: type[Stream], sid: bytes) -> Any:
        self.read["stream"] += 1
        await asyncio.sleep(0)
        commits = [SimpleNamespace(epoch=epoch, commit_hash=bytes([epoch]) * 32) for epoch in self.epochs]
        return SimpleNamespace(commits=commits)

    async def page(
        self, kind: type[Consent], *, link: tuple[str, bytes], before: int | None, limit: int
    ) -> list[tuple[int, Any]]:
        assert link == ("sid", SID)
        self.read["grants"] += 1
        consent = SimpleNamespace(granted=SimpleNamespace(number=4), open_sids=(SID,), terms=None)
        numbers = range(self.grants if before is None else before - 1, 0, -1)
        return [(number, consent) for number in numbers[:limit]]

    async def history(self, aggregate: object, *, after: int, limit: int) -> list[Any]:
        self.read["history"] += 1
        return []


def answers(journal: Journal) -> FactsAnswers:
    return FactsAnswers(cast("Core", SimpleNamespace(storage=SimpleNamespace(views=journal))))


@pytest.mark.asyncio
async def test_two_hundred_readers_read_the_journal_once_for_each_event() -> None:
    journal = Journal()
    facts = answers(journal)
    views = await asyncio.gather(*(facts.facts(SID, 6) for _ in range(200)))
    assert {view.commit_hash(6) for view in views} == {b"\x06" * 32}
    assert journal.read == {"stream": 1, "grants": 1}
    journal.number, journal.epochs = 8, range(5, 9)
    views = await asyncio.gather(*(facts.facts(SID, 8) for _ in range(200)))
    assert {view.commit_hash(8) for view in views} == {b"\x08" * 32}
    assert journal.read == {"stream": 2, "grants": 2}


@pytest.mark.asyncio
async def test_what_the_projection_let_go_is_looked_up_when_it_is_asked_for() -> None:
    journal = Journal()
    facts = answers(journal)
    await facts.facts(SID, 5)
    assert journal.read["history"] == 0
    for _ in range(3):
        await facts.facts(SID, 2)
        await facts.facts(SID, 6)
    assert journal.read["history"] == 1


@pytest.mark.asyncio
async def test_more_grants_than_a_page_are_all_counted() -> None:
    """A stream may have 100,000 readers; one that is not counted would make an honest commit look like too many."""
    facts = answers(Journal(grants=2 * PAGE + 17))
    assert (await facts.facts(SID, 5)).live_grants(4) == 2 * PAGE + 17
