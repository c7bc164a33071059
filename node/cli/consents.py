"""consent request, list, show, grant, deny, revoke."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from node.cli.client import ApiClient
from node.cli.erasing import add_erasure_commands
from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, pick, session_of
from node.cli.times import parse_time, show_time
from node.errors import NotFound, UsageError

__all__ = ["add_consent_commands"]


def _streams(row: Mapping[str, Any]) -> str:
    return ", ".join(str(item.get("name") or short(item.get("sid"))) for item in row.get("streams", ()))


def _party(row: Mapping[str, Any]) -> str:
    """A name alone proves nothing, so the domain's state stands beside it."""
    party = row.get("party") or {}
    domain = party.get("domain")
    if not domain:
        return str(party.get("name") or short(row.get("reader")))
    return f"{party.get('name')} ({domain}, {'verified' if party.get('domain_verified') else 'NOT verified'})"


def _domain(row: Mapping[str, Any]) -> str | None:
    """In full: why it is not verified, and when the domain was asked last."""
    party = row.get("party") or {}
    if not party.get("domain"):
        return None
    state = "verified" if party.get("domain_verified") else f"NOT verified: {party.get('domain_reason') or 'unknown'}"
    at = show_time(party.get("domain_checked_at"))
    return f"{party['domain']}, {state}" + (f" (asked {at})" if at else "")


def _period(row: Mapping[str, Any]) -> str:
    return f"{show_time(row.get('start'))} to {show_time(row.get('end')) or 'revoked'}"


_LIST: Final[tuple[Column, ...]] = (
    ("id", lambda row: row["id"] if row["kind"] == "request" else short(row["id"])),
    ("", "kind"),
    ("state", "state"),
    ("who", _party),
    ("streams", _streams),
    ("period", _period),
    ("purpose", "purpose"),
)
_REQUEST: Final[tuple[Column, ...]] = (
    ("request", "id"),
    ("direction", "direction"),
    ("state", "state"),
    ("who", _party),
    ("domain", _domain),
    ("address", lambda row: row["party"]["address"]),
    ("contact", lambda row: row["party"].get("contact")),
    ("policy", lambda row: row["party"].get("policy_url")),
    ("purpose", "purpose"),
    ("streams", _streams),
    ("period", _period),
    ("answer until", lambda row: show_time(row.get("expires_at"))),
    ("grant", "grant_id"),
    ("reason", "reason"),
)
_CONSENT: Final[tuple[Column, ...]] = (
    ("grant", "grant_id"),
    ("direction", "direction"),
    ("state", "state"),
    ("final", "final"),
    ("who", _party),
    ("domain", _domain),
    ("owner", "owner"),
    ("reader", "reader"),
    ("purpose", "purpose"),
    ("streams", lambda row: [f"{s.get('name') or short(s['sid'])} {s['state']}" for s in row["streams"]]),
    ("period", _period),
    ("text hash", "text_hash"),
)
_ACTION: Final[tuple[Column, ...]] = (("state", "state"), ("digest", "digest"), ("transaction", "transaction"))

_Unsigned = Annotated[bool, typer.Option("--unsigned", help="Print the EIP-712 JSON for a wallet instead of signing.")]
_Signature = Annotated[str | None, typer.Option("--signature", help="A wallet's signature of that JSON, 0x...")]
_TypedData = Annotated[
    Path | None, typer.Option("--typed-data", help="The signed JSON, if not the last one.", exists=True, dir_okay=False)
]


def add_consent_commands(app: typer.Typer) -> None:
    group = typer.Typer(help="Who may read what: ask, grant, deny, revoke.", no_args_is_help=True)
    app.add_typer(group, name="consent")
    _add_asking(group)
    _add_looking(group)
    _add_granting(group)
    _add_ending(group)
    _add_refresh(group)
    add_erasure_commands(group)


