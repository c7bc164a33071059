"""style.md 12: one supervisor; failed services come back, fatal ones end the node, SIGTERM drains."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from node.clock import ManualClock, SystemClock
from node.errors import ConfigError, ExitCode, NeedsPerson, NodeError
from node.runtime.backoff import Backoff
from node.runtime.errors import StartTooSlow
from node.runtime.supervisor import Lifecycle, Service, Supervisor, attempt, fatal_part
from tests.support.processes import PATIENCE

QUICK = Backoff(0.001, 0.002)


async def until_stopped(life: Lifecycle) -> None:
    life.ready()
    await life.stop.wait()


async def test_a_failed_service_is_started_again_and_the_others_stay() -> None:
    starts: list[str] = []
    restarts: list[str] = []
    supervisor = Supervisor(SystemClock(), backoff=QUICK, on_restart=restarts.append)

    async def steady(life: Lifecycle) -> None:
        starts.append("steady")
        await life.stop.wait()

    async def shaky(life: Lifecycle) -> None:
        starts.append("shaky")
        if starts.count("shaky") < 4:
            raise ZeroDivisionError
        supervisor.stop()
        await life.stop.wait()

    code = await supervisor.run([Service("steady", steady), Service("shaky", shaky)])
    assert code is ExitCode.OK
    assert (starts.count("steady"), starts.count("shaky"), restarts) == (1, 4, ["shaky"] * 3)


@pytest.mark.parametrize(
    ("error", "code"),
    [(NeedsPerson("copy"), ExitCode.NEEDS_PERSON), (ConfigError("bad"), ExitCode.CONFIG)],
)
async def test_a_fatal_error_ends_the_node_with_its_exit_code(error: NodeError, code: ExitCode) -> None:
    ended: list[str] = []

    async def fails(_: Lifecycle) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_raise(error))

    async def other(life: Lifecycle) -> None:
        await life.stop.wait()
        ended.append("other")

    supervisor = Supervisor(SystemClock(), backoff=QUICK)
    assert await supervisor.run([Service("other", other), Service("fails", fails)]) is code
    assert (ended, supervisor.fatal) == (["other"], error)


async def _raise(error: Exception) -> None:
    raise error


async def test_sigterm_drains_the_last_started_first() -> None:
    ended: list[str] = []
    supervisor = Supervisor(SystemClock(), backoff=QUICK)

    def service(name: str) -> Service:
        async def run(life: Lifecycle) -> None:
            life.ready()
            if name == "api":
                os.kill(os.getpid(), signal.SIGTERM)
            await life.stop.wait()
            await asyncio.sleep(0.01)
            ended.append(name)

        return Service(name, run, needed=True)

    code = await supervisor.run([service("chain"), service("executor"), service("api")])
    assert (code, ended) == (ExitCode.OK, ["api", "executor", "chain"])


async def test_who_does_not_end_in_time_is_cut_off() -> None:
    cut: list[str] = []

    async def stubborn(life: Lifecycle) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cut.append("stubborn")

    supervisor = Supervisor(SystemClock(), backoff=QUICK, drain_seconds=0.05)
    supervisor.stop()
    assert await supervisor.run([Service("never started", stubborn)]) is ExitCode.OK
    assert cut == []
    supervisor = Supervisor(SystemClock(), backoff=QUICK, drain_seconds=0.05)
    asyncio.get_running_loop().call_later(0.02, supervisor.stop)
    async with asyncio.timeout(PATIENCE):
        assert await supervisor.run([Service("stubborn", stubborn)]) is ExitCode.OK
    assert cut == ["stubborn"]


async def test_a_second_signal_does_not_wait() -> None:
    async def stubborn(_: Lifecycle) -> None:
        await asyncio.Event().wait()

    supervisor = Supervisor(SystemClock(), backoff=QUICK, drain_seconds=3_600)
    for delay in (0.02, 0.04):
        asyncio.get_running_loop().call_later(delay, supervisor.stop)
    async with asyncio.timeout(PATIENCE):
        assert await supervisor.run([Service("stubborn", stubborn)]) is ExitCode.OK


async def test_what_others_need_is_ready_before_they_start() -> None:
    order: list[str] = []
    supervisor = Supervisor(SystemClock(), backoff=QUICK)

    async def slow(life: Lifecycle) -> None:
        if not order:
            order.append("slow fails")
            raise OSError
        await asyncio.sleep(0.02)
        order.append("slow is ready")
        life.ready()
        await life.stop.wait()

    async def next_one(_: Lifecycle) -> None:
        order.append("next")
        supervisor.stop()

    await supervisor.run([Service("slow", slow, needed=True), Service("next", next_one)])
    assert order == ["slow fails", "slow is ready", "next"]


async def test_a_start_that_takes_too_long_is_an_error() -> None:
    async def never_ready(life: Lifecycle) -> None:
        await life.stop.wait()

    supervisor = Supervisor(SystemClock(), backoff=QUICK, start_seconds=0.02)
    code = await supervisor.run([Service("store", never_ready, needed=True), Service("next", until_stopped)])
    assert code is ExitCode.FAILED
    assert isinstance(supervisor.fatal, StartTooSlow)


async def test_services_that_end_by_themselves_end_the_run() -> None:
    async def once(_: Lifecycle) -> None:
        return

    assert await Supervisor(ManualClock()).run([Service("once", once)]) is ExitCode.OK


async def test_attempt_catches_failures_and_lets_cancellation_through() -> None:
    assert isinstance(await attempt(_raise(ZeroDivisionError())), ZeroDivisionError)
    waiting = asyncio.create_task(attempt(_forever()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def _forever() -> None:
    await asyncio.Event().wait()


def test_the_fatal_part_is_found_in_groups() -> None:
    fatal = NeedsPerson("x")
    group = ExceptionGroup("a", [OSError(), ExceptionGroup("b", [ValueError(), fatal])])
    assert fatal_part(group) is fatal
    assert fatal_part(ExceptionGroup("a", [OSError()])) is None
