"""What every ChannelStore promises to a reader: its steps, its retention and its erasure (channels.md 7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from channels.errors import StoreConflict
from channels.stores.base import ChannelStore
from channels.stores.records import (
    ALL,
    Alarm,
    Confirmation,
    Erased,
    OpenRecord,
    ReadingRange,
    ReadingSpan,
)
from tests.conformance.entries import (
    GRANT,
    GRANT2,
    OTHER,
    SID,
    capsule,
    checkpoint,
    commit,
    envelope,
    reading,
)


async def test_a_reader_step_is_kept_as_one(store: ChannelStore) -> None:
    assert await store.reader_snapshot(SID, GRANT) is None
    record = OpenRecord(
        b"reader 1",
        readings=(reading(100, 1), reading(101, 1, 1), reading(102, 2)),
        envelopes=(envelope(1), envelope(2)),
        commits=(commit(1),),
        checkpoints=(checkpoint(1, 1),),
        confirmed=(Confirmation(1, 1),),
        alarms=(Alarm("gap", 99, "3 envelopes", (b"a", b"b")),),
    )
    await store.record_open(SID, GRANT, record)
    await store.record_open(SID, GRANT, replace(record, snapshot=b"reader 2"))
    assert await store.reader_snapshot(SID, GRANT) == b"reader 2"
    assert await store.reader_snapshot(SID, GRANT2) is None
    rows = await store.readings(SID, GRANT, 0, 1000)
    assert [(row.meter_time, row.index, row.provisional) for row in rows] == [
        (100, 0, False),
        (101, 1, False),
        (102, 0, True),
    ]
    assert rows[0].payload == b"reading 100"
    assert len(await store.alarms(SID)) == 1
    assert len(await store.envelopes(SID)) == 2
    assert len(await store.commits(SID)) == 1


async def test_a_refused_reader_step_changes_nothing(store: ChannelStore) -> None:
    await store.record_open(SID, GRANT, OpenRecord(b"1", envelopes=(envelope(1),)))
    forged = OpenRecord(
        b"2", readings=(reading(1, 1),), envelopes=(envelope(1, salt="x"),), alarms=(Alarm("a", 1, ""),)
    )
    with pytest.raises(StoreConflict):
        await store.record_open(SID, GRANT, forged)
    assert await store.reader_snapshot(SID, GRANT) == b"1"
    assert await store.readings(SID, GRANT, 0, 10) == ()
    assert await store.alarms(SID) == ()


async def test_forged_readings_are_withdrawn_before_the_right_ones_are_kept(store: ChannelStore) -> None:
    """channels.md 6: a forgery never turns final, and does not stand in the way of what the writer sealed."""
    await store.record_open(SID, GRANT, OpenRecord(b"1", readings=tuple(reading(100 + i, i) for i in range(1, 6))))
    await store.record_open(SID, GRANT, OpenRecord(b"2", confirmed=(Confirmation(1, 2),)))
    right = replace(reading(104, 4), payload=b"right")
    record = OpenRecord(b"3", readings=(right,), confirmed=(Confirmation(4, 2),), withdrawn=(Confirmation(2, 4),))
    await store.record_open(SID, GRANT, record)
    found = await store.readings(SID, GRANT, 0, 200)
    assert [(row.seq, row.payload == b"right", row.provisional) for row in found] == [
        (1, False, False),
        (2, False, False),
        (4, True, False),
    ]


async def test_readings_by_time_and_confirmed_once(store: ChannelStore) -> None:
    """channels.md 3: provisional until a checkpoint covers it, and never again afterwards."""
    rows = tuple(reading(100 + i, i) for i in range(20))
    await store.record_open(SID, GRANT, OpenRecord(b"", readings=rows))
    await store.record_open(SID, GRANT, OpenRecord(b"", confirmed=(Confirmation(5, 10),)))
    await store.record_open(SID, GRANT, OpenRecord(b"", readings=rows))
    kept = await store.readings(SID, GRANT, 100, 120)
    assert [row.seq for row in kept if not row.provisional] == list(range(5, 15))
    assert [row.meter_time for row in await store.readings(SID, GRANT, 103, 106)] == [103, 104, 105]
    assert (await store.reading_count(SID, GRANT), await store.reading_count(SID, GRANT2)) == (20, 0)
    assert await store.reading_span(SID, GRANT, ReadingRange((103, 110))) == ReadingSpan(7, 103, 109)
    assert await store.reading_span(SID, GRANT, ReadingRange()) == ReadingSpan(20, 100, 119)
    for nothing in (ReadingRange((0, 9)), ReadingRange(slots=(rows[-1].slot + 1, ALL[1])), ReadingRange(epochs=(0, 1))):
        assert await store.reading_span(SID, GRANT, nothing) == ReadingSpan()
    held = [row.meter_time for row in rows if row.slot == rows[4].slot and row.epoch == rows[4].epoch]
    slots, epochs = (rows[4].slot, rows[4].slot + 1), (rows[4].epoch, ALL[1])
    found = await store.reading_span(SID, GRANT, ReadingRange(slots=slots, epochs=epochs))
    assert found == ReadingSpan(len(held), held[0], held[-1])
    assert await store.reading_span(SID, GRANT2, ReadingRange()) == ReadingSpan()
    assert [row.seq for row in await store.readings(SID, GRANT, 100, 120, limit=3, offset=2)] == [2, 3, 4]
    assert await store.readings(SID, GRANT2, 0, 1000) == ()
    await store.record_open(SID, GRANT, OpenRecord(b"", confirmed=(Confirmation(20, 99),)))
    assert sum(not row.provisional for row in await store.readings(SID, GRANT, 0, 1000)) == 10


async def test_readers_of_one_stream_are_apart_and_can_be_dropped(store: ChannelStore) -> None:
    for grant in (GRANT, GRANT2):
        await store.record_open(SID, grant, OpenRecord(grant, readings=(reading(1, 1),)))
    await store.drop_reader(SID, GRANT)
    await store.drop_reader(SID, GRANT)
    assert await store.reader_snapshot(SID, GRANT) is None
    assert await store.readings(SID, GRANT, 0, 10) == ()
    assert len(await store.readings(SID, GRANT2, 0, 10)) == 1


async def test_a_readers_old_readings_go_in_batches_and_provisional_ones_stay(store: ChannelStore) -> None:
    rows = tuple(reading(i, i, provisional=i == 1) for i in range(8))
    await store.append_envelopes(SID, [envelope(i) for i in range(8)])
    await store.record_open(SID, GRANT, OpenRecord(b"state", readings=rows))
    await store.record_open(SID, b"\x07" * 32, OpenRecord(b"", readings=(reading(0, 0, provisional=False),)))
    assert await store.drop_readings(SID, GRANT, 5, limit=3) == 3
    assert [row.meter_time for row in await store.readings(SID, GRANT, 0, 99)] == [1, 4, 5, 6, 7]
    assert await store.drop_readings(SID, GRANT, 5, limit=3) == 1
    assert await store.drop_readings(SID, GRANT, 5, limit=3) == 0
    assert [row.meter_time for row in await store.readings(SID, GRANT, 0, 99)] == [1, 5, 6, 7]
    assert await store.reading_count(SID, b"\x07" * 32) == 1
    assert await store.reader_snapshot(SID, GRANT) == b"state"
    assert len(await store.envelopes(SID)) == 8
    assert await store.drop_readings(OTHER, GRANT, 5) == 0


async def test_the_old_log_of_a_stream_that_is_only_read_goes_in_batches(store: ChannelStore) -> None:
    """The newest envelope and checkpoint stay, and so does every commit: they say how far the chain of hashes went."""
    await store.append_commits(SID, [commit(1)])
    rows = [envelope(i, slot=i) for i in range(8)]
    await store.record_open(SID, GRANT, OpenRecord(b"state", envelopes=tuple(rows)))
    await store.append_checkpoints(SID, [checkpoint(i, 1, slot=i) for i in range(3)])
    assert await store.drop_log(SID, 5, limit=3) == 3 + 2
    assert [row.seq for row in await store.envelopes(SID)] == [3, 4, 5, 6, 7]
    assert await store.drop_log(SID, 5) == 2
    assert await store.drop_log(SID, 5) == 0
    assert await store.drop_log(SID, 99) == 2
    assert [row.seq for row in await store.envelopes(SID)] == [7]
    assert [row.first_seq for row in await store.checkpoints(SID)] == [2]
    assert (len(await store.commits(SID)), await store.reader_snapshot(SID, GRANT)) == (1, b"state")
    await store.append_envelopes(OTHER, rows)
    await store.record_commit(OTHER, commit(1), (), (), b"tree", b"")
    assert await store.drop_log(OTHER, 99) == 0, "its writer has to answer for them"


async def _read_by(store: ChannelStore, *grants: bytes) -> None:
    await store.append_commits(SID, [commit(1), commit(2)])
    await store.put_capsule(SID, capsule(1))
    for grant in grants:
        points = (checkpoint(0, 3),)
        rows = tuple(reading(i, i) for i in range(3))
        alarm = Alarm("fork", 1, "two envelopes", (envelope(1).data,))
        log = tuple(envelope(i) for i in range(3))
        await store.record_open(
            SID, grant, OpenRecord(b"keys", readings=rows, envelopes=log, checkpoints=points, alarms=(alarm,))
        )


async def test_erasure_takes_what_a_reader_holds_and_leaves_the_commits(store: ChannelStore) -> None:
    """permissions.md 1: the receipt of an erasure says what went, and which commitments stay."""
    await _read_by(store, GRANT)
    done = await store.erase_reader(SID, GRANT, b"\x0e" * 32, 77)
    assert done == Erased(b"\x0e" * 32, 77, 3, 3, 1, 1, 1, 2, commit(2).hash)
    assert await store.reader_snapshot(SID, GRANT) is None
    assert await store.readings(SID, GRANT, 0, 99) == ()
    assert (await store.envelopes(SID), await store.checkpoints(SID), await store.capsules(SID)) == ((), (), ())
    assert await store.alarms(SID) == ()
    assert len(await store.commits(SID)) == 2
    await store.scrub()
    assert await store.erase_reader(SID, GRANT, b"\x0e" * 32, 99) == done, "a repetition tells the same"
    later = await store.erase_reader(SID, GRANT, b"\x0f" * 32, 99)
    assert (later.at, later.readings, later.envelopes) == (99, 0, 0)
    # Who is granted access again reads again.
    await _read_by(store, GRANT)
    assert len(await store.readings(SID, GRANT, 0, 99)) == 3


async def test_an_erasure_leaves_what_another_reader_or_the_writer_needs(store: ChannelStore) -> None:
    await _read_by(store, GRANT, GRANT2)
    done = await store.erase_reader(SID, GRANT, b"\x0e" * 32, 77)
    assert (done.readings, done.envelopes, done.checkpoints, done.capsules, done.alarms) == (3, 0, 0, 0, 0)
    assert (await store.reader_snapshot(SID, GRANT2), await store.reading_count(SID, GRANT2)) == (b"keys", 3)
    assert len(await store.envelopes(SID)) == 3
    await store.record_commit(SID, commit(3), (), (), b"tree", b"")
    done = await store.erase_reader(SID, GRANT2, b"\x0f" * 32, 78)
    assert (done.readings, done.envelopes, done.epoch) == (3, 0, 3)
    assert len(await store.envelopes(SID)) == 3, "its writer has to answer for them"
