"""The example provider program: it runs as it is shown, stays small, and draws what it was given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import channels.examples.plot_day as plot_day

SVG = "{http://www.w3.org/2000/svg}"
DAY = 1_767_225_600


def line(time: int, watts: int, provisional: bool = False) -> str:
    return json.dumps({"time": time, "epoch": 1, "seq": 1, "provisional": provisional, "values": {"import_w": watts}})


def test_it_is_at_most_sixty_lines() -> None:
    assert len(Path(plot_day.__file__).read_text().splitlines()) <= 60


def test_a_day_of_readings_becomes_a_drawing() -> None:
    lines = [line(DAY + second, second // 900) for second in range(0, 86_400, 60)]
    lines += [line(DAY - 90_000, 9_999), line(DAY + 30, 9_999, provisional=True)]
    done = subprocess.run(
        [sys.executable, "-m", "channels.examples.plot_day"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    bars = ElementTree.fromstring(done.stdout).findall(f"{SVG}rect")
    assert [int(bar[0].text or "") for bar in bars] == list(range(96)), "provisional ones and other days are left out"
    heights = [float(bar.attrib["height"]) for bar in bars]
    assert heights == sorted(heights)
    assert heights[-1] == plot_day.HEIGHT


def test_nothing_is_drawn_of_nothing() -> None:
    assert (
        ElementTree.fromstring(plot_day.drawing(plot_day.quarters([], "import_w"), "import_w")).findall(f"{SVG}rect")
        == []
    )
