"""`wattpact energy` and `wattpact market`: tables for people, JSON for machines, exit codes."""

from __future__ import annotations

import json

from node.api.settlementviews import DepositForm, JoinForm, OrderForm, ShareForm, SourceForm
from node.errors import ExitCode
from tests.unit.node.api.memory_settlement import SOURCE
from tests.unit.node.api.serving import Served
from tests.unit.node.cli.commandline import Line, api, line

__all__ = ["api", "line"]


def test_energy_is_shown_with_units_and_as_json(line: Line, api: Served) -> None:
    shown = line.run("energy", "show")
    assert shown.exit_code == ExitCode.OK
    assert "2.500 kWh" in shown.stdout
    assert str(SOURCE) in shown.stdout
    assert "6000 W" in shown.stdout
    found = json.loads(line.run("energy", "show", "--json").stdout)
    assert found["sources"][0]["minted_mwh"] == 2_500_000


def test_a_source_from_the_meter_to_its_shareholders(line: Line, api: Served) -> None:
    proposed = line.run("energy", "propose", "https://community.example", "--max-power", "6000", "--json")
    assert json.loads(proposed.stdout) == {"source": SOURCE}
    for words in (("accept",), ("approve",), ("claim",)):
        assert line.run("energy", *words, str(SOURCE), "--json").exit_code == ExitCode.OK, words
    share = line.run("energy", "share", str(SOURCE), "0x" + "0c" * 20, "250", "--yes", "--json")
    assert share.exit_code == ExitCode.OK
    said = api.settlement.energy.said
    assert isinstance(said[0], SourceForm)
    assert said[1:4] == [("accept", SOURCE), ("approve", SOURCE), ("claim", SOURCE)]
    assert isinstance(said[4], ShareForm)
    assert (said[4].source, said[4].shares) == (SOURCE, 250)
    assert line.run("energy", "accept", "8").exit_code == ExitCode.NOT_FOUND


def test_orders_contracts_and_money(line: Line, api: Served) -> None:
    market = ("--market", "https://market.example")
    made = line.run("market", "order", "offer", "1500", "200", *market, "--from", "+15m", "--until", "+30m")
    assert made.exit_code == ExitCode.OK, made.stderr
    assert "1500 Wh" in made.stdout
    assert line.run("market", "join", "https://market.example").exit_code == ExitCode.OK
    assert line.run("market", "deposit", "500", *market).exit_code == ExitCode.OK
    order, join, deposit = api.settlement.market.said
    assert isinstance(order, OrderForm)
    assert order.end - order.start == 900
    assert isinstance(join, JoinForm)
    assert isinstance(deposit, DepositForm)
    assert "Payment requested" in line.run("market", "trades").stdout
    assert "500 Wh" in line.run("market", "orders").stdout
    assert "1000 Wh" in line.run("market", "book").stdout
    assert line.run("market", "accounts", "--json").exit_code == ExitCode.OK


def test_a28_a_refused_order_is_shown_with_the_reason(line: Line, api: Served) -> None:
    assert "refused" not in line.run("market", "orders").stdout
    api.settlement.market.waits = "deposit more"
    assert "open: deposit more" in " ".join(line.run("market", "orders").stdout.split())
    api.settlement.market.refused = "gate closed"
    assert "refused: gate closed" in " ".join(line.run("market", "orders").stdout.split())
    order = json.loads(line.run("market", "orders", "--json").stdout)
    assert (order["state"], order["reason"]) == ("refused", "gate closed")


def test_an_order_says_what_it_is_and_whom_it_takes(line: Line, api: Served) -> None:
    """M-21, M-84: area, kind of energy, partner, conditions and an end of its own, as over REST."""
    words = ("market", "order", "request", "1500", "200", "--market", "https://market.example")
    time = ("--from", "2030-01-01T12:00Z", "--until", "2030-01-01T12:15Z", "--valid-until", "2030-01-01T11:00Z")
    what = ("--area", "north", "--energy", "thermal", "--partner", "0x" + "0e" * 20)
    takes = ("--takes-energy", "thermal", "--takes-area", "north", "--takes-area", "south", "--takes", "0x" + "0f" * 20)
    made = line.run(*words, *time, *what, *takes)
    assert made.exit_code == ExitCode.OK, made.output
    order = api.settlement.market.said[-1]
    assert isinstance(order, OrderForm)
    assert (order.area, order.energy, order.partner) == ("north", "thermal", b"\x0e" * 20)
    assert order.valid_until == order.start - 3_600
    (condition,) = order.conditions
    assert condition.areas == ("north", "south")
    assert condition.energies == ("thermal",)
    assert condition.partners == (b"\x0f" * 20,)
    assert line.run(*words, *time, "--partner", "0x12").exit_code != ExitCode.OK


def test_the_terms_of_a_market_are_shown(line: Line, api: Served) -> None:
    """Of this node's own market, or of any by its address: nobody has to guess slots, gates, names and waits."""
    for words in ((), (api.server.url,)):
        shown = line.run("market", "terms", *words)
        assert shown.exit_code == ExitCode.OK, shown.output
        for word in ("uniform_price", "900 s", "300 s", "north", "thermal", "86400 s", "gross"):
            assert word in shown.stdout, word
    found = json.loads(line.run("market", "terms", "--json").stdout)
    assert (found["slot_s"], found["areas"], found["reminder_every_s"]) == (900, ["north"], 86_400)
    silent = line.run("market", "terms", "http://127.0.0.1:9")
    assert silent.exit_code == ExitCode.NOT_REACHABLE
    assert "wattpact run" not in silent.stderr, "somebody else's node is not started here"
    assert line.run("market", "terms", "market.example").exit_code == ExitCode.USAGE


def test_the_market_is_followed_live(line: Line, api: Served) -> None:
    """The same as the pages have over WebSocket: what is open first; a node that is no market says so."""
    shown = line.run("market", "follow", "--limit", "1")
    assert shown.exit_code == ExitCode.OK, shown.output
    assert "offers 500 Wh, best at 200, requests 100 Wh, best at 180, traded 750 Wh at 203 on average" in shown.stdout
    found = json.loads(line.run("market", "follow", "--limit", "1", "--json").stdout)
    assert found["offers"][0]["price"] == 200
    api.settlement.data.market = False
    assert line.run("market", "follow", "--limit", "1").exit_code == ExitCode.REFUSED


def test_neither_offer_nor_request_is_a_usage_error(line: Line, api: Served) -> None:
    words = ("market", "order", "both", "1", "1", "--market", "https://m.example", "--from", "+1h", "--until", "+2h")
    found = line.run(*words)
    assert found.exit_code == ExitCode.USAGE
    assert "neither offer nor request" in found.stderr


def test_p27_flows_of_all_and_of_each_member(line: Line, api: Served) -> None:
    shown = line.run("energy", "flows", "--from", "-1d", "--by", "month")
    assert shown.exit_code == ExitCode.OK, shown.stderr
    assert shown.stdout.count("0.600 kWh") == 2
    paired = line.run("energy", "flows", "--from", "-1d", "--by", "month", "--pairs")
    assert paired.stdout.count("0.600 kWh") == 3
    row = json.loads(line.run("energy", "flows", "--from", "-1d", "--json").stdout)
    assert row["green_wh"] + row["export_wh"] == row["produced_wh"]
    assert line.run("energy", "flows", "--from", "-1d", "--by", "week").exit_code == ExitCode.USAGE
