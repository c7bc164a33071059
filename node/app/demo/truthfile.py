"""What the meter said, from its own file, and what the three streams must therefore hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from node.app.demo.evidence import Outage, Telegram

__all__ = ["gas_hours", "heard_by_nobody", "parse_truth", "quarters", "read_truth", "seconds"]

QUARTER, HOUR = 900, 3600


def parse_truth(lines: Iterable[str]) -> tuple[Telegram, ...]:
    """The telegrams of a truth file; a last line without its end, still being written, is left out."""
    found = []
    for line in lines:
        if line.endswith("\n"):
            row = json.loads(line)
            whole = row["complete"] and row["fault"] is None and row["at"] == row["meter_time"]
            found.append(Telegram(row["at"], row["registers"], row["power"], tuple(row["gas"]), whole))
    return tuple(found)


def read_truth(path: Path) -> tuple[Telegram, ...]:
    """The truth file as it is now."""
    with path.open(encoding="utf-8") as file:
        return parse_truth(file)


def heard_by_nobody(outages: Iterable[Outage], at: float, margin: float = 1.0) -> bool:
    """Whether the gateway's process was away at that second: a meter does not wait, what it said then is gone."""
    return any(o.who == "gateway" and o.start - margin <= at <= o.end + margin for o in outages)


def seconds(telegram: Telegram) -> dict[str, int]:
    """What electricity/1s says about one telegram."""
    return {**telegram.registers, **telegram.power}


def quarters(telegrams: Mapping[int, Telegram], start: int) -> dict[str, int] | None:
    """Registers at the end of the quarter hour from `start` and what moved in it; None if an end was not measured."""
    first, last = telegrams.get(start), telegrams.get(start + QUARTER)
    if first is None or last is None:
        return None
    low, high = _sums(first.registers), _sums(last.registers)
    moved = {"1-0:1.29.0": high["1-0:1.8.0"] - low["1-0:1.8.0"], "1-0:2.29.0": high["1-0:2.8.0"] - low["1-0:2.8.0"]}
    return {**last.registers, **high, **moved}


def _sums(registers: Mapping[str, int]) -> dict[str, int]:
    return {
        "1-0:1.8.0": registers["1-0:1.8.1"] + registers["1-0:1.8.2"],
        "1-0:2.8.0": registers["1-0:2.8.1"] + registers["1-0:2.8.2"],
    }


def gas_hours(telegrams: Iterable[Telegram]) -> dict[int, dict[str, int]]:
    """By the begin of each full hour: the volume at its end and what was burnt, as the gas meter itself captured it."""
    captured = dict(telegram.gas for telegram in telegrams)
    return {
        start: {"0-n:24.2.1": captured[start + HOUR], "0-n:24.29.1": captured[start + HOUR] - captured[start]}
        for start in captured
        if start % HOUR == 0 and start + HOUR in captured
    }
