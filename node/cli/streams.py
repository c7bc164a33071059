"""stream list, show, rotate, read, export; those of erasing.py and gifts.py."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import typer

from node.cli.erasing import add_past_commands
from node.cli.following import news, pages
from node.cli.gifts import add_gift_commands
from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, YesFlag, confirm, guarded, pick, session_of
from node.cli.times import parse_time, show_time

__all__ = ["add_stream_commands"]

_PAGE: Final = 1_000
_EVERY_S: Final = 1.0
_LIST: Final[tuple[Column, ...]] = (
    ("sid", lambda row: short(row["sid"])),
    ("name", "name"),
    ("as", "relation"),
    ("epoch", "epoch"),
    ("readers", "live_readers"),
    ("readings", "readings"),
    ("last reading", lambda row: show_time(row.get("last_reading_at"))),
    ("alarms", lambda row: row.get("alarms") or ""),
)
_SHOW: Final[tuple[Column, ...]] = (
    ("sid", "sid"),
    ("name", "name"),
    ("this node is", "relation"),
    ("owner", "owner"),
    ("writer", lambda row: row.get("writer") or "none (unpaired)"),
    ("genesis", lambda row: show_time(row.get("genesis"))),
    ("slot", lambda row: f"{row['slot_seconds']} s"),
    ("epoch", "epoch"),
    ("live readers", "live_readers"),
    ("readings here", "readings"),
    ("first reading", lambda row: show_time(row.get("first_reading_at"))),
    ("last reading", lambda row: show_time(row.get("last_reading_at"))),
    ("alarms", "alarms"),
    ("resyncs", lambda row: _resyncs(row.get("resyncs", ()))),
)
_ROTATED: Final[tuple[Column, ...]] = (("sid", "sid"), ("name", "name"), ("state", "state"))
_READINGS: Final[tuple[Column, ...]] = (
    ("time", lambda row: show_time(row["time"])),
    ("values", lambda row: [f"{key}={value}" for key, value in row["values"].items()]),
    ("", lambda row: "provisional" if row["provisional"] else ""),
)


def _resyncs(given: Sequence[dict[str, Any]]) -> list[str]:
    """Who was let in again, how often, and when last."""
    times: dict[str, list[int]] = {}
    for each in given:
        times.setdefault(each["grant_id"], []).append(each["at"])
    return [
        f"{'this household' if not int(grant, 16) else short(grant)}: {len(at)}, last {show_time(max(at))}"
        for grant, at in times.items()
    ]


_Stream = Annotated[str, typer.Argument(help="Name such as electricity/1s, or sid, or its beginning.")]


def add_stream_commands(app: typer.Typer) -> None:
    group = typer.Typer(help="Streams and their readings.", no_args_is_help=True)
    app.add_typer(group, name="stream")

    @group.command(name="list", help="Streams that concern this node.\n\n  wattpact stream list --json")
    @guarded
    def list_streams(context: typer.Context, as_json: JsonFlag = False) -> None:
        rows = session_of(context).client().get("/streams")["items"]
        Output(as_json).many(rows, _LIST, "There are no streams. A home gets them by `wattpact pair`.")

    @group.command(help="One stream.\n\n  wattpact stream show electricity/1s")
    @guarded
    def show(context: typer.Context, stream: _Stream, as_json: JsonFlag = False) -> None:
        client = session_of(context).client()
        found = pick(client.get("/streams")["items"], "sid", stream, "stream")
        Output(as_json).one(client.get(f"/streams/{found['sid']}"), _SHOW)

    @group.command(
        help="Give a stream new keys at its own gateway: another writer, stream key, M and T (home).\n\n"
        "For keys that may be stolen: who has the old ones neither writes nor reads from then on. "
        "A stolen gateway needs `wattpact gateway move`.\n\n"
        "  wattpact stream rotate electricity/1s\n\n"
        "  wattpact gateway status                 how far it is"
    )
    @guarded
    def rotate(context: typer.Context, stream: _Stream, yes: YesFlag = False, as_json: JsonFlag = False) -> None:
        client = session_of(context).client()
        found = pick(client.get("/streams")["items"], "sid", stream, "stream")
        confirm(f"Give {found.get('name') or found['sid']} new keys? The old ones never work again.", yes)
        Output(as_json).one(client.post(f"/streams/{found['sid']}/rotate"), _ROTATED)

    add_past_commands(group)
    add_gift_commands(group)
    _add_reading(group)


def _show_readings(
    output: Output, parts: Iterable[list[dict[str, Any]]], limit: int | None, *, follow: bool, only_final: bool
) -> None:
    """JSON line by line as they come; as a table when all are there, or page by page while following."""
    rows: list[dict[str, Any]] = []
    left = limit
    for part in parts:
        some = [row for row in part if not (only_final and row["provisional"])][:left]
        if not (output.as_json or follow):
            rows += some
        elif some:
            output.many(some, _READINGS, "")
            sys.stdout.flush()
        if left is not None:
            left -= len(some)
            if left <= 0:
                return
    if not (output.as_json or follow):
        output.many(rows, _READINGS, "There are no readings in this time.")


def _add_reading(group: typer.Typer) -> None:
    @group.command(
        help="Readings in order of time; with --json one object per line.\n\n"
        "  wattpact stream read electricity/15min --from -1d\n\n"
        "  wattpact stream read 0x91ab02 --limit 100000 --json > readings.jsonl\n\n"
        "  wattpact stream read electricity/1s --follow --final --json | my-program"
    )
    @guarded
    def read(
        context: typer.Context,
        stream: _Stream,
        start: Annotated[str | None, typer.Option("--from", help="First meter time.")] = None,
        end: Annotated[str | None, typer.Option("--until", help="Meter time to stop before.")] = None,
        limit: Annotated[
            int | None, typer.Option(min=1, help="At most so many readings; 1000, or with --follow any number.")
        ] = None,
        follow: Annotated[bool, typer.Option("--follow", help="Go on with what comes, until Ctrl-C.")] = False,
        only_final: Annotated[
            bool, typer.Option("--final", help="Only what a checkpoint of the writer covers.")
        ] = False,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.get("/streams")["items"], "sid", stream, "stream")
        now = int(time.time())
        first = parse_time(start, now, "--from") if start else None
        last = parse_time(end, now, "--until") if end else None

        def fetch(since: int | None, cursor: str | None, many: int) -> dict[str, Any]:
            query = {"from_": since, "to": last, "cursor": cursor, "limit": many}
            page: dict[str, Any] = client.get(f"/streams/{found['sid']}/readings", **query)
            return page

        if follow:
            parts = news(fetch, first, _PAGE, lambda: time.sleep(_EVERY_S))
        else:
            parts = pages(lambda cursor, many: fetch(first, cursor, many), limit or _PAGE, _PAGE)
        _show_readings(Output(as_json), parts, limit if follow else None, follow=follow, only_final=only_final)

    @group.command(
        help="Headers, registry events and log for `wattpact verify`.\n\n"
        "  wattpact stream export electricity/1s > export.json"
    )
    @guarded
    def export(context: typer.Context, stream: _Stream) -> None:
        client = session_of(context).client()
        found = pick(client.get("/streams")["items"], "sid", stream, "stream")
        Output(True).document(client.get(f"/streams/{found['sid']}/export"))
