"""Copies of one gateway and restored backups (channels.md 4, rule 10): never one key and nonce for two readings."""

from __future__ import annotations

import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from node.app.demo.wirelog import envelopes_of
from node.errors import ExitCode
from tests.e2e.conftest import Clusters
from tests.support.cluster import SLOT, Cluster, Plan
from tests.support.meter import SimulatedMeter
from tests.support.nodes import NodeProcess
from tests.support.processes import PATIENCE, until
from tests.support.wire import commits_agree, forks

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.chain, pytest.mark.broker]

FLAG = "--write-without-history-and-risk-a-second-writer"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(clusters: Clusters) -> AsyncIterator[Cluster]:
    async with clusters(Plan()) as cluster:
        await cluster.pair()
        yield cluster


def _sid(cluster: Cluster) -> bytes:
    return bytes.fromhex(cluster.raw[2:])


def _position(cluster: Cluster) -> int:
    """The newest number that was heard."""
    return max(envelope.seq for envelope in envelopes_of(cluster.wire.heard, _sid(cluster)))


def _instances(cluster: Cluster, begin: int) -> set[bytes]:
    return {envelope.inst for envelope in envelopes_of(cluster.wire.heard[begin:], _sid(cluster))}


def _nothing_twice(cluster: Cluster) -> None:
    assert forks(cluster.wire.heard, _sid(cluster)) == []


async def _refuses(cluster: Cluster, *flags: str) -> str:
    """Starts the gateway, which ends by itself with exit code 8; what it said."""
    before = len(cluster.gateway.process.said())
    await cluster.gateway.launch(*flags)
    assert await cluster.gateway.process.ended() == ExitCode.NEEDS_PERSON
    return cluster.gateway.process.said()[before:]


def _save(folder: Path, to: Path, pattern: str) -> None:
    """What a backup made now would hold."""
    for path in folder.glob(pattern):
        if path.is_file():
            target = to / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


def _put_back(folder: Path, backup: Path, pattern: str) -> None:
    """Restores a backup over what is there; what the backup has not is gone."""
    for path in folder.glob(pattern):
        if path.is_file():
            path.unlink()
    for path in backup.glob(pattern):
        if path.is_file():
            target = folder / path.relative_to(backup)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


async def test_a_second_process_on_the_same_folder_is_refused(cluster: Cluster) -> None:
    """Exit code 7, and the process id of the one that runs."""
    twin = type(cluster.gateway)("gateway", "gateway", cluster.gateway.around, port=cluster.gateway.port)
    twin.process.log = cluster.root / "logs" / "second.log"
    cluster.adopt(twin)
    await twin.launch()
    assert await twin.process.ended() == ExitCode.BUSY
    assert f"in use by process {cluster.gateway.process.pid}" in twin.process.said()
    await cluster.flows()


@pytest.mark.long
async def test_without_the_high_water_file_nothing_starts_but_by_the_flag(cluster: Cluster) -> None:
    """The message names the flag; told so, the gateway listens for one slot first and loses nothing meanwhile."""
    gateway = cluster.gateway
    await gateway.stop()
    for mark in (gateway.folder / "high-water").glob("*.mark"):
        mark.unlink()
    said = await _refuses(cluster)
    assert "is missing" in said
    assert FLAG in said
    begin, started = len(cluster.wire.heard), time.time()
    await gateway.start(FLAG)
    opened = time.time()
    await cluster.flows(since=opened, within=SLOT + PATIENCE)
    first = min(envelope.at for envelope in envelopes_of(cluster.wire.heard[begin:], _sid(cluster)))
    assert first - started >= SLOT, "it sealed before it had listened for a slot"
    meanwhile = {said.meter_time for said in cluster.meter.truth() if opened + 1 < said.at < first - 2}

    async def nothing_lost() -> bool:
        return meanwhile <= set(await cluster.recent(cluster.home, int(opened)))

    await until("what was measured while it listened is there", nothing_lost)
    _nothing_twice(cluster)


async def test_an_old_channel_log_goes_on_behind_the_high_water_mark(cluster: Cluster, tmp_path: Path) -> None:
    """channels.db of an hour ago, no commit since: the numbers go on where the mark says, none is used twice."""
    gateway = cluster.gateway
    await gateway.stop()
    _save(gateway.folder, tmp_path, "channels.db*")
    await gateway.start()
    await cluster.flows()
    await gateway.stop()
    before = _position(cluster)
    _put_back(gateway.folder, tmp_path, "channels.db*")
    begin = len(cluster.wire.heard)
    await gateway.start()
    await cluster.flows()
    assert min(e.seq for e in envelopes_of(cluster.wire.heard[begin:], _sid(cluster))) == before + 1
    _nothing_twice(cluster)


