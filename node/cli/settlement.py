"""energy and market: sources and their shares, offers, requests and contracts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from node.cli.lifecycle import add_lifecycle_commands
from node.cli.livemarket import add_live_command
from node.cli.netting import add_netting_commands
from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, session_of
from node.cli.times import parse_time, show_time
from node.cli.twins import add_twin_commands
from node.errors import UsageError

__all__ = ["add_settlement_commands"]


def _kwh(unit: str) -> Any:
    """A column of mWh or Wh as kWh with three decimals, without a float in between."""
    per_wh = 1_000 if unit.endswith("mwh") else 1

    def show(row: Mapping[str, Any]) -> str:
        wh = int(row[unit]) // per_wh
        return f"{wh // 1_000}.{wh % 1_000:03d} kWh"

    return show


_ENERGY: Final[tuple[Column, ...]] = (
    ("token", "token"),
    ("account", "account"),
    ("balance", _kwh("balance_mwh")),
    ("made by all", _kwh("supply_mwh")),
)
_SOURCES: Final[tuple[Column, ...]] = (
    ("source", lambda row: str(row["source"])),
    ("state", "state"),
    ("owner", lambda row: short(row["owner"])),
    ("readings", "readings"),
    ("minted", _kwh("minted_mwh")),
    ("my shares", "shares"),
    ("to claim", _kwh("claimable_mwh")),
)
_ASKED: Final[tuple[Column, ...]] = (
    ("source", lambda row: str(row["source"])),
    ("waits for", "waits_for"),
    ("owner", lambda row: short(row["owner"])),
    ("power", lambda row: f"{row['max_power_w']} W"),
    ("shares", "shares"),
)
_ACTION: Final[tuple[Column, ...]] = (("state", "state"), ("digest", "digest"))
_ORDERS: Final[tuple[Column, ...]] = (
    ("id", lambda row: short(row["id"])),
    ("side", "side"),
    ("state", lambda row: ": ".join(filter(None, (row["state"], row.get("reason") or row.get("waits"))))),
    ("energy", lambda row: f"{row['wh']} Wh"),
    ("filled", lambda row: f"{row['filled_wh']} Wh"),
    ("price per kWh", "price"),
    ("delivery", lambda row: f"{show_time(row['start'])} to {show_time(row['end'])}"),
    ("since", lambda row: show_time(row["timestamp"]) if row.get("timestamp") else ""),
)
_ACCOUNTS: Final[tuple[Column, ...]] = (
    ("market", lambda row: short(row["operator"])),
    ("account", "account"),
    ("wallet", "wallet"),
    ("in the book", "balance"),
)
_LEVELS: Final[tuple[Column, ...]] = (
    ("delivery", "delivery"),
    ("side", "side"),
    ("price per kWh", "price"),
    ("energy", lambda row: f"{row['wh']} Wh"),
    ("orders", "orders"),
)


_FLOWS: Final[tuple[Column, ...]] = (
    ("from", lambda row: show_time(row["start"])),
    ("member", lambda row: short(row["member"]) if "member" in row else "all"),
    ("made", _kwh("produced_wh")),
    ("used", _kwh("consumed_wh")),
    ("of it green", _kwh("green_wh")),
    ("from the grid", _kwh("import_wh")),
    ("into the grid", _kwh("export_wh")),
    ("missing", lambda row: row.get("missing") or ""),
)


_PAIRS: Final[tuple[Column, ...]] = (
    ("from", lambda row: show_time(row["start"])),
    ("made by", "producer"),
    ("used by", "consumer"),
    ("energy", _kwh("wh")),
)


def add_settlement_commands(app: typer.Typer) -> None:
    """The groups `energy` and `market`."""
    energy = typer.Typer(help="Sources of energy, their readings and shares.", no_args_is_help=True)
    market = typer.Typer(help="Offers, requests and contracts.", no_args_is_help=True)
    app.add_typer(energy, name="energy")
    app.add_typer(market, name="market")
    _add_energy(energy)
    _add_shares(energy)
    _add_flows(energy)
    _add_orders(market)
    _add_book(market)
    _add_money(market)
    add_lifecycle_commands(market)
    add_netting_commands(market)
    add_twin_commands(market)
    add_live_command(market)


def _add_energy(energy: typer.Typer) -> None:
    @energy.command(help="Sources, what they made, and what is yours.\n\n  wattpact energy show")
    @guarded
    def show(context: typer.Context, as_json: JsonFlag = False) -> None:
        found = session_of(context).client().get("/energy")
        output = Output(as_json)
        output.one(found, _ENERGY)
        if not as_json:
            output.many(found["sources"], _SOURCES, "No source is registered.")
            if found["asked"]:
                output.many(found["asked"], _ASKED, "")

    @energy.command(
        help="Propose this gateway's meter as a source of a community.\n\n"
        "  wattpact energy propose https://community.example:8750 --max-power 6000"
    )
    @guarded
    def propose(
        context: typer.Context,
        community: Annotated[str, typer.Argument(help="Address of the community's node.")],
        max_power: Annotated[int, typer.Option("--max-power", help="Greatest power in W.")],
        shares: Annotated[int, typer.Option(help="Shares of the source; its owner gets them.")] = 1_000_000,
        as_json: JsonFlag = False,
    ) -> None:
        form = {"community": community, "max_power_w": max_power, "shares": shares}
        made = session_of(context).client().post("/energy/sources", form)
        Output(as_json).one(made, (("source", lambda row: str(row["source"])),))

    @energy.command(help="Say yes to a source that your gateway proposed (home).\n\n  wattpact energy accept 81927")
    @guarded
    def accept(context: typer.Context, source: int, as_json: JsonFlag = False) -> None:
        session_of(context).client().post(f"/energy/sources/{source}/accept")
        Output(as_json).one({"source": source, "state": "sent to the community"}, (("state", "state"),))

    @energy.command(help="Admit a source (community).\n\n  wattpact energy approve 81927")
    @guarded
    def approve(context: typer.Context, source: int, as_json: JsonFlag = False) -> None:
        Output(as_json).one(session_of(context).client().post(f"/energy/sources/{source}/approve"), _ACTION)


def _add_shares(energy: typer.Typer) -> None:
    @energy.command(
        help="Send shares of a source; what they earned so far stays yours.\n\n"
        "  wattpact energy share 81927 0x1234... 250000"
    )
    @guarded
    def share(
        context: typer.Context, source: int, receiver: str, shares: int, yes: YesFlag = False, as_json: JsonFlag = False
    ) -> None:
        confirm(f"Send {shares} shares of source {source} to {receiver}?", yes)
        form = {"source": source, "receiver": receiver, "shares": shares}
        Output(as_json).one(session_of(context).client().post("/energy/shares", form), _ACTION)

    @energy.command(help="Claim what your shares earned.\n\n  wattpact energy claim 81927")
    @guarded
    def claim(context: typer.Context, source: int, as_json: JsonFlag = False) -> None:
        Output(as_json).one(session_of(context).client().post(f"/energy/sources/{source}/claim"), _ACTION)


def _add_flows(energy: typer.Typer) -> None:
    @energy.command(
        help="Who used whose production, of the households that this community reads.\n\n"
        "  wattpact energy flows --from -30d\n\n"
        "  wattpact energy flows --from -30d --by month --pairs\n\n"
        "  wattpact energy flows --from 2026-01-01 --to 2027-01-01 --by month --json"
    )
    @guarded
    def flows(
        context: typer.Context,
        begin: Annotated[str, typer.Option("--from", help="First quarter of an hour.")],
        end: Annotated[str, typer.Option("--to", help="Time to stop before.")] = "now",
        by: Annotated[str, typer.Option(help="quarter, day, month or year.")] = "day",
        member: Annotated[str | None, typer.Option(help="Only this member beside the community.")] = None,
        pairs: Annotated[bool, typer.Option("--pairs", help="Also who used whose; not by quarter.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        now = int(time.time())
        first, last = parse_time(begin, now, "--from"), parse_time(end, now, "--to")
        more = {"pairs": "yes"} if pairs else {}
        found = session_of(context).client().get("/energy/flows", from_=first, to=last, by=by, member=member, **more)
        if as_json:
            Output(True).many(found["items"], _FLOWS, "")
            return
        rows = [row for item in found["items"] for row in (item, *({**item, **each} for each in item["members"]))]
        Output(False).many(rows, _FLOWS, "No quarter hours of members in this time.")
        if pairs:
            used = [{"start": item["start"], **each} for item in found["items"] for each in item["pairs"]]
            Output(False).many(used, _PAIRS, "Nobody used what members made.")


def _add_orders(market: typer.Typer) -> None:
    @market.command(
        help="Offer or request energy for a time of delivery (gateway). Prices in minor units per kWh.\n\n"
        "  wattpact market order offer 1500 200 --market https://market.example:8750 --from +15m --until +30m\n\n"
        "  wattpact market order request 800 250 --market https://market.example:8750 --from +15m --until +30m "
        "--energy thermal --takes-energy thermal"
    )
    @guarded
    def order(
        context: typer.Context,
        side: Annotated[str, typer.Argument(help="offer or request")],
        wh: Annotated[int, typer.Argument(help="Energy in Wh.")],
        price: Annotated[int, typer.Argument(help="Least price of an offer, highest of a request.")],
        market_url: Annotated[str, typer.Option("--market", help="Address of the market's node.")],
        begin: Annotated[str, typer.Option("--from", help="Begin of the delivery.")],
        end: Annotated[str, typer.Option("--until", help="End of the delivery.")],
        valid: Annotated[
            str | None, typer.Option("--valid-until", help="Not matched after; by default settlement.offer_ttl_s.")
        ] = None,
        partner: Annotated[str | None, typer.Option(help="The only account that it may be matched with.")] = None,
        area: Annotated[str | None, typer.Option(help="Where it is, as the market names its areas.")] = None,
        energy: Annotated[str | None, typer.Option(help="Kind of energy, as the market names them.")] = None,
        partners: Annotated[
            list[str] | None, typer.Option("--takes", help="An account that it takes; more than once.")
        ] = None,
        areas: Annotated[list[str] | None, typer.Option("--takes-area", help="An area that it takes.")] = None,
        energies: Annotated[
            list[str] | None, typer.Option("--takes-energy", help="A kind of energy that it takes.")
        ] = None,
        as_json: JsonFlag = False,
    ) -> None:
        if side not in ("offer", "request"):
            raise UsageError(f"{side} is neither offer nor request.", remedy="Write offer or request first.")
        now = int(time.time())
        form: dict[str, Any] = {
            "market": market_url,
            "side": side,
            "wh": wh,
            "price": price,
            "start": parse_time(begin, now, "--from"),
            "end": parse_time(end, now, "--until"),
            "valid_until": None if valid is None else parse_time(valid, now, "--valid-until"),
            "partner": partner,
            "area": area,
            "energy": energy,
        }
        takes = {"partners": partners or [], "areas": areas or [], "energies": energies or []}
        form["conditions"] = [takes] if any(takes.values()) else []
        Output(as_json).one(session_of(context).client().post("/market/orders", form), _ORDERS)


def _add_book(market: typer.Typer) -> None:
    @market.command(help="Offers and requests.\n\n  wattpact market orders --json")
    @guarded
    def orders(context: typer.Context, as_json: JsonFlag = False) -> None:
        found = session_of(context).client().items("/market/orders")
        Output(as_json).many(found, _ORDERS, "No offers or requests.")

    @market.command(help="The order book (market).\n\n  wattpact market book")
    @guarded
    def book(context: typer.Context, as_json: JsonFlag = False) -> None:
        slots = session_of(context).client().get("/market/book")["items"]
        rows = [
            {"delivery": f"{show_time(slot['start'])} to {show_time(slot['end'])}", "side": side[:-1], **level}
            for slot in slots
            for side in ("offers", "requests")
            for level in slot[side]
        ]
        Output(as_json).many(rows, _LEVELS, "The book is empty.")


def _add_money(market: typer.Typer) -> None:
    @market.command(
        help="Put money of this gateway's asset into a market's book (gateway).\n\n"
        "  wattpact market deposit 5000000 --market https://market.example:8750"
    )
    @guarded
    def deposit(
        context: typer.Context,
        amount: Annotated[int, typer.Argument(help="Minor units.")],
        market_url: Annotated[str, typer.Option("--market", help="Address of the market's node.")],
        as_json: JsonFlag = False,
    ) -> None:
        form = {"market": market_url, "amount": amount}
        Output(as_json).one(session_of(context).client().post("/market/deposits", form), _ACTION)

    @market.command(
        help="Trade in a market: this asset gets an account there.\n\n  wattpact market join https://market.example:8750"
    )
    @guarded
    def join(
        context: typer.Context,
        market_url: Annotated[str, typer.Argument(help="Address of the market's node.")],
        as_json: JsonFlag = False,
    ) -> None:
        found = session_of(context).client().post("/market/accounts", {"market": market_url})
        Output(as_json).one(found, _ACCOUNTS)

    @market.command(help="Accounts and money of this gateway's asset.\n\n  wattpact market accounts")
    @guarded
    def accounts(context: typer.Context, as_json: JsonFlag = False) -> None:
        Output(as_json).many(
            session_of(context).client().get("/market/accounts")["items"], _ACCOUNTS, "This asset trades nowhere yet."
        )

    @market.command(
        help="Ask for money of this asset out of a market's book; it waits as the contract says (gateway).\n\n"
        "  wattpact market withdraw 5000 --market https://market.example:8750\n\n"
        "  wattpact market withdraw --out --market https://market.example:8750"
    )
    @guarded
    def withdraw(
        context: typer.Context,
        market_url: Annotated[str, typer.Option("--market", help="Address of the market's node.")],
        amount: Annotated[int, typer.Argument(min=0, help="Minor units.")] = 0,
        out: Annotated[bool, typer.Option("--out", help="Take what was asked for before; the wait is over.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        if out is bool(amount):
            raise UsageError("Name an amount, or --out for what was asked for before.")
        client = session_of(context).client()
        if out:
            Output(as_json).one(client.post("/market/withdrawals/out", {"market": market_url}), _ACTION)
        else:
            form = {"market": market_url, "amount": amount}
            Output(as_json).one(client.post("/market/withdrawals", form), _ACTION)
