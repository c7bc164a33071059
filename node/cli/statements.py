"""statement show, export, invoices: invoices of a period, and all its lines as a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from node.cli.output import Column, Output, short
from node.cli.session import JsonFlag, guarded, session_of
from node.cli.times import parse_time, show_time
from node.errors import UsageError

__all__ = ["add_statement_commands"]

_MARKS: Final = {"csv": b",energy,", "xml": b"<text>energy</text>"}
"""There is one such line for each contract: what the bar counts."""
_HEADS: Final[tuple[Column, ...]] = (
    ("market", "operator"),
    ("from", lambda row: show_time(row["start"])),
    ("to", lambda row: show_time(row["end"])),
    ("contracts", lambda row: str(row["contracts"])),
    ("lines", lambda row: str(row["lines"])),
    ("balance", lambda row: str(row["balance"])),
)
_INVOICES: Final[tuple[Column, ...]] = (
    ("invoice", "number"),
    ("party", lambda row: short(row["party"])),
    ("from", lambda row: show_time(row["start"])),
    ("carrier", "carrier"),
    ("for", lambda row: f"{row['kind'].replace('_', ' ')} {'taken' if row['owes'] else 'given'}"),
    ("energy", lambda row: f"{row['wh'] // 1_000}.{row['wh'] % 1_000:03d} kWh"),
    ("amount", "amount"),
    ("of carrier", "carrier_total"),
    ("total", "total"),
)
From = Annotated[str, typer.Option("--from", help="Deliveries that begin then or later.")]
Until = Annotated[str, typer.Option("--to", help="Deliveries that begin before.")]
Party = Annotated[str | None, typer.Option("--party", help="Only this account.")]


class _Counter:
    """Counts contracts in what goes by, also where a mark lies across two pieces."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark
        self._rest = b""
        self.contracts = self.bytes = 0

    def note(self, piece: bytes) -> None:
        self.bytes += len(piece)
        text = self._rest + piece
        self.contracts += text.count(self._mark)
        keep = min(len(self._mark) - 1, len(text))
        # A whole mark never fits into what is kept, so nothing is counted twice.
        self._rest = text[len(text) - keep :]


def _query(begin: str, end: str, party: str | None) -> dict[str, str]:
    now = int(time.time())
    first, last = parse_time(begin, now, "--from"), parse_time(end, now, "--to")
    if first >= last:
        raise UsageError("--to must be later than --from.", remedy="For a day: --from 2026-01-01 --to 2026-01-02.")
    return {"from": str(first), "to": str(last), **({"party": party} if party else {})}


def add_statement_commands(app: typer.Typer) -> None:
    """The group `statement`."""
    group = typer.Typer(help="Settlement statements: invoices, and every line as a file.", no_args_is_help=True)
    app.add_typer(group, name="statement")
    _add_show(group)
    _add_export(group)
    _add_invoices(group)


def _add_show(group: typer.Typer) -> None:
    @group.command(
        help="Invoices of a period, by party.\n\n"
        "  wattpact statement show --from 2026-01-01 --to 2026-02-01\n\n"
        "  wattpact statement show --from -7d --to now --by day --json"
    )
    @guarded
    def show(
        context: typer.Context,
        begin: From,
        end: Until = "now",
        party: Party = None,
        by: Annotated[str, typer.Option(help="all, month or day: one invoice for each.")] = "all",
        as_json: JsonFlag = False,
    ) -> None:
        query = _query(begin, end, party)
        found = session_of(context).client().get(
            "/market/statement", from_=query["from"], to=query["to"], party=party, period=by
        )  # fmt: skip
        output = Output(as_json)
        output.one(found, _HEADS)
        if not as_json:
            output.many(_rows(found["invoices"]), _INVOICES, "No delivery was settled in this time.")


def _rows(invoices: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row for each position, with the totals of its carrier and of its invoice."""
    rows = []
    for invoice in invoices:
        totals = {each["carrier"]: each["total"] for each in invoice["totals"]}
        rows += [{**invoice, **each, "carrier_total": totals[each["carrier"]]} for each in invoice["positions"]]
    return rows


def _add_export(group: typer.Typer) -> None:
    @group.command(
        help="Every line of a period: CSV, or a market document in the style of IEC 62325.\n\n"
        "  wattpact statement export --format csv --from 2026-01-01 --to 2026-02-01 --out january.csv\n\n"
        "  wattpact statement export --format xml --from -1d > yesterday.xml"
    )
    @guarded
    def export(
        context: typer.Context,
        begin: From,
        end: Until = "now",
        party: Party = None,
        kind: Annotated[str, typer.Option("--format", help="csv or xml.")] = "csv",
        out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; standard output if none.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        _download("/market/statement/export", {**_query(begin, end, party), "format": kind}, out, as_json, context)


def _add_invoices(group: typer.Typer) -> None:
    @group.command(
        help="The invoices of a period: CSV, or a market document in the style of IEC 62325.\n\n"
        "  wattpact statement invoices --by month --from 2026-01-01 --to 2026-04-01 --out invoices.csv"
    )
    @guarded
    def invoices(
        context: typer.Context,
        begin: From,
        end: Until = "now",
        party: Party = None,
        by: Annotated[str, typer.Option(help="all, month or day: one invoice for each.")] = "all",
        kind: Annotated[str, typer.Option("--format", help="csv or xml.")] = "csv",
        out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write; standard output if none.")] = None,
        as_json: JsonFlag = False,
    ) -> None:
        query = {**_query(begin, end, party), "format": kind, "period": by}
        _download("/market/statement/invoices", query, out, as_json, context)


def _download(path: str, query: Mapping[str, str], out: Path | None, as_json: bool, context: typer.Context) -> None:
    """A file of the node to where it was wanted."""
    kind = query["format"]
    if kind not in _MARKS:
        raise UsageError(f"{kind} is no format of a statement.", remedy="Choose csv or xml.")
    if as_json and out is None:
        raise UsageError("--json tells about a file, and the statement itself takes standard output.",
                         remedy="Name a file with --out.")  # fmt: skip
    counter, contracts = _Counter(_MARKS[kind]), 0
    with _sink(out) as write, _bar() as advance:

        def take(piece: bytes, headers: Mapping[str, str]) -> None:
            nonlocal contracts
            write(piece)
            counter.note(piece)
            contracts = int(headers.get("X-Statement-Contracts", "0"))
            advance(counter.contracts, contracts)

        session_of(context).client().download(path, query, take)
    if out is not None:
        row = {"file": str(out), "bytes": counter.bytes, "contracts": contracts}
        Output(as_json).one(row, (("file", "file"), ("bytes", "bytes"), ("contracts", "contracts")))


@contextmanager
def _sink(out: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Where the bytes go. A file is whole or not there: it is written beside its name and renamed."""
    if out is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    beside = out.with_name(out.name + ".part")
    try:
        with _opened(beside) as file:
            yield file.write
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}).", remedy="Choose another --out.") from None


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Contracts of how many, on standard error, where a person looks at it."""
    columns = (TextColumn("contracts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
