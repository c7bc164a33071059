"""market follow: order book and prices as they move, a line for each time of delivery that moved."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from node.cli.output import Output
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import show_time
from node.errors import NodeError

__all__ = ["add_live_command"]


class _Enough(NodeError):
    """As many lines as were asked for."""


def add_live_command(market: typer.Typer) -> None:
    """Adds `follow` to the commands of the market."""

    @market.command(
        help="Order book and prices as they move (market): first every open delivery, then what moves.\n\n"
        "  wattpact market follow\n\n"
        "  wattpact market follow --limit 1 --json"
    )
    @guarded
    def follow(
        context: typer.Context,
        limit: Annotated[int | None, typer.Option(min=1, help="End after so many lines.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        output, left = Output(as_json), limit

        def take(message: dict[str, Any]) -> None:
            nonlocal left
            if message["type"] != "slot":
                return
            slot = message["slot"]
            output.text(json.dumps(slot, separators=(",", ":")) if as_json else _line(slot))
            sys.stdout.flush()  # whoever reads it through a pipe sees it as it comes
            if left is not None:
                left -= 1
                if not left:
                    raise _Enough("")

        try:
            session_of(context).client().follow("/market/live", {}, take)
        except _Enough:
            return


def _line(slot: Mapping[str, Any]) -> str:
    prices = slot["prices"]
    traded = f", traded {prices['wh']} Wh at {prices['mean']} on average" if prices else ""
    sides = ", ".join(_side(name, slot[name]) for name in ("offers", "requests"))
    return f"{show_time(slot['start'])} to {show_time(slot['end'])}: {sides}{traded}"


def _side(name: str, levels: list[Mapping[str, Any]]) -> str:
    if not levels:
        return f"no {name}"
    return f"{name} {sum(level['wh'] for level in levels)} Wh, best at {levels[0]['price']}"
