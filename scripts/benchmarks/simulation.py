"""A simulated community of a thousand assets: how long its slots take, and that nothing is lost in them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from node.app.commands.simulate import simulate
from node.cli.factories import SimulateOptions
from scripts.benchmarks.rows import Row, at_least

__all__ = ["measure", "simulated"]

ASSETS, SLOTS, NOON = 1_000, 1, 12


def measure() -> list[Row]:
    """One slot at noon, when there is sun to sell."""
    return simulated(ASSETS, SLOTS)


def simulated(assets: int, slots: int) -> list[Row]:
    """Raises AssertionError where energy, money or a contract was lost."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        found = simulate(SimulateOptions(assets, 1, Path(folder), slots=slots, first_hour=NOON, quiet=True))
    assert found["ok"], found["checks"]
    seconds = found["milliseconds"] / 1_000
    how = f"{found['confirmed']} contracts of {assets} assets confirmed in {seconds:.1f} s, {slots} slot, all checks"
    return [at_least("simulated_contracts_per_s", found["confirmed"] / seconds, "per second", None, how)]