@pytest.mark.long
async def test_an_old_channel_log_without_the_newest_commit_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """The chain knows a commit that this log has not: going on would fork the stream. The right log heals it."""
    gateway = cluster.gateway
    await gateway.stop()
    _save(gateway.folder, tmp_path / "old", "channels.db*")
    await gateway.start()
    await cluster.grant("alpha")
    await gateway.stop()
    _save(gateway.folder, tmp_path / "new", "channels.db*")
    _put_back(gateway.folder, tmp_path / "old", "channels.db*")
    begin = len(cluster.wire.heard)
    said = await _refuses(cluster)
    assert "the chain is at epoch" in said
    assert "backup" in said
    assert _instances(cluster, begin) == set()
    _put_back(gateway.folder, tmp_path / "new", "channels.db*")
    await gateway.start()
    await cluster.flows("home", "alpha")
    _nothing_twice(cluster)
    await commits_agree(cluster, cluster.raw)


async def test_an_old_backup_of_the_whole_folder_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """High-water file included: the broker's retained checkpoint tells that this writer had come further."""
    gateway = cluster.gateway
    await gateway.stop()
    _save(gateway.folder, tmp_path / "old", "**/*")
    await gateway.start()
    await cluster.flows()
    await gateway.stop()
    _save(gateway.folder, tmp_path / "new", "**/*")
    _put_back(gateway.folder, tmp_path / "old", "**/*")
    begin = len(cluster.wire.heard)
    said = await _refuses(cluster)
    assert "later checkpoint" in said
    assert "backup" in said
    assert _instances(cluster, begin) == set(), "it sealed before it was found out"
    _put_back(gateway.folder, tmp_path / "new", "**/*")
    await gateway.start()
    await cluster.flows("home")
    _nothing_twice(cluster)


@pytest.mark.long
async def test_a_copy_of_an_old_folder_beside_the_running_gateway_never_seals(cluster: Cluster, tmp_path: Path) -> None:
    """The copy lacks a commit that the chain has: it refuses before its first seal, the gateway goes on."""
    gateway = cluster.gateway
    await gateway.stop()
    twin = cluster.adopt(gateway.copy("shadow"))
    await gateway.start()
    await cluster.grant("alpha")
    instances = _instances(cluster, 0)
    said = await _beside(cluster, twin, tmp_path)
    assert "the chain is at epoch" in said or "later checkpoint" in said
    await cluster.flows("home", "alpha")
    assert _instances(cluster, 0) == instances
    assert gateway.process.running
    _nothing_twice(cluster)


async def _beside(cluster: Cluster, twin: NodeProcess, folder: Path) -> str:
    """Runs a copy with a meter of its own until it ends by itself with exit code 8; what it said."""
    meter = SimulatedMeter(folder, cluster.genesis, seed=8)
    await meter.start()
    try:
        await meter.tell("live")
        await twin.launch(sets={"meter.device": meter.link})
        assert await twin.process.ended() == ExitCode.NEEDS_PERSON
    finally:
        await twin.process.end()
        await meter.process.end()
    return twin.process.said()


async def test_two_equal_copies_never_share_a_key_and_a_nonce(cluster: Cluster, tmp_path: Path) -> None:
    """Both seal the same numbers at the same time, each under its own instance id; then at least one stops."""
    gateway = cluster.gateway
    assert await gateway.stop() == ExitCode.OK
    twin = cluster.adopt(gateway.copy("twin"))
    meter = SimulatedMeter(tmp_path, cluster.genesis, seed=8)
    await meter.start()
    try:
        await meter.tell("live")
        begin = len(cluster.wire.heard)
        await gateway.launch()
        await twin.launch(sets={"meter.device": meter.link})

        async def one_stopped() -> bool:
            return not (gateway.process.running and twin.process.running)

        await until("one of the copies stops", one_stopped, 4 * SLOT)
        stopped = twin if not twin.process.running else gateway
        assert await stopped.process.ended() == ExitCode.NEEDS_PERSON
        assert "Another gateway writes" in stopped.process.said() or "later checkpoint" in stopped.process.said()
    finally:
        await twin.process.end()
        await meter.process.end()
    _nothing_twice(cluster)
    assert len(_instances(cluster, begin)) == 2
