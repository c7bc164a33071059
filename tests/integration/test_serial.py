"""The serial source against a real pseudo-terminal, through pyserial, with the simulator as its own process."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.services.meter.clock_rule import ClockPolicy, ClockView
from node.services.meter.counters import MeterCounters, Outcome
from node.services.meter.pipeline import Accepted, MeterPipeline
from node.services.meter.serial_source import SerialSettings, SerialSource
from tests.support.processes import PATIENCE

ROOT = Path(__file__).resolve().parents[2]


class Meter:
    """A running simulator process."""

    def __init__(self, folder: Path) -> None:
        self.link = folder / "p1"
        self.control = folder / "control"
        self.truth = folder / "truth.jsonl"
        self.start = int(time.time()) - 3600

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        paths = ["--link", str(self.link), "--control", str(self.control), "--truth", str(self.truth)]
        command = [*paths, "--backlog-from", str(self.start)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node.services.simulator", *command, stdout=asyncio.subprocess.PIPE, cwd=ROOT
        )
        assert process.stdout is not None
        try:
            ready = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
            assert ready["event"] == "ready"
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.communicate(), PATIENCE)

    async def tell(self, line: str) -> dict[str, Any]:
        reader, writer = await asyncio.open_unix_connection(self.control)
        writer.write(line.encode() + b"\n")
        answer: dict[str, Any] = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE))
        writer.close()
        assert answer["ok"], answer
        return answer

    def told(self) -> dict[int, dict[str, int]]:
        lines = [json.loads(line) for line in self.truth.read_text().splitlines()]
        return {line["meter_time"]: {**line["registers"], **line["power"]} for line in lines}


class Gateway:
    """Reads the port as the gateway does."""

    def __init__(self, link: Path) -> None:
        self.counters = MeterCounters()
        settings = SerialSettings(str(link), first_wait=0.05, longest_wait=0.2)
        self.source = SerialSource(settings, self.counters)
        self.pipeline = MeterPipeline(ClockPolicy(max_backlog=86400), self.counters)
        self.read: dict[int, dict[str, int]] = {}

    async def run(self) -> None:
        async for chunk in self.source.chunks():
            now = int(time.time())
            for found in self.pipeline.receive(chunk, ClockView(now, now)):
                if isinstance(found, Accepted):
                    self.read[found.electricity.meter_time] = dict(found.electricity.values)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the condition is another process's doing
            await asyncio.sleep(0.02)


@pytest.fixture
def meter(tmp_path: Path) -> Meter:
    return Meter(tmp_path)


async def test_what_is_read_is_what_the_meter_said(meter: Meter) -> None:
    """An hour of backlog, then live, through the kernel: every telegram arrives and says what the truth file says."""
    gateway = Gateway(meter.link)
    async with meter.running(), gateway.running():
        await until(lambda: gateway.counters[Outcome.DEVICE_OPENED] == 1)
        await meter.tell("backlog")
        sent = (await meter.tell("wait"))["sent"]
        assert sent >= 360
        await until(lambda: len(gateway.read) == sent)
        await meter.tell("live")
        await until(lambda: len(gateway.read) >= sent + 2)
        await meter.tell("pause")
    told = meter.told()
    for moment, values in gateway.read.items():
        for code, value in told[moment].items():
            assert values[code] == value, (moment, code)
    assert gateway.counters[Outcome.CHECKSUM] == 0


async def test_unplug_and_replug(meter: Meter) -> None:
    """The device vanishes and comes back under another name behind the same link: reading goes on by itself."""
    gateway = Gateway(meter.link)
    async with meter.running(), gateway.running():
        await until(lambda: gateway.counters[Outcome.DEVICE_OPENED] == 1)
        for rounds in (1, 2):
            await meter.tell("live")
            before = len(gateway.read)
            await until(lambda before=before: len(gateway.read) > before)  # type: ignore[misc]
            await meter.tell("unplug")
            await until(lambda rounds=rounds: gateway.counters[Outcome.DEVICE_LOST] == rounds)  # type: ignore[misc]
            await until(lambda: gateway.counters[Outcome.DEVICE_UNAVAILABLE] > 0)
            assert gateway.source.last_error is not None
            await meter.tell("plug")
            await until(lambda rounds=rounds: gateway.counters[Outcome.DEVICE_OPENED] == rounds + 1)  # type: ignore[misc]
            assert gateway.source.last_error is None


async def test_damage_on_the_line_is_counted_and_never_fatal(meter: Meter) -> None:
    gateway = Gateway(meter.link)
    async with meter.running(), gateway.running():
        await until(lambda: gateway.counters[Outcome.DEVICE_OPENED] == 1)
        for fault in ("damage 5", "truncate 7", "interleave 11"):
            await meter.tell(f"fault {fault}")
        await meter.tell("backlog")
        done = await meter.tell("wait")
        await meter.tell("fault none")
        whole = done["sent"] + done["faulty"]["interleave"]
        await until(lambda: len(gateway.read) >= whole - 1)
    told = meter.told()
    assert all(told[moment].items() <= values.items() for moment, values in gateway.read.items())
    # One of the last telegrams may still hang behind a truncated one.
    assert whole - 1 <= len(gateway.read) <= whole
    refused = sum(
        gateway.counters[cause]
        for cause in (Outcome.CHECKSUM, Outcome.TRUNCATED, Outcome.MALFORMED, Outcome.BAD_TRAILER)
    )
    assert refused >= done["faulty"]["damage"] + done["faulty"]["truncate"] - 1


async def test_wrong_clocks_are_set_aside(meter: Meter) -> None:
    gateway = Gateway(meter.link)
    async with meter.running(), gateway.running():
        await until(lambda: gateway.counters[Outcome.DEVICE_OPENED] == 1)
        for fault, outcome in (
            ("clock 600", Outcome.SET_ASIDE_FUTURE),
            ("2099", Outcome.SET_ASIDE_FAR_FUTURE),
            ("stuck", Outcome.SET_ASIDE_REPEATED),
        ):
            await meter.tell("fault none")
            await meter.tell(f"fault {fault}")
            await meter.tell("live")
            await until(lambda outcome=outcome: gateway.counters[outcome] > 0)  # type: ignore[misc]
        await meter.tell("fault none")
        before = len(gateway.read)
        await until(lambda: len(gateway.read) > before)


async def test_a_reader_that_dies_and_comes_back(meter: Meter) -> None:
    async with meter.running():
        first = Gateway(meter.link)
        async with first.running():
            await until(lambda: first.counters[Outcome.DEVICE_OPENED] == 1)
            await meter.tell("live")
            await until(lambda: len(first.read) > 0)
        second = Gateway(meter.link)
        async with second.running():
            await until(lambda: len(second.read) > 0)
        assert max(second.read) > max(first.read)


async def test_the_port_is_not_shared(meter: Meter) -> None:
    """Two readers would each get half of every telegram: the second one is told, and waits."""
    async with meter.running():
        first, second = Gateway(meter.link), Gateway(meter.link)
        async with first.running():
            await until(lambda: first.counters[Outcome.DEVICE_OPENED] == 1)
            async with second.running():
                await until(lambda: second.counters[Outcome.DEVICE_UNAVAILABLE] > 0)
                assert second.counters[Outcome.DEVICE_OPENED] == 0


async def test_no_device_is_counted_and_said(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "nothing")
    async with gateway.running():
        await until(lambda: gateway.counters[Outcome.DEVICE_UNAVAILABLE] >= 2)
        assert gateway.source.last_error is not None
        assert "nothing" in gateway.source.last_error.message


async def test_the_process_cleans_up(meter: Meter) -> None:
    async with meter.running() as process:
        assert meter.link.is_symlink()
        await meter.tell("quit")
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    assert not meter.link.is_symlink()
    assert not meter.control.exists()


async def test_a_link_in_the_way_is_a_usage_error(meter: Meter) -> None:
    meter.link.write_text("mine")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "node.services.simulator", "--link", meter.link, stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    _, error = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 2
    assert b"not a symbolic link" in error
    assert meter.link.read_text() == "mine"
