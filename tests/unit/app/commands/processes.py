"""`wattpact` as a process of its own, ended by its own id."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.processes import PATIENCE

ROOT = Path(__file__).resolve().parents[4]


class Started:
    """A running command and what it said on stdout so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def until(self, beginning: str) -> str:
        """The rest of the first line that begins so; AssertionError with stderr if the process ends before."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(PATIENCE):
            while line := await self.process.stdout.readline():
                self.lines.append(line.decode().rstrip("\n"))
                if self.lines[-1].startswith(beginning):
                    return self.lines[-1].removeprefix(beginning)
        raise AssertionError((await self.process.stderr.read()).decode())

    async def end(self, number: signal.Signals) -> int:
        """Sends the signal, returns the exit code; what was still said is in `lines`."""
        self.process.send_signal(number)
        async with asyncio.timeout(PATIENCE):
            out, _ = await self.process.communicate()
        self.lines += out.decode().splitlines()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def wattpact(*words: str, cwd: Path) -> AsyncIterator[Started]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WATTPACT_")}
    command: Sequence[str] = (sys.executable, "-m", "node.app", *words)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Started(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
