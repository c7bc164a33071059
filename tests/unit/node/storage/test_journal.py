"""architecture.md, how one event travels: one transaction for journal, states, outbox and timers; nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from node.clock import ManualClock
from node.projection import effects as f
from node.projection import events as e
from node.projection.base import AggregateId
from node.projection.codec import CODEC
from node.projection.consent import Consent, ConsentStatus
from node.projection.errors import ContradictingFact, RequestUnknown
from node.projection.stream import Stream
from node.projection.submission import Submission, SubmissionStatus
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.errors import DuplicateParcel, JournalClosed, JournalDiffers
from node.storage.extras import ChainUpdate, SeenParcel, SetFact, StoredHeader
from node.storage.facts import Facts, Parcels
from node.storage.journal import Applied, Journal
from node.storage.schema import journal as journal_table
from node.storage.schema import outbox, states
from node.storage.timers import Timers
from node.storage.views import Views
from tests.unit.node.projection.kit import OWNER, READER, STRANGER, block, commit, granted, h32, revoked

G = h32("g")
CONSENT = AggregateId("consent", G)


async def count(database: Database, table: Any) -> int:
    async with database.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def test_what_is_returned_is_what_is_stored(journal: Journal, database: Database) -> None:
    applied = await journal.apply([granted(5), e.LoggedFinalized(5, 9)])
    views = Views(database)
    assert applied.state(CONSENT) == await views.one(Consent, G)
    assert applied.effects == (f.NotifyGrantSeen(G), f.NotifyGrantFinal(G))
    assert [record.seq for record in applied.records] == [1, 2]
    history = await views.history(CONSENT)
    assert [(entry.seq, entry.recorded_at, type(entry.event)) for entry in history] == [
        (1, 1_000, e.LoggedGranted),
        (2, 1_000, e.LoggedFinalized),
    ]
    assert await journal.verify() == 2


async def test_who_asks_at_the_same_time_shares_a_question_that_sees_what_was_written_before(
    journal: Journal, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    views, questions, read = Views(database), 0, database.read

    @asynccontextmanager
    async def counted() -> AsyncIterator[AsyncConnection]:
        nonlocal questions
        questions += 1
        async with read() as connection:
            yield connection

    await journal.apply([granted(5, grant=letter) for letter in "ab"])
    monkeypatch.setattr(database, "read", counted)
    asked = [views.one(Consent, h32(letter)) for letter in "abz"]
    consents, submission = await asyncio.gather(asyncio.gather(*asked), views.one(Submission, h32("a")))
    assert [each.status for each in consents] == [ConsentStatus.SEEN, ConsentStatus.SEEN, ConsentStatus.NONE]
    assert submission.status is SubmissionStatus.NONE
    assert questions == 1

    async def written() -> Consent:
        await journal.apply([granted(6, grant="c")])
        return await views.one(Consent, h32("c"))

    first, fresh = await asyncio.gather(views.one(Consent, h32("c")), written())
    assert first.status in (ConsentStatus.NONE, ConsentStatus.SEEN)
    assert fresh.status is ConsentStatus.SEEN


async def test_an_event_that_changes_nothing_is_not_written(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5)])
    again = await journal.apply([granted(5), e.LoggedFinalized(4, 1), e.LoggedRolledBack(7)])
    assert [record.seq for record in again.records] == [None, None, None]
    assert await count(database, journal_table) == 1
    assert await count(database, outbox) == 1


async def test_all_events_of_a_call_or_none(journal: Journal, database: Database) -> None:
    with pytest.raises(ContradictingFact):
        await journal.apply([granted(5), granted(6)], SetFact("a", "b", 1))
    assert await count(database, journal_table) == 0
    assert await count(database, states) == 0
    assert await count(database, outbox) == 0
    assert await Facts(database).get("a", "b") is None


async def test_a_refused_call_does_not_undo_its_neighbours(journal: Journal, database: Database) -> None:
    unknown = e.RequestedConsentView(h32("q"), 1)
    calls = [journal.apply([granted(5, grant=letter)]) for letter in "abc"]
    calls.insert(1, journal.apply([granted(5, grant="z"), unknown]))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[1], RequestUnknown)
    assert all(isinstance(results[place], Applied) for place in (0, 2, 3))
    assert await count(database, states) == 3
    async with database.read() as connection:
        assert list((await connection.execute(select(journal_table.c.seq).order_by("seq"))).scalars()) == [1, 2, 3]


async def test_a_roll_back_finds_what_it_concerns(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5, grant="a"), granted(7, grant="b"), e.LoggedFinalized(5, 1)])
    await journal.apply([granted(8, grant="c"), e.LoggedRolledBack(6), e.LoggedFinalized(6, 1)])
    views = Views(database)
    assert (await views.one(Consent, h32("a"))).status is ConsentStatus.LIVE
    assert (await views.one(Consent, h32("b"))) == Consent(h32("b"))
    assert await count(database, states) == 1
    assert await journal.verify() == 5  # the last one found nothing to do


async def test_a_transfer_reaches_the_consents_of_its_stream(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5), granted(5, grant="a", sids=("t",)), e.LoggedFinalized(5, 1)])
    await journal.apply([e.LoggedStreamTransferred(block(6), h32("s"), OWNER, STRANGER)])
    views = Views(database)
    assert (await views.one(Consent, G)).live_sids == (h32("t"),)
    assert (await views.one(Consent, h32("a"))).live_sids == (h32("t"),)
    assert (await views.one(Stream, h32("s"))).owner == STRANGER


async def test_a_final_block_reaches_submissions_past_their_deadline(journal: Journal, database: Database) -> None:
    await journal.apply([e.RequestedSubmission(h32("d"), "Grant", "{}", (b"\x01" * 65,), 100, 1)])
    await journal.apply([e.LoggedFinalized(1, 101)])
    assert (await Views(database).one(Submission, h32("d"))).status is SubmissionStatus.FAILED


async def test_the_chain_moves_with_its_events_or_not_at_all(journal: Journal, database: Database) -> None:
    chain = ChainStore(database)
    headers = [StoredHeader(n, h32("h"), h32("p"), n * 10) for n in range(1, 6)]
    await journal.apply([granted(5)], ChainUpdate(headers, cursor=("registry", 5, h32("h"))))
    assert (await chain.load_headers(), await chain.cursor("registry")) == (headers, (5, h32("h")))
    with pytest.raises(ContradictingFact):
        await journal.apply([granted(6)], ChainUpdate((), 0, cursor=("registry", 9, h32("x"))))
    assert (await chain.load_headers(), await chain.cursor("registry")) == (headers, (5, h32("h")))
    other = StoredHeader(4, h32("j"), h32("h"), 41)
    await journal.apply([e.LoggedRolledBack(3)], ChainUpdate([other], 3, 2, ("registry", 4, h32("j"))))
    assert await chain.load_headers() == [*headers[1:3], other]
    assert await chain.cursor("nothing") is None


async def test_a_parcel_is_taken_in_once(journal: Journal, database: Database) -> None:
    """Attack: a parcel is replayed."""
    parcel = SeenParcel(h32("p"), 2_000)
    await journal.apply([e.ReceivedRevocation(G, OWNER, bytes(32), 1)], parcel)
    with pytest.raises(DuplicateParcel):
        await journal.apply([e.ReceivedRevocation(G, READER, bytes(32), 1)], parcel)
    assert len((await Views(database).one(Consent, G)).revocations) == 1
    parcels = Parcels(database)
    assert await parcels.seen(h32("p"))
    assert (await parcels.prune(2_000), await parcels.prune(2_001)) == (0, 1)


async def test_two_copies_of_a_parcel_at_once_act_once(journal: Journal) -> None:
    calls = [journal.apply([granted(5, grant=letter)], SeenParcel(h32("p"), 9)) for letter in "abcdef"]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, Applied) for each in results) == 1
    assert sum(isinstance(each, DuplicateParcel) for each in results) == 5


async def test_timers_follow_the_states(journal: Journal, database: Database, clock: ManualClock) -> None:
    timers = Timers(database)
    await journal.apply([granted(5, end=2_000), granted(5, grant="a", end=3_000), granted(5, grant="b")])
    assert await timers.next_at() == 2_000
    assert await timers.due(1_999) == []
    due = await timers.due(2_000)
    assert [timer.event(2_001) for timer in due] == [e.DueConsentEnd(G, 2_001)]
    await journal.apply([revoked(6)])
    assert await timers.next_at() == 3_000
    await timers.put_off((await timers.due(3_000))[0], 4_000)
    assert await timers.next_at() == 4_000


async def test_many_callers_share_commits_and_keep_their_order(journal: Journal, database: Database) -> None:
    seen: list[int] = []
    journal.subscribe(lambda applied: seen.extend(record.seq or 0 for record in applied.records))
    letters = [chr(letter) for letter in range(ord("A"), ord("z"))]
    await asyncio.gather(*(journal.apply([granted(5, grant=letter)]) for letter in letters))
    assert seen == list(range(1, len(letters) + 1))
    assert await count(database, journal_table) == len(letters)


async def test_two_writers_on_one_database_do_not_mix(url: str) -> None:
    """Several worker processes share a PostgreSQL database."""
    first, second = await Database.open(url), await Database.open(url)
    one, two = Journal(first, ManualClock()), Journal(second, ManualClock())
    calls = [journal.apply([commit(epoch, 1, sid=chr(65 + epoch))]) for epoch in range(20) for journal in (one, two)]
    results = await asyncio.gather(*calls)
    written = sorted(record.seq for applied in results for record in applied.records if record.seq)
    assert written == list(range(1, 21))
    assert await one.verify() == 20
    for journal in (one, two):
        await journal.close()
    for database in (first, second):
        await database.close()


async def test_views_list_by_status_link_and_page(journal: Journal, database: Database) -> None:
    await journal.apply(
        [granted(5, grant="a", sids=("s",)), granted(5, grant="b", sids=("t",)), e.LoggedFinalized(5, 1)]
    )
    await journal.apply([granted(6, grant="c", sids=("s", "t"))])
    views = Views(database)

    async def ids(**wanted: Any) -> list[bytes]:
        return [consent.grant_id[:1] for _, consent in await views.page(Consent, **wanted)]

    assert await ids() == [b"c", b"b", b"a"]
    assert await ids(status="live") == [b"b", b"a"]
    assert await ids(link=("sid", h32("s"))) == [b"c", b"a"]
    assert await ids(link=("sid", h32("s")), status="live") == [b"a"]
    assert await ids(link=("reader", STRANGER)) == []
    first = await views.page(Consent, limit=2)
    assert await ids(before=first[-1][0]) == [b"a"]
    assert await views.counts(Consent) == {"live": 2, "seen": 1}
    assert await views.get(AggregateId("stream", h32("s"))) == Stream(h32("s"))


async def test_a_changed_table_is_found_out(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5), e.LoggedFinalized(5, 1)])
    forged = CODEC.encode(Consent(G))
    async with database.write() as connection:
        await connection.execute(update(states).values(document=forged))
    with pytest.raises(JournalDiffers, match="consent/"):
        await journal.verify()


async def test_after_close_nothing_is_taken(journal: Journal) -> None:
    waiting = asyncio.create_task(journal.apply([granted(5)]))
    await asyncio.sleep(0)
    await journal.close()
    assert (await waiting).records[0].seq == 1
    with pytest.raises(JournalClosed):
        await journal.apply([granted(6, grant="a")])


async def test_a_cancelled_caller_leaves_the_others_alone(journal: Journal) -> None:
    calls = [asyncio.create_task(journal.apply([granted(5, grant=letter)])) for letter in "abc"]
    await asyncio.sleep(0)
    calls[0].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(each, Applied) for each in results[1:])


async def test_a_defect_reaches_every_waiting_caller(journal: Journal) -> None:
    """Nobody waits for ever, and the journal goes on."""

    class Defect:
        def tell(self, writes: object) -> None:
            raise ZeroDivisionError

    calls = [journal.apply([granted(5)], Defect()), journal.apply([granted(6, grant="a")])]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, ZeroDivisionError) for each in results)
    assert (await journal.apply([granted(5)])).records[0].seq == 1
