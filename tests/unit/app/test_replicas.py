"""The second stores of a node (channels.md 7): kept up to date, and never mistaken for the first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from channels.private_log import PrivateLog
from channels.stores.records import StoredCommit
from channels.stores.sql import SqlStore
from node.app.replicas import Replicas
from node.config import Settings, StorageSettings
from node.errors import ConfigError, NodeUnreachable

KEY, LOG = b"\x07" * 32, b"\x08" * 32
SID = b"\x01" * 32
DEAD = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"


def _url(folder: Path, name: str) -> str:
    return f"sqlite+aiosqlite:///{folder / name}"


def _settings(*urls: str) -> Settings:
    return Settings(chain={"registry": "0x" + "11" * 20}, storage=StorageSettings(replicas=urls))  # type: ignore[arg-type]


@pytest_asyncio.fixture
async def primary(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = await SqlStore.open(_url(tmp_path, "channels.db"), KEY)
    yield store
    await store.close()


async def _replicas(folder: Path, primary: SqlStore, *urls: str) -> Replicas:
    return await Replicas.open(_settings(*urls), _url(folder, "channels.db"), primary, KEY)


async def test_log_and_streams_go_to_every_store_and_come_back_from_the_one_that_is_left(
    tmp_path: Path, primary: SqlStore
) -> None:
    urls = (_url(tmp_path, "one.db"), _url(tmp_path, "two.db"))
    replicas = await _replicas(tmp_path, primary, *urls)
    log = await PrivateLog.open(primary, LOG)
    await log.append(b"granted")
    await primary.append_commits(SID, [StoredCommit(1, b"\x02" * 32, b"commit")])
    await replicas.update(log, [SID])
    await log.append(b"revoked")
    await replicas.update(log, [SID])
    await replicas.close()
    (tmp_path / "one.db").unlink()
    lost = await SqlStore.open(_url(tmp_path, "lost.db"), KEY)
    again = await Replicas.open(_settings(*urls), _url(tmp_path, "lost.db"), lost, KEY)
    assert await again.recover_log(LOG) == 2
    assert [entry async for _, entry in (await PrivateLog.open(lost, LOG)).entries()] == [b"granted", b"revoked"]
    assert await again.restore(SID) == 1
    assert [commit.data for commit in await lost.commits(SID)] == [b"commit"]
    await again.close()
    await lost.close()


async def test_a_store_that_is_away_holds_up_nothing_and_is_told(tmp_path: Path, primary: SqlStore) -> None:
    """A revocation must not wait for a disk in the cellar; readiness says that it is missing."""
    log = await PrivateLog.open(primary, LOG)
    await log.append(b"granted")
    replicas = await _replicas(tmp_path, primary, DEAD, _url(tmp_path, "two.db"))
    assert await replicas.recover_log(LOG) == 0
    await replicas.update(log, [])
    assert replicas.all[0].fault != ""
    assert replicas.all[1].fault == ""
    await replicas.close()
    two = await SqlStore.open(_url(tmp_path, "two.db"), KEY)
    assert not await PrivateLog.is_empty(two, LOG)
    await two.close()


async def test_an_empty_node_does_not_begin_a_second_log_while_its_copy_is_out_of_reach(
    tmp_path: Path, primary: SqlStore
) -> None:
    replicas = await _replicas(tmp_path, primary, DEAD)
    with pytest.raises(NodeUnreachable, match="own log is empty"):
        await replicas.recover_log(LOG)


async def test_the_channel_log_is_no_replica_of_itself(tmp_path: Path, primary: SqlStore) -> None:
    with pytest.raises(ConfigError):
        await _replicas(tmp_path, primary, _url(tmp_path, "channels.db"))


async def test_a_password_of_a_replica_is_not_shown(tmp_path: Path, primary: SqlStore) -> None:
    replicas = await _replicas(tmp_path, primary, "postgresql+asyncpg://me:secretword@127.0.0.1:1/nothing")
    assert "secretword" not in replicas.all[0].name + replicas.all[0].fault
