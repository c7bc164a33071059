"""The command line against a real server over a node in memory: exit codes, JSON, words (architecture.md)."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
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
from node.config import VERSION, Listen, LoadedConfig, LocalAccess, write_access
from node.errors import Busy, Conflict, ExitCode, NeedsPerson, NodeError, NotFound
from node.observability import configure_logging
from tests.unit.node.api.memory_node import GRANT, SID, MemoryNode, request
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
        self._app = create_cli(self.factories.all())

    def run(self, *words: str, stdin: str | None = None, **environ: str) -> Result:
        env = {"WATTPACT_NODE_DATA_DIR": str(self.folder), "COLUMNS": "200", **environ}
        result = CliRunner().invoke(self._app, list(words), input=stdin, env=env)
        assert "Traceback" not in result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
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


def test_status_for_people_and_programs(line: Line, node: MemoryNode) -> None:
    text = line.run("status")
    assert text.exit_code == 0
    assert "House 7" in text.stdout
    assert "1.5" in text.stdout
    assert line.json("status")["chain"]["head_block"] == 7
    assert line.json("alarm", "list")["kind"] == "clock"
    assert line.json("transaction", "list")["state"] == "final"


def test_streams_are_found_by_name_sid_or_beginning(line: Line, node: MemoryNode) -> None:
    for word in ("electricity/15min", SID_TEXT, SID_TEXT[:8]):
        assert line.json("stream", "show", word)["sid"] == SID_TEXT
    assert line.run("stream", "show", "0xaa").exit_code == 6
    assert line.run("stream", "show", "gas/1h").exit_code == 6
    assert line.json("stream", "list")["name"] == "electricity/15min"


def test_reading_follows_pages_and_ends_at_the_limit(line: Line, node: MemoryNode) -> None:
    rows = line.json("stream", "read", "electricity/15min", "--limit", "1500")
    assert [row["values"]["import_1_wh"] for row in rows] == list(range(1_500))
    rows = line.json("stream", "read", "electricity/15min", "--limit", "100000")
    assert len(rows) == 2_500
    shown = line.run("stream", "read", "electricity/15min", "--limit", "2")
    assert shown.stdout.count("import_1_wh=") == 2
    assert line.run("stream", "read", "electricity/15min", "--from", "soon").exit_code == 2


def test_following_tells_each_reading_once_and_the_final_ones_again(line: Line, node: MemoryNode) -> None:
    rows = line.json("stream", "read", "electricity/15min", "--follow", "--limit", "2500")
    assert [row["values"]["import_1_wh"] for row in rows] == list(range(2_500))
    final = line.json("stream", "read", "electricity/15min", "--follow", "--final", "--limit", "2000")
    assert [row["values"]["import_1_wh"] for row in final] == list(range(1, 2_001))
    shown = line.run("stream", "read", "electricity/15min", "--follow", "--limit", "1200")
    assert shown.stdout.count("import_1_wh=") == 1_200


def test_exports_are_json_for_verify(line: Line, node: MemoryNode, tmp_path: Path) -> None:
    result = line.run("stream", "export", "electricity/15min")
    target = tmp_path / "export.json"
    target.write_text(result.stdout)
    assert json.loads(result.stdout)["sid"] == SID_TEXT
    assert line.run("verify", str(target), "--registry", REGISTRY).exit_code == 0
    assert line.factories.calls == [VerifyOptions(target, None, REGISTRY)]
    line.factories.findings = []
    assert line.run("verify", str(target)).exit_code == 1, "nothing checked is not nothing wrong"


def test_a_consent_from_asking_to_revoking(line: Line, node: MemoryNode) -> None:
    asked = line.json(
        "consent", "request", "https://home.example", "--stream", "gas/1h", "--stream", "electricity/15min",
        "--purpose", "Advice", "--from", "-2d", "--until", "+30d",
    )  # fmt: skip
    assert node.asked[0].streams == ("gas/1h", "electricity/15min")
    start, end = node.asked[0].start, node.asked[0].end
    assert start is not None
    assert end is not None
    assert end - start == 32 * 86_400
    assert {row["id"] for row in line.json("consent", "list")} == {"req-1", asked["id"], GRANT_TEXT}
    assert line.json("consent", "list", "--state", "live")["id"] == GRANT_TEXT
    assert "advice.example, verified" in line.run("consent", "show", "req-1").stdout
    action = line.json("consent", "grant", "req-1", "--streams", "electricity/15min", "--until", "2030-01-01T00:00Z")
    assert action["digest"] == GRANT_TEXT
    assert node.granted[0][1].end == 1_893_456_000
    assert line.json("consent", "deny", asked["id"], "--reason", "No")["state"] == "denied"
    line.json("consent", "refresh", GRANT_TEXT[:10])
    assert node.refreshed == [GRANT]
    line.json("consent", "revoke", GRANT_TEXT[:10], "--stream", "electricity/15min", "--yes")
    line.json("consent", "revoke", GRANT_TEXT, "--yes")
    assert [scope.sid for _, scope, _ in node.revoked] == [SID, None]
    assert line.run("consent", "revoke", GRANT_TEXT, "--stream", "gas/1h", "--yes").exit_code == 6


def test_erasing_what_was_read_and_its_receipt(line: Line, node: MemoryNode, tmp_path: Path) -> None:
    assert line.run("consent", "erasure", GRANT_TEXT).exit_code == 6
    assert line.run("consent", "erase", GRANT_TEXT).exit_code != 0, "it asks first"
    assert node.erased == {}
    told = line.run("consent", "erase", GRANT_TEXT[:10], "--reason", "moved out", "--yes").stdout
    assert node.erased == {GRANT: "moved out"}
    assert "3 readings, 2 envelopes; commit 1 stays" in told
    assert line.json("consent", "erasure", GRANT_TEXT)["state"] == "done"
    receipt = line.json("consent", "erasure", GRANT_TEXT, "--receipt")
    assert list(receipt) == ["receipt"]
    path = tmp_path / "receipt.json"
    path.write_text("{}")
    assert line.run("verify-receipt", str(path), "--account", REGISTRY, "--export", str(path)).exit_code == 0
    assert line.factories.calls[-1] == ReceiptOptions(path, REGISTRY, (path,))
    line.factories.findings = [Finding("signature", False, "by another")]
    assert line.run("verify-receipt", str(path)).exit_code == 1


def test_erasing_the_past_of_a_stream(line: Line, node: MemoryNode) -> None:
    """channels.md 4 rule 11: the owner's command asks first, and says what readers keep."""
    assert line.run("stream", "erasure", SID_TEXT).exit_code == 6
    assert line.run("stream", "erase", SID_TEXT, "--yes").exit_code == 2, "neither a day nor all"
    assert line.run("stream", "erase", SID_TEXT, "--all", "--before", "2026-01-01", "--yes").exit_code == 2
    assert line.run("stream", "erase", SID_TEXT, "--all").exit_code != 0, "it asks first"
    assert node.past is None
    told = line.run("stream", "erase", SID_TEXT[:10], "--before", "2026-01-01", "--reason", "sold", "--yes").stdout
    kept = line.json("stream", "erasure", SID_TEXT)
    assert (kept["before"], kept["reason"]) == (1_767_225_600, "sold")
    assert "keep what they have read" in told
    assert line.json("stream", "erasure", SID_TEXT)["state"] == "asked"
    assert line.run("stream", "erasure", SID_TEXT, "--receipt").exit_code == 6, "there is none yet"
    assert line.json("stream", "erase", SID_TEXT, "--all", "--yes")["before"] is None


