"""What the sender tells of transactions becomes events: a batch in one go, nobody's fate shared, a reorg undone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from node.app.core import Core
from node.app.submissions import Submissions
from node.clock import ManualClock
from node.ledger.reverts import Reason
from node.ledger.transaction import Call, Inclusion, Transaction, TxState
from node.projection.base import Block
from node.projection.errors import ContradictingFact
from node.projection.events import LoggedFinalized, LoggedRolledBack, RequestedSubmission
from node.projection.submission import Submission, SubmissionStatus
from node.storage.database import Database
from node.storage.journal import Applied, Journal
from node.storage.views import Views

TOKEN, REGISTRY, CARRIER = b"\x01" * 20, b"\x02" * 20, b"\x03" * 32


def _key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _in_block(height: int, fork: bytes = b"a") -> Inclusion:
    return Inclusion(height, fork * 32, b"\x09" * 32, 40_000, 1, ok=True)


def _carried(number: int) -> Transaction:
    call = Call(TOKEN, b"data", item=b"item")
    return Transaction(_key(number), 1, b"\x05" * 20, call, 0, TxState.CARRIED, order=number, carrier=CARRIER)


def _mined(number: int, found: Inclusion) -> Transaction:
    return _carried(number).to(TxState.MINED, inclusion=found)


class _World:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.journal = Journal(database, ManualClock(1_000))
        self.views = Views(database)
        self.commits: list[Applied] = []
        self.journal.subscribe(self.commits.append)
        sender = SimpleNamespace(listener=None)
        core = SimpleNamespace(
            chain=SimpleNamespace(sender=sender),
            registry=REGISTRY,
            storage=SimpleNamespace(views=self.views, journal=self.journal),
            clock=ManualClock(1_000),
            wake=lambda: None,
        )
        Submissions(cast(Core, core))
        self.hear: Any = sender.listener

    async def wish(self, *numbers: int, kind: str = "Reading") -> None:
        wishes = [RequestedSubmission(_key(n), kind, f"m{n}", (b"s",), 9_000, 1_000) for n in numbers]
        await self.journal.apply(wishes)
        self.commits.clear()

    async def statuses(self, *numbers: int) -> list[SubmissionStatus]:
        return [(await self.views.one(Submission, _key(n))).status for n in numbers]


@pytest_asyncio.fixture
async def w(tmp_path: Path) -> AsyncIterator[_World]:
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    world = _World(database)
    yield world
    await world.journal.close()
    await database.close()


async def test_the_members_of_a_batch_are_told_in_one_transaction(w: _World) -> None:
    await w.wish(*range(50))
    await w.hear([_mined(n, _in_block(7)) for n in range(50)])
    assert await w.statuses(*range(50)) == [SubmissionStatus.INCLUDED] * 50
    assert len(w.commits) == 1


async def test_what_is_not_this_nodes_wish_is_not_told(w: _World) -> None:
    await w.wish(1)
    foreign = replace(_mined(1, _in_block(7)), call=Call(REGISTRY, b"data", item=b"item"))
    carrier = replace(_mined(2, _in_block(7)), members=(_key(1),))
    await w.hear([foreign, carrier, _mined(3, _in_block(7))])
    assert w.commits == []
    assert await w.statuses(1, 2, 3) == [SubmissionStatus.QUEUED, SubmissionStatus.NONE, SubmissionStatus.NONE]


async def test_one_that_contradicts_keeps_no_other_from_being_told(w: _World) -> None:
    await w.wish(*range(10))
    news = [_mined(n, _in_block(7)) for n in range(10)]
    news.insert(4, _mined(3, _in_block(8)))
    with pytest.raises(ContradictingFact):
        await w.hear(news)
    assert await w.statuses(*range(10)) == [SubmissionStatus.INCLUDED] * 10
    assert (await w.views.one(Submission, _key(3))).block is not None


async def test_a_refused_one_has_its_reason_and_the_others_are_included(w: _World) -> None:
    await w.wish(1, 2)
    refused = _mined(1, replace(_in_block(7), ok=False)).to(TxState.REFUSED, reason=Reason("SourceUnknown", (), ""))
    await w.hear([refused, _mined(2, _in_block(7)).to(TxState.FINAL)])
    assert await w.statuses(1, 2) == [SubmissionStatus.REJECTED, SubmissionStatus.INCLUDED]


async def test_what_was_told_when_it_was_mined_is_not_told_again_when_it_is_final(w: _World) -> None:
    """The journal knows by itself when a block is final; one that it has not heard of yet is told."""
    await w.wish(1, 2)
    await w.hear([_mined(1, _in_block(7))])
    w.commits.clear()
    await w.hear([_mined(1, _in_block(7)).to(TxState.FINAL)])
    assert w.commits == []
    await w.hear([_mined(n, _in_block(7)).to(TxState.FINAL) for n in (1, 2)])
    assert await w.statuses(1, 2) == [SubmissionStatus.INCLUDED] * 2
    assert [len(commit.records) for commit in w.commits] == [1]


@pytest.mark.parametrize("sender_first", [True, False])
async def test_a_batch_that_a_reorg_removes_is_final_only_in_its_new_block(w: _World, sender_first: bool) -> None:
    """Whoever sees the reorg first, the sender or the journal: the old block counts no more, the new one does."""
    await w.wish(1)
    await w.hear([_mined(1, _in_block(7, b"a"))])
    back = _mined(1, _in_block(7, b"a")).to(TxState.CARRIED, inclusion=None)
    again = back.to(TxState.MINED, inclusion=_in_block(8, b"b"))
    if sender_first:
        await w.hear([back])
        await w.hear([again])
        block = (await w.views.one(Submission, _key(1))).block
        assert block is not None
        assert block.number == 7  # the new one is told when the effect asks again
        await w.journal.apply([LoggedRolledBack(6)])
    else:
        await w.journal.apply([LoggedRolledBack(6)])
        await w.hear([back])
    assert await w.statuses(1) == [SubmissionStatus.QUEUED]
    await w.journal.apply([LoggedFinalized(7, 2_000)])
    assert await w.statuses(1) == [SubmissionStatus.QUEUED]
    await w.hear([again])
    found = await w.views.one(Submission, _key(1))
    assert (found.status, found.block) == (SubmissionStatus.INCLUDED, Block(8, b"b" * 32))
    await w.journal.apply([LoggedFinalized(8, 2_000)])
    assert await w.statuses(1) == [SubmissionStatus.FINAL]


async def test_a_match_that_was_refused_in_a_block_holds_its_orders_no_longer(w: _World) -> None:
    """Other words wait until it is final; for a match two orders wait. Where a reorg has it mined after all, it is."""
    await w.wish(1, 2, kind="Match")
    await w.wish(3)
    reason = Reason("BalanceShort", (), "")
    lost = [replace(_mined(n, replace(_in_block(7), ok=False)), carrier=_key(9), reason=reason) for n in (1, 3)]
    await w.hear([*lost, _mined(2, _in_block(7))])
    assert await w.statuses(1, 2, 3) == [SubmissionStatus.REJECTED, SubmissionStatus.INCLUDED, SubmissionStatus.QUEUED]
    await w.journal.apply([LoggedRolledBack(6)])
    await w.hear([_mined(1, _in_block(8, b"b"))])
    assert await w.statuses(1) == [SubmissionStatus.INCLUDED]
