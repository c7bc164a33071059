"""stream list, show, read, export."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, guarded, pick, session_of
from node.cli.times import parse_time, show_time

__all__ = ["add_stream_commands"]

_PAGE: Final = 1_000
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
)
_READINGS: Final[tuple[Column, ...]] = (
    ("time", lambda row: show_time(row["time"])),
    ("values", lambda row: [f"{key}={value}" for key, value in row["values"].items()]),
    ("", lambda row: "provisional" if row["provisional"] else ""),
)
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

    _add_reading(group)


def _add_reading(group: typer.Typer) -> None:
    @group.command(
        help="Readings in order of time; with --json one object per line.\n\n"
        "  wattpact stream read electricity/15min --from -1d\n\n"
        "  wattpact stream read 0x91ab02 --limit 100000 --json > readings.jsonl"
    )
    @guarded
    def read(
        context: typer.Context,
        stream: _Stream,
        start: Annotated[str | None, typer.Option("--from", help="First meter time.")] = None,
        end: Annotated[str | None, typer.Option("--until", help="Meter time to stop before.")] = None,
        limit: Annotated[int, typer.Option(min=1, help="At most so many readings.")] = _PAGE,
        as_json: JsonFlag = False,
    ) -> None:
        client = session_of(context).client()
        found = pick(client.get("/streams")["items"], "sid", stream, "stream")
        now = int(time.time())
        query: dict[str, Any] = {
            "from_": parse_time(start, now, "--from") if start else None,
            "to": parse_time(end, now, "--until") if end else None,
        }
        output = Output(as_json)
        rows: list[dict[str, Any]] = []
        left, cursor = limit, None
        while left > 0:
            page = client.get(f"/streams/{found['sid']}/readings", **query, cursor=cursor, limit=min(left, _PAGE))
            if as_json:
                # Written page by page: a year of readings does not have to fit into memory.
                output.many(page["items"], _READINGS, "")
            else:
                rows += page["items"]
            left -= len(page["items"])
            cursor = page.get("next")
            if cursor is None or not page["items"]:
                break
        if not as_json:
            output.many(rows, _READINGS, "There are no readings in this time.")

    @group.command(
        help="Headers, registry events and log for `wattpact verify`.\n\n"
        "  wattpact stream export electricity/1s > export.json"
    )
    @guarded
    def export(context: typer.Context, stream: _Stream) -> None:
        client = session_of(context).client()
        found = pick(client.get("/streams")["items"], "sid", stream, "stream")
        Output(True).document(client.get(f"/streams/{found['sid']}/export"))
