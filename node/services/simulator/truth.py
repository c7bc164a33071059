"""What the meter said, written by the meter itself: one JSON line per telegram, for a checker that trusts no reader.

`at`: the true time; `meter_time`: what the telegram shows; `registers` (Wh) and `power` (W) by OBIS code; `gas`:
capture time as shown and dm3; `fault`: what was done to the bytes, or null; `complete`: whether all bytes went out.
"""

from __future__ import annotations

import json
from pathlib import Path

from node.services.simulator.errors import PathRefused
from node.services.simulator.household import MeterState

__all__ = ["TruthFile"]


class TruthFile:
    """Appends lines; each is on its way to disk before the next telegram. Without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._file = None if path is None else path.open("a", encoding="utf-8")
        except OSError as cause:
            raise PathRefused(f"cannot write the truth file {path}: {cause.strerror}") from cause

    def add(self, state: MeterState, shown: int, fault: str | None, complete: bool) -> None:
        """One telegram."""
        if self._file is None:
            return
        captured, volume = state.gas
        line = {
            "at": state.time,
            "meter_time": shown,
            "registers": dict(state.registers),
            "power": {"1-0:1.7.0": state.imported, "1-0:2.7.0": state.exported},
            "gas": [captured + shown - state.time, volume],
            "fault": fault,
            "complete": complete,
        }
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
