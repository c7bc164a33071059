"""The report says what the evidence shows, in JSON and as a table."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import threading
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from node.app.demo.checks import CHECKS
from node.app.demo.errors import DemoFailed
from node.app.demo.report import show_report, write_report
from node.app.demo.run import failed, judge
from tests.unit.app.demo.world import NAME, World


def test_the_report_of_a_sound_story(tmp_path: Path) -> None:
    evidence = asyncio.run(World().play()).evidence()
    report = asyncio.run(judge(evidence))
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["under four minutes"], (
        "the judging's own time counts, and this story began in another year"
    )
    assert len(report["checks"]) == len(CHECKS)
    assert report["ok"] is False
    a, b = report["providers"]["A"], report["providers"]["B"]
    assert a["opened_after_revocation_by_any_key"] == 0
    assert a["envelopes_after_revocation"] > 0
    assert b["streams"][NAME]["slots_granted"] == b["streams"][NAME]["slots_read"] == 2
    assert b["streams"][NAME]["slots_refused"] > 0
    assert report["streams"][NAME]["epochs"] == len(report["streams"][NAME]["commits"]) == 5
    assert report["gas"]["Revoke"]
    rekey = report["times"]["rekey_s_from_block_with_revocation"][NAME]
    assert rekey["last_old"] <= 0.5
    write_report(report, tmp_path / "deep" / "report.json")
    assert json.loads((tmp_path / "deep" / "report.json").read_text())["checks"] == report["checks"]
    page = io.StringIO()
    show_report(report, Console(file=page, width=200))
    assert "Envelopes after the revocation that any key A ever stored opens: 0 of" in page.getvalue()
    assert page.getvalue().count("FAIL") == 1


def test_a_story_that_broke_off_is_no_success() -> None:
    report = failed(DemoFailed("The meter fell over."))
    assert report["ok"] is False
    assert report["checks"][0]["detail"].startswith("The meter fell over.")
    show_report(report, Console(file=io.StringIO()))


def test_a_judging_whose_processes_are_ended_ends() -> None:
    """SIGTERM reaches a whole process group: what is left of the demo must not wait for those that are gone."""
    evidence = asyncio.run(World().play()).evidence()
    over = threading.Event()

    def end_them() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):  # those that are gone by themselves
                    parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                    if int(parent) == os.getpid() and "spawn_main" in (process / "cmdline").read_text():
                        os.kill(int(process.name), signal.SIGTERM)

    killer = threading.Thread(target=end_them)
    killer.start()
    try:
        # Where the pool finds out while it starts the next process, Python says so by a handle that is closed.
        with pytest.raises((BrokenProcessPool, OSError)):
            asyncio.run(judge(evidence))
    finally:
        over.set()
        killer.join()
