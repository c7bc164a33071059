"""The mutation run: what counts as noticed. A mutant that was never tried is not one that a test noticed."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import signal
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

from scripts.mutation import trying
from scripts.mutation.mutants import Change

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "mutate"


def _original() -> int:
    return 1


def _mutant() -> int:
    return 2


def _other() -> int:
    return 1


def _closure() -> FunctionType:
    free = 3

    def inner() -> int:
        return free

    assert isinstance(inner, FunctionType)
    return inner


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function with a mutant that a test notices, one that none does, and one that does not fit into its place."""
    mutants = {"x_f__mutmut_1": _mutant, "x_f__mutmut_2": _other, "x_f__mutmut_3": _closure()}
    monkeypatch.setattr(trying, "originals", {"m.x_f": _original})
    monkeypatch.setattr(trying, "mutated", {"m.x_f": mutants})
    monkeypatch.setattr(trying, "first_failure", lambda tests: "" if _original() == 1 else "a test")


@pytest.mark.parametrize(
    ("names", "verdict", "by"),
    [
        (("m.x_f__mutmut_1",), "killed", "a test"),
        (("m.x_f__mutmut_2",), "survived", ""),
        (("m.x_f__mutmut_3",), "error", ""),  # its code has a free variable that the original has not
        (("m.x_f__mutmut_4",), "error", ""),
        (("m.x_g__mutmut_1",), "error", ""),
        (("m.x_f__mutmut_1", "m.x_f__mutmut_4"), "error", ""),
    ],
)
def test_a_mutant_that_cannot_be_applied_is_an_error_and_not_killed(
    known: None, names: trying.Names, verdict: str, by: str
) -> None:
    run = trying.Trying({"known": {}, "left": [], "mutants": []})
    fd, child = run.start(names, [])
    with open(fd, "rb") as said:
        child.said += said.read()
    assert run.end(child)[:2] == (verdict, by)
    assert _original() == 1, "the parent stays what it was"


def test_a_test_that_cannot_run_is_an_error(known: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trying, "first_failure", None)
    run = trying.Trying({"known": {}, "left": [], "mutants": []})
    fd, child = run.start(("m.x_f__mutmut_2",), [])
    with open(fd, "rb") as said:
        assert said.read() == b""
    assert run.end(child)[0] == "error"


@pytest.mark.parametrize(
    ("code", "by", "verdict"),
    [
        (0, "", "survived"),
        (1, "a test", "killed"),
        (1, "", "error"),
        (trying.UNUSABLE, "", "error"),
        (-signal.SIGSEGV, "", "error"),
        (-signal.SIGXCPU, "", "timeout"),
        (-signal.SIGKILL, "", "timeout"),
    ],
)
def test_only_a_test_that_is_named_killed_a_mutant(code: int, by: str, verdict: str) -> None:
    assert trying.verdict_of(code, by) == verdict


@pytest.fixture
def mutate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, writing elsewhere."""
    loader = importlib.machinery.SourceFileLoader("mutate", str(SCRIPT))
    spec = importlib.util.spec_from_loader("mutate", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    for name in ("RESULTS", "REPORT", "LEFT"):
        monkeypatch.setattr(module, name, tmp_path / name)
    (tmp_path / "LEFT").write_text("[[left]]\nfunction = 'm\\.f'\nchange = 'a -> b'\nwhy = \"it is the same\"\n")
    return module


@pytest.mark.parametrize(
    ("verdict", "change", "score", "code"),
    [
        ("killed", "c", 100, 0),
        ("timeout", "c", 100, 0),
        ("survived", "b", 95, 0),  # explained
        ("survived", "c", 95, 1),
        ("untested", "c", 95, 1),
        ("error", "b", 95, 1),  # no explanation helps
    ],
)
def test_the_report_counts_no_error_as_noticed(
    mutate: ModuleType, verdict: str, change: str, score: int, code: int
) -> None:
    every = [Change(f"channels.m.x_f__mutmut_{n}", "m.f", "a", change, False) for n in range(20)]
    found = [{"name": each.name, "verdict": "killed", "by": "a test", "seconds": 0} for each in every]
    found[-1]["verdict"] = verdict
    mutate.RESULTS.write_text("\n".join(map(json.dumps, found)))
    assert mutate.report(every) == code
    document = json.loads(mutate.REPORT.read_text())
    assert (document["score"], document["errors"]) == (score, int(verdict == "error"))
