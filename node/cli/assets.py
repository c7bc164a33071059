"""asset list, show, set, pause, continue, retire, fund, allow, wallet: the household's assets, from the home."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, pick, session_of
from node.cli.times import parse_time

__all__ = ["add_asset_commands"]

_ASSETS: Final[tuple[Column, ...]] = (
    ("device", lambda row: short(row["device"])),
    ("name", "name"),
    ("type", "role"),
    ("carrier", "carrier"),
    ("in the book", "balance"),
    ("wallet", "wallet"),
    ("status", "status"),
)
_SETTINGS: Final[tuple[Column, ...]] = (
    ("market", "market"),
    ("account", "account"),
    ("least price", "offer_price"),
    ("highest price", "limit_price"),
    ("smallest lot", lambda row: f"{row['min_offer_wh']} Wh"),
    ("jobs shown", "dashboard"),
    ("area", "area"),
    ("location", "location"),
    ("description", "description"),
)
_TOTALS: Final[tuple[Column, ...]] = (
    ("contracts", "contracts"),
    ("produced", lambda row: f"{row['produced_wh']} Wh"),
    ("consumed", lambda row: f"{row['consumed_wh']} Wh"),
    ("income", "income"),
    ("cost", "cost"),
    ("mean price per kWh", "mean_price"),
)
_WALLET: Final[tuple[Column, ...]] = (("account", "account"), ("balance", "balance"))
_ACTION: Final[tuple[Column, ...]] = (("state", "state"), ("digest", "digest"))
_Device = Annotated[str, typer.Argument(help="Address of the asset's gateway, its beginning, or the asset's name.")]


def add_asset_commands(app: typer.Typer) -> None:
    """The group `asset`."""
    group = typer.Typer(help="Assets of this household: settings, money, what they came to.", no_args_is_help=True)
    app.add_typer(group, name="asset")
    _add_shown(group)
    _add_set(group)
    _add_status(group)
    _add_fund(group)
    _add_allow(group)


def _found(context: typer.Context, device: str) -> Mapping[str, Any]:
    items = session_of(context).client().get("/assets")["items"]
    return pick(items, "device", device, "asset", "wattpact asset list")


def _add_shown(group: typer.Typer) -> None:
    @group.command(name="list", help="All assets of this household.\n\n  wattpact asset list")
    @guarded
    def list_assets(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/assets")["items"]
        Output(as_json).many(rows, _ASSETS, "No asset is set up. `wattpact asset set --help` tells how.")

    @group.command(help="One asset, its settings, and what its contracts came to.\n\n  wattpact asset show Roof")
    @guarded
    def show(context: typer.Context, device: _Device, as_json: JsonFlag = False) -> None:
        found = session_of(context).client().get(f"/assets/{_found(context, device)['device']}")
        output = Output(as_json)
        output.one(found, (*_ASSETS, *_SETTINGS))
        if not as_json and found["totals"] is not None:
            output.one(found["totals"], _TOTALS)

    @group.command(help="The household's main wallet.\n\n  wattpact asset wallet")
    @guarded
    def wallet(context: typer.Context, as_json: JsonFlag = False) -> None:
        Output(as_json).one(session_of(context).client().get("/wallet"), _WALLET)


def _add_set(group: typer.Typer) -> None:
    @group.command(
        name="set",
        help="Set the paired gateway's asset up, or change it. Prices in minor units per kWh.\n\n"
        "  wattpact asset set https://market.example:8750 --role producer --least 200 --lot 500 --name Roof",
    )
    @guarded
    def set_(
        context: typer.Context,
        market: Annotated[str, typer.Argument(help="Address of the market's node.")],
        lot: Annotated[int, typer.Option(min=1, help="Smallest offer or request in Wh.")],
        role: Annotated[str, typer.Option(help="producer, consumer or prosumer.")] = "prosumer",
        carrier: Annotated[str, typer.Option(help="electric or thermal.")] = "electric",
        least: Annotated[int, typer.Option(min=0, help="Least price that it takes.")] = 0,
        highest: Annotated[int, typer.Option(min=0, help="Highest price that it pays.")] = 0,
        delivery: Annotated[int, typer.Option(help="Seconds of one delivery.")] = 900,
        paused: Annotated[bool, typer.Option("--paused", help="Do not trade yet.")] = False,
        dashboard: Annotated[bool, typer.Option("--dashboard", help="Show the jobs of the asset's node.")] = False,
        name: Annotated[str, typer.Option(help="Your name for it.")] = "",
        area: Annotated[str, typer.Option(help="Area, as the market names it.")] = "",
        location: Annotated[str, typer.Option(help="Where it stands; for you alone.")] = "",
        description: Annotated[str, typer.Option(help="Anything else; for you alone.")] = "",
        as_json: JsonFlag = False,
    ) -> None:
        form = {
            "market": market,
            "role": role,
            "carrier": carrier,
            "offer_price": least,
            "limit_price": highest,
            "min_offer_wh": lot,
            "delivery_s": delivery,
            "running": not paused,
            "dashboard": dashboard,
            "name": name,
            "area": area,
            "location": location,
            "description": description,
        }
        Output(as_json).one(session_of(context).client().post("/assets", form), (*_ASSETS, *_SETTINGS))


def _add_status(group: typer.Typer) -> None:
    def change(context: typer.Context, device: str, action: str, as_json: bool) -> None:
        path = f"/assets/{_found(context, device)['device']}/{action}"
        Output(as_json).one(session_of(context).client().post(path), _ASSETS)

    @group.command(help="It offers and asks for nothing more.\n\n  wattpact asset pause Roof")
    @guarded
    def pause(context: typer.Context, device: _Device, as_json: JsonFlag = False) -> None:
        change(context, device, "pause", as_json)

    @group.command(name="continue", help="It trades again.\n\n  wattpact asset continue Roof")
    @guarded
    def continue_(context: typer.Context, device: _Device, as_json: JsonFlag = False) -> None:
        change(context, device, "continue", as_json)

    @group.command(
        help="It is over for good. Name, place and description are erased; contracts stay provable.\n\n"
        "  wattpact asset retire Roof"
    )
    @guarded
    def retire(context: typer.Context, device: _Device, yes: YesFlag = False, as_json: JsonFlag = False) -> None:
        found = _found(context, device)
        confirm(f"Retire {found['name'] or found['device']} for good and erase what you wrote about it?", yes)
        change(context, found["device"], "retire", as_json)


def _add_fund(group: typer.Typer) -> None:
    @group.command(help="Give an asset money of the main wallet.\n\n  wattpact asset fund Roof 5000")
    @guarded
    def fund(
        context: typer.Context,
        device: _Device,
        amount: Annotated[int, typer.Argument(min=1, help="Minor units.")],
        as_json: JsonFlag = False,
    ) -> None:
        path = f"/assets/{_found(context, device)['device']}/fund"
        Output(as_json).one(session_of(context).client().post(path, {"amount": amount}), _ACTION)


def _add_allow(group: typer.Typer) -> None:
    @group.command(
        help="Let an asset draw money from the main wallet for its contracts, within caps; 0 a day ends it.\n\n"
        "  wattpact asset allow Roof 50000 --per-contract 5000 --until +30d --total 500000"
    )
    @guarded
    def allow(
        context: typer.Context,
        device: _Device,
        per_day: Annotated[int, typer.Argument(min=0, help="Minor units a day.")],
        per_contract: Annotated[int, typer.Option(min=0, help="Minor units for one contract.")] = 0,
        until: Annotated[str, typer.Option(help="Last time at which it may draw.")] = "+30d",
        total: Annotated[int, typer.Option(min=0, help="What the token lets go for all assets together.")] = 0,
        as_json: JsonFlag = False,
    ) -> None:
        found = _found(context, device)
        form = {
            "account": found["account"],
            "operator": found["operator"],
            "per_day": per_day,
            "per_contract": per_contract or per_day,
            "valid_until": parse_time(until, int(time.time()), "--until"),
            "total": total or per_day,
        }
        Output(as_json).one(session_of(context).client().post("/market/allowances", form), _ACTION)
