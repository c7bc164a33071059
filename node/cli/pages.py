"""open: a one-time link to the node's pages."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from node.cli.output import Column, Output
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import show_time

__all__ = ["add_page_command"]

_LINK: Final[tuple[Column, ...]] = (
    ("open once", "url"),
    ("until", lambda row: show_time(row["expires_at"])),
)


def add_page_command(app: typer.Typer) -> None:
    @app.command(
        name="open",
        help="Print a link that opens the node's pages in a browser, once, within ten minutes.\n\n"
        "  wattpact open\n\n"
        "  wattpact open --scope read      # to look, not to act",
    )
    @guarded
    def open_(
        context: typer.Context,
        scope: Annotated[str, typer.Option(help="What the browser may do: read, consent or admin.")] = "admin",
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        made = client.post("/session-links", {"scope": scope})
        Output(as_json).one({"url": client.url + made["path"], "expires_at": made["expires_at"]}, _LINK)
