"""The meter as a process: `python -m node.services.simulator --help`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from node.services.simulator.control import ControlServer, Defaults
from node.services.simulator.dsmr5 import equipment_of
from node.services.simulator.errors import SimulatorError
from node.services.simulator.household import Household
from node.services.simulator.player import Player
from node.services.simulator.pty import PseudoTerminal
from node.services.simulator.truth import TruthFile

EXAMPLES = """A simulated DSMR 5 meter of a plausible household behind a pseudo-terminal.

Examples:

  The last two days as fast as they are read, then one telegram a second:

    python -m node.services.simulator --link build/p1 --backlog-from $(($(date +%s) - 172800))

  Start silent and be told when to begin (`help` lists the commands):

    python -m node.services.simulator --link build/p1 --control build/p1.sock --truth build/truth.jsonl

    echo live | nc -U -q 1 build/p1.sock
"""


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    link: Path
    start: int
    step: int
    seed: int
    phases: int
    steady: int
    control: Path | None
    truth: Path | None


def _say(**facts: Any) -> None:
    typer.echo(json.dumps(facts))
    sys.stdout.flush()


async def _run(options: Options) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    terminal = PseudoTerminal(options.link)
    truth = TruthFile(options.truth)
    equipment = equipment_of(options.seed)
    player = Player(
        Household(options.seed, options.start, options.phases, steady=options.steady), equipment, terminal, truth
    )
    server = None
    try:
        terminal.plug()
        if options.control is not None:
            control = ControlServer(player, Defaults(options.start, options.step), stopping.set)
            server = await control.listen(options.control)
        _say(event="ready", link=str(options.link), device=terminal.device, equipment=equipment)
        if server is None:
            await player.backlog(options.start, None, options.step)
            await _first(stopping, player.wait())
            if not stopping.is_set():
                _say(event="live", **player.report())
                await player.live()
        await stopping.wait()
    finally:
        await player.pause()
        if server is not None and options.control is not None:
            server.close()
            options.control.unlink(missing_ok=True)
        _say(event="stopped", **player.report())
        terminal.unplug()
        truth.close()


async def _first(stopping: asyncio.Event, script: Any) -> None:
    """Until one of the two ends."""
    tasks = [asyncio.ensure_future(script), asyncio.ensure_future(stopping.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main(
    link: Annotated[Path, typer.Option(help="Symbolic link to the meter's device; the reader opens this.")],
    backlog_from: Annotated[int, typer.Option(help="Where the past begins, seconds UTC (now if left out).")] = -1,
    step: Annotated[int, typer.Option(min=1, help="Seconds between telegrams of the past.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Which household; the same number is the same household.")] = 1,
    phases: Annotated[int, typer.Option(help="Phases of the connection, 1 or 3.")] = 1,
    steady: Annotated[int, typer.Option(min=-50_000, max=50_000, help="W made at all times; used if negative.")] = 0,
    control: Annotated[Path | None, typer.Option(help="Unix socket for commands; then nothing plays untold.")] = None,
    truth: Annotated[Path | None, typer.Option(help="File to append what the meter said, as JSON lines.")] = None,
) -> None:
    start = int(time.time()) if backlog_from < 0 else backlog_from
    if phases not in (1, 3):
        raise typer.BadParameter("must be 1 or 3", param_hint="--phases")
    try:
        asyncio.run(_run(Options(link, start, step, seed, phases, steady, control, truth)))
    except SimulatorError as refused:
        typer.echo(f"{refused.message} {refused.remedy}", err=True)
        raise typer.Exit(refused.exit_code) from None


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=EXAMPLES)(main)
    app()
