"""simulate: a community at high speed on a local chain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from node.cli.factories import CliFactories, SimulateOptions
from node.cli.output import Column, Output
from node.cli.session import JsonFlag, guarded
from node.errors import ExitCode

__all__ = ["add_simulation_command"]

_SIMULATED: Final[tuple[Column, ...]] = (
    ("assets", lambda row: str(row["assets"])),
    ("contracts", lambda row: f"{row['contracts']}, {row['confirmed']} confirmed"),
    ("matched", lambda row: f"{row['matched_wh']} of {row['offered_wh']} Wh offered"),
    ("delivered", lambda row: f"{row['delivered_wh']} Wh"),
    ("paid", lambda row: f"{row['paid']} minor units, {row['price_per_kwh']} per kWh"),
    ("took", lambda row: _took(row["milliseconds"])),
)


def _took(milliseconds: int) -> str:
    seconds = milliseconds // 1_000
    if seconds >= 60:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds}.{milliseconds // 100 % 10} s"


def add_simulation_command(app: typer.Typer, factories: CliFactories) -> None:
    @app.command(
        help="Play a community of many assets at high speed on a local chain: report and pictures.\n\n"
        "  wattpact simulate --assets 50 --days 1\n\n  wattpact simulate --assets 20 --slots 4 --json"
    )
    @guarded
    def simulate(
        assets: Annotated[int, typer.Option(min=2, max=100_000, help="How many; two of five sell.")] = 50,
        days: Annotated[int, typer.Option(min=1, max=366)] = 1,
        slots: Annotated[int, typer.Option(min=0, help="So many slots instead of days.")] = 0,
        slot: Annotated[int, typer.Option(min=900, max=86_400, help="Seconds of one slot.")] = 3_600,
        seed: Annotated[int, typer.Option(help="The same seed is the same community.")] = 1,
        first_hour: Annotated[int, typer.Option(min=0, max=23, help="Hour of the first slot.")] = 0,
        out: Annotated[Path, typer.Option(help="Folder for report and pictures.")] = Path("build/simulation"),
        as_json: JsonFlag = False,
    ) -> None:
        found = factories.simulate(SimulateOptions(assets, days, out, slots, slot, seed, first_hour, as_json))
        output = Output(as_json)
        output.one(found, _SIMULATED)
        if not as_json:
            output.say(f"Report, pictures and their figures are in {out}.")
            rows = [{"check": name, "ok": ok} for name, ok in found["checks"].items()]
            output.many(rows, (("check", "check"), ("holds", "ok")), "")
        if not found["ok"]:
            raise typer.Exit(int(ExitCode.FAILED))
