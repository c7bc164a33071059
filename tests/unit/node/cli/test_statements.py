"""`wattpact statement`: tables, files that are whole or not there, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

from node.cli.statements import _Counter
from node.errors import ExitCode
from tests.unit.node.api.serving import Served
from tests.unit.node.api.test_statements import some
from tests.unit.node.cli.commandline import Line, api, line

__all__ = ["api", "line"]

SPAN = ("--from", "2026-01-01", "--to", "2026-02-01")


def test_invoices_are_shown_with_units_and_as_json(line: Line, api: Served) -> None:
    shown = line.run("statement", "show", *SPAN)
    assert shown.exit_code == ExitCode.OK, shown.stderr
    assert "0.480 kWh" in shown.stdout
    assert "-96" in shown.stdout
    assert "thermal" in shown.stdout
    found = json.loads(line.run("statement", "show", *SPAN, "--by", "day", "--json").stdout)
    assert found["balance"] == 0
    assert [query.period for query in api.settlement.statements.asked] == ["all", "day"]


def test_an_export_goes_to_a_file_or_to_standard_output(line: Line, api: Served, tmp_path: Path) -> None:
    api.settlement.statements.deliveries = some(5)
    out = tmp_path / "january.csv"
    told = line.run("statement", "export", *SPAN, "--out", str(out), "--json")
    assert json.loads(told.stdout) == {"file": str(out), "bytes": out.stat().st_size, "contracts": 5}
    shown = line.run("statement", "export", *SPAN)
    assert shown.stdout.splitlines() == out.read_text().splitlines()
    document = line.run("statement", "export", *SPAN, "--format", "xml")
    assert document.stdout.endswith("</EnergyAccount_MarketDocument>\n")


def test_invoices_go_to_a_file_or_to_standard_output(line: Line, api: Served, tmp_path: Path) -> None:
    out = tmp_path / "invoices.csv"
    told = line.run("statement", "invoices", *SPAN, "--by", "month", "--out", str(out), "--json")
    assert told.exit_code == ExitCode.OK, told.output
    assert json.loads(told.stdout)["bytes"] == out.stat().st_size
    assert api.settlement.statements.asked[-1].period == "month"
    assert line.run("statement", "invoices", *SPAN).stdout.splitlines() == out.read_text().splitlines()
    document = line.run("statement", "invoices", *SPAN, "--format", "xml")
    assert document.stdout.endswith("</EnergyAccount_MarketDocument>\n")
    for words in (("--format", "pdf"), ("--json",), ("--by", "week")):
        assert line.run("statement", "invoices", *SPAN, *words).exit_code == ExitCode.USAGE, words


def test_a_broken_export_leaves_no_file_that_looks_whole(line: Line, api: Served, tmp_path: Path) -> None:
    api.settlement.statements.deliveries, api.settlement.statements.fails = some(3), True
    out = tmp_path / "january.csv"
    out.write_text("the one before")
    found = line.run("statement", "export", *SPAN, "--out", str(out))
    assert found.exit_code == ExitCode.NOT_REACHABLE
    assert "broke off" in found.stderr
    assert out.read_text() == "the one before"
    assert list(tmp_path.glob("*.part")) == []


def test_wrong_words_are_usage_errors(line: Line, api: Served, tmp_path: Path) -> None:
    for words in (
        ("--format", "pdf"), ("--json",), ("--out", str(tmp_path / "no" / "such.csv")),
        ("--to", "2025-01-01"), ("--party", "0x12"),
    ):  # fmt: skip
        assert line.run("statement", "export", "--from", "2026-01-01", *words).exit_code == ExitCode.USAGE, words
    assert list(tmp_path.glob("*.csv*")) == []


def test_the_bar_counts_contracts_across_pieces() -> None:
    text = b"a,energy,b\r\nc,excess,d\r\ne,energy,f\r\n"
    for size in range(1, len(text) + 1):
        counter = _Counter(b",energy,")
        for begin in range(0, len(text), size):
            counter.note(text[begin : begin + size])
        assert (counter.contracts, counter.bytes) == (2, len(text)), size