def test_an_external_wallet_signs(line: Line, node: MemoryNode, tmp_path: Path) -> None:
    printed = line.run("consent", "grant", "req-1", "--until", "2030-01-01T00:00Z", "--unsigned")
    document = json.loads(printed.stdout)
    assert document["primaryType"] == "Grant"
    saved = tmp_path / "grant.json"
    saved.write_text(printed.stdout)
    signature = "0x" + "ab" * 65
    line.json("consent", "grant", "req-1", "--signature", signature, "--typed-data", str(saved))
    external = node.granted[0][2]
    assert external is not None
    assert external.typed_data == document
    assert line.run("consent", "grant", "req-1", "--unsigned", "--signature", signature).exit_code == 2
    assert line.run("consent", "revoke", GRANT_TEXT, "--unsigned").exit_code == 0
    bad = line.run("consent", "grant", "req-1", "--signature", "0x12")
    assert bad.exit_code == 2
    assert "external.signature" in bad.stderr


def test_what_cannot_be_undone_is_asked_or_said(line: Line, node: MemoryNode) -> None:
    for words in (("consent", "revoke", GRANT_TEXT), ("unpair",)):
        result = line.run(*words, stdin="")
        assert result.exit_code == 2
        assert "--yes" in result.stderr
    assert not node.revoked


