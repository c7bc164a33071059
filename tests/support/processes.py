"""Real processes for tests: each with a log of its own, ended by its own process id and by nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

__all__ = ["PATIENCE", "PROGRAM", "ROOT", "Process", "free_port", "until"]

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAM: Final = (sys.executable, "-m", "node.app")

PATIENCE: Final = 180.0
"""Seconds that a test waits for something that must happen. A wait that is fulfilled costs none of them; one that is
cut short on a busy machine makes a right answer a failure."""

T = TypeVar("T")

_reserved: list[int] = []
"""Open files, each holding one port against every other process of tests until this one ends."""


async def until(what: str, look: Callable[[], Awaitable[T]], within: float = PATIENCE, every: float = 0.1) -> T:
    """What `look` returned once it is true. AssertionError with `what` and the last answer when the time is over."""
    end = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {within:.0f} s in vain for: {what}; last seen: {found!r}")
        await asyncio.sleep(every)


def free_port() -> int:
    """A TCP port for this process of tests alone, below those that the system gives to outgoing connections: one of
    these could be in use by the time it is wanted. Nothing listens on it at this moment, and no other test is given it
    as long as this process runs, however late whoever asked for it begins to listen."""
    folder = Path(tempfile.gettempdir()) / f"wattpact-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    while True:
        port = random.randint(12_000, 32_000)
        held = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:  # another test's, or somebody listens there
            os.close(held)
            continue
        _reserved.append(held)
        return port


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Ours without settings of whoever runs the tests, which would reach every node."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WATTPACT_")}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **extra}


@dataclass(slots=True)
class Process:
    """A program with arguments; at most one run of it at a time. `environment` is added to ours at each start."""

    name: str
    command: Sequence[str]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    _running: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._running is not None, f"{self.name} was never started"
        return self._running.pid

    @property
    def running(self) -> bool:
        return self._running is not None and self._running.returncode is None

    async def start(self, *more: str) -> None:
        """The command with `more` arguments behind it."""
        assert not self.running, f"{self.name} runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *self.command,
                *more,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env=_environment(self.environment),
                start_new_session=True,
            )

    async def ended(self, within: float = PATIENCE) -> int:
        """The exit code once it ends by itself; negative for a signal."""
        assert self._running is not None
        async with asyncio.timeout(within):
            return await self._running.wait()

    async def end(self, number: signal.Signals = signal.SIGTERM, within: float = 120.0) -> int:
        """Sends the signal and waits; what does not end in time is killed. Returns the exit code."""
        if self._running is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self._running.send_signal(number)
        try:
            return await self.ended(within)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._running.kill()
            return await self._running.wait()

    def said(self) -> str:
        """Everything in the log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
