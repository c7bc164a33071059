"""config check, show, sample, schema."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from node.cli.output import Column, Output
from node.cli.session import JsonFlag, guarded, session_of
from node.config import InvalidConfig, Problem, effective, json_schema, lacking_settings, sample

__all__ = ["add_config_commands"]

_ROWS: Final[tuple[Column, ...]] = (("setting", "key"), ("value", "value"))
_PROBLEMS: Final[tuple[Column, ...]] = (
    ("place", "place"),
    ("key", "key"),
    ("problem", "message"),
    ("remedy", "remedy"),
)


def add_config_commands(app: typer.Typer) -> None:
    group = typer.Typer(help="The configuration: file, then environment, then flags.", no_args_is_help=True)
    app.add_typer(group, name="config")

    @group.command(
        help="Name every error with its place; exit code 3 if there is one.\n\n  wattpact config check --json"
    )
    @guarded
    def check(context: typer.Context, as_json: JsonFlag = False) -> None:
        output = Output(as_json)
        try:
            loaded = session_of(context).load()
            place = str(loaded.path or "the environment")
            lacking = lacking_settings(loaded.settings)
            if lacking:
                raise InvalidConfig(
                    tuple(Problem(place, key, f"is missing: {why[:-1]}", "Set it") for key, why in lacking)
                )
        except InvalidConfig as error:
            if not as_json:
                raise
            rows = [{"place": p.place, "key": p.key, "message": p.message, "remedy": p.remedy} for p in error.problems]
            output.many(rows, _PROBLEMS, "")
            raise typer.Exit(int(error.exit_code)) from None
        if not as_json:
            output.say(f"{loaded.path or 'The environment'}: no problems.")

    @group.command(help="What is in force; secrets are not shown.\n\n  wattpact config show --origin")
    @guarded
    def show(
        context: typer.Context,
        origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        rows = effective(session_of(context).load())
        if not origin:
            rows = [{"key": row["key"], "value": row["value"]} for row in rows]
        Output(as_json).many(rows, (*_ROWS, ("from", "origin")) if origin else _ROWS, "")

    @group.command(name="sample", help="A file with every setting.\n\n  wattpact config sample > wattpact.toml")
    @guarded
    def show_sample() -> None:
        Output(False).text(sample())

    @group.command(help="JSON schema of the file, for editors.\n\n  wattpact config schema > wattpact.schema.json")
    @guarded
    def schema() -> None:
        Output(False).document(json_schema())
