"""Sets the stage, plays the story, judges it, and takes everything down again whatever happened."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from rich.console import Console

from contracts.artifact import MONEY
from node.app.demo.broker import broker_command
from node.app.demo.chainwatch import ChainWatch
from node.app.demo.checks import CHECKS, Check
from node.app.demo.checks.access import a_keys_after_revocation
from node.app.demo.checks.continuity import in_time
from node.app.demo.evidence import Evidence
from node.app.demo.keyharvest import KeyHarvest
from node.app.demo.nodes import DemoNode, Shared, free_port
from node.app.demo.processes import Processes
from node.app.demo.progress import Steps
from node.app.demo.report import build_report, show_report, summary, write_report
from node.app.demo.scenario import play
from node.app.demo.story import GATEWAY, HISTORY_S, HOME, PROVIDERS, SLOT_SECONDS, Meter, Story
from node.app.demo.trading import pair_neighbours
from node.app.demo.village import BUYER, COMMUNITY, MARKET, NEIGHBOUR, VILLAGERS, Contracts, Village
from node.app.demo.wiretap import Wiretap
from node.errors import NodeError
from node.runtime.devnet.deploy import deploy_energy_token
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.types import address_from_text, address_to_text

__all__ = ["Options", "failed", "judge", "run_demo"]


STEADY_W = 9_000
"""What one household makes and the other uses in every second, so that there is something to trade at any hour."""


class Options(Protocol):
    """Where the report goes, and whether everything keeps running until Ctrl-C."""

    @property
    def out(self) -> Path: ...

    @property
    def keep(self) -> bool: ...


async def run_demo(options: Options) -> bool:
    """Whether every check passed. The table and the progress go to stderr, the report to `<out>/report.json`."""
    console = Console(stderr=True)
    out = options.out.absolute()
    for leftover in ("run", "logs", "stolen", "report.json"):
        path = out / leftover
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    with Steps(console) as steps, _ended_by(signal.SIGTERM) as taking_down:
        async with _stage(steps, out, taking_down) as story:
            try:
                await play(story)
                story.note("end")
                with steps.step("the evidence is judged"):
                    report = await judge(await story.freeze())
            except NodeError as error:
                report = failed(error)
            write_report(report, out / "report.json")
            if options.keep:
                await _keep(story, console, report)
    show_report(report, console)
    console.print(f"Report: {out / 'report.json'}", markup=False)
    return bool(report["ok"])


@contextmanager
def _ended_by(number: signal.Signals) -> Iterator[asyncio.Event]:
    """A signal ends the run as Ctrl-C does, so that no process is left behind. While the event that this gives is set
    everything is being taken down, and a signal, the first or another one, breaks that off no more."""
    task, loop, taking_down = asyncio.current_task(), asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        if task is not None and not taking_down.is_set():
            taking_down.set()
            task.cancel()

    loop.add_signal_handler(number, end)
    try:
        yield taking_down
    finally:
        loop.remove_signal_handler(number)


def failed(error: NodeError) -> dict[str, Any]:
    """The report of a story that did not come to its end."""
    said = f"{error.message} {error.remedy or ''}".strip()
    return {"ok": False, "checks": [{"name": "played to the end", "ok": False, "detail": said}], "providers": {}}


async def judge(evidence: Evidence) -> dict[str, Any]:
    """The report with every check, worked out in as many processes as there are cores: trying keys is arithmetic."""
    loop = asyncio.get_running_loop()
    order = sorted(range(len(CHECKS)), key=lambda number: CHECKS[number] is not a_keys_after_revocation)
    context = multiprocessing.get_context("spawn")
    # By a file: the evidence is larger than a pipe, whose writer waits for ever where the reading process was ended.
    with TemporaryDirectory() as folder:
        kept = Path(folder) / "evidence"
        kept.write_bytes(pickle.dumps(evidence))
        with ProcessPoolExecutor(os.cpu_count() or 1, context, _hold, (kept,)) as pool:
            jobs = [loop.run_in_executor(pool, _check_and_tell, number) for number in order]
            done = dict(zip(order, await asyncio.gather(*jobs), strict=True))
    told = next(told for _, told in done.values() if told is not None)
    checks = [done[number][0] for number in range(len(CHECKS))]
    # The time that the judging took counts as well.
    late = replace(evidence, moments={**evidence.moments, "end": time.time()})
    checks[CHECKS.index(in_time)] = in_time(late)
    return build_report(told, checks)


_HELD: list[Evidence] = []


def _hold(kept: Path) -> None:
    """Runs once in each process: the evidence is large."""
    _HELD[:] = [pickle.loads(kept.read_bytes())]  # noqa: S301 (written by the process that started this one)


def _check_and_tell(number: int) -> tuple[Check, dict[str, Any] | None]:
    """One check; the one that tries all of A's keys also sums up, because it has done the work for it."""
    evidence = _HELD[0]
    found = CHECKS[number](evidence)
    return found, summary(evidence) if CHECKS[number] is a_keys_after_revocation else None


