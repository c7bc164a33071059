"""Commands that need no running node: config, set-up, keys, help, and what they start; exit codes (architecture.md)."""

from __future__ import annotations

import json
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from node.cli import (
    BidsOptions,
    DemoOptions,
    DevnetOptions,
    Finding,
    InitOptions,
    RunOptions,
    SimulateOptions,
    create_cli,
)
from node.cli.session import confirm
from node.config import VERSION, Listen, LocalAccess, write_access
from node.errors import Busy, ExitCode
from tests.unit.node.cli.commandline import REGISTRY, SECRET, Factories, Line, api, line, node

__all__ = ["api", "line", "node"]  # fixtures


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


@pytest.fixture(scope="module")
def helpful(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """One for all commands, since asking for help changes nothing."""
    return Line(tmp_path_factory.mktemp("helpful"))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(helpful: Line, command: str) -> None:
    result = helpful.run(*command.split(), "--help")
    assert result.exit_code == 0
    assert result.stdout.count("wattpact ") > 1, "the usage, and an example"
    assert helpful.run(*command.split(), "--no-such-option").exit_code == 2


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
    assert "7 minor units" in shown.stdout
    assert "0.0 s" in shown.stdout
    assert str(line.folder / "out") in shown.stderr, "where the pictures are"
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


def test_init_knows_every_role_and_says_what_comes_next(line: Line) -> None:
    secret = {"WATTPACT_NODE_PASSPHRASE": SECRET}
    words = ("init", "--restore", "--role")
    wrong = line.run(*words, "king", stdin="x\n", **secret)
    assert wrong.exit_code == ExitCode.USAGE
    for role in ("home", "gateway", "provider", "market", "community"):
        assert role in wrong.stderr
        made = line.run(*words, role, stdin="x\n", **secret)
        assert made.exit_code == ExitCode.OK, made.output
        assert "`wattpact doctor` says what is missing" in made.stderr
    elsewhere = line.run("--data-dir", str(line.folder), *words, "market", stdin="x\n", **secret)
    assert f"`wattpact --data-dir {line.folder} run` starts the node" in elsewhere.stderr


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        (("node.roles=market",), "settlement.market"),
        (("node.roles=community",), "settlement.energy_token"),
        (("node.roles=market", f"settlement.market={REGISTRY}", "market.settle=net"), "settlement.net_settlement"),
    ],
)
def test_a_config_with_which_the_node_would_not_start_is_no_good_config(
    line: Line, settings: tuple[str, ...], missing: str
) -> None:
    flags = [word for each in settings for word in ("--set", each)]
    checked = line.run(*flags, "config", "check")
    assert checked.exit_code == ExitCode.CONFIG
    assert f"{missing} is missing" in checked.stderr
    (row,) = [json.loads(text) for text in line.run(*flags, "config", "check", "--json").stdout.splitlines()]
    assert row["key"] == missing


def test_a_question_is_asked_in_plain_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It may hold a name that somebody else chose."""
    ours, theirs = pty.openpty()
    with open(ours, "wb", buffering=0) as person, open(theirs, encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        person.write(b"y\n")
        confirm("Revoke for \x1b[2JMallory\u202e?", yes=False)
    said = capsys.readouterr().err
    assert "Revoke for [2JMallory? [y/N]" in said
