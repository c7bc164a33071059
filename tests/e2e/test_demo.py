"""`make demo` as a newcomer runs it: real processes, about four minutes, every check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.app.demo.checks import CHECKS

pytestmark = [pytest.mark.long, pytest.mark.chain, pytest.mark.broker]


def play(out: Path, **environment: str) -> dict[str, object]:
    run = subprocess.run(
        [sys.executable, "-m", "node.app", "demo", "--out", str(out)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    report: dict[str, object] = json.loads((out / "report.json").read_text())
    assert run.returncode == 0, run.stderr[-6000:]
    return report


def assert_complete(report: dict[str, object]) -> None:
    checks = report["checks"]
    assert isinstance(checks, list)
    assert len(checks) == len(CHECKS)
    assert all(check["ok"] and check["detail"] for check in checks)
    assert set(checks[0]) == {"name", "ok", "detail"}


def test_the_whole_story(tmp_path: Path) -> None:
    report = play(tmp_path / "demo")
    assert_complete(report)
    providers = report["providers"]
    assert isinstance(providers, dict)
    assert providers["A"]["opened_after_revocation_by_any_key"] == 0
    assert providers["A"]["envelopes_after_revocation"] > 0
    assert providers["D"]["streams"]["electricity/1s"]["slots_read"] == 0


def test_the_whole_story_with_mosquitto(tmp_path: Path) -> None:
    if shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.fail("mosquitto is missing: apt install mosquitto")
    assert_complete(play(tmp_path / "demo", WATTPACT_DEMO_BROKER="mosquitto"))