def test_pairing(line: Line, node: MemoryNode) -> None:
    shown = line.run("pair", "new")
    assert "7-amber-lake" in shown.stdout
    assert "█" in shown.stdout or "▄" in shown.stdout
    assert line.json("pair", "new")["qr"].startswith("wattpact:")
    wrong = line.run("pair", "1-wrong-code", "--url", "http://gw:1")
    assert wrong.exit_code == 5
    assert wrong.stderr.splitlines()[-2:] == ["The code is wrong.", "Ask the gateway for a new one."]
    assert line.json("pair", "7-amber-lake", "--url", "http://gw:1")["state"] == "paired"
    assert line.run("pair", "7-amber-lake").exit_code == 7
    assert line.json("pair")["state"] == "paired"
    assert line.json("unpair", "--yes")["state"] == "queued"


def test_tokens(line: Line, node: MemoryNode) -> None:
    made = line.json("token", "create", "app", "--scope", "read", "--days", "1")
    assert line.json("token", "list")["id"] == made["id"]
    url = json.loads((line.folder / "api.json").read_text())["url"]
    remote = {"WATTPACT_URL": url, "WATTPACT_TOKEN": made["token"]}
    assert line.json("status", **remote)["name"] == "House 7"
    assert line.run("token", "list", **remote).exit_code == 5
    line.json("token", "revoke", made["id"])
    assert line.run("status", **remote).exit_code == 5
    assert line.run("token", "revoke", "../x").exit_code == 2


def test_foreign_words_cannot_move_the_cursor(line: Line, node: MemoryNode) -> None:
    """A party's name is attacker-chosen: no escape sequence, markup or bidirectional override reaches the terminal."""
    node.found["req-9"] = request("req-9", "Evil\x1b[2J\u202e[bold red]trusted[/]\r\nfake")
    text = line.run("consent", "list").stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold red]trusted" in text


def test_a_problem_of_the_node_is_a_sentence_with_a_remedy(line: Line, node: MemoryNode) -> None:
    node.failure = Busy("The queue is full.", remedy="Wait.")
    result = line.run("status")
    assert result.exit_code == 7
    assert result.stderr == "The queue is full.\nWait.\n"
    assert result.stdout == ""
    node.failure = NeedsPerson("Two writers.", remedy="Stop one.")
    assert line.run("status").exit_code == 8
    node.failure, node.broken = None, True
    broken = line.run("status", "--json")
    assert broken.exit_code == 1
    assert "ZeroDivision" not in broken.output


def test_no_node_is_exit_four(line: Line) -> None:
    result = line.run("status")
    assert result.exit_code == 4
    assert "wattpact run" in result.stderr
    write_access(line.folder, LocalAccess("http://127.0.0.1:1", "x"))
    assert line.run("status", "--json").exit_code == 4


def test_config_errors_are_exit_three_with_every_place(line: Line) -> None:
    (line.folder / "wattpact.toml").write_text("[chian]\nx = 1\n[log]\nlevel = 3\n")
    result = line.run("config", "check")
    assert result.exit_code == 3
    assert "wattpact.toml:1:1: chian is not a known key. Did you mean chain?" in result.stderr
    assert "wattpact.toml:4:1: log.level" in result.stderr
    rows = [json.loads(text) for text in line.run("config", "check", "--json").stdout.splitlines()]
    assert {row["key"] for row in rows} == {"chain", "chian", "log.level"}
    assert line.run("run").exit_code == 3
    assert line.run("doctor").exit_code == 3
    assert not line.factories.calls


def test_config_show_sample_schema(line: Line) -> None:
    rows = {row["key"]: row for row in line.json("--set", "api.max_connections=9", "config", "show", "--origin")}
    assert rows["api.max_connections"]["origin"] == "flag api.max_connections"
    assert rows["chain.registry"]["value"].lower() == REGISTRY.lower()
    assert rows["chain.registry"]["origin"].endswith("wattpact.toml:2:1")
    assert line.run("config", "sample").stdout.startswith("# Wattpact node.")
    assert json.loads(line.run("config", "schema").stdout)["type"] == "object"
    assert line.run("config", "check").exit_code == 0
    for bad in ("api", "api.listen", "=x"):
        assert line.run("--set", bad, "config", "check").exit_code == 2
    assert line.run("--set", "node.passphrase=x", "config", "check").exit_code == 3


def test_run_hands_the_settings_over(line: Line) -> None:
    assert line.run("--log-level", "error", "run").exit_code == 0
    config, options = line.factories.calls[0]  # type: ignore[misc]
    assert config.settings.log.level == "error"  # type: ignore[has-type]
    assert config.settings.node.data_dir == line.folder  # type: ignore[has-type]
    assert options == RunOptions(without_history=False)  # type: ignore[has-type]
    line.run("run", "--write-without-history-and-risk-a-second-writer")
    assert line.factories.calls[1][1] == RunOptions(without_history=True)  # type: ignore[index]
    line.factories.failure = Busy("The data folder is in use by process 7.", remedy="Stop it first.")
    assert line.run("run").exit_code == 7


