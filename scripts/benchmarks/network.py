"""A network of real processes: how long a revocation takes to act, seen from outside."""

from __future__ import annotations

from scripts.benchmarks.rows import Row, at_most
from tests.support.latency import measure_revocations

__all__ = ["measure"]


def measure() -> list[Row]:
    """Twenty revocations in a network of real processes, seen from outside."""
    found = measure_revocations(20)
    rows = []
    for label in ("signed", "block"):
        last = sorted(getattr(each, f"{label}_to_last_old") for each in found)
        first = sorted(getattr(each, f"{label}_to_first_new") for each in found)
        rows.append(at_most(f"revoke_{label}_to_last_old_s", last[-1], "s", 0.5, "largest of 20"))
        rows.append(at_most(f"revoke_{label}_to_first_new_p95_s", first[18], "s", 2.5, "19th of 20"))
    return rows
