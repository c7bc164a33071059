"""status, alarm list, transaction list: how the node does."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import show_age, show_time
from node.types import ether_text

__all__ = ["add_status_commands"]

_WATCH_S: Final = 2.0
_STATUS: Final[tuple[Column, ...]] = (
    ("node", lambda row: f"{row['name']}, version {row['version']}"),
    ("roles", "roles"),
    ("ready", lambda row: "yes" if row["ready"] else "NO: see `wattpact doctor`"),
    ("owner", "owner"),
    ("device", "device"),
    ("sender", "sender"),
    ("balance", lambda row: _balance(row.get("sender_balance_wei"))),
    ("chain", lambda row: f"{row['chain']['chain_id']}, registry {row['chain']['registry']}"),
    ("head", lambda row: _head(row["chain"])),
    ("reading", lambda row: _reading(row["chain"].get("catching_up"))),
    ("broker", lambda row: _broker(row["broker"])),
    ("mailbox", lambda row: row["broker"].get("mailbox")),
    ("pairing", "pairing"),
    ("streams", "streams"),
    ("live consents", "live_consents"),
    ("open requests", "pending_requests"),
    ("outbox", "outbox_pending"),
    ("open alarms", "open_alarms"),
    ("retention", lambda row: _retention(row["retention"])),
    ("running since", lambda row: f"{show_time(row['started_at'])} ({show_age(row['now'] - row['started_at'])})"),
)
_ALARMS: Final[tuple[Column, ...]] = (
    ("raised", lambda row: show_time(row["raised_at"])),
    ("", lambda row: "open" if row.get("cleared_at") is None else "over"),
    ("kind", "kind"),
    ("stream", lambda row: short(row.get("sid"))),
    ("what", "message"),
    ("what to do", "remedy"),
)
_TRANSACTIONS: Final[tuple[Column, ...]] = (
    ("made", lambda row: show_time(row["created_at"])),
    ("what", "kind"),
    ("state", "state"),
    ("hash", lambda row: short(row.get("hash"))),
    ("nonce", "nonce"),
    ("block", "block"),
    ("gas", "gas_used"),
    ("error", "error"),
)


def _retention(kept: Mapping[str, Any]) -> str:
    others = "without limit" if kept["consent_days"] is None else f"{kept['consent_days']} days"
    own = f"own readings {kept['raw_days']} days, own intervals {kept['quarter_days']} days"
    return f"{own}, under consents {others}; {kept['removed']} removed since the start"


def _balance(wei: object) -> str:
    return f"{ether_text(wei)} ETH" if isinstance(wei, int) else ""


def _head(chain: dict[str, Any]) -> str:
    if chain.get("head_block") is None:
        return "none seen"
    return f"block {chain['head_block']}, {show_age(chain.get('head_age_s'))} old, final {chain.get('final_block')}"


def _reading(found: dict[str, Any] | None) -> str:
    """How far a long way to the head is done."""
    if found is None:
        return ""
    left = "" if found["left_s"] is None else f", about {show_age(found['left_s'])} to go"
    share = found["blocks_done"] * 100 // max(1, found["blocks_total"])
    blocks = f"{found['blocks_done']} of {found['blocks_total']} blocks ({share}%)"
    return f"{blocks}, {found['events']} events, {found['events_per_s']} a second{left}"


def _broker(broker: dict[str, Any]) -> str:
    kind = "embedded" if broker["embedded"] else broker["url"]
    return f"{'connected' if broker['connected'] else 'NOT connected'} ({kind})"


def add_status_commands(app: typer.Typer) -> None:
    @app.command(
        help="One screen: roles, chain, broker, streams, consents, queue.\n\n"
        "  wattpact status --json\n\n  wattpact status --watch"
    )
    @guarded
    def status(
        context: typer.Context,
        watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every two seconds, until Ctrl-C.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        output = Output(as_json)
        while True:
            row = client.get("/status")
            if watch and not as_json and sys.stdout.isatty():
                sys.stdout.write("\x1b[2J\x1b[H")
            output.one(row, _STATUS)
            if not watch:
                break
            sys.stdout.flush()
            time.sleep(_WATCH_S)

    alarm = typer.Typer(help="Alarms.", no_args_is_help=True)
    app.add_typer(alarm, name="alarm")

    @alarm.command(name="list", help="Alarms, open and past.\n\n  wattpact alarm list --json")
    @guarded
    def list_alarms(context: typer.Context, as_json: JsonFlag = False) -> None:
        Output(as_json).many(session_of(context).client().get("/alarms")["items"], _ALARMS, "There are no alarms.")

    transaction = typer.Typer(help="Transactions of this node.", no_args_is_help=True)
    app.add_typer(transaction, name="transaction")

    @transaction.command(name="list", help="Transactions of this node.\n\n  wattpact transaction list --json")
    @guarded
    def list_transactions(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/transactions")["items"]
        Output(as_json).many(rows, _TRANSACTIONS, "This node has sent nothing.")

    @transaction.command(name="show", help="One, by the digest of its message.\n\n  wattpact transaction show 0x5a...")
    @guarded
    def show_transaction(context: typer.Context, digest: str, as_json: JsonFlag = False) -> None:
        Output(as_json).one(session_of(context).client().get(f"/transactions/{digest}"), _TRANSACTIONS)

    @transaction.command(
        name="cancel", help="Give up on what is in no block yet.\n\n  wattpact transaction cancel 0x5a..."
    )
    @guarded
    def cancel_transaction(context: typer.Context, digest: str, as_json: JsonFlag = False) -> None:
        Output(as_json).one(session_of(context).client().post(f"/transactions/{digest}/cancel"), _TRANSACTIONS)
