"""style.md 9: every schema that was ever in use still opens with its contents, and a newer one is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from node.clock import ManualClock
from node.errors import ExitCode
from node.projection.consent import Consent, ConsentStatus
from node.projection.events import LoggedFinalized
from node.storage.database import Database
from node.storage.errors import DatabaseUnusable, SchemaTooNew
from node.storage.journal import Journal
from node.storage.migrate import newest_schema, schema_of
from node.storage.outbox import Outbox
from node.storage.schema import METADATA
from node.storage.views import Views
from tests.unit.node.projection.kit import granted, h32

FIXTURES = Path(__file__).parent / "schemas"
VERSIONS = Path(__file__).parents[2] / "node" / "storage" / "migrations" / "versions"


def restore(dump: Path, target: Path) -> None:
    with sqlite3.connect(target) as connection:
        connection.executescript(dump.read_text(encoding="utf-8"))
    connection.close()


def test_every_migration_has_its_fixture() -> None:
    """A new schema without a saved database of that schema fails here; `save_fixture.py` beside this file writes it."""
    steps = {path.stem[1:5] for path in VERSIONS.glob("v[0-9]*.py")}
    assert steps == {path.stem for path in FIXTURES.glob("*.sql")}
    assert max(steps) == newest_schema()


@pytest.mark.parametrize("dump", sorted(FIXTURES.glob("*.sql")), ids=lambda path: path.stem)
async def test_a_saved_database_opens_with_its_contents(dump: Path, tmp_path: Path) -> None:
    restore(dump, tmp_path / "node.db")
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")
    journal = Journal(database, ManualClock())
    assert await journal.verify() > 0
    live = await Views(database).one(Consent, h32("g"))
    assert live.status is ConsentStatus.LIVE
    assert (await Outbox(database, "test").counts()).pending > 0
    await journal.apply([granted(50, grant="n"), LoggedFinalized(50, 1)])
    assert (await Views(database).one(Consent, h32("n"))).status is ConsentStatus.LIVE
    await journal.close()
    await database.close()


async def test_the_migrations_lead_to_the_tables_of_the_program(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path / 'node.db'}")

    def differences(connection: Connection) -> list[object]:
        assert schema_of(connection) == newest_schema()
        return list(compare_metadata(MigrationContext.configure(connection), METADATA))

    async with database.read() as connection:
        assert await connection.run_sync(differences) == []
    await database.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    await (await Database.open(f"sqlite:///{path}")).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SchemaTooNew, match="schema 9999") as caught:
        await Database.open(f"sqlite:///{path}")
    assert caught.value.exit_code is ExitCode.NEEDS_PERSON
    assert "newer" in caught.value.remedy
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    connection.close()


async def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(b"this is a text and no database at all" * 50)
    with pytest.raises(DatabaseUnusable):
        await Database.open(f"sqlite:///{path}")
    with pytest.raises(DatabaseUnusable, match="needs a file"):
        await Database.open("sqlite://")
    with pytest.raises(DatabaseUnusable, match="mysql"):
        await Database.open("mysql://x/y")


async def test_the_database_is_private_and_durable(tmp_path: Path) -> None:
    """operations.md F10: with synchronous=NORMAL acknowledged commits vanish when the power goes."""
    database = await Database.open(f"sqlite:///{tmp_path / 'deep' / 'node.db'}")
    # A reader does not keep in memory what it has read; a large transaction stays there until it is written.
    for transaction, cache in ((database.read, -4_096), (database.write, -32_768)):
        async with transaction() as connection:
            values = [(await connection.exec_driver_sql(f"PRAGMA {name}")).scalar() for name in (
                "journal_mode", "synchronous", "busy_timeout", "cache_size")]  # fmt: skip
        assert values == ["wal", 2, 10_000, cache]
    await database.close()
    assert (tmp_path / "deep" / "node.db").stat().st_mode & 0o777 == 0o600
