"""Processes are killed, started again and always stopped; a death that nobody wanted is an error."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

import pytest

from node.app.demo.errors import DemoFailed
from node.app.demo.nodes import free_port
from node.app.demo.processes import Processes
from tests.support.processes import PATIENCE

SLEEPER = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)",
)


async def up(path: Path, times: int = 1) -> None:
    await asyncio.wait_for(asyncio.to_thread(_said, path, times), PATIENCE)


def _said(path: Path, times: int) -> None:
    while not path.exists() or path.read_text().count("up") < times:
        time.sleep(0.02)


def test_no_port_of_the_demo_is_one_that_the_system_gives_to_outgoing_connections() -> None:
    """Between the choice and the listening lie seconds, in which every node asks the chain over a port of its own."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(1_024 < free_port() < first for _ in range(50))


async def test_kill_and_start_again(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    try:
        child = await processes.start("one", SLEEPER)
        await up(child.log)
        assert await processes.end("one", signal.SIGKILL) == -9
        processes.check()
        await processes.restart("one")
        await up(child.log, 2)
        assert child.running
        with pytest.raises(DemoFailed, match="running already"):
            await processes.start("one", SLEEPER)
    finally:
        await processes.stop_all()
    assert not child.running


async def test_what_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = await processes.start("deaf", STUBBORN)
    await up(child.log)
    assert await processes.end("deaf", signal.SIGTERM, 0.3) == -9


async def test_who_was_told_to_end_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C or SIGTERM cancels the run; what does not end in time is killed then as well, and so is all behind it."""
    processes = Processes(tmp_path)
    children = [await processes.start(name, STUBBORN) for name in ("first", "second")]
    for child in children:
        await up(child.log)

    async def run() -> list[int]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return [await processes.end(child.name, signal.SIGTERM, 0.2) for child in reversed(children)]
        return []

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == [-9, -9]


async def test_a_death_that_nobody_wanted_is_told(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    child = await processes.start("short", (sys.executable, "-c", "raise SystemExit(3)"))
    assert child.process is not None
    await child.process.wait()
    with pytest.raises(DemoFailed, match="short ended by itself with code 3"):
        processes.check()


async def test_settings_of_whoever_runs_the_demo_do_not_reach_the_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATTPACT_CHAIN_REGISTRY", "0x00")
    environment = Processes(tmp_path, {"EXTRA": "1"}).clean_environment()
    assert "WATTPACT_CHAIN_REGISTRY" not in environment
    assert environment["EXTRA"] == "1"
