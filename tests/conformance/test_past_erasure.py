"""What every ChannelStore promises about the erasure of a writer's past (channels.md 4 rule 11)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from channels.stores.base import ChannelStore
from channels.stores.memory import MemoryStore
from channels.stores.records import Capsule, LogKind, OpenRecord, Past, StoredCheckpoint, StoredEnvelope
from channels.stores.replica import StreamCopy, restore_stream
from tests.conformance.entries import GRANT, GRANT2, SID, capsule, checkpoint, commit, envelope, reading

PAST = Past(b"\x0e" * 32, 2, 6, 77)
EMPTY = sha256(b"").digest()
LOG = [(1, 4), (1, 5), (2, 5), (2, 6), (2, 7), (3, 7)]
"""Epoch and slot of each envelope and checkpoint."""


async def filled(store: ChannelStore) -> None:
    await store.append_commits(SID, [commit(1), commit(2), commit(3)])
    envelopes = [envelope(seq, epoch=epoch, slot=slot) for seq, (epoch, slot) in enumerate(LOG)]
    points = [checkpoint(seq, 1, epoch=epoch, slot=slot) for seq, (epoch, slot) in enumerate(LOG)]
    await store.append_envelopes(SID, envelopes)
    await store.append_checkpoints(SID, points)
    await store.put_capsule(SID, capsule(1))
    await store.put_capsule(SID, capsule(2, GRANT2))


async def left(store: ChannelStore) -> list[tuple[int, int]]:
    rows: list[StoredEnvelope | StoredCheckpoint] = [*await store.envelopes(SID), *await store.checkpoints(SID)]
    return [(row.epoch, row.slot) for row in rows]


async def test_the_past_goes_to_the_slot_with_the_writers_former_states(store: ChannelStore) -> None:
    """channels.md 4 rule 11: log and capsules of the past go, published or not; the commits stay."""
    await filled(store)
    rows = tuple(replace(reading(seq, seq, epoch=e), slot=slot) for seq, (e, slot) in enumerate(LOG))
    await store.record_open(SID, GRANT, OpenRecord(b"", readings=rows))
    await store.record_commit(SID, commit(3), (), (), b"an old key", b"progress")
    done = await store.erase_past(SID, PAST, b"state", [capsule(3, GRANT2)])
    assert (done.readings, done.envelopes, done.checkpoints, done.capsules) == (3, 3, 3, 2)
    assert (done.at, done.epoch, done.commit_hash) == (77, 2, commit(2).hash), "the newest commit that it touched"
    assert await left(store) == [(2, 6), (2, 7), (3, 7)] * 2
    assert [row.epoch for row in await store.readings(SID, GRANT, 0, 9)] == [2, 2, 3]
    assert len(await store.commits(SID)) == 3
    record = await store.writer_record(SID)
    assert record is not None
    assert (record.snapshot, record.changes, record.progress) == (b"state", (), b"")


async def test_an_emptied_capsule_says_that_its_grant_was_served_and_is_not_published(store: ChannelStore) -> None:
    """channels.md 4 rule 11: no capsule that re-opens the past is left, and none is given in its place by mistake."""
    await filled(store)
    await store.erase_past(SID, PAST, b"state", [capsule(3, GRANT2)])
    kept = {row.grant_id: row for row in await store.capsules(SID)}
    assert (kept[GRANT].data, kept[GRANT].hash) == (b"", EMPTY)
    assert kept[GRANT2].data == capsule(3, GRANT2).data
    waiting = [row for row in await store.unpublished(SID) if row.kind is LogKind.CAPSULE]
    assert [row.data for row in waiting] == [capsule(3, GRANT2).data]


async def test_asked_again_it_takes_what_came_back_and_tells_the_same(store: ChannelStore) -> None:
    await filled(store)
    first = await store.erase_past(SID, PAST, b"state", [capsule(3, GRANT2)])
    await store.append_envelopes(SID, [envelope(1, epoch=1, slot=5)])
    assert await store.erase_past(SID, replace(PAST, at=99), b"an older state", []) == first
    assert len(await store.envelopes(SID)) == 3
    again = await store.capsule(SID, GRANT2)
    assert again is not None
    assert again.data == capsule(3, GRANT2).data
    record = await store.writer_record(SID)
    assert record is not None
    assert record.snapshot == b"state"


async def test_a_reader_erases_its_copy_and_leaves_the_capsules_of_others(store: ChannelStore) -> None:
    await filled(store)
    await store.erase_past(SID, PAST)
    assert all(row.data for row in await store.capsules(SID))
    assert await store.writer_record(SID) is None


async def test_a_copy_that_was_erased_too_brings_nothing_back(store: ChannelStore) -> None:
    """channels.md 4 rule 11, every copy that counts: erased in both places, in either order with the copying."""
    second = MemoryStore()
    await filled(store)
    copy = StreamCopy(SID, store, second)
    await copy.run()
    await store.erase_past(SID, PAST, b"state", [capsule(3, GRANT2)])
    await second.erase_past(SID, PAST, capsules=())
    for each in (copy, StreamCopy(SID, store, second)):
        await each.run()
        assert await left(second) == [(2, 6), (2, 7), (3, 7)] * 2
    kept = {row.grant_id: row.data for row in await second.capsules(SID)}
    assert kept == {GRANT: b"", GRANT2: capsule(3, GRANT2).data}
    lost = MemoryStore()
    await restore_stream(SID, second, lost)
    assert await left(lost) == [(2, 6), (2, 7), (3, 7)] * 2
    assert [row.data for row in await lost.unpublished(SID) if row.kind is LogKind.CAPSULE] == [capsule(3, GRANT2).data]


async def test_a_capsule_of_later_takes_the_place_of_an_emptied_one(store: ChannelStore) -> None:
    await filled(store)
    await store.erase_past(SID, PAST, capsules=())
    later = Capsule(GRANT, 4, sha256(b"later").digest(), b"later")
    await store.put_capsule(SID, later)
    assert [row.data for row in await store.unpublished(SID) if row.kind is LogKind.CAPSULE] == [b"later"]
