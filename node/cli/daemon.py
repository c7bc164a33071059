"""init, run, broker, devnet, demo, doctor, verify, version: commands that start something or look at files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final, get_args

import typer
from argon2 import PasswordHasher
from pydantic import SecretStr

from node.cli.certificates import add_certificate_command
from node.cli.factories import (
    CliFactories,
    DemoOptions,
    DevnetOptions,
    Finding,
    InitOptions,
    RebuildOptions,
    ReceiptOptions,
    RunOptions,
    VerifyOptions,
)
from node.cli.output import Column, Output
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, read_passphrase, session_of
from node.config import VERSION, InvalidConfig, Role
from node.errors import Conflict, ExitCode, UsageError
from node.observability import configure_logging

__all__ = ["add_daemon_commands"]

_ROLES: Final = ", ".join(get_args(Role)[:-1]) + f" or {get_args(Role)[-1]}"
_FINDINGS: Final[tuple[Column, ...]] = (
    ("", lambda row: "ok" if row["ok"] else "FAIL"),
    ("check", "name"),
    ("found", "detail"),
    ("what to do", "remedy"),
)


def add_daemon_commands(app: typer.Typer, factories: CliFactories) -> None:
    _add_init(app, factories)
    _add_run(app, factories)
    _add_rebuild(app, factories)
    _add_broker(app, factories)
    _add_local_chain(app, factories)
    _add_test_ether(app)
    _add_checks(app, factories)

    @app.command(name="version", help="Print the version.\n\n  wattpact version --json")
    @guarded
    def show_version(as_json: JsonFlag = False) -> None:
        output = Output(as_json)
        output.one({"name": "wattpact", "version": VERSION}, (("wattpact", "version"),))


def _add_init(app: typer.Typer, factories: CliFactories) -> None:
    @app.command(
        help="Make a new identity and a config file, or restore an identity from its mnemonic.\n\n"
        "  wattpact init --role home\n\n"
        "  wattpact --data-dir gw init --role gateway --registry 0x... --rpc-url http://127.0.0.1:8545\n\n"
        "  wattpact init --restore < words.txt"
    )
    @guarded
    def init(
        context: typer.Context,
        role: Annotated[list[str] | None, typer.Option(help=f"{_ROLES}; may be repeated.")] = None,
        name: Annotated[str | None, typer.Option(help="Name on the party card.")] = None,
        registry: Annotated[str | None, typer.Option(help="Address of the ConsentRegistry.")] = None,
        rpc_url: Annotated[str | None, typer.Option(help="JSON-RPC node.")] = None,
        chain_id: Annotated[int | None, typer.Option(help="Chain id.")] = None,
        restore: Annotated[bool, typer.Option(help="Read the mnemonic of an identity from stdin.")] = False,
        mnemonic_file: Annotated[
            Path | None, typer.Option(help="Write the new mnemonic into this file instead of showing it.")
        ] = None,
        as_json: JsonFlag = False,
    ) -> None:
        session = session_of(context)
        chosen = {
            "node.roles": tuple(_role(item) for item in role or ["home"]),
            "node.name": name,
            "chain.registry": registry,
            "chain.rpc_urls": (rpc_url,) if rpc_url else None,
            "chain.chain_id": chain_id,
        }
        settings = {**session.flags, **{key: value for key, value in chosen.items() if value is not None}}
        words = SecretStr(" ".join(sys.stdin.readline().split())) if restore else None
        if not sys.stdout.isatty() and not sys.stderr.isatty() and not restore and mnemonic_file is None:
            raise UsageError(
                "The new mnemonic would be written into a pipe or a log.", remedy="Name a file with --mnemonic-file."
            )
        if mnemonic_file is not None and mnemonic_file.exists():
            raise Conflict(f"{mnemonic_file} exists.", remedy="Name a new file.")
        passphrase = read_passphrase(None, new=True, what="Passphrase for the new keystore")
        result = factories.init(InitOptions(session.guessed_data_dir(), passphrase, words, settings))
        output = Output(as_json)
        row = {"config": str(result.config_path), **result.addresses}
        output.one(row, tuple((key, key) for key in row))
        if result.mnemonic is not None and mnemonic_file is not None:
            mnemonic_file.touch(mode=0o600, exist_ok=False)
            mnemonic_file.write_text(result.mnemonic.get_secret_value() + "\n", encoding="utf-8")
            output.say(f"The mnemonic is in {mnemonic_file}. Keep it off this machine; it restores everything.")
        elif result.mnemonic is not None:
            output.say("Write these words down. They restore everything and are never shown again:")
            output.say(f"\n  {result.mnemonic.get_secret_value()}\n")
        start = "wattpact" if session.data_dir is None else f"wattpact --data-dir {session.data_dir}"
        output.say(
            f"Next: `{start} doctor` says what is missing, `{start} run` starts the node, "
            f"`{start} open` prints a link to its pages."
        )


def _role(text: str) -> Role:
    for role in get_args(Role):
        if text == role:
            found: Role = role
            return found
    raise UsageError(f"{text!r} is not a role.", remedy=f"Write {_ROLES}.")


def _add_run(app: typer.Typer, factories: CliFactories) -> None:
    @app.command(
        help="Run the node until it is told to stop (SIGTERM or Ctrl-C).\n\n"
        "  wattpact run\n\n"
        "  wattpact --config home.toml --set log.format=json run"
    )
    @guarded
    def run(
        context: typer.Context,
        without_history: Annotated[
            bool,
            typer.Option(
                "--write-without-history-and-risk-a-second-writer",
                help="Start writing streams although the record of what was sealed is missing.",
            ),
        ] = False,
    ) -> None:
        config = session_of(context).load()
        configure_logging(config.settings.log.level, config.settings.log.format)
        factories.run(config, RunOptions(without_history))


def _add_rebuild(app: typer.Typer, factories: CliFactories) -> None:
    @app.command(
        help="Bring the database to the head of the chain without running the node; shows how far it is.\n\n"
        "  wattpact rebuild\n\n  wattpact rebuild --anew"
    )
    @guarded
    def rebuild(
        context: typer.Context,
        anew: Annotated[
            bool, typer.Option("--anew", help="Put the present database aside and begin with an empty one.")
        ] = False,
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        config = session_of(context).load()
        configure_logging(config.settings.log.level, config.settings.log.format)
        if anew:
            confirm("Tokens, subscriptions and webhooks are in the old database only. Go on?", yes)
        row = factories.rebuild(config, RebuildOptions(anew, as_json))
        Output(as_json).one(row, tuple((key.replace("_", " "), key) for key in row))


def _add_broker(app: typer.Typer, factories: CliFactories) -> None:
    broker = typer.Typer(help="The MQTT broker on its own.\n\n  wattpact broker run", no_args_is_help=True)
    app.add_typer(broker, name="broker")

    add_certificate_command(broker)

    @broker.command(name="run", help="Run only the embedded broker.\n\n  wattpact --config b.toml broker run")
    @guarded
    def run_broker(context: typer.Context) -> None:
        config = session_of(context).load()
        configure_logging(config.settings.log.level, config.settings.log.format)
        factories.broker(config)

    @broker.command(
        name="hash",
        help="Print the argon2 hash of a password read from stdin, for a password_hash_file.\n\n"
        "  wattpact broker hash < password.txt > provider-1.hash",
    )
    @guarded
    def hash_password() -> None:
        if sys.stdin.isatty():
            password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise UsageError("The password is empty.")
        Output(False).text(PasswordHasher().hash(password))


def _add_local_chain(app: typer.Typer, factories: CliFactories) -> None:
    @app.command(
        help="Run a local chain with the contracts deployed and funded accounts, until Ctrl-C.\n\n"
        "  wattpact devnet\n\n  wattpact devnet --port 0 --out devnet.json\n\n"
        "  wattpact devnet --settlement --registrar 0x1234..."
    )
    @guarded
    def devnet(
        port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free port.")] = 8545,
        block_time: Annotated[int, typer.Option(min=1, max=60, help="Seconds between blocks.")] = 1,
        out: Annotated[Path | None, typer.Option(help="Write the facts as JSON into this file.")] = None,
        registrar: Annotated[
            str | None,
            typer.Option(help="Deploy an energy token whose sources this address admits, a community's wallet."),
        ] = None,
        settlement: Annotated[bool, typer.Option(help="Deploy what a market needs, too.")] = False,
    ) -> None:
        factories.devnet(DevnetOptions(port, block_time, out, registrar, settlement))

    @app.command(
        help="Play the whole story with real processes on a local chain; about four minutes.\n\n"
        "  wattpact demo\n\n  wattpact demo --keep"
    )
    @guarded
    def demo(
        out: Annotated[Path, typer.Option(help="Folder for the report and the logs.")] = Path("build/demo"),
        keep: Annotated[bool, typer.Option(help="Leave everything running and say where to look.")] = False,
    ) -> None:
        if not factories.demo(DemoOptions(out, keep)):
            raise typer.Exit(int(ExitCode.FAILED))


def _add_test_ether(app: typer.Typer) -> None:
    @app.command(
        name="test-ether",
        help="Give accounts 100 ETH each, on a devnet, where they are worth nothing: a node's sender pays gas.\n\n"
        "  wattpact test-ether 0x1234...",
    )
    @guarded
    def test_ether(
        accounts: Annotated[list[str], typer.Argument(help="Addresses; a node's is shown as `sender`.")],
        rpc_url: Annotated[str, typer.Option(help="JSON-RPC node of the devnet.")] = "http://127.0.0.1:8545",
        as_json: JsonFlag = False,
    ) -> None:
        from node.cli.testether import give_test_ether

        rows = give_test_ether(rpc_url, accounts)
        Output(as_json).many(rows, (("account", "account"), ("has", lambda row: f"{row['ether']} ETH")), "")


def _show_findings(findings: list[Finding], as_json: bool) -> None:
    rows = [{"name": f.name, "ok": f.ok, "detail": f.detail, "remedy": f.remedy} for f in findings]
    Output(as_json).many(rows, _FINDINGS, "Nothing was checked.")


def _add_checks(app: typer.Typer, factories: CliFactories) -> None:
    @app.command(
        help="Check config, keys, chain, broker and clock, and say what to do. Changes nothing.\n\n"
        "  wattpact doctor --json"
    )
    @guarded
    def doctor(context: typer.Context, as_json: JsonFlag = False) -> None:
        try:
            config = session_of(context).load()
        except InvalidConfig as error:
            findings = [Finding("config", False, f"{p.place}: {p.key} {p.message}", p.remedy) for p in error.problems]
            _show_findings(findings, as_json)
            raise typer.Exit(int(error.exit_code)) from None
        findings = [Finding("config", True, f"read from {config.path or 'the environment'}"), *factories.doctor(config)]
        _show_findings(findings, as_json)
        if not all(finding.ok for finding in findings):
            raise typer.Exit(int(ExitCode.FAILED))

    @app.command(
        help="Check a channel log against exported headers and events, offline.\n\n"
        "  wattpact stream export electricity/1s > export.json && wattpact verify export.json --registry 0x..."
    )
    @guarded
    def verify(
        export: Annotated[Path, typer.Argument(help="Export of a node.", exists=True, dir_okay=False)],
        log: Annotated[
            Path | None, typer.Option(help="Channel log, if not inside.", exists=True, dir_okay=False)
        ] = None,
        registry: Annotated[str | None, typer.Option(help="The registry that the export must be about.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        findings = list(factories.verify(VerifyOptions(export, log, registry)))
        _show_findings(findings, as_json)
        # Nothing checked is not the same as nothing wrong.
        if not findings or not all(finding.ok for finding in findings):
            raise typer.Exit(int(ExitCode.FAILED))

    @app.command(
        name="verify-receipt",
        help="Check the signed receipt of an erasure, offline; with exports also the commits that stay.\n\n"
        "  wattpact verify-receipt receipt.json --account 0x... --export export.json",
    )
    @guarded
    def verify_receipt(
        receipt: Annotated[Path, typer.Argument(help="Receipt.", exists=True, dir_okay=False)],
        account: Annotated[str | None, typer.Option(help="The account that must have signed it.")] = None,
        export: Annotated[
            list[Path] | None, typer.Option(help="Export of a stream; may be repeated.", exists=True, dir_okay=False)
        ] = None,
        as_json: JsonFlag = False,
    ) -> None:
        findings = list(factories.receipt(ReceiptOptions(receipt, account, tuple(export or ()))))
        _show_findings(findings, as_json)
        if not all(finding.ok for finding in findings):
            raise typer.Exit(int(ExitCode.FAILED))
