"""Erasure at rest: the reader's own key goes, the rows go, the file keeps nothing; a kill between two steps is mended.

The attacker of these tests has the whole database, with its logs, before and after, and the key of the store.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from channels.errors import StoreConflict, StoreKeyGone
from channels.stores import schema as t
from channels.stores.records import OpenedReading, OpenRecord, StoredCommit, StoredEnvelope
from channels.stores.sealed import StoreSeal
from channels.stores.sql import SqlStore
from channels.stores.vault import KeystoreVault
from keys.keystore import Keystore
from tests.conformance.databases import postgres_server
from tests.unit.channels.stores import erasing_child as child
from tests.unit.channels.stores.erasing_child import AT, ERASURE, GRANT, KEY, PASSPHRASE, SID
from tests.unit.keys.builders import CHEAP

STAYING = b"\x0b" * 32
READINGS = 300


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        yield url


def keystore(folder: Path) -> Keystore:
    place = folder / "keys"
    return Keystore.open(place, PASSPHRASE) if place.exists() else Keystore.create(place, PASSPHRASE, CHEAP)


def sqlite(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/db/channels.db"


def envelope(seq: int) -> StoredEnvelope:
    data = b"envelope %d of the household" % seq
    return StoredEnvelope(1, 5, b"\x02" * 16, seq, sha256(data).digest(), data)


async def filled(url: str, folder: Path, *grants: bytes) -> SqlStore:
    store = await SqlStore.open(url, KEY, KeystoreVault(keystore(folder)))
    await store.append_commits(SID, [StoredCommit(1, b"\x03" * 32, b"commit")])
    rows = tuple(OpenedReading(i, 5, 1, b"\x02" * 16, i, 0, False, b"%d Wh at home" % i) for i in range(READINGS))
    for grant in grants or (GRANT,):
        log = tuple(map(envelope, range(READINGS)))
        await store.record_open(SID, grant, OpenRecord(b"all keys of the reader", readings=rows, envelopes=log))
    return store


async def stolen(url: str) -> tuple[bytes, bytes]:
    """A reader's state and one of its readings, as they lie in the database."""
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        reader = (await connection.execute(select(t.reader.c.id, t.reader.c.snapshot).limit(1))).one()
        here = t.reading.c.reader == reader.id
        payload = (await connection.execute(select(t.reading.c.payload).where(here).limit(1))).scalar_one()
    await engine.dispose()
    return bytes(reader.snapshot), bytes(payload)


