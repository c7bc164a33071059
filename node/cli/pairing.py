"""pair and unpair: a home and its gateway."""

from __future__ import annotations

import io
from typing import Annotated, Final

import segno
import typer

from node.cli.output import Column, Output
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, session_of
from node.cli.times import show_time

__all__ = ["add_pairing_commands"]

_PAIRING: Final[tuple[Column, ...]] = (
    ("state", "state"),
    ("peer", "peer"),
    ("device", "device_hash"),
    ("since", lambda row: show_time(row.get("since"))),
    ("tries left", "tries_left"),
    ("code valid until", lambda row: show_time(row.get("code_expires_at"))),
    ("streams", "streams"),
)
_CODE: Final[tuple[Column, ...]] = (
    ("code", lambda row: row["code"] if row["url"] else f"{row['code']} (with --url, in this network only)"),
    ("gateway", lambda row: row["url"] or "over the broker, by the QR code"),
    ("text of the QR code", "qr"),
    ("valid until", lambda row: show_time(row.get("expires_at"))),
)
_ACTION: Final[tuple[Column, ...]] = (("state", "state"), ("digest", "digest"), ("transaction", "transaction"))


def add_pairing_commands(app: typer.Typer) -> None:
    @app.command(
        help="Pair a home with its gateway; without a code, show how things stand.\n\n"
        "On the gateway, a new code:\n\n"
        "  wattpact pair new\n\n"
        "On the home, in the gateway's network, the typed code:\n\n"
        "  wattpact pair K7PM-3XQD --url http://10.0.0.7:8750\n\n"
        "On the home, the text of the QR code. Where no node can reach the gateway (node.outbound_only) it has no "
        "address, and both meet over the broker:\n\n"
        "  wattpact pair 'WATTPACT-PAIR:1:...'"
    )
    @guarded
    def pair(
        context: typer.Context,
        code: Annotated[str | None, typer.Argument(help="Code, text of the QR code, or `new`.")] = None,
        url: Annotated[str | None, typer.Option(help="Address of the gateway, with a typed code.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        output = Output(as_json)
        if code is None:
            output.one(client.get("/pairing"), _PAIRING)
        elif code == "new":
            made = client.post("/pairing/code")
            if not as_json:
                output.text(_qr(made["qr"]))
            output.one(made, _CODE)
        else:
            found = client.post("/pairing", {"code": code, "url": url})
            output.say("Pairing; the registry has to confirm it, which takes some blocks.")
            output.one(found, _PAIRING)

    @app.command(
        help="End the pairing. The gateway can write nothing from the block that holds it.\n\n  wattpact unpair --yes"
    )
    @guarded
    def unpair(context: typer.Context, yes: YesFlag = False, as_json: JsonFlag = False) -> None:
        client = session_of(context).client()
        confirm("Unpair? The gateway's streams get no writer until it is paired again.", yes)
        Output(as_json).one(client.delete("/pairing"), _ACTION)


def _qr(text: str) -> str:
    target = io.StringIO()
    segno.make(text, micro=False).terminal(target, compact=True)
    return target.getvalue()
