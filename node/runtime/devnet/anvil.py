"""One anvil process: found, started on a free port, awaited, stopped by its own process id."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
import signal
from collections import deque
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from node.runtime.devnet.errors import AnvilFailed, AnvilMissing
from node.runtime.endings import end_process

__all__ = ["MNEMONIC", "AnvilOptions", "AnvilProcess", "find_anvil"]

# The development mnemonic that Foundry and Hardhat document. Its keys are public: never fund them on a real chain.
MNEMONIC = "test test test test test test test test test test test junk"

_LISTENING = re.compile(r"Listening on \S*?:(\d+)\s*$")
_REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class AnvilOptions:
    """How anvil runs. ``block_time`` in seconds; 0 mines on demand only (``evm_mine``), None mines per transaction."""

    host: str = "127.0.0.1"
    port: int = 0
    chain_id: int = 31337
    block_time: float | None = 1
    hardfork: str | None = None
    prune_history: int | None = None
    slots_in_an_epoch: int | None = None
    timestamp: int | None = None
    state: Path | None = None
    mnemonic: str = MNEMONIC
    accounts: int = 10
    gas_limit: int | None = None

    def arguments(self) -> list[str]:
        """Return the command line, without the program."""
        line = ["--host", self.host, "--port", str(self.port), "--chain-id", str(self.chain_id)]
        line += ["--accounts", str(self.accounts), "--mnemonic", self.mnemonic]
        if self.block_time == 0:
            line += ["--no-mining"]
        elif self.block_time is not None:
            line += ["--block-time", f"{self.block_time:g}"]
        named = {
            "--hardfork": self.hardfork,
            "--prune-history": self.prune_history,
            "--slots-in-an-epoch": self.slots_in_an_epoch,
            "--timestamp": self.timestamp,
            "--state": self.state,
            "--gas-limit": self.gas_limit,
        }
        for option, value in named.items():
            if value is not None:
                line += [option, str(value)]
        return line


def _platform_folder() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"anvil-{platform.system().lower()}-{machine}"


def _candidates(roots: Iterable[Path]) -> Iterable[Path]:
    for root in roots:
        scope = root / "node_modules" / "@foundry-rs"
        yield scope / _platform_folder() / "bin" / "anvil"
        yield from sorted(scope.glob("anvil-*/bin/anvil"))


def _is_launcher(program: Path) -> bool:
    """Whether this is a script that starts another program, as npm puts on PATH."""
    with program.open("rb") as file:
        return file.read(2) == b"#!"


def find_anvil(roots: Iterable[Path] = ()) -> Path:
    """Return the anvil binary: one on PATH first, else the npm platform package below ``roots``, cwd or the checkout.

    A script on PATH counts only where no binary is found: a launcher that is killed leaves its chain running, and the
    process id that we would tell everybody is not the chain's. Raises AnvilMissing.
    """
    found = shutil.which("anvil")
    on_path = Path(found) if found is not None else None
    if on_path is not None and not _is_launcher(on_path):
        return on_path
    for candidate in _candidates([*roots, Path.cwd(), _REPOSITORY]):
        if candidate.is_file():
            if not os.access(candidate, os.X_OK):  # npm drops the bit when install scripts are off
                candidate.chmod(candidate.stat().st_mode | 0o111)
            return candidate
    if on_path is not None:
        return on_path
    raise AnvilMissing("anvil was found neither on PATH nor in node_modules/@foundry-rs")


_PART, _LINE = 65_536, 2_000  # bytes: read at once, and kept of one line


class AnvilProcess:
    """An anvil that belongs to this process; use as an async context manager."""

    def __init__(self, options: AnvilOptions | None = None, *, binary: Path | None = None) -> None:
        self.options = options or AnvilOptions()
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None
        self._tail: deque[str] = deque(maxlen=20)
        self._port = 0

    @property
    def url(self) -> str:
        """The HTTP endpoint; WebSocket answers on the same port."""
        return f"http://{self.options.host}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running anvil. Raises AnvilFailed when it does not run."""
        if self._process is None or self._process.returncode is not None:
            raise AnvilFailed("anvil is not running")
        return self._process.pid

    async def start(self, *, ready_within: float = 60.0) -> None:
        """Start and wait for the port. Raises AnvilMissing, AnvilFailed."""
        binary = self._binary or find_anvil()
        self._process = await asyncio.create_subprocess_exec(
            str(binary),
            *self.options.arguments(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us first, we stop anvil in order
        )
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.stop)
            try:
                async with asyncio.timeout(ready_within):
                    self._port = await self._read_port(self._process)
            except TimeoutError:
                raise AnvilFailed(f"anvil did not listen within {ready_within:g} s:\n{self._last_lines()}") from None
            undo.pop_all()
        # Unread output would fill the pipe and stop the chain.
        self._drain = asyncio.create_task(self._read_on(self._process), name="anvil-output")

    async def _read_port(self, process: asyncio.subprocess.Process) -> int:
        assert process.stdout is not None  # noqa: S101  (PIPE was asked for)
        while line := await process.stdout.readline():
            text = line.decode(errors="replace").rstrip()
            self._tail.append(text)
            if found := _LISTENING.search(text):
                return int(found.group(1))
        code = await process.wait()
        raise AnvilFailed(f"anvil ended with code {code} before it listened:\n{self._last_lines()}")

    async def _read_on(self, process: asyncio.subprocess.Process) -> None:
        """Whatever it prints: what it says of a refused batch may be a line longer than any buffer."""
        assert process.stdout is not None  # noqa: S101  (PIPE was asked for)
        rest = b""
        while part := await process.stdout.read(_PART):
            *lines, rest = (rest + part).split(b"\n")
            self._tail.extend(line[:_LINE].decode(errors="replace").rstrip() for line in lines)
            rest = rest[:_LINE]
        self._tail.append(rest.decode(errors="replace"))

    def _last_lines(self) -> str:
        return "\n".join(self._tail)

    async def wait(self) -> None:
        """Return when anvil has ended by itself, which nobody asked for: raises AnvilFailed."""
        if self._process is None:
            raise AnvilFailed("anvil is not running")
        code = await self._process.wait()
        raise AnvilFailed(f"anvil ended by itself with code {code}:\n{self._last_lines()}")

    async def stop(self, *, within: float = 5.0) -> None:
        """Terminate, then kill; return when the process is gone. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            await end_process(process, signal.SIGTERM, within)
        if self._drain is not None:
            await self._drain
            self._drain = None

    async def __aenter__(self) -> AnvilProcess:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
