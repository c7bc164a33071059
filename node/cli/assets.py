"""asset list, show, set, pause, continue, retire, fund, allow, wallet, withdraw, test-money: the household's assets,
from the home."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.cli.client import ApiClient
from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, pick, session_of
from node.cli.times import parse_time
from node.errors import UsageError

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
_FIELDS: Final = (
    "market", "role", "carrier", "offer_price", "limit_price", "min_offer_wh", "delivery_s", "dashboard", "name",
    "area", "location", "description", "image",
)  # fmt: skip
_PICTURES: Final = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"RIFF", "webp"))
_Device = Annotated[str, typer.Argument(help="Address of the asset's gateway, its beginning, or the asset's name.")]


def add_asset_commands(app: typer.Typer) -> None:
    """The group `asset`."""
    group = typer.Typer(help="Assets of this household: settings, money, what they came to.", no_args_is_help=True)
    app.add_typer(group, name="asset")
    _add_shown(group)
    _add_set(group)
    _add_status(group)
    _add_fund(group)
    _add_wallet(group)
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
        help="Set the paired gateway's asset up, or change it: what is not named stays as it is. Prices in minor units "
        "per kWh.\n\n"
        "  wattpact asset set https://market.example:8750 --role producer --least 200 --lot 500 --name Roof\n\n"
        "  wattpact asset set --least 250 --picture roof.png",
    )
    @guarded
    def set_(
        context: typer.Context,
        market: Annotated[str | None, typer.Argument(help="Address of the market's node.")] = None,
        lot: Annotated[int | None, typer.Option(min=1, help="Smallest offer or request in Wh.")] = None,
        role: Annotated[str | None, typer.Option(help="producer, consumer or prosumer (the default).")] = None,
        carrier: Annotated[str | None, typer.Option(help="electric (the default) or thermal.")] = None,
        least: Annotated[int | None, typer.Option(min=0, help="Least price that it takes.")] = None,
        highest: Annotated[int | None, typer.Option(min=0, help="Highest price that it pays.")] = None,
        delivery: Annotated[int | None, typer.Option(help="Seconds of one delivery; 900 by default.")] = None,
        paused: Annotated[bool | None, typer.Option("--paused/--running", help="Whether it trades.")] = None,
        dashboard: Annotated[
            bool | None, typer.Option("--dashboard/--no-dashboard", help="Show the jobs of the asset's node.")
        ] = None,
        name: Annotated[str | None, typer.Option(help="Your name for it.")] = None,
        area: Annotated[str | None, typer.Option(help="Area, as the market names it.")] = None,
        location: Annotated[str | None, typer.Option(help="Where it stands; for you alone.")] = None,
        description: Annotated[str | None, typer.Option(help="Anything else; for you alone.")] = None,
        picture: Annotated[Path | None, typer.Option(help="Small picture: PNG, JPEG or WebP.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        named = {
            "market": market,
            "role": role,
            "carrier": carrier,
            "offer_price": least,
            "limit_price": highest,
            "min_offer_wh": lot,
            "delivery_s": delivery,
            "running": None if paused is None else not paused,
            "dashboard": dashboard,
            "name": name,
            "area": area,
            "location": location,
            "description": description,
            "image": None if picture is None else _data_url(picture),
        }
        form = _known(client) | {field: value for field, value in named.items() if value is not None}
        if not {"market", "min_offer_wh"} <= form.keys():
            raise UsageError("A new asset needs the address of its market and --lot.")
        Output(as_json).one(client.post("/assets", form), (*_ASSETS, *_SETTINGS))


def _known(client: ApiClient) -> dict[str, Any]:
    """The settings of the paired gateway's asset; the prices of a new one."""
    device = client.get("/pairing").get("peer")
    found = next(
        (each for each in client.get("/assets")["items"] if each["device"] == device and each["status"] != "retired"),
        None,
    )
    if found is None:
        return {"offer_price": 0, "limit_price": 0}
    return {field: found[field] for field in _FIELDS} | {"running": found["status"] == "running"}


def _data_url(picture: Path) -> str:
    """A picture by value. Raises UsageError for a file that is none; how large it may be the node says."""
    try:
        raw = picture.read_bytes()
    except OSError as error:
        raise UsageError(f"{picture} cannot be read ({error.strerror}).") from None
    kind = next((kind for begin, kind in _PICTURES if raw.startswith(begin)), None)
    if kind is None:
        raise UsageError(f"{picture} is no picture that is shown.", remedy="Make a PNG, JPEG or WebP of it.")
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"


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
    @group.command(
        help="Give an asset money of the main wallet. It pays from its market's book: `wattpact market deposit` on the "
        "gateway puts it there.\n\n  wattpact asset fund Roof 5000"
    )
    @guarded
    def fund(
        context: typer.Context,
        device: _Device,
        amount: Annotated[int, typer.Argument(min=1, help="Minor units.")],
        as_json: JsonFlag = False,
    ) -> None:
        path = f"/assets/{_found(context, device)['device']}/fund"
        Output(as_json).one(session_of(context).client().post(path, {"amount": amount}), _ACTION)


def _add_wallet(group: typer.Typer) -> None:
    @group.command(
        help="Send money of the main wallet to any account; what went to a wrong one does not come back.\n\n"
        "  wattpact asset withdraw 0x1234... 5000"
    )
    @guarded
    def withdraw(
        context: typer.Context,
        receiver: Annotated[str, typer.Argument(help="Address of an account.")],
        amount: Annotated[int, typer.Argument(min=1, help="Minor units.")],
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        confirm(f"Send {amount} of the main wallet to {receiver}?", yes)
        form = {"receiver": receiver, "amount": amount}
        Output(as_json).one(session_of(context).client().post("/wallet/withdrawals", form), _ACTION)

    @group.command(
        name="test-money",
        help="Make money from nothing for the main wallet, on a devnet.\n\n  wattpact asset test-money 5000000",
    )
    @guarded
    def test_money(
        context: typer.Context,
        amount: Annotated[int, typer.Argument(min=1, help="Minor units.")],
        as_json: JsonFlag = False,
    ) -> None:
        Output(as_json).one(session_of(context).client().post("/wallet/test-money", {"amount": amount}), _ACTION)


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
        per_contract: Annotated[
            int,
            typer.Option(min=0, help="Minor units for one contract; as much as for a day if none.", show_default=False),
        ] = 0,
        until: Annotated[str, typer.Option(help="Last time at which it may draw.")] = "+30d",
        total: Annotated[
            int | None,
            typer.Option(
                min=0,
                help="Minor units that the token lets go for all assets together; if none, as now or a day's.",
                show_default=False,
            ),
        ] = None,
        as_json: JsonFlag = False,
    ) -> None:
        found = _found(context, device)
        form = {
            "account": found["account"],
            "operator": found["operator"],
            "per_day": per_day,
            "per_contract": per_contract or per_day,
            "valid_until": parse_time(until, int(time.time()), "--until"),
            **({} if total is None else {"total": total}),
        }
        Output(as_json).one(session_of(context).client().post("/market/allowances", form), _ACTION)
