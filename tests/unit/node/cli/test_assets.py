"""`wattpact asset` and what a person decides in `wattpact market`: tables, JSON, exit codes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from node.api.lifecycle import AllowanceForm
from node.api.netting import MandateForm
from node.api.settlementviews import DepositForm
from node.errors import ExitCode
from tests.unit.node.api.memory_settlement import CONTRACT, DEVICE, IMAGE, ORDER
from tests.unit.node.api.serving import Served
from tests.unit.node.cli.commandline import Line, api, line

__all__ = ["api", "line"]


def test_m72_m73_m76_assets_their_totals_and_the_main_wallet(line: Line, api: Served) -> None:
    """M-72: name, type, balance, status, and one in detail; M-73: the main wallet; M-76: what it came to."""
    shown = line.run("asset", "list")
    assert shown.exit_code == ExitCode.OK, shown.output
    for word in ("Roof", "producer", "thermal", "6", "running"):
        assert word in shown.stdout
    detail = line.run("asset", "show", "Roof")
    assert detail.exit_code == ExitCode.OK
    assert "900 Wh" in detail.stdout
    assert json.loads(line.run("asset", "show", "0x0d0d0d", "--json").stdout)["totals"]["mean_price"] == 200
    assert "480" in line.run("asset", "wallet").stdout
    assert line.run("asset", "show", "Cellar").exit_code == ExitCode.NOT_FOUND


def test_m71_a_link_to_the_pages_for_a_person(line: Line, api: Served) -> None:
    """It is shown to whoever may run commands here; what the browser may do is said before."""
    made = json.loads(line.run("open", "--json").stdout)
    assert made["url"].startswith(f"{api.server.url}/#open=")
    assert made["expires_at"] == api.clock.now() + 600
    assert "/#open=" in line.run("open", "--scope", "read").stdout
    assert line.run("open", "--scope", "owner").exit_code == ExitCode.USAGE


def test_m74_m84_an_asset_is_set_up_with_everything_that_it_has(line: Line, api: Served) -> None:
    """M-84: energy may be thermal."""
    words = ("asset", "set", "https://market.example", "--role", "producer", "--least", "200", "--lot", "500")
    more = ("--name", "Roof", "--location", "Main street 5", "--description", "New", "--dashboard", "--paused")
    made = line.run(*words, *more, "--carrier", "thermal", "--json")
    assert made.exit_code == ExitCode.OK, made.output
    (form,) = api.settlement.assets.said
    assert (form.role, form.carrier, form.offer_price, form.min_offer_wh) == ("producer", "thermal", 200, 500)
    assert (form.name, form.location, form.description) == ("Roof", "Main street 5", "New")
    assert (form.dashboard, form.running) == (True, False)
    for wrong in (("--role", "owner"), ("--carrier", "gas"), ("--lot", "0")):
        assert line.run(*words, *wrong).exit_code == ExitCode.USAGE, wrong


def test_m78_what_is_not_named_stays_as_it_is(line: Line, api: Served, tmp_path: Path) -> None:
    """A new price by the command line takes neither name nor picture nor the smallest lot from an asset."""
    api.node.paired = True
    changed = line.run("asset", "set", "--least", "250", "--json")
    assert changed.exit_code == ExitCode.OK, changed.output
    (form,) = api.settlement.assets.said
    assert (form.offer_price, form.name, form.role, form.carrier) == (250, "Roof", "producer", "thermal")
    assert (form.market, form.min_offer_wh, form.delivery_s) == ("https://market.example", 500, 1_800)
    assert (form.dashboard, form.running, form.image) == (True, True, IMAGE)
    off = line.run("asset", "set", "--no-dashboard", "--paused", "--name", "", "--json")
    assert off.exit_code == ExitCode.OK, off.output
    assert (api.settlement.assets.said[-1].dashboard, api.settlement.assets.said[-1].running) == (False, False)
    assert api.settlement.assets.said[-1].name == ""
    api.node.paired = False
    assert line.run("asset", "set", "--least", "250").exit_code == ExitCode.USAGE, "nothing is known of a new one"


def test_m74_a_picture_from_a_file(line: Line, api: Served, tmp_path: Path) -> None:
    api.node.paired, picture = True, tmp_path / "roof.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 100)
    done = line.run("asset", "set", "--picture", str(picture))
    assert done.exit_code == ExitCode.OK, done.output
    (form,) = api.settlement.assets.said
    assert form.image == "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    picture.write_bytes(b"GIF89a")
    assert line.run("asset", "set", "--picture", str(picture)).exit_code == ExitCode.USAGE
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 30_000)
    refused = line.run("asset", "set", "--picture", str(picture))
    assert refused.exit_code != ExitCode.OK
    assert "image" in refused.stderr
    assert len(api.settlement.assets.said) == 1
    assert line.run("asset", "set", "--picture", str(tmp_path / "none.png")).exit_code == ExitCode.USAGE


def test_m73_money_of_the_main_wallet_for_anybody_and_test_money(line: Line, api: Served) -> None:
    """Withdraw: it is asked for once more, since what went to a wrong account does not come back."""
    account = "0x" + "0e" * 20
    assert line.run("asset", "withdraw", account, "70").exit_code == ExitCode.USAGE, "nobody was asked"
    assert line.run("asset", "withdraw", account, "70", "--yes", "--json").exit_code == ExitCode.OK
    assert api.settlement.assets.withdrawn == [(b"\x0e" * 20, 70)]
    assert line.run("asset", "withdraw", "0x12", "70", "--yes").exit_code != ExitCode.OK
    assert line.run("asset", "test-money", "7000").exit_code == ExitCode.OK
    assert line.run("asset", "test-money", "1").exit_code == ExitCode.REFUSED


def test_m77_paused_continued_and_retired_for_good(line: Line, api: Served) -> None:
    for action, status in (("pause", "paused"), ("continue", "running")):
        assert json.loads(line.run("asset", action, "Roof", "--json").stdout)["status"] == status
    unsaid = line.run("asset", "retire", "Roof")
    assert (unsaid.exit_code, api.settlement.assets.status) == (ExitCode.USAGE, "running")
    assert json.loads(line.run("asset", "retire", "Roof", "--yes", "--json").stdout)["name"] == ""
    assert api.settlement.assets.status == "retired"


def test_a29_an_allowance_names_the_assets_own_account(line: Line, api: Served) -> None:
    made = line.run("asset", "allow", "Roof", "5000", "--per-contract", "500", "--total", "90000", "--json")
    assert made.exit_code == ExitCode.OK, made.output
    assert line.run("asset", "allow", "Roof", "0").exit_code == ExitCode.OK
    said, ended = api.settlement.life.said
    assert isinstance(said, AllowanceForm)
    assert (said.per_day, said.per_contract, said.total) == (5_000, 500, 90_000)
    assert isinstance(ended, AllowanceForm)
    assert (ended.per_day, ended.total) == (0, None), "what other assets may draw stays"


def test_m38_a15_orders_and_contracts_are_cancelled_and_claims_contested(line: Line, api: Served) -> None:
    order, contract = "0x" + ORDER.hex(), "0x" + CONTRACT.hex()
    assert line.run("market", "cancel-order", order[:10], "--json").exit_code == ExitCode.OK
    assert line.run("market", "cancel-contract", contract[:10]).exit_code == ExitCode.USAGE, "nobody was asked"
    assert line.run("market", "cancel-contract", contract[:10], "--yes", "--json").exit_code == ExitCode.OK
    assert line.run("market", "dispute", contract, "It stood still.").exit_code == ExitCode.OK
    assert line.run("market", "dispute", contract, "  ").exit_code == ExitCode.USAGE
    assert line.run("market", "evidence", contract[:10]).exit_code == ExitCode.OK
    assert line.run("market", "rule", contract, "850").exit_code == ExitCode.USAGE, "nobody was asked"
    for options in ((), ("--operator", "0x" + "07" * 20)):
        assert line.run("market", "rule", contract, "850", "--yes", *options).exit_code == ExitCode.OK
    assert line.run("market", "cancel-order", "0x999999").exit_code == ExitCode.NOT_FOUND
    asked = [query.begins for query in api.settlement.market.asked]
    assert asked == [contract[2:10]] * 3, "by its beginning, so one of last year is found as well"
    short = line.run("market", "cancel-contract", "0x03", "--yes")
    assert (short.exit_code, "six characters" in short.stderr) == (ExitCode.NOT_FOUND, True)
    said = api.settlement.life.said
    assert said == [
        ("cancel order", ORDER),
        ("cancel contract", CONTRACT),
        ("dispute", CONTRACT, "It stood still."),
        ("evidence", CONTRACT),
        ("rule", CONTRACT, 850, None),
        ("rule", CONTRACT, 850, b"\x07" * 20),
    ]


def test_a17_prices_and_contracts_with_unit_price_and_total(line: Line, api: Served) -> None:
    for command in (("prices", "--from", "1970-01-01"), ("fills",)):
        shown = line.run("market", *command)
        assert shown.exit_code == ExitCode.OK, shown.output
        assert "per kWh" in shown.stdout
        assert "in all" in shown.stdout


def test_m80_contracts_page_by_page_by_status_id_and_time(line: Line, api: Served) -> None:
    words = ("--status", "delivered", "--id", "0x0303", "--from", "2026-01-01", "--to", "2026-02-01", "--limit", "1")
    shown = line.run("market", "trades", *words, "--before", "99")
    assert shown.exit_code == ExitCode.OK, shown.output
    assert "--before 7" in shown.stderr, "how the page goes on"
    query = api.settlement.market.asked[-1]
    assert (query.limit, query.before, query.status, query.begins) == (1, 99, "delivered", "0303")
    assert (query.since, query.until) == (1_767_225_600, 1_769_904_000)
    assert line.run("market", "trades", "--id", "nothing").exit_code == ExitCode.USAGE
    assert line.run("market", "trades", "--account", "0x12").exit_code == ExitCode.USAGE
    assert "0x" + DEVICE.hex() not in shown.stdout


def test_netting_is_shown_day_by_day_and_mandates_are_given(line: Line, api: Served) -> None:
    days = line.run("market", "net", "days")
    assert days.exit_code == ExitCode.OK, days.output
    assert "2026-01-31" in days.stdout
    assert "50" in days.stdout
    contracts = line.run("market", "net", "contracts")
    assert "480 Wh" in contracts.stdout
    assert "470 Wh" in contracts.stdout
    left = line.run("market", "net", "left")
    assert left.exit_code == ExitCode.OK, left.output
    assert "contracted" in left.stdout
    market = ("--market", "https://market.example")
    assert line.run("market", "net", "mandate", "5000", *market, "--until", "2026-03-01").exit_code == ExitCode.OK
    assert line.run("market", "net", "deposit", "700", *market, "--json").exit_code == ExitCode.OK
    mandate, deposit = api.settlement.netting.said
    assert isinstance(mandate, MandateForm)
    assert (mandate.most_a_day, mandate.valid_until) == (5_000, 1_772_323_200)
    assert isinstance(deposit, DepositForm)
    assert line.run("market", "net", "mandate", "-1", *market).exit_code == ExitCode.USAGE


def test_m62_m73_money_is_given_to_an_asset_and_taken_out_of_a_book(line: Line, api: Served) -> None:
    """M-62: by hand, without an allowance; M-73: out again."""
    assert line.run("asset", "fund", "Roof", "500", "--json").exit_code == ExitCode.OK
    assert api.settlement.assets.funded == [500]
    market = ("--market", "https://market.example")
    assert line.run("market", "withdraw", "70", *market).exit_code == ExitCode.OK
    assert line.run("market", "withdraw", "--out", *market).exit_code == ExitCode.OK
    for wrong in ((), ("70", "--out")):
        assert line.run("market", "withdraw", *wrong, *market).exit_code == ExitCode.USAGE
    assert [getattr(said, "amount", said) for said in api.settlement.life.said] == [
        70,
        ("out", "https://market.example"),
    ]