def _add_asking(group: typer.Typer) -> None:
    @group.command(
        help="Ask a home for consent (provider).\n\n"
        "  wattpact consent request https://home.example --stream electricity/15min --purpose 'Heat pump advice' "
        "--from -30d --until +365d\n\n"
        "A home without an address is asked by its mailbox, which `wattpact status` there shows:\n\n"
        "  wattpact consent request wattpact/v1/4f1c.../mail --stream electricity/15min --purpose 'Heat pump advice'"
    )
    @guarded
    def request(
        context: typer.Context,
        home: Annotated[str, typer.Argument(help="Public URL of the home node, or its mailbox.")],
        stream: Annotated[list[str], typer.Option(help="Stream name; may be repeated.")],
        purpose: Annotated[str, typer.Option(help="What the data is for, in words for people.")],
        start: Annotated[str | None, typer.Option("--from", help="Time; before now includes history.")] = None,
        end: Annotated[str | None, typer.Option("--until", help="Time; none: until revoked.")] = None,
        tag: Annotated[int, typer.Option(help="Number of the purpose in the agreed list.")] = 0,
        as_json: JsonFlag = False,
    ) -> None:
        now = int(time.time())
        body = {
            "home": home,
            "streams": stream,
            "purpose": purpose,
            "purpose_tag": tag,
            "start": parse_time(start, now, "--from") if start else None,
            "end": parse_time(end, now, "--until") if end else None,
        }
        Output(as_json).one(session_of(context).client().post("/requests", body), _REQUEST)


def _all(client: ApiClient) -> list[dict[str, Any]]:
    requests = [{**item, "kind": "request"} for item in client.items("/requests")]
    consents = [{**item, "kind": "consent", "id": item["grant_id"]} for item in client.items("/consents")]
    return [*requests, *consents]


