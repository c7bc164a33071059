"""Gas of whole transactions, as recorded and tested in contracts/gas.json."""

from __future__ import annotations

import json

from scripts.benchmarks.rows import ROOT, Row, at_most

__all__ = ["measure"]


def measure() -> list[Row]:
    """One row for each operation."""
    recorded = json.loads((ROOT / "contracts" / "gas.json").read_text())
    rows = []
    for row in recorded:
        name = "gas_" + "".join(c if c.isalnum() else "_" for c in row["name"]).replace("__", "_")
        rows.append(at_most(name, row["gas"], "gas", row["bound"], row["anchor"]))
    return rows
