"""market twin: the digital twin of a contract beside database and chain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from node.cli.lifecycle import found_contract
from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import show_time
from node.errors import ExitCode

__all__ = ["add_twin_commands"]

_HELP: Final = """The digital twin of a contract: every party's log, compared with database and chain.

  wattpact market twin 0x1f976f

Ends with 1 where the copies differ.
"""
_ENTRIES: Final[tuple[Column, ...]] = (
    ("party", "party"),
    ("entry", lambda row: str(row["seq"])),
    ("at", lambda row: show_time(row["at"])),
    ("event", lambda row: row["message"].get("status") or row["message"].get("event", "not readable")),
    ("says", lambda row: _says(row["message"])),
    ("block", lambda row: row["message"].get("block", "")),
    ("on chain", "on_chain"),
    ("anchored in", lambda row: row["anchored"] or ""),
    ("signature", lambda row: short(row["signature"])),
)


def _says(message: Mapping[str, Any]) -> str:
    energy, money = message.get("wh"), message.get("amount")
    parts = [f"{energy} Wh" if energy is not None else "", f"{money} owed or paid" if money else ""]
    return ", ".join(part for part in parts if part)


def add_twin_commands(market: typer.Typer) -> None:
    """Adds `twin` to the commands of the market."""

    @market.command(help=_HELP)
    @guarded
    def twin(
        context: typer.Context,
        contract: Annotated[str, typer.Argument(help="Contract id, or its beginning.")],
        as_json: JsonFlag = False,
    ) -> None:
        client, output = session_of(context).client(), Output(as_json)
        found = client.get(f"/market/trades/{found_contract(client, contract)}/twin")
        if as_json:
            output.document(found)
        else:
            _show(output, found)
        if not found["agrees"]:
            raise typer.Exit(int(ExitCode.FAILED))


def _show(output: Output, found: Mapping[str, Any]) -> None:
    names = list(dict.fromkeys(name for each in found["fields"] for name in each["values"]))
    columns: list[Column] = [("field", "field")]
    columns += [(name, _cell(name)) for name in names]
    output.many(found["fields"], [*columns, ("agrees", "agrees")], "Nothing is known of this contract.")
    output.many(found["entries"], _ENTRIES, "Nobody has written anything yet.")
    if found["fork"] is not None:
        output.say(
            f"{short(found['fork']['author'])} signed two entries that contradict each other; --json shows both."
        )
    for gap in found["missing"]:
        output.say(f"Missing here: entries of the {gap}.")
    for root in found["unproven"]:
        output.say(f"The market named the root {short(root)}, and the chain does not have it.")
    for pair in found["contradicted"]:
        output.say(f"Entries {pair} do not know the same: one of the two parties lies.")
    if found["damage"]:
        output.say(f"The logs that are stored here cannot be read: {found['damage']}")
    output.say("All copies agree." if found["agrees"] else "The copies differ.")


def _cell(name: str) -> Any:
    return lambda row: short(row["values"].get(name, ""))
