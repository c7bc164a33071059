"""gateway and gateway move: hand every stream from one gateway machine to another."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, session_of

__all__ = ["add_gateway_commands"]

_MOVE: Final[tuple[Column, ...]] = (("sid", lambda row: short(row["sid"])), ("name", "name"), ("state", "state"))
_PAIRING: Final[tuple[Column, ...]] = (("state", "state"), ("peer", "peer"), ("device", "device_hash"))


def add_gateway_commands(app: typer.Typer) -> None:
    group = typer.Typer(help="Move streams to another gateway (home).", no_args_is_help=True)
    app.add_typer(group, name="gateway")

    @group.command(
        help="Hand every stream to another gateway; the old one stops for good, readers go on.\n\n"
        "  wattpact pair new                                             on the new gateway: a code\n\n"
        "  wattpact gateway move 7-amber-lake --url http://10.0.0.8:8750     on the home\n\n"
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
