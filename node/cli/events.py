"""events tail, subscription list and remove, webhook add, list, test, enable, remove."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from node.cli.client import ApiClient
from node.cli.output import Column, Output, plain, short
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import show_time
from node.errors import NodeError, NodeUnreachable, UsageError

__all__ = ["add_event_commands"]

_PAUSES: Final = (0.5, 1.0, 2.0, 5.0)
_SUBSCRIPTIONS: Final[tuple[Column, ...]] = (
    ("name", "name"),
    ("acknowledged", "acked"),
    ("kinds", lambda row: row["kinds"] or "all"),
    ("about", lambda row: short(row.get("aggregate"))),
    ("heard of", lambda row: show_time(row.get("acked_at") or row["created_at"])),
)
_WEBHOOKS: Final[tuple[Column, ...]] = (
    ("id", "id"),
    ("url", "url"),
    ("state", lambda row: row["state"].upper() if row["state"] == "disabled" else row["state"]),
    ("delivered", "acked"),
    ("kinds", lambda row: row["kinds"] or "all"),
    ("about", lambda row: short(row.get("aggregate"))),
    ("failures", lambda row: row["failures"] or ""),
    ("next try", lambda row: show_time(row.get("next_try_at"))),
    ("last", "detail"),
    ("secret", "secret"),
)
_Kinds = Annotated[list[str] | None, typer.Option("--kind", help="Only this kind of event; may be repeated.")]
_About = Annotated[str | None, typer.Option("--about", help="Only events about this: consent/0x..., stream/0x...")]
_From = Annotated[int | None, typer.Option("--from", min=0, help="Begin behind this number; 0: with the oldest.")]
_Hook = Annotated[str, typer.Argument(help="Id of the webhook.")]


def add_event_commands(app: typer.Typer) -> None:
    _add_events(app)
    _add_subscriptions(app)
    _add_webhooks(app)


def _add_events(app: typer.Typer) -> None:
    events = typer.Typer(help="Numbered events of this node, for other programs.", no_args_is_help=True)
    app.add_typer(events, name="events")

    @events.command(
        help="Print events as they come, until Ctrl-C; a cut connection is taken up again.\n\n"
        "  wattpact events tail --from 0 --json\n\n"
        "  wattpact events tail --name billing --kind consent.live"
    )
    @guarded
    def tail(
        context: typer.Context,
        name: Annotated[
            str | None, typer.Option(help="Go on where this subscription stopped; what was printed is acknowledged.")
        ] = None,
        start: _From = None,
        kind: _Kinds = None,
        about: _About = None,
        limit: Annotated[int | None, typer.Option("--count", min=1, help="End after so many events.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        query: dict[str, str] = {}
        if name is not None:
            body = {"name": name, "after": start, "kinds": kind or [], "aggregate": about}
            client.post("/subscriptions", body)
            query["subscription"] = name
        else:
            found = {"kinds": ",".join(kind) if kind else None, "aggregate": about, "after": start}
            query |= {key: str(value) for key, value in found.items() if value is not None}
        _Tail(client, query, as_json, name, limit).run()


class _Enough(NodeError):
    """As many events as were asked for."""


@dataclass(slots=True)
class _Tail:
    """Follows and prints; `left` None: until it is interrupted."""

    client: ApiClient
    query: dict[str, str]
    as_json: bool
    name: str | None
    left: int | None
    reached: bool = False
    failures: int = 0
    last: int = 0

    def run(self) -> None:
        """Raises what only a person can mend; a node that was there once is waited for."""
        while True:
            try:
                self.client.follow("/events/ws", self.query, self._take)
            except NodeUnreachable:
                if not self.reached:
                    raise
                time.sleep(_PAUSES[min(self.failures, len(_PAUSES) - 1)])
                self.failures += 1
            except _Enough:
                if self.name is not None:
                    self.client.post(f"/subscriptions/{self.name}/ack", {"seq": self.last})
                return

    def _take(self, message: dict[str, Any]) -> dict[str, Any] | None:
        self.reached, self.failures = True, 0
        if message["type"] == "hello" and self.name is None:
            # A cut connection is taken up behind what was printed, and on the same feed only.
            self.query |= {"after": str(message["after"]), "feed": message["feed"]}
        if message["type"] != "event":
            return None
        event = message["event"]
        self._show(event)
        self.last = event["seq"]
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise _Enough("As many events as were asked for.")
        if self.name is None:
            self.query["after"] = str(self.last)
            return None
        return {"type": "ack", "seq": self.last}

    def _show(self, event: dict[str, Any]) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        else:
            about = f"{event['aggregate']['kind']} {short(event['aggregate']['id'])}"
            undone = f" UNDOES {event['undoes']}" if event["type"] == "undone" else ""
            data = " ".join(f"{key}={short(value)}" for key, value in event["data"].items())
            line = f"{event['seq']:>8}  {show_time(event['recorded_at'])}  {event['kind']}{undone}  {about}  {data}"
            sys.stdout.write(plain(line).rstrip() + "\n")
        # Acknowledged is what whoever reads us has: not what waits in our buffer.
        sys.stdout.flush()


def _add_subscriptions(app: typer.Typer) -> None:
    group = typer.Typer(help="Named readers of the events.", no_args_is_help=True)
    app.add_typer(group, name="subscription")

    @group.command(name="list", help="Named readers and how far they are.\n\n  wattpact subscription list --json")
    @guarded
    def list_subscriptions(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/subscriptions")["items"]
        Output(as_json).many(rows, _SUBSCRIPTIONS, "There are no subscriptions.")

    @group.command(help="Forget a named reader.\n\n  wattpact subscription remove billing")
    @guarded
    def remove(
        context: typer.Context, name: Annotated[str, typer.Argument(help="Name.")], as_json: JsonFlag = False
    ) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
            raise UsageError("That is no name of a subscription.", remedy="`wattpact subscription list` shows all.")
        session_of(context).client().delete(f"/subscriptions/{name}")
        Output(as_json).one({"name": name, "state": "removed"}, (("subscription", "name"), ("state", "state")))


def _path(webhook_id: str, rest: str = "") -> str:
    if not re.fullmatch(r"[0-9a-f]{1,32}", webhook_id):
        raise UsageError("A webhook's id is hexadecimal.", remedy="`wattpact webhook list` shows ids.")
    return f"/webhooks/{webhook_id}{rest}"


def _add_webhooks(app: typer.Typer) -> None:
    group = typer.Typer(help="Addresses that are told of every event.", no_args_is_help=True)
    app.add_typer(group, name="webhook")

    @group.command(
        help="A new webhook; its secret is shown this once.\n\n"
        "  wattpact webhook add https://example.org/hook --kind consent.live --kind consent.revoked"
    )
    @guarded
    def add(
        context: typer.Context,
        url: Annotated[str, typer.Argument(help="https address.")],
        kind: _Kinds = None,
        about: _About = None,
        start: _From = None,
        as_json: JsonFlag = False,
    ) -> None:
        body = {"url": url, "kinds": kind or [], "aggregate": about, "after": start}
        Output(as_json).one(session_of(context).client().post("/webhooks", body), _WEBHOOKS)

    @group.command(name="list", help="Webhooks and how they do.\n\n  wattpact webhook list --json")
    @guarded
    def list_webhooks(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/webhooks")["items"]
        Output(as_json).many(rows, _WEBHOOKS[:-1], "There are no webhooks.")

    @group.command(help="Send one signed test message.\n\n  wattpact webhook test 3fa1c2d40b11")
    @guarded
    def test(context: typer.Context, webhook_id: _Hook, as_json: JsonFlag = False) -> None:
        row = session_of(context).client().post(_path(webhook_id, "/test"))
        Output(as_json).one(row, (("ok", "ok"), ("status", "status"), ("found", "detail")))
        if not row["ok"]:
            raise typer.Exit(1)

    @group.command(help="Try a webhook again, from where it stopped.\n\n  wattpact webhook enable 3fa1c2d40b11")
    @guarded
    def enable(context: typer.Context, webhook_id: _Hook, as_json: JsonFlag = False) -> None:
        Output(as_json).one(session_of(context).client().post(_path(webhook_id, "/enable")), _WEBHOOKS[:-1])

    @group.command(help="Remove a webhook.\n\n  wattpact webhook remove 3fa1c2d40b11")
    @guarded
    def remove(context: typer.Context, webhook_id: _Hook, as_json: JsonFlag = False) -> None:
        session_of(context).client().delete(_path(webhook_id))
        Output(as_json).one({"id": webhook_id, "state": "removed"}, (("webhook", "id"), ("state", "state")))
