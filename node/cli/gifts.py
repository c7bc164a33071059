"""stream transfer, gifts, accept: a stream goes to another household, which both sign."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, pick, session_of
from node.cli.times import show_time

__all__ = ["add_gift_commands"]

_GIFT: Final[tuple[Column, ...]] = (
    ("sid", "sid"),
    ("name", "name"),
    ("owner", "owner"),
    ("new owner", "new_owner"),
    ("to be accepted by", lambda row: show_time(row["deadline"])),
    ("state", "state"),
)
_GIFTS: Final[tuple[Column, ...]] = (
    ("sid", lambda row: short(row["sid"])),
    ("name", "name"),
    ("owner", lambda row: short(row["owner"])),
    ("new owner", lambda row: short(row["new_owner"])),
    ("to be accepted by", lambda row: show_time(row["deadline"])),
    ("state", "state"),
)


def add_gift_commands(group: typer.Typer) -> None:
    """Adds to the commands of `stream`."""

    @group.command(
        help="Give a stream away to another household (home). "
        "Both sign; the other one runs `wattpact stream accept`.\n\n"
        "All consents on it end, its past is closed for everybody, and this household reads no further. "
        "The gateway goes on writing it, for its new owner.\n\n"
        "  wattpact stream transfer electricity/1s --to https://new-tenant.example"
    )
    @guarded
    def transfer(
        context: typer.Context,
        stream: Annotated[str, typer.Argument(help="Name such as electricity/1s, or sid, or its beginning.")],
        to: Annotated[str, typer.Option(help="Address or mailbox of the other household's node.")],
        owner: Annotated[str | None, typer.Option(help="Wallet expected there.")] = None,
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.get("/streams")["items"], "sid", stream, "stream")
        confirm(f"Give {found.get('name') or found['sid']} away, with its future and without its past?", yes)
        Output(as_json).one(client.post(f"/streams/{found['sid']}/transfer", {"to": to, "owner": owner}), _GIFT)

    @group.command(
        help="Streams that were given to this household, or that it gives away (home).\n\n  wattpact stream gifts"
    )
    @guarded
    def gifts(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/transfers")["items"]
        Output(as_json).many(rows, _GIFTS, "No stream is given away.")

    @group.command(
        help="Become the owner of a stream that another household gives away (home).\n\n"
        "It is read here from the transfer on, and of before nothing.\n\n"
        "  wattpact stream accept electricity/1s"
    )
    @guarded
    def accept(
        context: typer.Context,
        stream: Annotated[str, typer.Argument(help="Name such as electricity/1s, or sid, or its beginning.")],
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.get("/transfers")["items"], "sid", stream, "stream")
        confirm(f"Become the owner of {found['name']}?", yes)
        Output(as_json).one(client.post(f"/streams/{found['sid']}/accept"), _GIFT)
