"""market trades, cancel-order, cancel-contract, dispute, evidence, rule, prices, fills, terms: contracts and
decisions."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from node.cli.client import ApiClient
from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, pick, session_of
from node.cli.times import parse_time, show_time
from node.config import LocalAccess
from node.errors import NodeUnreachable, UsageError

__all__ = ["add_lifecycle_commands", "found_contract"]


def _delivered(row: Mapping[str, Any]) -> str:
    """What was delivered; during the delivery what the own meter counted so far (M-43)."""
    if row["delivered_wh"] is not None:
        return f"{row['delivered_wh']} Wh"
    return f"so far {row['progress'][-1]['wh']} Wh" if row.get("progress") else ""


_WHOLE_ID: Final = re.compile(r"0x[0-9a-f]{64}")
_BEGINNING: Final = re.compile(r"0x[0-9a-f]{4,63}")
_ACTION: Final[tuple[Column, ...]] = (("state", "state"), ("digest", "digest"))
_TRADES: Final[tuple[Column, ...]] = (
    ("id", lambda row: short(row["id"])),
    ("made", lambda row: show_time(row["made_at"])),
    ("status", "seed_status"),
    ("energy", lambda row: f"{row['wh']} Wh"),
    ("delivered", _delivered),
    ("price per kWh", "price"),
    ("in all", "amount"),
    ("due", "due"),
    ("paid", "paid"),
    ("delivery", lambda row: f"{show_time(row['start'])} to {show_time(row['end'])}" if row["end"] else ""),
)
_PRICES: Final[tuple[Column, ...]] = (
    ("delivery", lambda row: f"{show_time(row['start'])} to {show_time(row['end'])}"),
    ("contracts", "contracts"),
    ("energy", lambda row: f"{row['wh']} Wh"),
    ("lowest", "low"),
    ("highest", "high"),
    ("mean price per kWh", "mean"),
    ("in all", "amount"),
)
_FILLS: Final[tuple[Column, ...]] = (
    ("id", lambda row: short(row["id"])),
    ("delivery", lambda row: f"{show_time(row['start'])} to {show_time(row['end'])}"),
    ("energy", lambda row: f"{row['wh']} Wh"),
    ("price per kWh", "price"),
    ("in all", "amount"),
    ("final", "final"),
)


def _seconds(name: str) -> Any:
    return lambda row: "" if row[name] is None else f"{row[name]} s"


_TERMS: Final[tuple[Column, ...]] = (
    ("operator", "operator"),
    ("terms", "terms"),
    ("contract", "market"),
    ("settles", "settle"),
    ("engine", "engine"),
    ("delivery", _seconds("slot_s")),
    ("gate before it", _seconds("gate_closure_s")),
    ("areas", lambda row: ", ".join(row["areas"])),
    ("energy", lambda row: ", ".join(row["energies"] or ())),
    ("arbiter", "arbiter"),
    ("start grace", _seconds("start_grace_s")),
    ("second report within", _seconds("provision_grace_s")),
    ("payment due after", _seconds("payment_due_s")),
    ("reminders every", _seconds("reminder_every_s")),
    ("claims contested within", _seconds("dispute_window_s")),
    ("arbiter rules within", _seconds("ruling_window_s")),
    ("penalty", lambda row: f"{row['penalty_bps']} / 10000" if row["penalty_bps"] is not None else ""),
    ("cancellation fee", lambda row: f"{row['cancel_bps']} / 10000" if row["cancel_bps"] is not None else ""),
    ("escrow", "escrow"),
)


def add_lifecycle_commands(market: typer.Typer) -> None:
    """Adds these commands to the group `market`."""
    _add_trades(market)
    _add_decisions(market)
    _add_rulings(market)
    _add_prices(market)
    _add_terms(market)


def _add_trades(market: typer.Typer) -> None:
    @market.command(
        help="Contracts, the newest first, page by page.\n\n"
        "  wattpact market trades --status delivered --limit 10\n\n"
        "  wattpact market trades --id 0x1f976f\n\n"
        "  wattpact market trades --from -7d --before 8120"
    )
    @guarded
    def trades(
        context: typer.Context,
        status: Annotated[str | None, typer.Option(help="matched, delivered, paid, confirmed, claimed, ...")] = None,
        account: Annotated[str | None, typer.Option(help="Of this account alone.")] = None,
        id_: Annotated[str | None, typer.Option("--id", help="Whose id begins so.")] = None,
        begin: Annotated[str | None, typer.Option("--from", help="Made then or later.")] = None,
        end: Annotated[str | None, typer.Option("--to", help="Made before.")] = None,
        before: Annotated[int | None, typer.Option(help="Older than this number of a page before.")] = None,
        limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 100,
        as_json: JsonFlag = False,
    ) -> None:
        now = int(time.time())
        rows = (
            session_of(context)
            .client()
            .get(
                "/market/trades",
                status=status,
                account=account,
                id=id_,
                from_=parse_time(begin, now, "--from") if begin is not None else None,
                to=parse_time(end, now, "--to") if end is not None else None,
                before=before,
                limit=limit,
            )["items"]
        )
        output = Output(as_json)
        output.many(rows, _TRADES, "No contracts.")
        if len(rows) == limit and not as_json:
            output.say(f"Older ones: --before {rows[-1]['number']}")


def _add_decisions(market: typer.Typer) -> None:
    @market.command(
        name="cancel-order",
        help="Take an offer or a request back (gateway).\n\n  wattpact market cancel-order 0x1f976f",
    )
    @guarded
    def cancel_order(
        context: typer.Context,
        order: Annotated[str, typer.Argument(help="Id of an order, or its beginning.")],
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.items("/market/orders"), "id", order, "order", "wattpact market orders")
        Output(as_json).one(client.post(f"/market/orders/{found['id']}/cancel"), _ACTION)

    @market.command(
        name="cancel-contract",
        help="End a contract before its delivery; the market's terms may ask a fee (gateway).\n\n"
        "  wattpact market cancel-contract 0x1f976f",
    )
    @guarded
    def cancel_contract(
        context: typer.Context,
        contract: Annotated[str, typer.Argument(help="Id of a contract, or its beginning.")],
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        found = _contract(context, contract)
        confirm(f"End the contract {found}?", yes)
        Output(as_json).one(session_of(context).client().post(f"/market/trades/{found}/cancel"), _ACTION)

    @market.command(
        help="Contest a claim against this asset; the reason stays here, its hash is signed (gateway).\n\n"
        '  wattpact market dispute 0x1f976f "The meter stood still from 12:00 on."'
    )
    @guarded
    def dispute(
        context: typer.Context,
        contract: Annotated[str, typer.Argument(help="Id of a contract, or its beginning.")],
        reason: Annotated[str, typer.Argument(help="Why.")],
        as_json: JsonFlag = False,
    ) -> None:
        if not reason.strip():
            raise UsageError("A dispute needs a reason.", remedy="Say in a sentence what is wrong with the claim.")
        path = f"/market/trades/{_contract(context, contract)}/dispute"
        Output(as_json).one(session_of(context).client().post(path, {"reason": reason}), _ACTION)


def _add_rulings(market: typer.Typer) -> None:
    @market.command(
        help="Show the market the own meter's signed counters, where a delivery is contested or a claim disputed "
        "(gateway).\n\n  wattpact market evidence 0x1f976f"
    )
    @guarded
    def evidence(
        context: typer.Context,
        contract: Annotated[str, typer.Argument(help="Id of a contract, or its beginning.")],
        as_json: JsonFlag = False,
    ) -> None:
        path = f"/market/trades/{_contract(context, contract)}/evidence"
        Output(as_json).one(session_of(context).client().post(path), _ACTION)

    @market.command(
        help="Decide a dispute: how much was delivered (the arbiter of the market's terms).\n\n"
        "  wattpact market rule 0x1f976f 850"
    )
    @guarded
    def rule(
        context: typer.Context,
        contract: Annotated[str, typer.Argument(help="Id of a contract, or its beginning.")],
        wh: Annotated[int, typer.Argument(help="Energy in Wh.")],
        operator: Annotated[str | None, typer.Option(help="Whose market it is; by default this node's own.")] = None,
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        found = _contract(context, contract)
        confirm(f"Decide that {wh} Wh of the contract {found} were delivered?", yes)
        form = {"wh": wh} | ({"operator": operator} if operator is not None else {})
        Output(as_json).one(session_of(context).client().post(f"/market/trades/{found}/ruling", form), _ACTION)


def found_contract(client: ApiClient, text: str) -> str:
    """A contract's whole id by its beginning, however many were made since. Raises NotFound, or UsageError for the
    beginning of several."""
    wanted = text.strip().lower()
    if _WHOLE_ID.fullmatch(wanted):
        return wanted
    items = client.get("/market/trades", id=wanted)["items"] if _BEGINNING.fullmatch(wanted) else []
    return str(pick(items, "id", wanted, "contract", "wattpact market trades")["id"])


def _contract(context: typer.Context, text: str) -> str:
    return found_contract(session_of(context).client(), text)


def _add_prices(market: typer.Typer) -> None:
    @market.command(help="Prices by time of delivery (market).\n\n  wattpact market prices --from -1d --to +1d")
    @guarded
    def prices(
        context: typer.Context,
        begin: Annotated[str, typer.Option("--from", help="Deliveries that begin then or later.")] = "-1d",
        end: Annotated[str, typer.Option("--to", help="Deliveries that begin before.")] = "+7d",
        as_json: JsonFlag = False,
    ) -> None:
        now = int(time.time())
        start, stop = parse_time(begin, now, "--from"), parse_time(end, now, "--to")
        rows = session_of(context).client().get("/market/prices", start=start, end=stop)["items"]
        Output(as_json).many(rows, _PRICES, "Nothing was traded.")

    @market.command(help="Contracts one by one, unit price and total (market).\n\n  wattpact market fills --limit 20")
    @guarded
    def fills(
        context: typer.Context,
        limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many.")] = 100,
        before: Annotated[int | None, typer.Option(help="Older than this number.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        rows = session_of(context).client().get("/market/fills", limit=limit, before=before)["items"]
        Output(as_json).many(rows, _FILLS, "No contracts.")


def _add_terms(market: typer.Typer) -> None:
    @market.command(
        help="What a market promises and which orders it takes: of this node, or of any market by its address.\n\n"
        "  wattpact market terms https://market.example:8750"
    )
    @guarded
    def terms(
        context: typer.Context,
        market_url: Annotated[str | None, typer.Argument(help="Address of a market's node; this one if none.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        # Nobody else's node gets this node's token.
        client = session_of(context).client() if market_url is None else _stranger(market_url)
        try:
            found = client.get("/market/terms")
        except NodeUnreachable:
            if market_url is None:
                raise
            raise NodeUnreachable(
                f"{market_url} does not answer.", remedy="Check the market's address and the network."
            ) from None
        Output(as_json).one(found, _TERMS)


def _stranger(url: str) -> ApiClient:
    """Raises UsageError for what is no address of a node."""
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url} is no address of a node.", remedy="Write https://market.example:8750, for example.")
    return ApiClient(LocalAccess(url, ""))
