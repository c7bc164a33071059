"""The demo's processes: started with a log each, killed and restarted by name, and all stopped at the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node.app.demo.errors import DemoFailed
from node.runtime.endings import end_process

__all__ = ["Child", "Processes"]

PACKAGE_ROOT = Path(__file__).resolve().parents[3]


@dataclass(slots=True)
class Child:
    """One program and the process that runs it now, if any. `expected` is true once we ended it ourselves."""

    name: str
    command: tuple[str, ...]
    log: Path
    process: asyncio.subprocess.Process | None = None
    expected: bool = False

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.returncode is None


@dataclass(slots=True)
class Processes:
    """All children, in the order of their first start. Only these are ever signalled, each by its own process id."""

    logs: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    _children: dict[str, Child] = field(default_factory=dict)

    async def start(self, name: str, command: Sequence[str]) -> Child:
        """Starts a program, or starts it again after it ended. Its output goes to `<logs>/<name>.log`."""
        child = self._children.setdefault(name, Child(name, tuple(command), self.logs / f"{name}.log"))
        if child.running:
            raise DemoFailed(f"{name} is running already.")
        child.command = tuple(command)
        self.logs.mkdir(parents=True, exist_ok=True)
        with child.log.open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.clean_environment(),
                start_new_session=True,  # Ctrl-C reaches us alone; we end them in order
            )
        child.expected = False
        return child

    async def restart(self, name: str) -> Child:
        """The same command once more."""
        return await self.start(name, self._children[name].command)

    def clean_environment(self) -> dict[str, str]:
        """Ours without settings of whoever runs the demo, which would reach every node."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("WATTPACT_")}
        path = os.pathsep.join(filter(None, (str(PACKAGE_ROOT), kept.get("PYTHONPATH"))))
        return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **self.environment}

    async def end(self, name: str, number: signal.Signals, within: float = 20.0) -> int:
        """Sends a signal and waits; what does not end in time is killed. Returns the exit code (-9 for signal 9)."""
        child = self._children[name]
        process = child.process
        if process is None:
            raise DemoFailed(f"{name} was not started.")
        child.expected = True
        return await end_process(process, number, within)

    def check(self) -> None:
        """Raises DemoFailed if a process ended that nobody ended."""
        for child in self._children.values():
            if not child.expected and child.process is not None and child.process.returncode is not None:
                raise DemoFailed(
                    f"{child.name} ended by itself with code {child.process.returncode}.",
                    remedy=f"Look into {child.log}.",
                )

    async def stop_all(self) -> None:
        """Ends whatever runs, the last started first, whatever happened before."""
        for name, child in reversed(list(self._children.items())):
            if child.running:
                await self.end(name, signal.SIGTERM, 8.0)
