"""Engines by name (M-26, G-6): those of the node, and one of a package that is really installed."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from node.app.trading.matchfeed import rules_of
from node.config.settlement import MarketTermsSettings
from node.errors import ConfigError
from node.services.market import engines
from node.services.market.desk import Desk
from node.services.market.engines import SHIPPED, known_engines, load_engine
from node.services.market.slots import Rules
from tests.unit.services.market.kit import OPERATOR, offer, request, standing

PLUGIN = Path(__file__).parents[3] / "support" / "matching_plugin"


def test_the_engines_of_the_node() -> None:
    assert set(SHIPPED) == {"continuous", "pay_as_bid", "seed_1to1", "uniform_price"}
    assert MarketTermsSettings().engine == "continuous"
    assert all(load_engine(name).summary for name in SHIPPED)


def test_an_unknown_engine_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError) as refused:
        rules_of(MarketTermsSettings(engine="dutch"))
    assert "dutch" in str(refused.value)
    assert "continuous, pay_as_bid, seed_1to1, uniform_price" in str(refused.value.remedy)
    assert refused.value.field == "market.engine"


def test_an_auction_needs_a_gate() -> None:
    with pytest.raises(ConfigError) as refused:
        rules_of(MarketTermsSettings(engine="uniform_price"))
    assert refused.value.field == "market.gate_closure_s"
    assert rules_of(MarketTermsSettings(engine="uniform_price", gate_closure_s=300)).gate_s == 300


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example package, installed by pip into a folder of its own."""
    source = tmp_path / "source"
    source.mkdir()
    for path in PLUGIN.iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--target", str(target), str(source)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(str(target))


@pytest.mark.usefixtures("plugin")
def test_an_installed_package_brings_an_engine() -> None:
    """M-26: found through its entry point, chosen by the config, and the market trades by its rule."""
    assert "whole_orders" in known_engines()
    desk = Desk(OPERATOR, rules_of(MarketTermsSettings(engine="whole_orders")))
    for number, order in enumerate([offer("o", 5, 10), request("r", 9, 4), request("s", 9, 10)]):
        desk.put(standing(order), number, 1)
    assert [(fill.request, fill.wh, fill.price) for fill in desk.step(1)] == [(b"s", 10, 5)]
    assert desk.faults == []


@pytest.mark.parametrize(
    ("points", "word"),
    [
        ([EntryPoint("odd", "json:dumps", engines.GROUP)], "no EngineKind"),
        ([EntryPoint("odd", "not_there:ENGINE", engines.GROUP)], "cannot be loaded"),
        ([EntryPoint("odd", "a:E", engines.GROUP), EntryPoint("odd", "b:E", engines.GROUP)], "Several"),
    ],
)
def test_a_package_that_brings_nonsense_is_refused_by_name(
    points: list[EntryPoint], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "entry_points", lambda **wanted: points)
    with pytest.raises(ConfigError, match=word):
        load_engine("odd")


def test_no_package_takes_the_place_of_an_engine_of_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    thief = [EntryPoint("continuous", "json:dumps", engines.GROUP)]
    monkeypatch.setattr(engines, "entry_points", lambda **wanted: thief)
    assert load_engine("continuous") is SHIPPED["continuous"]
    assert isinstance(Rules(load_engine("continuous")), Rules)
