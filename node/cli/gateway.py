"""gateway move: hand every stream from one gateway machine to another. gateway reset: make a new device of one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from node.cli.factories import CliFactories, ResetOptions
from node.cli.output import Column, Output, short
from node.cli.session import (
    JsonFlag,
    YesFlag,
    confirm,
    confirm_by_word,
    guarded,
    read_passphrase,
    session_of,
)
from node.errors import UsageError

__all__ = ["add_gateway_commands"]

_MOVE: Final[tuple[Column, ...]] = (("sid", lambda row: short(row["sid"])), ("name", "name"), ("state", "state"))
_PAIRING: Final[tuple[Column, ...]] = (("state", "state"), ("peer", "peer"), ("device", "device_hash"))

_RESET: Final[tuple[Column, ...]] = (
    ("state", "state"),
    ("device", "device"),
    ("sender", "sender"),
    ("former device", lambda row: row["former"].get("device", "")),
    ("former sender", lambda row: row["former"].get("sender", "")),
    ("mailbox", lambda row: row.get("mailbox", "")),
    ("former mailbox", lambda row: row["former"].get("mailbox", "")),
    ("files erased", lambda row: len(row["erased"])),
    ("files left", lambda row: ", ".join(row["left"])),
)


def add_gateway_commands(app: typer.Typer, factories: CliFactories) -> None:
    group = typer.Typer(help="Move streams to another gateway (home); reset a gateway (there).", no_args_is_help=True)
    app.add_typer(group, name="gateway")
    _add_reset(group, factories)

    @group.command(
        help="Hand every stream to another gateway; the old one stops for good, readers go on.\n\n"
        "  wattpact pair new                                             on the new gateway: a code\n\n"
        "  wattpact gateway move K7PM-3XQD --url http://10.0.0.8:8750     on the home\n\n"
        "  wattpact gateway status                                       on the home: how far it is"
    )
    @guarded
    def move(
        context: typer.Context,
        code: Annotated[str, typer.Argument(help="Code, or text of the QR code, of the new gateway.")],
        url: Annotated[str | None, typer.Option(help="Address of the new gateway, with a typed code.")] = None,
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        confirm("Move every stream? The old gateway can never write them again.", yes)
        Output(as_json).one(client.post("/pairing/move", {"code": code, "url": url}), _PAIRING)

    @group.command(help="How far a move is.\n\n  wattpact gateway status --json")
    @guarded
    def status(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/pairing/move")["items"]
        Output(as_json).many(rows, _MOVE, "Nothing moves.")


def _add_reset(group: typer.Typer, factories: CliFactories) -> None:
    @group.command(
        help="Erase every key of this gateway and what it knows; it becomes a new device without an owner.\n\n"
        "At the gateway itself, while it is stopped. Readings that were not sent are lost. Money under the gateway's "
        "accounts is lost too: withdraw it first.\n\n"
        "  wattpact gateway reset\n\n"
        "  wattpact --data-dir gw gateway reset --yes --mnemonic-file words.txt --json"
    )
    @guarded
    def reset(
        context: typer.Context,
        mnemonic_file: Annotated[
            Path | None, typer.Option(help="Write the new mnemonic into this file instead of showing it.")
        ] = None,
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        config = session_of(context).load()
        if mnemonic_file is None and not sys.stdout.isatty() and not sys.stderr.isatty():
            raise UsageError(
                "The new mnemonic would be written into a pipe or a log.", remedy="Name a file with --mnemonic-file."
            )
        confirm_by_word(
            f"Every key in {config.settings.node.data_dir} is destroyed for good: nothing opens what this gateway\n"
            "wrote, its streams have no writer any more, and money under its accounts is lost.",
            "erase",
            yes,
        )
        passphrase = read_passphrase(config, new=True, what="Passphrase for the new keystore")
        result = factories.reset(config, ResetOptions(passphrase, mnemonic_file))
        output = Output(as_json)
        row = {
            "state": "reset",
            **result.addresses,
            "former": dict(result.former),
            "erased": list(result.erased),
            "left": list(result.left),
            "stays": list(result.stays),
        }
        output.one(row, _RESET)
        output.say("Not reached by a reset:")
        for each in result.stays:
            output.say(f"  {each}")
        if result.mnemonic is not None:
            output.say("Write these words down. They restore this device and are never shown again:")
            output.say(f"\n  {result.mnemonic.get_secret_value()}\n")
        output.say("Next: `wattpact run`, then `wattpact pair new` for a home to claim it.")