def test_init_never_takes_secrets_from_flags_nor_leaks_the_words(line: Line, tmp_path: Path) -> None:
    words = tmp_path / "words"
    piped = line.run("init", "--role", "home", WATTPACT_NODE_PASSPHRASE=SECRET)
    assert piped.exit_code == 2
    assert "--mnemonic-file" in piped.stderr
    flags = ["--role", "home", "--role", "gateway", "--registry", REGISTRY, "--mnemonic-file", str(words), "--json"]
    made = line.run("init", *flags, WATTPACT_NODE_PASSPHRASE=SECRET)
    assert made.exit_code == 0, made.output
    assert "sausage" not in made.output
    assert words.read_text().startswith("legal winner")
    assert words.stat().st_mode & 0o777 == 0o600
    (options,) = line.factories.calls
    assert isinstance(options, InitOptions)
    assert options.settings == {"node.roles": ("home", "gateway"), "chain.registry": REGISTRY}
    assert SECRET not in repr(options)
    again = line.run("init", "--mnemonic-file", str(words), WATTPACT_NODE_PASSPHRASE=SECRET)
    assert again.exit_code == 7
    restored = line.run("init", "--restore", stdin="legal  winner thank\n", WATTPACT_NODE_PASSPHRASE=SECRET)
    assert restored.exit_code == 0
    last = line.factories.calls[-1]
    assert isinstance(last, InitOptions)
    assert last.mnemonic is not None
    assert last.mnemonic.get_secret_value() == "legal winner thank"
    assert line.run("init", "--restore", "--role", "king", stdin="x\n").exit_code == 2
    nobody = line.run("init", "--restore", stdin="x\n")
    assert nobody.exit_code == 2
    assert "passphrase" in nobody.stderr


def test_doctor_shows_what_to_look_after_although_all_is_well(line: Line) -> None:
    line.factories.findings = [Finding("proxy", True, "open to others", "Name the proxy.")]
    result = line.run("doctor")
    assert result.exit_code == 0
    assert "Name the proxy." in result.stdout


def test_doctor_demo_devnet_broker_version(line: Line) -> None:
    assert line.run("doctor").exit_code == 0
    line.factories.findings = [Finding("clock", False, "off by 300 s", "Turn NTP on.")]
    result = line.run("doctor")
    assert result.exit_code == 1
    assert "Turn NTP on." in result.stdout
    assert line.run("demo", "--keep").exit_code == 0
    assert DemoOptions(Path("build/demo"), True) in line.factories.calls
    line.factories.passed = False
    assert line.run("demo", "--out", "elsewhere").exit_code == 1
    assert line.run("devnet", "--port", "0").exit_code == 0
    assert DevnetOptions(0, 1, None) in line.factories.calls
    registrar = "0x" + "52" * 20
    assert line.run("devnet", "--registrar", registrar).exit_code == 0
    assert DevnetOptions(8545, 1, None, registrar) in line.factories.calls
    assert line.run("broker", "run").exit_code == 0
    hashed = line.run("broker", "hash", stdin="secret\n")
    assert hashed.stdout.startswith("$argon2id$")
    assert line.json("version")["version"]
    assert line.run("--version").stdout == f"wattpact {VERSION}\n"


