"""The event feed: dense numbers, explicit undone events, cursors that only move forwards."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from node.clock import ManualClock
from node.errors import Conflict, Gone, InvalidInput, NotFound
from node.projection import events as e
from node.projection.errors import ContradictingFact
from node.projection.feed import ANNOUNCED
from node.storage.database import Database
from node.storage.feed import Feed, FeedEvent, FeedFilter, Subscriptions
from node.storage.feedlog import _text
from node.storage.journal import Journal
from tests.unit.node.projection.kit import HOME, OWNER, address, block, commit, granted, h32, revoked

ALL = FeedFilter()


async def told(database: Database, wanted: FeedFilter = ALL, after: int = 0) -> list[FeedEvent]:
    return list((await (await Feed.open(database)).read(after, 1_000, wanted)).events)


def registered() -> e.LoggedStreamRegistered:
    return e.LoggedStreamRegistered(block(1), h32("s"), OWNER, address("w"), h32("n"), h32("k"), 0, 60)


async def test_events_are_numbered_without_gaps_and_say_where_they_stand(journal: Journal, database: Database) -> None:
    await journal.apply([registered(), granted(5), e.LoggedFinalized(5, 9)])
    await journal.apply([commit(6, 1), revoked(7)])
    found = await told(database)
    assert [event.seq for event in found] == [1, 2, 3, 4, 5]
    kinds = ["stream.registered", "consent.seen", "consent.live", "stream.committed", "consent.revoked"]
    assert [event.kind for event in found] == kinds
    assert {event.kind for event in found} <= set(ANNOUNCED)
    assert found[2].block == (5, block(5).hash)
    assert (found[2].aggregate, found[2].key) == ("consent", h32("g"))
    assert found[3].data == {"epoch": 1, "commit_hash": "0x" + commit(6, 1).commit_hash.hex()}
    assert found[4].data["streams"] == ["0x" + h32(sid).hex() for sid in "st"]


async def test_a_removed_block_is_followed_by_undone_events_and_nothing_is_changed(
    journal: Journal, database: Database
) -> None:
    """What acts at first sight for good is not undone: the revocation stands."""
    await journal.apply([registered(), granted(5), granted(6, grant="h"), e.LoggedFinalized(5, 9), revoked(7)])
    before = await told(database)
    await journal.apply([e.LoggedRolledBack(4), granted(8, "b")])
    after = await told(database)
    assert after[: len(before)] == before
    undone = after[len(before) :]
    taken_back = ["consent.live", "consent.seen", "consent.seen"]
    assert [event.kind for event in undone] == taken_back
    assert [event.undoes for event in undone] == [4, 3, 2]
    for event in undone:
        original = before[event.undoes - 1] if event.undoes else None
        assert original is not None
        assert (event.key, event.data, event.block) == (original.key, original.data, original.block)
    assert [event.seq for event in after] == list(range(1, len(after) + 1))
    await journal.apply([e.LoggedRolledBack(3)])
    assert [(event.kind, event.undoes) for event in await told(database, after=len(after))] == []


async def test_undone_twice_only_if_told_twice(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5), e.LoggedRolledBack(4), granted(5, "b"), e.LoggedRolledBack(4)])
    assert [(event.seq, event.undoes) for event in await told(database)] == [(1, None), (2, 1), (3, None), (4, 3)]


async def test_a_refused_call_leaves_no_gap(journal: Journal, database: Database) -> None:
    """Calls of one group share a transaction; the refused one leaves neither events nor numbers behind."""
    results = await asyncio.gather(
        journal.apply([granted(5)]),
        journal.apply([granted(6, grant="h"), commit(5, 1), commit(4, 2)]),
        journal.apply([granted(7, grant="i")]),
        return_exceptions=True,
    )
    assert isinstance(results[1], ContradictingFact)
    assert [event.seq for event in await told(database)] == [1, 2]


async def test_filters_choose_by_kind_and_by_aggregate(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5), granted(5, grant="h"), commit(6, 1), e.LoggedFinalized(6, 9)])
    by_kind = await told(database, FeedFilter(("consent.live",)))
    assert [event.kind for event in by_kind] == ["consent.live"] * 2
    one = await told(database, FeedFilter((), ("consent", h32("h"))))
    assert [(event.kind, event.key) for event in one] == [("consent.seen", h32("h")), ("consent.live", h32("h"))]
    both = FeedFilter(("consent.live",), ("consent", h32("h")))
    assert FeedFilter.from_text(both.to_text()) == both
    assert len(await told(database, both)) == 1


async def test_nothing_private_is_announced(journal: Journal, database: Database) -> None:
    """Salts, labels, addresses of other nodes, texts and parcels stay inside."""
    await journal.apply(
        [
            e.ReceivedPairing(h32("d"), OWNER, address("d"), h32("z"), HOME, "attic-label", 1),
            e.LoggedDevicePaired(block(2), OWNER, h32("d"), address("d")),
            e.LoggedFinalized(2, 3),
            e.ReceivedConsentRequest(h32("q"), HOME, '{"purpose":"private-words"}', 4_000_000_000, 1),
        ]
    )
    found = await told(database)
    assert [event.kind for event in found] == ["device.paired", "request.received"]
    text = repr(found)
    assert all(word not in text for word in ("attic-label", "private-words", "home.example", h32("z").hex()))


async def test_reading_in_pages(journal: Journal, database: Database) -> None:
    await journal.apply([granted(n, grant=chr(n)) for n in range(40, 60)])
    feed = await Feed.open(database)
    seen: list[int] = []
    after = 0
    while after < 20:
        page = await feed.read(after, 7, ALL)
        seen += [event.seq for event in page.events]
        after = page.upto
    assert seen == list(range(1, 21))
    nothing = await feed.read(0, 7, FeedFilter(("consent.key",)))
    assert (nothing.events, nothing.upto) == ((), 20)
    with pytest.raises(InvalidInput):
        await feed.read(21, 7, ALL)


async def test_the_feed_keeps_its_id_and_a_new_database_has_another(database: Database, tmp_path: object) -> None:
    other = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/other.db")
    assert (await Feed.open(database)).id == (await Feed.open(database)).id != (await Feed.open(other)).id
    await other.close()


async def test_acknowledging_moves_forwards_only(journal: Journal, database: Database) -> None:
    await journal.apply([granted(5), e.LoggedFinalized(5, 9)])
    readers = Subscriptions(database)
    await readers.create("billing", ALL, 0, 10)
    assert (await readers.ack("billing", 2, 20)).acked == 2
    assert (await readers.ack("billing", 1, 30)).acked == 2
    with pytest.raises(InvalidInput):
        await readers.ack("billing", 3, 30)
    assert (await readers.create("billing", ALL, 0, 40)).acked == 2
    with pytest.raises(Conflict):
        await readers.create("billing", FeedFilter(("consent.live",)), 0, 40)
    await readers.remove("billing")
    with pytest.raises(NotFound):
        await readers.ack("billing", 2, 50)


async def test_pruning_keeps_what_somebody_waits_for(journal: Journal, database: Database, clock: ManualClock) -> None:
    feed, readers = await Feed.open(database), Subscriptions(database)
    await journal.apply([granted(5), granted(6, grant="h"), granted(7, grant="i")])
    await readers.create("billing", ALL, 1, 10)
    clock.advance(1_000)
    assert await feed.prune(2_000, 0) == 0
    await readers.ack("billing", 3, 20)
    assert await feed.prune(2_000, 0) == 2
    assert await feed.bounds() == (3, 3)
    await journal.apply([granted(8, grant="j")])
    assert [event.seq for event in await told(database, after=2)] == [3, 4]
    with pytest.raises(Gone):
        await feed.read(0, 10, ALL)


@pytest.mark.parametrize(
    "data",
    [
        {"status": "open", "left_wh": 2**64 - 1, "reason": "caf\u00e9"},
        {"minted_mwh": 2**64, "index": -(2**63) - 1},
        {"reason": "half of a pair: \ud800"},
        {"reason": "energie \u2192 geld"},
        {"streams": ["0x01", "0x02"], "account": "0x00"},
    ],
)
def test_whatever_an_announcement_says_has_a_text_in_the_order_of_its_names(data: dict[str, Any]) -> None:
    text = _text(data)
    assert text.isascii(), "a database of another character set takes it too"
    assert json.loads(text) == data
    assert list(json.loads(text)) == sorted(data)
