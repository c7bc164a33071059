"""`wattpact market twin`: every party's log beside database and chain; the exit code says whether they agree (M-82)."""

from __future__ import annotations

import json

from node.api.twins import ForkView
from node.errors import ExitCode
from tests.unit.node.api.memory_settlement import CONTRACT, OPERATOR
from tests.unit.node.api.serving import Served
from tests.unit.node.cli.commandline import Line, api, line

__all__ = ["api", "line"]

ID = "0x" + CONTRACT.hex()


def test_m82_a_twin_is_shown_field_by_field_and_entry_by_entry(line: Line, api: Served) -> None:
    for given in (ID, ID[:10]):
        shown = line.run("market", "twin", given)
        assert shown.exit_code == ExitCode.OK, shown.output
        assert "market's log" in shown.stdout
        assert "700 Wh, 140 owed or paid" in shown.stdout
        assert "All copies agree." in shown.stderr
    api.settlement.twins.wh = 0
    assert "0 Wh, 140 owed or paid" in line.run("market", "twin", ID).stdout, "nothing counted is said as well"
    found = json.loads(line.run("market", "twin", ID, "--json").stdout)
    assert found["entries"][0]["message"]["status"] == "delivered"
    assert found["fields"][0]["values"]["chain"] == 700


def test_what_does_not_agree_ends_with_1_and_says_what(line: Line, api: Served) -> None:
    api.settlement.twins.fork = ForkView(author=OPERATOR, first="0x01", second="0x02")
    api.settlement.twins.damage = "entry 3 does not open."
    shown = line.run("market", "twin", ID)
    assert shown.exit_code == ExitCode.FAILED
    assert "contradict each other" in shown.stderr
    assert "entry 3 does not open." in shown.stderr
    assert "The copies differ." in shown.stderr
    asked = line.run("market", "twin", ID, "--json")
    assert (asked.exit_code, json.loads(asked.stdout)["fork"]["second"]) == (ExitCode.FAILED, "0x02")


def test_a_contract_without_a_twin_is_not_found(line: Line, api: Served) -> None:
    other = line.run("market", "twin", "0x" + "09" * 32)
    assert other.exit_code == ExitCode.NOT_FOUND
    unknown = line.run("market", "twin", "0x090909")
    assert unknown.exit_code == ExitCode.NOT_FOUND
    assert "wattpact market trades" in unknown.stderr
