"""market net days, contracts, left, mandate, deposit: contracts that are netted, one sum a day for each member."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import parse_time, show_time

__all__ = ["add_netting_commands"]

_DAYS: Final[tuple[Column, ...]] = (
    ("day", "day"),
    ("state", "state"),
    ("contracts", "contracts"),
    ("lines", "lines"),
    ("left out", "left"),
    ("moves", "total"),
    ("deposit lacks", "deposit_short"),
)
_CONTRACTS: Final[tuple[Column, ...]] = (
    ("id", lambda row: short(row["id"])),
    ("delivery", lambda row: f"{show_time(row['start'])} to {show_time(row['end'])}"),
    ("energy", lambda row: f"{row['wh']} Wh"),
    ("price per kWh", "price"),
    ("reported", lambda row: "" if row["reported_wh"] is None else f"{row['reported_wh']} Wh"),
    ("counts", lambda row: "" if row["delivered_wh"] is None else f"{row['delivered_wh']} Wh"),
    ("due", "due"),
)
_LEFT: Final[tuple[Column, ...]] = (
    ("id", lambda row: short(row["id"])),
    ("day", "day"),
    ("amount", "amount"),
    ("owed", "owed"),
    ("reminders", lambda row: "claimed" if row["claimed"] else row["reminders"]),
    ("state", "state"),
    ("contract", lambda row: short(row["contract"]) if row["contract"] else ""),
    ("waits", "waits"),
    ("waits until", lambda row: show_time(row["until"])),
)
_ACTION: Final[tuple[Column, ...]] = (("state", "state"), ("digest", "digest"))
_Market = Annotated[str, typer.Option("--market", help="Address of the market's node.")]


def add_netting_commands(market: typer.Typer) -> None:
    """The group `market net`."""
    net = typer.Typer(help="Contracts that are netted: one sum a day for each member.", no_args_is_help=True)
    market.add_typer(net, name="net")

    @net.command(help="Days and their batches (market).\n\n  wattpact market net days")
    @guarded
    def days(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/market/netting/days")["items"]
        Output(as_json).many(rows, _DAYS, "Nothing was netted yet.")

    @net.command(help="Contracts that are netted (market, gateway).\n\n  wattpact market net contracts")
    @guarded
    def contracts(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/market/netting/contracts")["items"]
        Output(as_json).many(rows, _CONTRACTS, "No contracts are netted.")

    @net.command(help="Lines that the netting left out (market, gateway).\n\n  wattpact market net left")
    @guarded
    def left(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/market/netting/left")["items"]
        Output(as_json).many(rows, _LEFT, "Nothing was left out.")

    @net.command(
        help="Let a market take up to so much a day of this asset's deposit; 0 revokes (gateway).\n\n"
        "  wattpact market net mandate 50000 --until +30d --market https://market.example:8750"
    )
    @guarded
    def mandate(
        context: typer.Context,
        most_a_day: Annotated[int, typer.Argument(min=0, help="Minor units.")],
        market_url: _Market,
        until: Annotated[str, typer.Option(help="Last time at which it holds.")] = "+30d",
        as_json: JsonFlag = False,
    ) -> None:
        ends = parse_time(until, int(time.time()), "--until")
        form = {"market": market_url, "most_a_day": most_a_day, "valid_until": ends}
        Output(as_json).one(session_of(context).client().post("/market/netting/mandates", form), _ACTION)

    @net.command(
        help="Put money of this asset into a market's book of the net settlement (gateway); at a market, money of its "
        "operator into its own.\n\n"
        "  wattpact market net deposit 500000 --market https://market.example:8750\n\n"
        "  wattpact market net deposit 500000"
    )
    @guarded
    def deposit(
        context: typer.Context,
        amount: Annotated[int, typer.Argument(min=1, help="Minor units.")],
        market_url: Annotated[
            str | None, typer.Option("--market", help="Address of a market's node; its own if none.")
        ] = None,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        form = {"market": market_url or client.url, "amount": amount}
        Output(as_json).one(client.post("/market/netting/deposits", form), _ACTION)
