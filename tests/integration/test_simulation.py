"""`wattpact simulate` with fifty assets: real market roles, real signatures, the real contract on a real chain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.app.commands.simulate import simulate
from node.cli.factories import SimulateOptions

pytestmark = [pytest.mark.chain]


def test_fifty_assets_trade_a_slot_and_nothing_is_lost(tmp_path: Path) -> None:
    """Energy, money and statement are conserved; every contract comes to its end. At noon there is sun to sell.

    A-32: pictures of energy, price and money by slot, each with its figures.
    """
    found = simulate(SimulateOptions(50, 1, tmp_path, slots=1, first_hour=12, quiet=True))
    assert found["ok"], found["checks"]
    assert found["contracts"] > 20
    assert found["confirmed"] == found["contracts"]
    assert 0 < found["delivered_wh"] < found["matched_wh"]  # one contract in sixteen falls short
    assert 120_000 <= found["price_per_kwh"] <= 320_000
    assert json.loads((tmp_path / "report.json").read_text()) == found
    for name in ("energy", "price", "money"):
        assert (tmp_path / f"{name}.svg").read_text().startswith("<svg")
        assert (tmp_path / f"{name}.csv").read_text().startswith("start,")