@asynccontextmanager
async def _stage(steps: Steps, out: Path, taking_down: asyncio.Event) -> AsyncIterator[Story]:
    """Chain, broker, meter and all nodes run inside; afterwards nothing does. `taking_down` is set when it ends."""
    async with AsyncExitStack() as stack:
        processes = Processes(out / "logs")
        began = time.time()
        with steps.step("a chain with one-second blocks, the registry on it"):
            devnet = await stack.enter_async_context(Devnet(DevnetOptions(settlement=True)))
        stack.push_async_callback(processes.stop_all)
        tap = Wiretap(("127.0.0.1", free_port()))
        await tap.start()
        stack.push_async_callback(tap.stop)
        watch = ChainWatch(devnet.url, address_to_text(devnet.registry.address))
        await watch.start()
        stack.push_async_callback(watch.stop)
        folder = out / "run"
        folder.mkdir()
        now = int(began)
        meter = Meter(folder, steady=STEADY_W)
        story = Story(steps, out, processes, devnet, watch, tap, meter, now - now % SLOT_SECONDS - HISTORY_S)
        story.moments["start"] = began
        await _make_nodes(story)
        with steps.step("community and market get their keys; token, money and market are deployed"):
            await _found_village(story)
        with steps.step("broker, meter, gateway and home start with fresh keys"):
            await _bring_up(story, (GATEWAY, HOME))
            await story.processes.start("broker", await broker_command(story))
            await story.processes.start("meter", story.meter.command(story.genesis))
            await story.processes.start("meter-2", _village(story).used.command(story.genesis))
            await asyncio.gather(*(story.nodes[name].start() for name in (GATEWAY, HOME)))
        story.providers = asyncio.create_task(_start_providers(story, stack))
        stack.push_async_callback(_forget, story.providers)
        story.villagers = asyncio.create_task(_start_villagers(story))
        stack.push_async_callback(_forget, story.villagers)
        stack.callback(taking_down.set)
        yield story


async def _make_nodes(story: Story) -> None:
    devnet = story.devnet
    shared = Shared(
        story.processes,
        story.out / "run",
        devnet.url,
        devnet.chain_id,
        address_to_text(devnet.registry.address),
        devnet.registry.block,
        f"mqtt://127.0.0.1:{story.tap.port}",
    )
    story.nodes = {
        GATEWAY: DemoNode(GATEWAY, "gateway", shared, _meter_of(story.meter, story.genesis)),
        HOME: DemoNode(HOME, "home", shared),
        **{letter: DemoNode(letter, "provider", shared) for letter in PROVIDERS},
        COMMUNITY: DemoNode(COMMUNITY, "community", shared),
        MARKET: DemoNode(MARKET, "market", shared),
        NEIGHBOUR: DemoNode(NEIGHBOUR, "home", shared),
        BUYER: DemoNode(BUYER, "gateway", shared, _meter_of(Meter(story.out / "run" / "meter-2"), story.genesis)),
    }
    for node in story.nodes.values():
        node.make_folder()


def _meter_of(meter: Meter, genesis: int) -> dict[str, dict[str, Any]]:
    return {
        "meter": {"kind": "serial", "device": str(meter.link), "max_backlog_s": 3 * 86_400},
        "streams": {"slot_seconds": SLOT_SECONDS, "genesis": genesis},
    }


def _village(story: Story) -> Village:
    assert story.village is not None  # noqa: S101 (made with the stage)
    return story.village


async def _found_village(story: Story) -> None:
    """The contracts name the community's registrar, so its keys come first; then every node is told of them."""
    await _bring_up(story, (COMMUNITY, MARKET))
    rpc, payer = story.devnet.rpc, await story.devnet.payer()
    registrar = address_from_text(story.nodes[COMMUNITY].addresses["wallet"])
    deployed = story.devnet.contracts.contracts
    energy = await deploy_energy_token(rpc, registrar, payer=payer)
    contracts = Contracts(energy.address, deployed["Market"].address, deployed[MONEY].address)
    folder = story.out / "run" / "meter-2"
    folder.mkdir()
    used = Meter(folder, seed=11, steady=-STEADY_W)
    story.village = Village(story.watch, contracts, story.nodes, story.meter, used)
    for name in (GATEWAY, HOME, *VILLAGERS):
        node = story.nodes[name]
        node.extra = {**node.extra, "settlement": contracts.settings()}
        if name in (COMMUNITY, MARKET):
            node.write_config()


async def _start_villagers(story: Story) -> None:
    """Goes on while the first half plays; they are needed only later."""
    if story.providers is not None:
        await story.providers
    with story.steps.step("community, market and the neighbours start"):
        await _bring_up(story, (BUYER, NEIGHBOUR))
        await asyncio.gather(*(story.nodes[name].start() for name in VILLAGERS))
        await pair_neighbours(story)


async def _bring_up(story: Story, names: Sequence[str]) -> None:
    """Identities, and money for their transactions."""
    await asyncio.gather(*(story.nodes[name].init() for name in names))
    for name in names:
        await story.devnet.fund(address_from_text(story.nodes[name].addresses["sender"]))


async def _start_providers(story: Story, stack: AsyncExitStack) -> None:
    """Goes on while gateway and home pair. From the start of each provider on somebody steals from its disk."""
    with story.steps.step("four providers start with fresh keys"):
        await _bring_up(story, PROVIDERS)
        for letter in PROVIDERS:
            node = story.nodes[letter]
            passphrase = node.passphrase_file.read_text().strip()
            harvest = KeyHarvest(letter, node.folder, passphrase, story.out / "stolen")
            story.harvests[letter] = harvest
            stack.push_async_callback(_forget, asyncio.create_task(harvest.run(), name=f"harvest-{letter}"))
        await asyncio.gather(*(story.nodes[letter].start() for letter in PROVIDERS))


async def _forget(task: asyncio.Task[None]) -> None:
    """Ends a background task."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _keep(story: Story, console: Console, report: dict[str, Any]) -> None:
    """Leaves everything running and says where to look, until Ctrl-C."""
    show_report(report, console)
    await story.meter.tell("live")
    for name, node in story.nodes.items():
        console.print(f"{name:8} {node.url}   pages: wattpact --config {node.config} open", markup=False)
    console.print(f"chain    {story.devnet.url}\nPress Ctrl-C to end.", markup=False)
    forever = asyncio.Event()
    try:
        await forever.wait()
    except asyncio.CancelledError:
        console.print("Ending.")