def _add_looking(group: typer.Typer) -> None:
    @group.command(name="list", help="Requests and consents.\n\n  wattpact consent list --state live --json")
    @guarded
    def list_all(
        context: typer.Context,
        state: Annotated[str | None, typer.Option(help="Only these: requested, live, revoked, ...")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        rows = [row for row in _all(session_of(context).client()) if state in (None, row["state"])]
        Output(as_json).many(rows, _LIST, "There are no requests and no consents.")

    @group.command(help="One request or consent.\n\n  wattpact consent show 0x3fa1c2")
    @guarded
    def show(
        context: typer.Context,
        identifier: Annotated[str, typer.Argument(help="Request id or grant id, or its beginning.")],
        as_json: JsonFlag = False,
    ) -> None:
        row = dict(pick(_all(session_of(context).client()), "id", identifier, "consent"))
        Output(as_json).one(row, _REQUEST if row["kind"] == "request" else _CONSENT)


def _external(signature: str | None, typed_data: Path | None, client: ApiClient, path: str) -> dict[str, Any] | None:
    """The wallet's signature as the interface takes it."""
    if signature is None:
        if typed_data is not None:
            raise UsageError("--typed-data goes with --signature.")
        return None
    document: object = None
    if typed_data is not None:
        try:
            document = json.loads(typed_data.read_text(encoding="utf-8"))
        except ValueError:
            raise UsageError(f"{typed_data} is not JSON.", remedy="Use the file that --unsigned printed.") from None
        if not isinstance(document, dict):
            raise UsageError(f"{typed_data} is not a JSON object.", remedy="Use the file that --unsigned printed.")
    return {"signature": signature, **({"typed_data": document} if document is not None else {})}


def _add_granting(group: typer.Typer) -> None:
    @group.command(
        help="Grant a request, whole or in part (home).\n\n"
        "  wattpact consent grant req-7\n\n"
        "  wattpact consent grant req-7 --streams electricity/15min --until +90d\n\n"
        "  wattpact consent grant req-7 --unsigned > grant.json; wattpact consent grant req-7 --signature 0x..."
    )
    @guarded
    def grant(
        context: typer.Context,
        request_id: Annotated[str, typer.Argument(help="Request id.")],
        streams: Annotated[str | None, typer.Option(help="Only these, between commas: names or sids.")] = None,
        start: Annotated[str | None, typer.Option("--from", help="Later start than requested.")] = None,
        end: Annotated[str | None, typer.Option("--until", help="Earlier end than requested.")] = None,
        unsigned: _Unsigned = False,
        signature: _Signature = None,
        typed_data: _TypedData = None,
        as_json: JsonFlag = False,
    ) -> None:
        if unsigned and signature is not None:
            raise UsageError("--unsigned and --signature are two steps.", remedy="First --unsigned, then --signature.")
        client = session_of(context).client()
        found = pick(client.items("/requests"), "id", request_id, "consent")
        now = int(time.time())
        path = f"/requests/{found['id']}/grant"
        body: dict[str, Any] = {
            "streams": [item.strip() for item in streams.split(",") if item.strip()] if streams else None,
            "start": parse_time(start, now, "--from") if start else None,
            "end": parse_time(end, now, "--until") if end else None,
        }
        output = Output(as_json)
        if unsigned:
            output.document(client.post(f"{path}/unsigned", body)["typed_data"])
            return
        body["external"] = _external(signature, typed_data, client, path)
        output.one(client.post(path, body), _ACTION)

    @group.command(help="Deny a request (home).\n\n  wattpact consent deny req-7 --reason 'Not needed'")
    @guarded
    def deny(
        context: typer.Context,
        request_id: Annotated[str, typer.Argument(help="Request id.")],
        reason: Annotated[str, typer.Option(help="Told to the other side.")] = "",
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.items("/requests"), "id", request_id, "consent")
        Output(as_json).one(client.post(f"/requests/{found['id']}/deny", {"reason": reason}), _REQUEST)


def _add_ending(group: typer.Typer) -> None:
    @group.command(
        help="Revoke a consent, at once and for good (either side).\n\n"
        "  wattpact consent revoke 0x3fa1c2\n\n"
        "  wattpact consent revoke 0x3fa1c2 --stream electricity/1s --yes"
    )
    @guarded
    def revoke(
        context: typer.Context,
        grant_id: Annotated[str, typer.Argument(help="Grant id, or its beginning.")],
        stream: Annotated[str | None, typer.Option(help="Only this one: name or sid.")] = None,
        unsigned: _Unsigned = False,
        signature: _Signature = None,
        typed_data: _TypedData = None,
        yes: YesFlag = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.items("/consents"), "grant_id", grant_id, "consent")
        path = f"/consents/{found['grant_id']}/revoke"
        body: dict[str, Any] = {"sid": _sid(found, stream) if stream else None}
        output = Output(as_json)
        if unsigned:
            output.document(client.post(f"{path}/unsigned", body)["typed_data"])
            return
        confirm(f"Revoke for {_party(found)}? What was read before stays with them.", yes or signature is not None)
        body["external"] = _external(signature, typed_data, client, path)
        output.one(client.post(path, body), _ACTION)


def _add_refresh(group: typer.Typer) -> None:
    @group.command(
        help="A new key for a consent that this node reads under; at most one a day is taken (provider).\n\n"
        "  wattpact consent refresh 0x3fa1c2"
    )
    @guarded
    def refresh(
        context: typer.Context,
        grant_id: Annotated[str, typer.Argument(help="Grant id, or its beginning.")],
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.items("/consents"), "grant_id", grant_id, "consent")
        Output(as_json).one(client.post(f"/consents/{found['grant_id']}/refresh"), _ACTION)


def _sid(consent: Mapping[str, Any], text: str) -> str:
    for item in consent["streams"]:
        if text == item.get("name") or (len(text) >= 6 and item["sid"].startswith(text.lower())):
            return str(item["sid"])
    raise NotFound(f"The consent does not name a stream {text}.", remedy="`wattpact consent show` lists its streams.")