def test_a_command_waits_for_no_chain_and_no_database() -> None:
    """Most commands speak to a running node: what only the node needs is imported by those that run one."""
    words = (
        "import sys, node.app.main; print(*sorted({'sqlalchemy', 'web3', 'eth_account', 'amqtt'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"


def test_keys(line: Line, tmp_path: Path) -> None:
    secret = {"WATTPACT_NODE_PASSPHRASE": SECRET}
    assert line.json("keys", "show", **secret)["name"] == "wallet"
    assert line.json("keys", "new", "trading", **secret)["kind"] == "wallet"
    assert line.run("keys", "new", "taken", **secret).exit_code == 7
    out = tmp_path / "k.json"
    assert line.run("keys", "export", "wallet", "--out", str(out), stdin="short\n", **secret).exit_code == 2
    assert line.run("keys", "export", "wallet", "--out", str(out), stdin="long enough\n", **secret).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert json.loads(out.read_text())["for"] == 11
    assert line.run("keys", "export", "wallet", "--out", str(out), stdin="long enough\n", **secret).exit_code == 7
    nobody = line.run("keys", "show", stdin="")
    assert nobody.exit_code == 2
    assert "passphrase_file" in nobody.stderr


def _commands(group: Any, *path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *path, name)
        else:
            yield " ".join((*path, name))


COMMANDS = tuple(_commands(get_command(create_cli(Factories().all()))))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(line: Line, command: str) -> None:
    result = line.run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "wattpact " in result.stdout
    assert line.run(*command.split(), "--no-such-option").exit_code == 2


def test_help_names_the_exit_codes(line: Line) -> None:
    text = " ".join(line.run("--help").stdout.split())
    assert "3 config, 4 not reachable, 5 refused, 6 not found, 7 busy, 8 needs a person" in text


def test_certificates_of_an_own_authority(line: Line, tmp_path: Path) -> None:
    """permissions.md 4: own certificate authority helper; made once, keys for their owner only."""
    folder = tmp_path / "tls"
    rows = line.json("broker", "certs", str(folder), "--host", "broker.local", "--host", "::1", "--client", "p-1")
    assert [row["for"] for row in rows] == ["authority", "broker", "user p-1"]
    assert {Path(row["key"]).stat().st_mode & 0o777 for row in rows} == {0o600}
    assert line.run("broker", "certs", str(folder), "--host", "broker.local").exit_code != 0
    more = line.json("broker", "certs", str(folder), "--client", "p-2")
    assert more["for"] == "user p-2"
    assert line.run("broker", "certs", str(folder)).exit_code == 2


def test_a_simulation_is_shown_and_fails_where_a_check_does(line: Line) -> None:
    words = ("simulate", "--assets", "9", "--slots", "2", "--out", str(line.folder / "out"))
    shown = line.run(*words)
    assert shown.exit_code == ExitCode.OK, shown.stderr
    assert "all is well" in shown.stdout
    options = line.factories.calls[-1]
    assert isinstance(options, SimulateOptions)
    assert (options.assets, options.slots, options.quiet) == (9, 2, False)
    line.factories.passed = False
    assert line.run(*words, "--json").exit_code == ExitCode.FAILED
    assert line.run("simulate", "--assets", "1").exit_code == ExitCode.USAGE


def test_a_bid_manager_of_its_own_is_told_where_its_market_is(line: Line, tmp_path: Path) -> None:
    words = ("bids", "run", "--market", "https://market.example:8760", "--tls", str(tmp_path))
    assert line.run(*words).exit_code == ExitCode.OK
    assert line.run(*words, "--listen", "[::1]:9", "--engine", "seed_1to1").exit_code == ExitCode.OK
    assert line.run(*words, "--listen", "nowhere").exit_code == ExitCode.USAGE
    first, second = line.factories.calls
    assert first == BidsOptions(Listen("127.0.0.1", 8770), tmp_path, "https://market.example:8760")
    assert second == BidsOptions(Listen("::1", 9), tmp_path, "https://market.example:8760", "seed_1to1")


def test_a_reset_is_asked_for_by_a_word_or_by_yes_and_never_shows_words_in_a_pipe(line: Line, tmp_path: Path) -> None:
    """permissions.md 2: a physical reset that also erases the keys."""
    words = tmp_path / "words.txt"
    piped = line.run("gateway", "reset", "--yes", WATTPACT_NODE_PASSPHRASE=SECRET)
    assert (piped.exit_code, "--mnemonic-file" in piped.stderr) == (2, True)
    unasked = line.run("gateway", "reset", "--mnemonic-file", str(words), WATTPACT_NODE_PASSPHRASE=SECRET)
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (2, True)
    assert line.factories.calls == []
    asked = ("gateway", "reset", "--yes", "--mnemonic-file", str(words))
    made = line.json(*asked, WATTPACT_NODE_PASSPHRASE=SECRET)
    assert (made["state"], made["device"], made["former"], made["left"]) == (
        "reset", "0x2", {"device": "0x1"}, ["notes.txt"],
    )  # fmt: skip
    shown = line.run(*asked, WATTPACT_NODE_PASSPHRASE=SECRET)
    assert "pair new" in shown.stderr
    assert "  copies" in shown.stderr
    line.factories.failure = Busy("The data folder is in use by process 7.", remedy="Stop it first.")
    assert line.run(*asked, WATTPACT_NODE_PASSPHRASE=SECRET).exit_code == 7
    helped = line.run("gateway", "reset", "--help").stdout
    assert "wattpact gateway reset" in helped
