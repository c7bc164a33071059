"""Commands as a shell would run them, over factories that record what they are asked, and a node in memory behind a
real server."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.main import get_command
from typer.testing import CliRunner, Result

from node.cli import (
    BidsOptions,
    CliFactories,
    DemoOptions,
    DevnetOptions,
    Finding,
    InitOptions,
    InitResult,
    KeyRow,
    RebuildOptions,
    ReceiptOptions,
    ResetOptions,
    ResetResult,
    RunOptions,
    SimulateOptions,
    VerifyOptions,
    create_cli,
)
from node.config import LoadedConfig, LocalAccess, write_access
from node.errors import Conflict, NodeError, NotFound
from node.observability import configure_logging
from tests.unit.node.api.memory_node import GRANT, SID, MemoryNode
from tests.unit.node.api.serving import Served, served

REGISTRY = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
SID_TEXT, GRANT_TEXT = "0x" + SID.hex(), "0x" + GRANT.hex()
SECRET = "correct horse battery staple"


class Keys:
    def new(self, config: LoadedConfig, name: str, kind: str, passphrase: SecretStr) -> KeyRow:
        if name == "taken":
            raise Conflict("There is a key of this name.")
        return KeyRow(name, kind, "0x12")

    def show(self, config: LoadedConfig, passphrase: SecretStr) -> Sequence[KeyRow]:
        return [KeyRow("wallet", "wallet", "0x12")] if passphrase.get_secret_value() == SECRET else []

    def export(self, config: LoadedConfig, name: str, passphrase: SecretStr, target: SecretStr) -> Mapping[str, object]:
        if name != "wallet":
            raise NotFound("There is no such key.")
        return {"version": 3, "for": len(target.get_secret_value())}


class Factories:
    """Records what the command line asked for."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.failure: NodeError | None = None
        self.findings = [Finding("chain", True, "head 2 s old")]
        self.passed = True

    def _note(self, *call: object) -> None:
        self.calls.append(call[0] if len(call) == 1 else call)
        if self.failure is not None:
            raise self.failure

    def init(self, options: InitOptions) -> InitResult:
        self._note(options)
        words = None if options.mnemonic else SecretStr("legal winner thank year wave sausage")
        return InitResult(options.data_dir / "wattpact.toml", {"wallet": "0x11"}, words)

    def run(self, config: LoadedConfig, options: RunOptions) -> None:
        self._note(config, options)

    def rebuild(self, config: LoadedConfig, options: RebuildOptions) -> Mapping[str, object]:
        self._note(config, options)
        return {"blocks": 7, "events": 3}

    def broker(self, config: LoadedConfig) -> None:
        self._note(config)

    def devnet(self, options: DevnetOptions) -> None:
        self._note(options)

    def demo(self, options: DemoOptions) -> bool:
        self._note(options)
        return self.passed

    def doctor(self, config: LoadedConfig) -> Sequence[Finding]:
        self._note(config)
        return self.findings

    def verify(self, options: VerifyOptions) -> Sequence[Finding]:
        self._note(options)
        return self.findings

    def receipt(self, options: ReceiptOptions) -> Sequence[Finding]:
        self._note(options)
        return self.findings

    def simulate(self, options: SimulateOptions) -> Mapping[str, Any]:
        self._note(options)
        names = ("contracts", "confirmed", "matched_wh", "offered_wh", "delivered_wh", "paid", "price_per_kwh")
        figures = dict.fromkeys((*names, "milliseconds"), 7)
        return {"assets": options.assets, **figures, "checks": {"all is well": self.passed}, "ok": self.passed}

    def bids(self, options: BidsOptions) -> None:
        self._note(options)

    def reset(self, config: LoadedConfig, options: ResetOptions) -> ResetResult:
        self._note(config, options)
        accounts = {"device": "0x2", "sender": "0x3"}
        return ResetResult({"device": "0x1"}, accounts, ("keystore/mnemonic.key",), ("notes.txt",), ("copies",), None)

    def all(self) -> CliFactories:
        return CliFactories(
            self.init, self.run, self.rebuild, self.broker, self.devnet, self.demo, self.doctor, self.verify,
            self.receipt, Keys, self.simulate, self.bids, self.reset,
        )  # fmt: skip


class Line:
    """Runs commands as a shell would, on one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.factories = Factories()
        # CliRunner.invoke would make the whole tree of commands anew each time, which takes longer than a command does.
        self._command = get_command(create_cli(self.factories.all()))

    def run(self, *words: str, stdin: str | None = None, **environ: str) -> Result:
        env = {"WATTPACT_NODE_DATA_DIR": str(self.folder), "COLUMNS": "200", **environ}
        runner, code = CliRunner(), 0
        with runner.isolation(input=stdin, env=env) as streams:
            try:
                self._command.main(args=list(words), prog_name="wattpact")
            except SystemExit as ended:
                code = int(ended.code or 0)
            sys.stdout.flush()
            sys.stderr.flush()
            out, err, both = (stream.getvalue() for stream in streams)
        result = Result(runner, out, err, both, return_value=None, exit_code=code, exception=None)
        assert "Traceback" not in result.output
        return result

    def json(self, *words: str, **environ: str) -> Any:
        result = self.run(*words, "--json", **environ)
        assert result.exit_code == 0, result.output
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        return rows[0] if len(rows) == 1 else rows


@pytest.fixture
def line(tmp_path: Path) -> Line:
    (tmp_path / "wattpact.toml").write_text(f'[chain]\nregistry = "{REGISTRY}"\n')
    return Line(tmp_path)


@pytest.fixture
def api(line: Line) -> Iterator[Served]:
    """The server runs in its own thread, since commands bring their own event loop; its log is not their output."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("error", "json", io.StringIO())
    started: list[Served] = []
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with served() as running:
            started.append(running)
            write_access(line.folder, LocalAccess(running.server.url, running.admin))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    yield started[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def node(api: Served) -> MemoryNode:
    return api.node
