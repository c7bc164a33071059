"""keys new, show, export: the keystore."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import SecretStr

from node.cli.factories import CliFactories
from node.cli.output import Column, Output
from node.cli.session import JsonFlag, guarded, read_passphrase, session_of
from node.errors import Conflict, UsageError

__all__ = ["add_key_commands"]

_KEYS: Final[tuple[Column, ...]] = (("name", "name"), ("kind", "kind"), ("public", "public"))


def add_key_commands(app: typer.Typer, factories: CliFactories) -> None:
    group = typer.Typer(help="The keystore.", no_args_is_help=True)
    app.add_typer(group, name="keys")

    @group.command(help="Make a key.\n\n  wattpact keys new trading --kind wallet")
    @guarded
    def new(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help="Name of the key.")],
        kind: Annotated[str, typer.Option(help="wallet, stream or sealing.")] = "wallet",
        as_json: JsonFlag = False,
    ) -> None:
        config = session_of(context).load()
        row = factories.keys().new(config, name, kind, read_passphrase(config))
        Output(as_json).one({"name": row.name, "kind": row.kind, "public": row.public}, _KEYS)

    @group.command(help="Names and public parts; never a secret.\n\n  wattpact keys show --json")
    @guarded
    def show(context: typer.Context, as_json: JsonFlag = False) -> None:
        config = session_of(context).load()
        rows = factories.keys().show(config, read_passphrase(config))
        found = [{"name": row.name, "kind": row.kind, "public": row.public} for row in rows]
        Output(as_json).many(found, _KEYS, "The keystore is empty.")

    @group.command(
        help="Write a wallet key as Ethereum keystore v3 for another wallet. The passphrase of the new file is typed, "
        "or read from the first line of stdin.\n\n  wattpact keys export wallet --out wallet.json"
    )
    @guarded
    def export(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help="Name of the key.")],
        out: Annotated[Path, typer.Option(help="New file; it must not exist.")],
        as_json: JsonFlag = False,
    ) -> None:
        if out.exists():
            raise Conflict(f"{out} exists.", remedy="Name a new file.")
        config = session_of(context).load()
        passphrase = read_passphrase(config)
        document = factories.keys().export(config, name, passphrase, _new_passphrase())
        out.touch(mode=0o600, exist_ok=False)
        out.write_text(json.dumps(document) + "\n", encoding="utf-8")
        Output(as_json).one({"name": name, "file": str(out)}, (("key", "name"), ("written to", "file")))


def _new_passphrase() -> SecretStr:
    if sys.stdin.isatty():
        text = typer.prompt("Passphrase of the new file", hide_input=True, confirmation_prompt=True, err=True)
    else:
        text = sys.stdin.readline().rstrip("\r\n")
    if len(text) < 8:
        raise UsageError("The passphrase of the new file needs eight characters.", remedy="Choose a longer one.")
    return SecretStr(text)
