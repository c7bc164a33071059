"""The simulated meter as a process: its control socket, and its own record of what it said."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.processes import Process, until

__all__ = ["Said", "SimulatedMeter"]


@dataclass(frozen=True, slots=True)
class Said:
    """One telegram of the truth file. `sound`: all of it went out, unharmed. `powers`: import and export, W."""

    at: int
    meter_time: int
    sound: bool
    registers: dict[str, int]
    powers: dict[str, int]


class SimulatedMeter:
    """`python -m node.services.simulator` behind a pseudo-terminal. `steady`: W made at all times, used if negative."""

    def __init__(self, folder: Path, begin: int, seed: int = 7, steady: int = 0) -> None:
        self.link = folder / "p1"
        self.truth_file = folder / "truth.jsonl"
        self._socket = folder / "p1.sock"
        arguments = (
            "--link", str(self.link), "--control", str(self._socket), "--truth", str(self.truth_file),
            "--backlog-from", str(begin), "--step", "10", "--seed", str(seed),
            "--steady", str(steady),
        )  # fmt: skip
        command = (sys.executable, "-m", "node.services.simulator", *arguments)
        folder.mkdir(parents=True, exist_ok=True)
        self.process = Process("meter", command, folder / "logs" / "meter.log")

    async def start(self) -> None:
        await self.process.start()

        async def there() -> bool:
            assert self.process.running, self.process.said()
            try:
                _, writer = await asyncio.open_unix_connection(self._socket)
            except OSError:  # the file is there before anybody listens
                return False
            writer.close()
            return True

        await until("the meter is there", there)

    async def tell(self, command: str) -> dict[str, Any]:
        """One command of the control socket; AssertionError when it is refused."""
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(command.encode() + b"\n")
            await writer.drain()
            answer: dict[str, Any] = json.loads(await reader.readline())
        finally:
            writer.close()
        assert answer.get("ok"), f"the meter refuses {command!r}: {answer.get('error')}"
        return answer

    def truth(self) -> list[Said]:
        """What it said until now."""
        found = []
        for line in self.truth_file.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                row = json.loads(line)
                sound = bool(row["complete"]) and row["fault"] is None
                found.append(Said(row["at"], row["meter_time"], sound, row["registers"], row["power"]))
        return found

    def held_open_by(self, pid: int) -> bool:
        """Whether a process has the meter's device open, as the kernel says."""
        device = os.path.realpath(self.link)
        try:
            entries = list(Path(f"/proc/{pid}/fd").iterdir())
            return any(os.path.realpath(entry) == device for entry in entries)
        except OSError:
            return False
