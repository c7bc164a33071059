"""`make demo` up to its first steps, and that its story makes all of the evidence that its checks ask for.

The whole of it takes minutes and is in `test_demo.py`; a script that is broken already where it begins is found here.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from node.app.demo import checks, run, scenario, story, trading, village
from node.app.demo.evidence import Evidence, Settlement
from tests.support.processes import ROOT

BEGUN = "… gateway and home pair"
"""The first step of the story: chain, contracts, broker, meter, gateway and home are there."""


def _command(out: Path) -> list[str]:
    """What `make demo` runs after the set-up, with another folder for its report."""
    told = subprocess.run(["make", "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    *_, line = [line for line in told.splitlines() if " demo " in line]
    return [str(out) if word == "build/demo" else word for word in shlex.split(line)]


def _lines(path: Path, process: subprocess.Popen[bytes], within: float) -> Iterator[str]:
    """What it prints, line by line, until it ends or the time is over."""
    end, told = time.monotonic() + within, 0
    while time.monotonic() < end:
        ended = process.poll() is not None
        whole = path.read_text().splitlines(keepends=True)
        for line in (line for line in whole[told:] if line.endswith("\n")):
            told += 1
            yield line
        if ended:
            return
        time.sleep(0.1)


def _running_in(folder: Path) -> list[str]:
    """Command lines of processes that have to do with a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        if str(folder) in words:
            found.append(words)
    return found


@pytest.mark.chain
@pytest.mark.broker
def test_the_demo_begins_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """Arguments, chain, contracts, keys, configs, broker, meter, nodes; then SIGTERM, twice, leaves nothing of it."""
    out, said = tmp_path / "demo", tmp_path / "said"
    with said.open("wb") as log:
        process = subprocess.Popen(_command(out), cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
    try:
        reached = any(BEGUN in line for line in _lines(said, process, 400))
        assert reached, said.read_text()[-3000:]
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)  # by whoever has no patience, while everything is taken down
        assert process.wait(180) != 0, "a story that was broken off is no success"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert _running_in(tmp_path) == []
    assert not (out / "report.json").exists(), "nothing was judged"
    broken = [log.name for log in (out / "logs").glob("*.log") if "Traceback" in log.read_text(errors="replace")]
    assert broken == []


def _source(*modules: object) -> str:
    return "\n".join(Path(str(getattr(module, "__file__"))).read_text() for module in modules)  # noqa: B009


def test_every_moment_that_a_check_asks_for_is_noted_by_the_story() -> None:
    folder = Path(checks.__file__).parent
    judged = "\n".join(path.read_text() for path in folder.glob("*.py"))
    asked = set(re.findall(r'\.moments(?:\.get\(|\[)"(\w+)"', judged))
    told = set(re.findall(r'(?:\.note\(|\.moments\[)"(\w+)"', _source(scenario, run, story, trading)))
    assert asked, "the checks name no moments"
    assert asked <= told


@pytest.mark.parametrize(("made", "module"), [(Evidence, story), (Settlement, village)], ids=["evidence", "settlement"])
def test_every_part_of_the_evidence_is_given_by_the_story(made: type, module: object) -> None:
    """No check may live on a part that is empty because nobody fills it."""
    calls = [
        {keyword.arg for keyword in node.keywords}
        for node in ast.walk(ast.parse(_source(module)))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == made.__name__
    ]
    wanted = {field.name for field in fields(made)}
    assert max(calls, key=len) == wanted


def test_every_function_of_a_check_is_in_the_table() -> None:
    """Each public function of the modules of checks that gives a `Check` is played."""
    folder = Path(checks.__file__).parent
    found = set()
    for path in folder.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and path.name != "base.py":
                found.add(node.name)
    assert found == {check.__name__ for check in checks.CHECKS}
    assert len(checks.CHECKS) == len(set(checks.CHECKS))
