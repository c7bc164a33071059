"""One SQLite file, or one fresh database of a PostgreSQL server that lives as long as the test run."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from node.clock import ManualClock
from node.storage.database import Database
from node.storage.journal import Journal
from tests.support.processes import free_port


def _programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    pytest.fail("PostgreSQL is not installed; `apt-get install postgresql` brings it")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a server without its database name; only this test run can reach it."""
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="wattpact-pg-"))
    # The server refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if prefix:
        shutil.chown(folder, "postgres", "postgres")
    port = free_port()
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True, "cwd": folder}
    subprocess.run([*prefix, programs / "initdb", "-D", data, "-A", "trust", "-U", "node", "--no-sync"], **quiet)  # type: ignore[call-overload]
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    control = [*prefix, programs / "pg_ctl", "-D", data]
    subprocess.run([*control, "-w", "-t", "180", "-o", options, "start"], **quiet)  # type: ignore[call-overload]
    try:
        yield f"postgresql+asyncpg://node@127.0.0.1:{port}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)  # type: ignore[call-overload]
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'node.db'}"
    server = request.getfixturevalue("postgres")
    name = f"t{secrets.token_hex(6)}"
    engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return f"{server}/{name}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await Database.open(url)
    yield opened
    await opened.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000)


@pytest.fixture
async def journal(database: Database, clock: ManualClock) -> AsyncIterator[Journal]:
    made = Journal(database, clock)
    yield made
    await made.close()
