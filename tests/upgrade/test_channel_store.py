"""style.md 9: every version of the channel store that was ever in use still opens with its contents."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from channels.stores import schema
from channels.stores.records import WriterRecord
from channels.stores.sql import SqlStore
from channels.writer_state import WriterState
from tests.conformance import entries as kept
from tests.upgrade.test_schemas import restore

FIXTURES = Path(__file__).parent / "channels"


def test_every_former_version_has_its_fixture() -> None:
    assert {int(path.stem) for path in FIXTURES.glob("*.sql")} == set(range(1, schema.SCHEMA_VERSION))


@pytest.mark.parametrize("dump", sorted(FIXTURES.glob("*.sql")), ids=lambda path: path.stem)
async def test_a_store_of_a_former_version_goes_on(dump: Path, tmp_path: Path) -> None:
    """The writer's whole state, readings that wait, a reader's readings and a private log; then a further seal."""
    restore(dump, tmp_path / "channels.db")
    store = await SqlStore.open(f"sqlite+aiosqlite:///{tmp_path}/channels.db", kept.KEY)
    record = await store.writer_record(kept.SID)
    assert record is not None
    state = WriterState.from_record(record)
    assert (state.epoch, state.position.seq, state.tree.n_live) == (1, 2, 3)
    assert await store.writer_record(kept.OTHER) is None
    (waiting,) = await store.pending(kept.SID)
    await store.record_seal(kept.SID, [kept.envelope(2)], [waiting.id], state.progress())
    assert await store.writer_record(kept.SID) == WriterRecord(record.snapshot, (), state.progress())
    assert [row.seq for row in await store.envelopes(kept.SID)] == [1, 2]
    assert len(await store.readings(kept.SID, kept.GRANT, 0, 1_000)) == 1
    assert len(await store.read_log(kept.OTHER)) == 1
    await store.close()


async def test_the_steps_lead_to_the_tables_of_the_program(tmp_path: Path) -> None:
    columns = []
    for number, dump in enumerate((None, *FIXTURES.glob("*.sql"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        if dump is not None:
            restore(dump, folder / "channels.db")
        store = await SqlStore.open(f"sqlite+aiosqlite:///{folder}/channels.db", kept.KEY)
        await store.close()
        with sqlite3.connect(folder / "channels.db") as connection:
            names = sorted(row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
            columns.append({n: sorted(r[1] for r in connection.execute(f"PRAGMA table_info({n})")) for n in names})
        connection.close()
    assert columns[1:] == columns[:1] * len(columns[1:])
