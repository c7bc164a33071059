"""A measured row, and how to time something."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Row", "at_least", "at_most", "best", "best_cpu", "cpu_seconds", "helpers_of", "resident_mb"]

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number. `ok` None: no bound."""

    name: str
    value: float
    unit: str
    bound: float | None
    anchor: str
    ok: bool | None


def at_most(name: str, value: float, unit: str, bound: float | None, anchor: str = "") -> Row:
    return Row(name, round(value, 4), unit, bound, anchor, None if bound is None else value <= bound)


def at_least(name: str, value: float, unit: str, bound: float | None, anchor: str = "", digits: int = 1) -> Row:
    return Row(name, round(value, digits), unit, bound, anchor, None if bound is None else value >= bound)


def best(work: Callable[[], object], rounds: int = 5) -> float:
    """The shortest of several runs, in seconds: what the machine does when nothing else runs."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def best_cpu(work: Callable[[], object], rounds: int = 5) -> float:
    """As `best`, in seconds of this process's CPU: what waits for nothing takes as long on a core of its own."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def helpers_of(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(each) for task in tasks for each in (task / "children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    """What a process has used of the CPU so far: its own, whatever else runs on the machine."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb() -> float:
    """Memory of this process that is in RAM now, in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