def contents(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_nothing_of_it_is_in_the_file_afterwards_and_no_old_copy_opens(tmp_path: Path) -> None:
    """Attack: the raw file with its log, an older copy of it, and the key of the store."""
    store = await filled(sqlite(tmp_path), tmp_path)
    copy = [bytes(content) for content in contents(tmp_path / "db")]
    snapshot, payload = await stolen(sqlite(tmp_path))
    assert any(payload in content for content in copy), "the attack looks in the right place"
    own = KeystoreVault(keystore(tmp_path)).find(SID + GRANT)
    assert own is not None
    opened = StoreSeal(KEY, KeystoreVault(keystore(tmp_path)))
    assert opened.open("reader", SID + GRANT, b"", snapshot) == b"all keys of the reader"

    await store.erase_reader(SID, GRANT, ERASURE, AT)
    await store.scrub()
    after = [*contents(tmp_path / "db"), *contents(tmp_path / "keys")]
    for trace in (payload, snapshot, own, payload[-40:], envelope(0).data, envelope(READINGS - 1).data):
        assert not any(trace in content for content in after)
    for seal in (StoreSeal(KEY), StoreSeal(KEY, KeystoreVault(keystore(tmp_path)))):
        for value, purpose in ((snapshot, "reader"), (payload, "reading")):
            with pytest.raises(StoreKeyGone):
                seal.open(purpose, SID + GRANT, b"", value)
    assert len(await store.commits(SID)) == 1
    await store.close()


async def test_on_a_server_no_copy_opens_either(postgres: str, tmp_path: Path) -> None:
    """Attack: the data folder of PostgreSQL with its log, before and after. Rows that it keeps stay sealed."""
    store = await filled(postgres, tmp_path)
    snapshot, payload = await stolen(postgres)
    own = KeystoreVault(keystore(tmp_path)).find(SID + GRANT)
    assert own is not None
    assert (await store.erase_reader(SID, GRANT, ERASURE, AT)).readings == READINGS
    await store.scrub()
    await store.close()
    engine = create_async_engine(postgres)
    async with engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(text("CHECKPOINT"))
    await engine.dispose()
    data = Path(str(make_url(postgres).query["host"])) / "data"
    files = [*contents(data), *contents(tmp_path / "keys")]
    assert any(b"channel_reading" in content for content in files), "the attack looks in the right place"
    assert not any(own in content or b"Wh at home" in content for content in files)
    for value, purpose in ((snapshot, "reader"), (payload, "reading")):
        with pytest.raises(StoreKeyGone):
            StoreSeal(KEY, KeystoreVault(keystore(tmp_path))).open(purpose, SID + GRANT, b"", value)


async def test_the_keys_of_readers_are_apart(tmp_path: Path) -> None:
    store = await filled(sqlite(tmp_path), tmp_path, GRANT, STAYING)
    await store.erase_reader(SID, GRANT, ERASURE, AT)
    await store.scrub()
    assert await store.reader_snapshot(SID, STAYING) == b"all keys of the reader"
    assert len(await store.readings(SID, STAYING, 0, READINGS)) == READINGS
    await store.close()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
@pytest.mark.parametrize("step", child.STEPS)
async def test_a_kill_between_two_steps_leaves_nothing_readable_and_a_repetition_ends_it(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, step: str
) -> None:
    url = sqlite(tmp_path)
    if database == "postgresql":
        url = request.getfixturevalue("postgres")
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await engine.dispose()
    await (await filled(url, tmp_path)).close()
    root = Path(__file__).parents[4]
    command = [sys.executable, "-m", child.__name__, url, str(tmp_path / "keys"), step]
    process = await asyncio.create_subprocess_exec(*command, cwd=root)
    assert await process.wait() == -signal.SIGKILL
    store = await SqlStore.open(url, KEY, KeystoreVault(keystore(tmp_path)))
    assert await store.reader_snapshot(SID, GRANT) is None
    assert await store.readings(SID, GRANT, 0, READINGS) == ()
    done = await store.erase_reader(SID, GRANT, ERASURE, AT + 1)
    assert (done.readings, done.envelopes, done.epoch) == (READINGS, READINGS, 1), "all of it counts, once"
    assert done.at == (AT + 1 if step == "key" else AT)
    await store.scrub()
    assert await store.reading_count(SID, GRANT) == 0
    await store.close()


async def test_a_failure_inside_the_transaction_leaves_all_rows_and_no_key(tmp_path: Path) -> None:
    store = await filled(sqlite(tmp_path), tmp_path)
    fails = "CREATE TRIGGER fails BEFORE DELETE ON channel_envelope BEGIN SELECT RAISE(FAIL, 'the disk'); END"
    with sqlite3.connect(tmp_path / "db" / "channels.db") as connection:
        connection.execute(fails)
    with pytest.raises(StoreConflict, match="the disk"):
        await store.erase_reader(SID, GRANT, ERASURE, AT)
    assert await store.reading_count(SID, GRANT) == READINGS
    assert await store.readings(SID, GRANT, 0, READINGS) == (), "nobody opens them any more"
    with sqlite3.connect(tmp_path / "db" / "channels.db") as connection:
        connection.execute("DROP TRIGGER fails")
    connection.close()
    assert (await store.erase_reader(SID, GRANT, ERASURE, AT)).readings == READINGS
    await store.close()


async def test_a_reader_whose_key_was_lost_with_the_keystore_begins_again(tmp_path: Path) -> None:
    """The database came back from a backup, the keystore from the phrase alone."""
    await (await filled(sqlite(tmp_path), tmp_path)).close()
    KeystoreVault(keystore(tmp_path)).destroy(SID + GRANT)
    store = await filled(sqlite(tmp_path), tmp_path)
    assert await store.reader_snapshot(SID, GRANT) == b"all keys of the reader"
    assert len(await store.readings(SID, GRANT, 0, READINGS)) == READINGS
    await store.close()
    store = await SqlStore.open(sqlite(tmp_path), KEY, KeystoreVault(keystore(tmp_path)))
    assert len(await store.readings(SID, GRANT, 0, READINGS)) == READINGS
    await store.close()
