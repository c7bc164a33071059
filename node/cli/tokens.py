"""token create, list, revoke: access of programs to this node."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from node.cli.output import Column, Output
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import show_time
from node.errors import UsageError

__all__ = ["add_token_commands"]

_SCOPES: Final = "read, consent, admin, events:read, webhooks:manage or asset:meter; may be repeated."
_TOKENS: Final[tuple[Column, ...]] = (
    ("id", "id"),
    ("name", "name"),
    ("scopes", "scopes"),
    ("made", lambda row: show_time(row.get("created_at"))),
    ("ends", lambda row: show_time(row.get("expires_at")) or "never"),
    ("token", "token"),
)


def add_token_commands(app: typer.Typer) -> None:
    group = typer.Typer(help="Bearer tokens for programs.", no_args_is_help=True)
    app.add_typer(group, name="token")

    @group.command(help="A new token; its text is shown this once.\n\n  wattpact token create dashboard --scope read")
    @guarded
    def create(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help="What it is for.")],
        scope: Annotated[
            list[str] | None,
            typer.Option(help=_SCOPES),
        ] = None,
        days: Annotated[int | None, typer.Option(min=1, max=3_650, help="Ends after so many days.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        body = {"name": name, "scopes": scope or ["read"], "lifetime_s": days * 86_400 if days else None}
        Output(as_json).one(session_of(context).client().post("/tokens", body), _TOKENS)

    @group.command(name="list", help="Tokens, without their text.\n\n  wattpact token list --json")
    @guarded
    def list_tokens(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/tokens")["items"]
        Output(as_json).many(rows, _TOKENS[:-1], "There are no tokens besides the local one.")

    @group.command(help="End a token at once.\n\n  wattpact token revoke 3fa1c2d40b11")
    @guarded
    def revoke(
        context: typer.Context, token_id: Annotated[str, typer.Argument(help="Id.")], as_json: JsonFlag = False
    ) -> None:
        if not re.fullmatch(r"[0-9a-f]{1,64}", token_id):
            raise UsageError("A token's id is hexadecimal.", remedy="`wattpact token list` shows ids.")
        session_of(context).client().delete(f"/tokens/{token_id}")
        Output(as_json).one({"id": token_id, "state": "revoked"}, (("token", "id"), ("state", "state")))
