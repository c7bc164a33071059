"""Measure what every message costs, in receipts of whole transactions on anvil, and write contracts/gas.json.

    python -m scripts.measure_gas            measure and write
    python -m scripts.measure_gas --print    measure and print

Each row has the gas, the bound that the design asks for (null where it names none) and the number of another system
beside it. `each` rows are whole transactions divided by the entries in them, rounded up. Keys, times and addresses are
fixed and signatures are RFC 6979, so that the numbers are the same in every run, to the last zero byte.
"""

from __future__ import annotations

import json
from pathlib import Path

from scripts.measure_gas.bench import Bench, Row, anvil, raw
from scripts.measure_gas.energy import measure_energy
from scripts.measure_gas.market import measure_market
from scripts.measure_gas.registry import Story, measure_registry

__all__ = ["OUT", "Bench", "Row", "Story", "anvil", "as_json", "measure", "raw"]

OUT = Path(__file__).resolve().parents[2] / "contracts" / "gas.json"


def measure() -> list[Row]:
    """Measure every contract, each on a fresh chain."""
    return [*measure_registry(), *measure_energy(), *measure_market()]


def as_json(rows: list[Row]) -> str:
    """Return the text of gas.json."""
    lines = [json.dumps({"name": row.name, "gas": row.gas, "bound": row.bound, "anchor": row.anchor}) for row in rows]
    return "[\n " + ",\n ".join(lines) + "\n]\n"
