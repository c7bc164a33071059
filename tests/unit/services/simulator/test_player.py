from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from node.services.simulator.control import ControlServer, Defaults
from node.services.simulator.errors import CommandRefused, PathRefused
from node.services.simulator.household import Household
from node.services.simulator.player import Player
from node.services.simulator.pty import PseudoTerminal
from node.services.simulator.truth import TruthFile
from tests.support.processes import PATIENCE

START = 1_795_046_400


class Bench:
    """A player on a real pseudo-terminal, with its wall clock at `now` and its truth file beside it."""

    def __init__(self, folder: Path, now: float) -> None:
        self.now = now
        self.folder = folder
        self.terminal = PseudoTerminal(folder / "p1")
        self.terminal.plug()
        self.truth = TruthFile(folder / "truth.jsonl")
        self.player = Player(Household(1, START), "E1", self.terminal, self.truth, lambda: self.now)

    async def drain(self, idle: int = 20) -> bytes:
        """Everything that arrives until nothing came in `idle` looks of 10 ms and no backlog is playing."""
        descriptor = os.open(self.folder / "p1", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        data = b""
        looks = 0
        try:
            while looks < idle or self.player.status.mode == "backlog":
                try:
                    data += os.read(descriptor, 65536)
                    looks = 0
                    await asyncio.sleep(0)
                except BlockingIOError:
                    looks += 1
                    await asyncio.sleep(0.01)
        finally:
            os.close(descriptor)
        return data

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "truth.jsonl").read_text().splitlines()]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path, START + 600.0)
    yield made
    await made.player.pause()
    made.terminal.unplug()
    made.truth.close()


async def test_backlog_waits_for_the_reader_and_loses_nothing(bench: Bench) -> None:
    """Flow control: far more than the kernel's buffer, read slowly, arrives whole and in order."""
    await bench.player.backlog(START, START + 3600, 10)
    await asyncio.sleep(0.05)
    assert bench.player.status.mode == "backlog"
    data = await bench.drain()
    assert data.count(b"!") == data.count(b"/") == 361
    assert bench.player.status.sent == 361
    told = bench.told()
    assert [line["at"] for line in told] == list(range(START, START + 3601, 10))
    assert all(line["complete"] and line["fault"] is None for line in told)


async def test_backlog_to_the_present(bench: Bench) -> None:
    await bench.player.backlog(START, None, 60)
    await bench.drain()
    assert bench.player.status.last == START + 600
    assert bench.player.status.mode == "paused"


async def test_truth_says_what_the_telegram_says(bench: Bench) -> None:
    await bench.player.backlog(START + 30, START + 30, 1)
    data = await bench.drain()
    [line] = bench.told()
    for code, energy in line["registers"].items():
        assert f"{code}({energy // 1000:06d}.{energy % 1000:03d}*kWh)".encode() in data


async def test_live_is_aligned_and_pauses(bench: Bench, tmp_path: Path) -> None:
    player = Player(Household(1, int(time.time())), "E1", bench.terminal, bench.truth)
    await player.live()
    reading = asyncio.create_task(bench.drain(250))
    async with asyncio.timeout(PATIENCE):
        while len(bench.told()) < 2:  # noqa: ASYNC110 - a meter tells nobody when it has spoken
            await asyncio.sleep(0.02)
    await player.pause()
    data = await reading
    told = bench.told()
    times = [line["at"] for line in told]
    assert times == sorted(set(times))
    # What the pause cut off may or may not have got to its end mark.
    assert sum(line["complete"] for line in told) <= data.count(b"!") <= len(told)


async def test_unplugging_ends_a_waiting_write_and_plugging_goes_on(bench: Bench) -> None:
    await bench.player.backlog(START, START + 36_000, 10)
    await asyncio.sleep(0.5)  # the buffer is full, the player waits
    link = bench.folder / "p1"
    bench.terminal.unplug()
    assert not link.is_symlink()
    await asyncio.wait_for(bench.player.wait(), PATIENCE)
    assert bench.player.status.cut > 1000
    bench.terminal.plug()
    await bench.player.backlog(START, START, 1)
    assert b"!" in await bench.drain()


async def test_before_the_meter_existed(bench: Bench) -> None:
    with pytest.raises(CommandRefused, match="origin"):
        await bench.player.backlog(START - 86400, None, 10)
    with pytest.raises(CommandRefused, match="step"):
        await bench.player.backlog(START, None, 0)


async def test_a_link_that_is_something_else_is_not_overwritten(tmp_path: Path) -> None:
    precious = tmp_path / "p1"
    precious.write_text("mine")
    with pytest.raises(PathRefused, match="not a symbolic link"):
        PseudoTerminal(precious).plug()
    assert precious.read_text() == "mine"


async def test_control_socket(bench: Bench) -> None:
    stopped = asyncio.Event()
    control = ControlServer(bench.player, Defaults(START, 60), stopped.set)
    path = bench.folder / "control"
    server = await control.listen(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def ask(line: str) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line.encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return answer

    assert (await ask("status"))["mode"] == "paused"
    draining = asyncio.create_task(bench.drain(50))
    assert (await ask("backlog"))["mode"] == "backlog"
    done = await ask("wait")
    assert (done["mode"], done["sent"], done["last"]) == ("paused", 11, START + 600)
    await draining
    assert (await ask("fault damage 3"))["faults"]["damage"] == 3
    assert (await ask("fault none"))["faults"]["damage"] == 0
    assert (await ask("unplug"))["device"] == ""
    assert (await ask("plug"))["device"].startswith("/dev/")
    for nonsense in ("", "explode", "backlog x", "fault", "backlog 1 2 3 4", "x" * 900):
        assert (await ask(nonsense))["ok"] is False
    assert "backlog" in (await ask("help"))["help"]
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(b"y" * 5000 + b"\n")  # beyond the limit: dropped, others are still served
    assert await reader.read() == b""
    writer.close()
    assert (await ask("quit"))["ok"]
    assert stopped.is_set()
    server.close()


async def test_control_paths(bench: Bench, tmp_path: Path) -> None:
    control = ControlServer(bench.player, Defaults(START, 60), lambda: None)
    with pytest.raises(PathRefused, match="107"):
        await control.listen(tmp_path / ("x" * 120))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PathRefused, match="not a socket"):
        await control.listen(tmp_path / "file")
