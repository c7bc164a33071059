"""`wattpact simulate`: plays a community at high speed, writes report and pictures."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.app.simulation import pictures
from node.app.simulation.plan import Plan
from node.app.simulation.run import Told, simulate_plan
from node.cli.factories import SimulateOptions
from node.observability import configure_logging

__all__ = ["simulate"]

DAY_S = 86_400


def simulate(options: SimulateOptions) -> Mapping[str, Any]:
    """The report. Files in `options.out`: report.json; energy, price and money as .svg and .csv."""
    configure_logging("error", "console")
    slots = options.slots or max(1, options.days * DAY_S // options.slot_s)
    plan = Plan(options.assets, slots, options.slot_s, options.seed, options.first_hour)
    with tempfile.TemporaryDirectory(prefix="wattpact-simulation-") as folder, _bar(options.quiet) as told:
        report = asyncio.run(simulate_plan(plan, Path(folder), told))
    found = report.to_json()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "report.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    files = {
        "energy.svg": pictures.energy_picture(report.slots),
        "energy.csv": pictures.energy_csv(report.slots),
        "price.svg": pictures.price_picture(report.slots),
        "price.csv": pictures.price_csv(report.slots),
        "money.svg": pictures.money_picture(report.slots),
        "money.csv": pictures.money_csv(report.slots),
    }
    for name, text in files.items():
        (options.out / name).write_text(text, encoding="utf-8", newline="")
    return found


@contextmanager
def _bar(quiet: bool) -> Iterator[Told]:
    columns = (TextColumn("slots"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    shown = sys.stderr.isatty() and not quiet
    with Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, _: bar.update(task, completed=done, total=total)
