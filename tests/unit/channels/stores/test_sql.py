"""What only the SQL store promises: crash safety, values sealed at rest, versions of its schema."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import stat
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Connection

from channels.errors import StoreConflict, StoreError, StoreKeyWrong, StoreSchemaError, StoreUnavailable
from channels.stores.records import (
    Alarm,
    OpenedReading,
    OpenRecord,
    PendingReading,
    StoredCommit,
    StoredEnvelope,
    WriterRecord,
)
from channels.stores.schema import SCHEMA_VERSION
from channels.stores.sql import SqlStore
from tests.unit.channels.stores import sealing_child as child

KEY = b"\x77" * 32
SID, GRANT, INST = b"\x01" * 32, b"\x0a" * 32, b"\x02" * 16
SECRET = b"the meter says 4711 Wh"


def url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/channels.db"


def envelope(seq: int, salt: bytes = b"") -> StoredEnvelope:
    data = b"envelope %d" % seq + salt
    return StoredEnvelope(1, 5, INST, seq, sha256(data).digest(), data)


async def _kill_while_sealing(folder: Path, after: int, pause: float) -> int:
    """Start the sealing child, kill it some time after its n-th line; returns the last sealed number it told."""
    root = Path(__file__).parents[4]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", child.__name__, url(folder), KEY.hex(), cwd=root, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    sealed = 0
    lines = 0
    while lines < after:
        line = (await process.stdout.readline()).split()
        assert line, "the child ended by itself"
        lines += 1
        if line[0] == b"sealed":
            sealed = int(line[1])
    await asyncio.sleep(pause)
    process.send_signal(signal.SIGKILL)
    for last in (await process.stdout.read()).splitlines():
        if last.startswith(b"sealed"):
            sealed = int(last.split()[1])
    assert await process.wait() == -signal.SIGKILL
    return sealed


async def test_kill_9_during_a_seal_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    """architecture.md: kill -9 at any point loses nothing and does nothing twice; channels.md 4, rule 2."""
    chance = random.Random(4)
    told = 0
    for _ in range(6):
        told = max(told, await _kill_while_sealing(tmp_path, chance.randint(2, 7), chance.random() * 0.03))
        store = await SqlStore.open(url(tmp_path), KEY)
        state = await store.writer_record(child.SID)
        seq = 0 if state is None else int(state.progress)
        rows = await store.envelopes(child.SID, limit=100_000)
        points = await store.checkpoints(child.SID, limit=100_000)
        assert seq >= told, "an acknowledged seal is gone"
        assert [row.seq for row in rows] == list(range(seq)), "state and envelopes tell two stories"
        assert len(points) * child.BATCH == seq
        assert await store.pending_count(child.SID) in (0, child.BATCH), "a reading is neither buffered nor sealed"
        await store.close()
    assert told > 0


def _contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.iterdir()]


async def test_secrets_do_not_lie_in_the_file(tmp_path: Path) -> None:
    store = await SqlStore.open(url(tmp_path), KEY)
    await store.add_pending(SID, [PendingReading(1, 1, 1, SECRET)])
    await store.save_writer(SID, SECRET)
    hashed = sha256(SECRET).digest()
    await store.record_commit(SID, StoredCommit(1, hashed, b"public"), (), (), SECRET, SECRET)
    alarm = Alarm("fork", 1, SECRET.decode(), (SECRET,))
    reading = OpenedReading(1, 1, 1, INST, 1, 0, True, SECRET)
    await store.record_open(SID, GRANT, OpenRecord(SECRET, readings=(reading,), alarms=(alarm,)))
    files = _contents(tmp_path)
    assert len(files) >= 2
    assert not any(SECRET in content for content in files)
    await store.close()
    assert stat.S_IMODE(os.stat(tmp_path / "channels.db").st_mode) == 0o600


async def test_another_key_is_refused_at_the_door(tmp_path: Path) -> None:
    await (await SqlStore.open(url(tmp_path), KEY)).close()
    with pytest.raises(StoreKeyWrong):
        await SqlStore.open(url(tmp_path), b"\x78" * 32)
    with pytest.raises(StoreError):
        await SqlStore.open(url(tmp_path), b"short")


def _edit(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "channels.db") as connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE channel_reading SET payload = (SELECT payload FROM channel_reading WHERE meter_time = 2)",
        "UPDATE channel_reading SET meter_time = meter_time + 10",
        "UPDATE channel_reading SET slot = 9",
        "UPDATE channel_reading SET payload = substr(payload, 1, 20)",
        "UPDATE channel_reading SET payload = x''",
    ],
)
async def test_a_reading_cannot_be_moved_or_altered_in_the_database(tmp_path: Path, statement: str) -> None:
    """Attack: somebody with the database file rewrites history to his advantage."""
    store = await SqlStore.open(url(tmp_path), KEY)
    rows = tuple(OpenedReading(i, 5, 1, INST, i, 0, True, b"%d Wh" % i) for i in (1, 2))
    await store.record_open(SID, GRANT, OpenRecord(b"", readings=rows))
    _edit(tmp_path, statement)
    with pytest.raises(StoreKeyWrong):
        await store.readings(SID, GRANT, 0, 100)
    await store.close()


async def test_a_state_cannot_be_moved_to_another_stream(tmp_path: Path) -> None:
    """Attack: the writer is made to go on with the keys and numbers of another stream."""
    store = await SqlStore.open(url(tmp_path), KEY)
    await store.save_writer(SID, b"one")
    await store.save_writer(b"\x02" * 32, b"two")
    newest = "SELECT snapshot FROM channel_writer ORDER BY stream DESC LIMIT 1"
    _edit(tmp_path, f"UPDATE channel_writer SET snapshot = ({newest})")
    with pytest.raises(StoreKeyWrong):
        await store.writer_record(SID)
    for sid in (SID, b"\x02" * 32):
        await store.save_writer(sid, b"again")
        await store.save_progress(sid, sid)
    newest = "SELECT progress FROM channel_stream ORDER BY id DESC LIMIT 1"
    _edit(tmp_path, f"UPDATE channel_stream SET progress = ({newest})")
    with pytest.raises(StoreKeyWrong):
        await store.writer_record(SID)
    await store.save_progress(SID, b"")
    await store.record_commit(SID, StoredCommit(1, SID, b"1"), (), (), b"change 1", b"")
    await store.record_commit(SID, StoredCommit(2, SID, b"2"), (), (), b"change 2", b"")
    second = "SELECT data FROM channel_change WHERE epoch = 2"
    _edit(tmp_path, f"UPDATE channel_change SET data = ({second}) WHERE epoch = 1")
    with pytest.raises(StoreKeyWrong):
        await store.writer_record(SID)
    await store.close()


async def test_a_buffered_reading_and_an_alarm_cannot_be_altered(tmp_path: Path) -> None:
    store = await SqlStore.open(url(tmp_path), KEY)
    await store.add_pending(SID, [PendingReading(1, 1, 1, b"a")])
    _edit(tmp_path, "UPDATE channel_pending SET slot = 2")
    with pytest.raises(StoreKeyWrong):
        await store.pending(SID)
    await store.raise_alarm(SID, Alarm("fork", 1, ""))
    _edit(tmp_path, "UPDATE channel_alarm SET kind = 'gap'")
    with pytest.raises(StoreKeyWrong):
        await store.alarms(SID)
    await store.close()


async def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    await (await SqlStore.open(url(tmp_path), KEY)).close()
    await (await SqlStore.open(url(tmp_path), KEY)).close()
    _edit(tmp_path, f"UPDATE channel_meta SET value = '{SCHEMA_VERSION + 1}' WHERE key = 'schema_version'")
    with pytest.raises(StoreSchemaError):
        await SqlStore.open(url(tmp_path), KEY)
    _edit(tmp_path, "UPDATE channel_meta SET value = 'one' WHERE key = 'schema_version'")
    with pytest.raises(StoreSchemaError):
        await SqlStore.open(url(tmp_path), KEY)
    _edit(tmp_path, "DELETE FROM channel_meta WHERE key = 'schema_version'")
    with pytest.raises(StoreSchemaError):
        await SqlStore.open(url(tmp_path), KEY)


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "channels.db").write_bytes(b"this is no database, but long enough to be looked at" * 30)
    with pytest.raises(StoreUnavailable):
        await SqlStore.open(url(tmp_path), KEY)
    for bad in ("sqlite+aiosqlite://", "nonsense", "sqlite+aiosqlite:////proc/none/channels.db"):
        with pytest.raises(StoreError):
            await SqlStore.open(bad, KEY)


async def test_acknowledged_writes_are_durable_in_wal(tmp_path: Path) -> None:
    """architecture.md: SQLite runs WAL with synchronous=FULL (2)."""
    store = await SqlStore.open(url(tmp_path), KEY)

    def look(connection: Connection) -> None:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 10_000)):
            found = connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one()
            assert found == value

    await store._db.read(look)
    await store.close()


async def test_two_processes_on_one_file_do_not_fork_it(tmp_path: Path) -> None:
    """The lock on the data folder forbids this; the store holds even without it."""
    one, two = await SqlStore.open(url(tmp_path), KEY), await SqlStore.open(url(tmp_path), KEY)
    for i in range(20):
        await asyncio.gather(
            one.append_envelopes(SID, [envelope(2 * i)]), two.append_envelopes(SID, [envelope(2 * i + 1)])
        )
    rows = await one.envelopes(SID)
    assert sorted(row.seq for row in rows) == list(range(40))
    assert len({row.position for row in rows}) == 40
    with pytest.raises(StoreConflict):
        await two.append_envelopes(SID, [envelope(7, b"forged")])
    await one.close()
    await two.close()


async def test_a_cancelled_write_leaves_the_store_usable(tmp_path: Path) -> None:
    store = await SqlStore.open(url(tmp_path), KEY)
    await store.save_writer(SID, b"0")
    for i in range(20):
        task = asyncio.create_task(store.append_envelopes(SID, [envelope(100 * i + n) for n in range(100)]))
        await asyncio.sleep(0.0005 * i)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.save_writer(SID, b"1")
    assert await store.writer_record(SID) == WriterRecord(b"1")
    assert len(await store.envelopes(SID, limit=10_000)) % 100 == 0, "a batch is kept whole or not at all"
    await store.close()


async def test_changes_that_wait_together_share_a_flush_and_nothing_else(tmp_path: Path) -> None:
    """architecture.md: group commit. One that is refused takes none of the others along."""
    store = await SqlStore.open(url(tmp_path), KEY)
    await store.append_envelopes(SID, [envelope(0)])
    other = b"\x03" * 32
    results = await asyncio.gather(
        store.append_envelopes(SID, [envelope(1)]),
        store.append_envelopes(SID, [envelope(2), envelope(0, b"forged")]),
        store.append_envelopes(SID, [envelope(3)]),
        store.append_envelopes(other, [envelope(0)]),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [int, StoreConflict, int, int]
    assert [row.seq for row in await store.envelopes(SID)] == [0, 1, 3]
    assert len(await store.envelopes(other)) == 1
    await store.close()


async def test_what_was_begun_before_closing_is_kept(tmp_path: Path) -> None:
    store = await SqlStore.open(url(tmp_path), KEY)
    writing = [asyncio.create_task(store.append_envelopes(SID, [envelope(seq)])) for seq in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert [await task for task in writing] == [1] * 50
    again = await SqlStore.open(url(tmp_path), KEY)
    assert len(await again.envelopes(SID)) == 50
    await again.close()
