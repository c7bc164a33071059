"""What every ChannelStore promises (channels.md 7): one suite over the memory store, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from channels.errors import StoreConflict, StoreError, StoreNotFound, StoreUnavailable
from channels.stores.base import ChannelStore
from channels.stores.records import (
    Alarm,
    LeafRecord,
    LogEntry,
    LogKind,
    OpenRecord,
    PendingReading,
    StoredEnvelope,
    WriterRecord,
)
from channels.stores.schema import METADATA
from channels.stores.sql_engine import Database
from tests.conformance.entries import (
    GRANT,
    GRANT2,
    OTHER,
    SID,
    capsule,
    checkpoint,
    commit,
    envelope,
    pending,
    reading,
)


async def test_commits_come_back_by_epoch(store: ChannelStore) -> None:
    assert await store.last_commit(SID) is None
    assert await store.append_commits(SID, [commit(1), commit(2), commit(3)]) == 3
    assert [row.epoch for row in await store.commits(SID)] == [1, 2, 3]
    assert [row.epoch for row in await store.commits(SID, 2, 1)] == [2]
    last = await store.last_commit(SID)
    assert last is not None
    assert replace(last, position=0) == commit(3)
    assert await store.commits(OTHER) == ()


async def test_the_same_commit_again_changes_nothing(store: ChannelStore) -> None:
    await store.append_commits(SID, [commit(1)])
    assert await store.append_commits(SID, [commit(1), commit(2), commit(2)]) == 1
    assert len(await store.commits(SID)) == 2


async def test_two_commits_of_one_epoch_are_a_fork_with_both_as_evidence(store: ChannelStore) -> None:
    """channels.md 6: a fork is reported with the evidence."""
    await store.append_commits(SID, [commit(1)])
    with pytest.raises(StoreConflict) as caught:
        await store.append_commits(SID, [commit(2), commit(1, "forged")])
    assert (caught.value.existing, caught.value.offered) == (commit(1).data, commit(1, "forged").data)
    assert [row.epoch for row in await store.commits(SID)] == [1], "nothing of a refused call is kept"


async def test_envelopes_come_back_in_order_and_by_sequence(store: ChannelStore) -> None:
    rows = [envelope(seq) for seq in range(10)]
    assert await store.append_envelopes(SID, rows) == 10
    kept = await store.envelopes(SID)
    assert [replace(row, position=0) for row in kept] == rows
    assert [row.seq for row in await store.envelopes(SID, kept[3].position, 2)] == [4, 5]
    assert [row.seq for row in await store.envelopes_by_seq(SID, 7, 8)] == [7, 8]
    assert [row.seq for row in await store.envelopes_by_seq(SID, 7, 99)] == [7, 8, 9]
    last = await store.last_envelope(SID)
    assert last is not None
    assert last.seq == 9


async def test_known_envelopes_among_new_ones_are_left_out(store: ChannelStore) -> None:
    await store.append_envelopes(SID, [envelope(1), envelope(2)])
    assert await store.append_envelopes(SID, [envelope(2), envelope(3), envelope(3)]) == 1
    assert [row.seq for row in await store.envelopes(SID)] == [1, 2, 3]


async def test_two_envelopes_for_one_key_and_nonce_are_a_fork(store: ChannelStore) -> None:
    """channels.md 6: two envelopes with one seq are reported with the evidence."""
    await store.append_envelopes(SID, [envelope(1), envelope(2)])
    with pytest.raises(StoreConflict) as caught:
        await store.append_envelopes(SID, [envelope(3), envelope(2, salt="forged")])
    assert (caught.value.existing, caught.value.offered) == (envelope(2).data, envelope(2, salt="forged").data)
    assert len(await store.envelopes(SID)) == 2
    assert await store.append_envelopes(SID, [envelope(2, inst=b"\x12" * 16)]) == 1, "another instance, another key"


async def test_many_envelopes_at_once_with_some_known(store: ChannelStore) -> None:
    await store.append_envelopes(SID, [envelope(seq) for seq in range(1500)])
    assert await store.append_envelopes(SID, [envelope(seq) for seq in range(2500)]) == 1000
    with pytest.raises(StoreConflict):
        await store.append_envelopes(SID, [envelope(3000), envelope(1499, salt="forged")])


async def test_checkpoints(store: ChannelStore) -> None:
    assert await store.append_checkpoints(SID, [checkpoint(0, 10), checkpoint(10, 5)]) == 2
    assert await store.append_checkpoints(SID, [checkpoint(10, 5), checkpoint(15, 1)]) == 1
    rows = await store.checkpoints(SID)
    assert [(row.first_seq, row.count) for row in rows] == [(0, 10), (10, 5), (15, 1)]
    assert [row.first_seq for row in await store.checkpoints(SID, rows[0].position)] == [10, 15]
    last = await store.last_checkpoint(SID)
    assert last is not None
    assert replace(last, position=0) == checkpoint(15, 1)


async def test_a_newer_capsule_takes_the_place_of_the_older(store: ChannelStore) -> None:
    await store.put_capsule(SID, capsule(3))
    await store.put_capsule(SID, capsule(4))
    await store.put_capsule(SID, capsule(4, GRANT2))
    kept = await store.capsule(SID, GRANT)
    assert kept is not None
    assert replace(kept, position=0) == capsule(4)
    with pytest.raises(StoreConflict):
        await store.put_capsule(SID, capsule(2))
    await store.drop_capsule(SID, GRANT)
    await store.drop_capsule(SID, GRANT)
    assert await store.capsule(SID, GRANT) is None
    assert await store.capsule(SID, GRANT2) is not None
    await store.put_capsule(SID, capsule(5))
    assert [replace(kept, position=0) for kept in await store.capsules(SID)] == [capsule(4, GRANT2), capsule(5)]
    assert await store.capsules(OTHER) == ()


async def test_pending_readings_wait_in_slot_order(store: ChannelStore) -> None:
    """channels.md 4, rule 4: buffered readings are sealed in slot order."""
    ids = await store.add_pending(SID, [pending(7, 700), pending(5, 510), pending(5, 505, b"\x00" * 50)])
    assert len(set(ids)) == 3
    rows = await store.pending(SID)
    assert [(row.slot, row.meter_time, row.id) for row in rows] == [
        (5, 505, ids[2]),
        (5, 510, ids[1]),
        (7, 700, ids[0]),
    ]
    assert rows[0].payload == b"\x00" * 50
    assert rows[0].received_at == 507
    assert await store.pending_count(SID) == 3
    assert [row.id for row in await store.pending(SID, 1)] == [ids[2]]
    assert await store.pending_count(OTHER) == 0
    later = await store.add_pending(SID, [pending(1, 1)])
    assert later[0] not in ids


async def test_a_seal_moves_readings_into_envelopes_at_once(store: ChannelStore) -> None:
    ids = await store.add_pending(SID, [pending(5, 500 + i) for i in range(4)])
    await store.record_seal(SID, [envelope(1), envelope(2)], ids[:3], b"seal 1", [checkpoint(1, 2)])
    assert [row.id for row in await store.pending(SID)] == [ids[3]]
    assert [row.seq for row in await store.envelopes(SID)] == [1, 2]
    assert await store.writer_record(SID) == WriterRecord(progress=b"seal 1")
    assert len(await store.checkpoints(SID)) == 1


async def test_a_refused_seal_changes_nothing(store: ChannelStore) -> None:
    ids = await store.add_pending(SID, [pending(5, 500), pending(5, 501)])
    await store.record_seal(SID, [envelope(1)], ids[:1], b"state 1")
    with pytest.raises(StoreNotFound):
        await store.record_seal(SID, [envelope(2)], ids, b"state 2", [checkpoint(1, 2)])
    for again in (envelope(1), envelope(1, salt="other")):
        with pytest.raises(StoreConflict):
            await store.record_seal(SID, [envelope(2), again], ids[1:], b"state 2", [checkpoint(1, 2)])
    assert await store.writer_record(SID) == WriterRecord(progress=b"state 1")
    assert [row.seq for row in await store.envelopes(SID)] == [1]
    assert await store.checkpoints(SID) == ()
    assert [row.id for row in await store.pending(SID)] == [ids[1]]


async def test_a_commit_brings_capsules_leaves_and_state_at_once(store: ChannelStore) -> None:
    leaves = [LeafRecord(0, GRANT, 2**40, b"owner"), LeafRecord(3, GRANT2, 900, b"provider")]
    await store.record_commit(SID, commit(1), [capsule(1), capsule(1, GRANT2)], leaves, b"change 1", b"at 1")
    assert await store.leaves(SID) == tuple(leaves)
    changed = [LeafRecord(3, None, 0, b""), LeafRecord(1, GRANT2, 901, b"new")]
    await store.record_commit(SID, commit(2), [], changed, b"change 2", b"at 2")
    assert await store.leaves(SID) == (leaves[0], changed[1])
    assert await store.writer_record(SID) == WriterRecord(b"", (b"change 1", b"change 2"), b"at 2")
    assert await store.capsule(SID, GRANT) is not None


async def test_a_whole_state_takes_the_place_of_its_parts(store: ChannelStore) -> None:
    """What was kept before must not be applied to it, and no key of before may stay behind."""
    await store.record_commit(SID, commit(1), [], [], b"change 1", b"at 1")
    ids = await store.add_pending(SID, [pending(5, 500), pending(5, 501)])
    await store.save_writer(SID, b"whole", ids[:1])
    assert await store.writer_record(SID) == WriterRecord(b"whole")
    with pytest.raises(StoreNotFound):
        await store.save_writer(SID, b"other", ids)
    await store.save_progress(SID, b"further")
    await store.record_commit(SID, commit(2), [], [], b"change 2", b"at 2")
    assert await store.writer_record(SID) == WriterRecord(b"whole", (b"change 2",), b"at 2")
    assert [row.id for row in await store.pending(SID)] == [ids[1]]


async def test_a_new_time_of_writing_empties_the_leaves_of_the_old_one(store: ChannelStore) -> None:
    await store.record_commit(
        SID, commit(1), [], [LeafRecord(0, GRANT, 9, b""), LeafRecord(1, GRANT2, 9, b"")], b"c", b""
    )
    await store.save_writer(SID, b"whole", (), [LeafRecord(0, None, 0, b""), LeafRecord(2, GRANT2, 7, b"x")])
    assert await store.leaves(SID) == (LeafRecord(1, GRANT2, 9, b""), LeafRecord(2, GRANT2, 7, b"x"))


async def test_a_copy_keeps_no_state_of_the_writer(store: ChannelStore) -> None:
    await store.record_commit(SID, commit(1), [capsule(1)], [], b"", b"")
    assert await store.writer_record(SID) is None


async def test_never_two_commits_for_one_epoch(store: ChannelStore) -> None:
    """channels.md 6: a crash at every step of a commit resumes and never yields two commits for one epoch."""
    leaf = LeafRecord(0, GRANT, 1, b"")
    await store.record_commit(SID, commit(1), [capsule(1)], [leaf], b"change 1", b"at 1")
    await store.record_commit(SID, commit(1), [capsule(1)], [leaf], b"change 1 again", b"at 1 again")
    with pytest.raises(StoreConflict):
        await store.record_commit(SID, commit(1, "b"), [capsule(9)], [LeafRecord(0, None, 0, b"")], b"x", b"x")
    assert await store.writer_record(SID) == WriterRecord(b"", (b"change 1 again",), b"at 1 again")
    assert await store.leaves(SID) == (leaf,)
    assert len(await store.unpublished(SID)) == 2


async def test_records_are_published_in_the_order_they_were_made(store: ChannelStore) -> None:
    """A commit goes out before the envelopes under its epoch, an envelope before the checkpoint over it."""
    await store.record_commit(SID, commit(1), [capsule(1)], [], b"c", b"s")
    ids = await store.add_pending(SID, [pending(5, 1)])
    await store.record_seal(SID, [envelope(1), envelope(2)], ids, b"s", [checkpoint(1, 2)])
    await store.record_commit(SID, commit(2), [capsule(2, GRANT2)], [], b"c", b"s")
    rows = await store.unpublished(SID)
    assert [row.data for row in rows] == [
        commit(1).data,
        capsule(1).data,
        envelope(1).data,
        envelope(2).data,
        checkpoint(1, 2).data,
        commit(2).data,
        capsule(2, GRANT2).data,
    ]
    assert [row.key for row in rows if row.kind is LogKind.CAPSULE] == [GRANT, GRANT2]
    assert [row.position for row in rows] == sorted(row.position for row in rows)
    assert [row.data for row in await store.unpublished(SID, 2)] == [commit(1).data, capsule(1).data]


async def test_cursors_move_per_kind_and_never_back(store: ChannelStore) -> None:
    await store.record_commit(SID, commit(1), [capsule(1)], [], b"c", b"s")
    await store.append_envelopes(SID, [envelope(seq) for seq in range(3)])
    rows = await store.unpublished(SID)
    assert await store.cursor(SID, LogKind.DATA) == 0
    await store.mark_published(SID, LogKind.DATA, rows[3].position)
    assert [row.kind for row in await store.unpublished(SID)] == [LogKind.COMMITS, LogKind.CAPSULE, LogKind.DATA]
    await store.mark_published(SID, LogKind.DATA, rows[2].position)
    assert await store.cursor(SID, LogKind.DATA) == rows[3].position
    with pytest.raises(StoreNotFound):
        await store.mark_published(SID, LogKind.DATA, rows[-1].position + 1)
    await store.mark_published(SID, LogKind.CAPSULE, rows[1].position)
    await store.put_capsule(SID, capsule(2))
    assert [row.data for row in await store.unpublished(SID) if row.kind is LogKind.CAPSULE] == [capsule(2).data]
    await store.drop_capsule(SID, GRANT)
    assert LogKind.CAPSULE not in {row.kind for row in await store.unpublished(SID)}


async def test_alarms_are_kept_once_with_their_evidence(store: ChannelStore) -> None:
    first = await store.raise_alarm(SID, Alarm("fork", 7, "two commits of epoch 3", (b"one", b"", b"two")))
    assert await store.raise_alarm(SID, Alarm("fork", 8, "two commits of epoch 3", (b"one", b"", b"two"))) == first
    second = await store.raise_alarm(SID, Alarm("fork", 8, "two commits of epoch 3", (b"one", b"tw", b"o")))
    await store.raise_alarm(OTHER, Alarm("gap", 1, ""))
    assert second > first
    assert [row.id for row in await store.alarms(SID)] == [first, second]
    (kept,) = await store.alarms(SID, first)
    assert kept == Alarm("fork", 8, "two commits of epoch 3", (b"one", b"tw", b"o"), second)


async def test_a_private_log_has_no_gap_and_no_fork(store: ChannelStore) -> None:
    """channels.md 7: the private log is append-only in every store it is replicated to."""
    entries = [LogEntry(i, sha256(b"%d" % i).digest(), b"entry %d" % i) for i in range(5)]
    assert await store.append_log(SID, entries[:3]) == 3
    assert await store.append_log(SID, entries) == 2
    assert await store.read_log(SID) == tuple(entries)
    assert await store.read_log(SID, 2, 2) == tuple(entries[2:4])
    assert await store.read_log(OTHER) == ()
    with pytest.raises(StoreError):
        await store.append_log(SID, [LogEntry(6, b"\x00" * 32, b"")])
    with pytest.raises(StoreConflict):
        await store.append_log(SID, [LogEntry(4, b"\x00" * 32, b"forged")])
    with pytest.raises(StoreConflict):
        await store.append_log(SID, [LogEntry(5, b"\x01" * 32, b"a"), LogEntry(5, b"\x02" * 32, b"b")])
    assert len(await store.read_log(SID)) == 5


async def test_retention_keeps_what_was_not_published_and_the_newest(store: ChannelStore) -> None:
    await store.append_envelopes(SID, [envelope(i, slot=i) for i in range(6)])
    await store.append_checkpoints(SID, [checkpoint(i, 1, slot=i) for i in range(6)])
    await store.record_open(SID, GRANT, OpenRecord(b"", readings=tuple(reading(i, i) for i in range(6))))
    rows = await store.envelopes(SID)
    await store.mark_published(SID, LogKind.DATA, rows[3].position)
    gone = await store.prune(SID, envelopes_before_slot=3, readings_before=2)
    assert (gone.envelopes, gone.checkpoints, gone.readings) == (3, 0, 2)
    assert [row.slot for row in await store.envelopes(SID)] == [3, 4, 5]
    await store.mark_published(SID, LogKind.DATA, rows[5].position)
    points = await store.checkpoints(SID)
    await store.mark_published(SID, LogKind.CHECKPOINTS, points[-1].position)
    gone = await store.prune(SID, envelopes_before_slot=99)
    assert (gone.envelopes, gone.checkpoints, gone.readings) == (2, 5, 0)
    last = await store.last_envelope(SID)
    assert last is not None
    assert last.seq == 5
    assert [row.meter_time for row in await store.readings(SID, GRANT, 0, 99)] == [2, 3, 4, 5]
    assert await store.append_envelopes(SID, [envelope(6)]) == 1


async def test_erasure_takes_epochs_out_published_or_not(store: ChannelStore) -> None:
    """channels.md 4, rule 11."""
    await store.append_commits(SID, [commit(1), commit(2)])
    await store.append_envelopes(SID, [envelope(i, epoch=1 + i // 3) for i in range(6)])
    await store.append_checkpoints(SID, [checkpoint(0, 3, epoch=1), checkpoint(3, 3, epoch=2)])
    rows = tuple(reading(i, i, epoch=1 + i // 3) for i in range(6))
    await store.record_open(SID, GRANT, OpenRecord(b"", readings=rows))
    gone = await store.erase_epochs(SID, 1)
    assert (gone.envelopes, gone.checkpoints, gone.readings) == (3, 1, 3)
    assert {row.epoch for row in await store.envelopes(SID)} == {2}
    assert {row.epoch for row in await store.readings(SID, GRANT, 0, 9)} == {2}
    assert len(await store.commits(SID)) == 2


async def test_streams_are_apart(store: ChannelStore) -> None:
    await store.append_envelopes(SID, [envelope(1)])
    await store.save_writer(OTHER, b"state")
    assert await store.streams() == (SID, OTHER)
    assert await store.envelopes(OTHER) == ()
    assert await store.writer_record(SID) is None
    assert await store.writer_record(b"\x03" * 32) is None


@pytest.mark.parametrize("bad", [envelope(2**63), replace(envelope(1), hash=b"short"), replace(envelope(1), inst=b"")])
async def test_what_no_database_can_keep_is_refused(store: ChannelStore, bad: StoredEnvelope) -> None:
    with pytest.raises(StoreError):
        await store.append_envelopes(SID, [bad])
    with pytest.raises(StoreError):
        await store.append_envelopes(b"short", [envelope(1)])
    with pytest.raises(StoreError):
        await store.envelopes(SID, 0, 0)
    assert await store.envelopes(SID) == ()


def test_every_table_names_its_owner() -> None:
    assert all(name.startswith("channel_") for name in METADATA.tables)


async def test_a_chunk_of_the_meter_is_kept_with_its_state(store: ChannelStore) -> None:
    """Readings of several streams and the intake's state are one transaction."""
    assert await store.intake_note() is None
    await store.take_in({SID: [PendingReading(10, 10, 1, b"a")], OTHER: [PendingReading(10, 9, 1, b"b")]}, b"state 1")
    await store.take_in({SID: [PendingReading(11, 11, 1, b"c")]}, b"state 2")
    assert [row.payload for row in await store.pending(SID)] == [b"a", b"c"]
    assert [row.payload for row in await store.pending(OTHER)] == [b"b"]
    assert await store.intake_note() == b"state 2"
    with pytest.raises(StoreError):
        await store.take_in({SID: [PendingReading(12, 12, 1, b"d")], b"short": [PendingReading(1, 1, 1, b"")]}, b"3")
    assert await store.intake_note() == b"state 2"
    assert await store.pending_count(SID) == 2


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
async def test_a_read_sees_one_state_whatever_is_written_meanwhile(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    """`Database.read`: two statements of one transaction tell of the same moment; it writes nothing."""
    sqlite = f"sqlite+aiosqlite:///{tmp_path}/view.db"
    url: str = sqlite if name == "sqlite" else request.getfixturevalue("postgres")
    database = Database(url)
    await database.write(lambda c: c.execute(text("CREATE TABLE IF NOT EXISTS seen (n INTEGER)")))
    await database.write(lambda c: c.execute(text("DELETE FROM seen")))

    async def insert() -> None:
        other = Database(url)
        await other.write(lambda c: c.execute(text("INSERT INTO seen VALUES (1)")))
        await other.close()

    def work(c: Connection) -> tuple[int, int]:
        counts = [c.execute(text("SELECT count(*) FROM seen")).scalar_one()]
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(asyncio.run, insert()).result()
        return counts[0], c.execute(text("SELECT count(*) FROM seen")).scalar_one()

    assert await database.read(work) == (0, 0)
    assert await database.read(lambda c: c.execute(text("SELECT count(*) FROM seen")).scalar_one()) == 1
    if name == "postgresql":
        with pytest.raises(StoreUnavailable):
            await database.read(lambda c: c.execute(text("DELETE FROM seen")))
    await database.close()
