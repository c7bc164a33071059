"""`scripts/bench`: what it writes, what it prints, and that a missed bound is an error."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from scripts.benchmarks.rows import Row, at_least, at_most
from tests.support.processes import ROOT


def _program() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("bench_program", str(ROOT / "scripts" / "bench"))
    spec = importlib.util.spec_from_loader("bench_program", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


BENCH = _program()
FINE = [at_most("quick_s", 0.4, "s", 0.5), at_least("many_per_s", 12.0, "1/s", 12), at_most("shown_s", 9.0, "s", None)]


@pytest.mark.parametrize(
    ("rows", "code", "missed"),
    [
        (FINE, 0, []),
        ([*FINE, at_most("slow_s", 0.6, "s", 0.5)], 1, ["slow_s"]),
        ([at_least("few_per_s", 11.9, "1/s", 12), *FINE], 1, ["few_per_s"]),
        # Not rounded into the bound.
        ([at_most("nearly_s", 0.50001, "s", 0.5)], 1, ["nearly_s"]),
        ([at_most("nothing_s", float("nan"), "s", 0.5)], 1, ["nothing_s"]),
    ],
)
def test_a_missed_bound_is_an_error_and_everything_is_written(
    rows: Sequence[Row], code: int, missed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "bench.json"
    asked: list[str] = []

    def measured(part: str) -> list[Row]:
        asked.append(part)
        return list(rows) if part == "gas" else []

    assert BENCH.main(["channels", "gas", "--out", str(out)], measured) == code
    assert asked == ["channels", "gas"]
    assert [row["name"] for row in json.loads(out.read_text())] == [row.name for row in rows]
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.out.splitlines() if line.startswith("MISS")] == missed
    assert all(name in said.err for name in missed)


def test_every_part_has_a_measurement() -> None:
    """Without names all of them run, and each is there to be run."""
    asked: list[str] = []

    def measured(part: str) -> list[Row]:
        asked.append(part)
        return []

    assert BENCH.main(["--out", "/dev/null"], measured) == 0
    assert tuple(asked) == BENCH.PARTS
    found = {path.stem for path in (ROOT / "scripts" / "benchmarks").glob("*.py") if "def measure(" in path.read_text()}
    assert found == set(BENCH.PARTS)


def test_a_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit) as ended:
        BENCH.main(["chanels"], lambda part: [])
    assert ended.value.code == 2
