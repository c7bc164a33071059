"""What a simulated community wants is the same for the same seed, and makes sense."""

from __future__ import annotations

import csv
from io import StringIO
from xml.etree import ElementTree

import pytest

from node.app.simulation.pictures import (
    energy_csv,
    energy_picture,
    money_csv,
    money_picture,
    price_csv,
    price_picture,
)
from node.app.simulation.plan import Plan
from node.app.simulation.report import SimulationReport, SlotSums
from node.errors import InvalidInput


def test_the_same_seed_is_the_same_community() -> None:
    assert Plan(50, 24).wishes(12) == Plan(50, 24).wishes(12)
    assert Plan(50, 24).wishes(12) != Plan(50, 24, seed=2).wishes(12)
    assert Plan(50, 24).wishes(12) != Plan(50, 24).wishes(11)


def test_two_of_five_sell_and_nobody_has_two_orders_in_a_slot() -> None:
    plan = Plan(1_000, 24)
    for slot in (0, 12):
        wishes = plan.wishes(slot)
        assert len({wish.asset for wish in wishes}) == len(wishes)
        assert all(wish.sells == plan.makes(wish.asset) and wish.wh > 0 and wish.price > 0 for wish in wishes)
    assert sum(plan.makes(n) for n in range(1_000)) == 400
    assert len([w for w in plan.wishes(0) if w.sells]) < len([w for w in plan.wishes(12) if w.sells])  # no sun


@pytest.mark.parametrize("bad", [(1, 1, 900), (2, 0, 900), (2, 1, 899), (2, 1, 86_401)])
def test_senseless_plans_are_refused(bad: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInput):
        Plan(*bad)


def test_every_check_can_fail() -> None:
    """A report that is right in everything, and then wrong in one thing after the other."""

    def report() -> SimulationReport:
        slot = SlotSums(900, offered=900, requested=800, matched=700, delivered=600, contracts=3, amount=120)
        return SimulationReport(
            5, [slot], minted=1_000, wallets=400, books=600, vault=600, statement_due=120, paid=120, confirmed=3
        )

    assert all(report().checks().values())
    changes = {
        "confirmed": 2, "open": 1, "over_limits": ["00"], "paid": 119, "statement_due": 121, "statement_balance": 1,
        "wallets": 401, "books": 599,
    }  # fmt: skip
    for name, value in changes.items():
        wrong = report()
        setattr(wrong, name, value)
        assert sum(not ok for ok in wrong.checks().values()) == 1, name
    for name, value in {"matched": 801, "delivered": 701}.items():
        wrong = report()
        setattr(wrong.slots[0], name, value)
        assert not all(wrong.checks().values()), name


def test_pictures_are_drawings_of_the_figures() -> None:
    """A-32: energy per slot, price per slot, income and cost cumulative; the figures of each as CSV."""
    slots = [SlotSums(n * 900, 100 * n, 80 * n, 70 * n, 60 * n, n, 12 * n) for n in range(4)]
    energy = ElementTree.fromstring(energy_picture(slots))
    titles = [each.text for each in energy.iter() if each.tag.endswith("title")]
    assert titles[3:6] == ["offered 100 Wh", "requested 80 Wh", "delivered 60 Wh"]
    price = ElementTree.fromstring(price_picture(slots))
    assert [each.text for each in price.iter() if each.tag.endswith("title")] == ["200"] * 3
    assert ElementTree.fromstring(energy_picture([])) is not None
    assert ElementTree.fromstring(price_picture([])) is not None
    money = ElementTree.fromstring(money_picture(slots))
    assert [each.text for each in money.iter() if each.tag.endswith("title")] == ["0", "12", "36", "72"]
    assert ElementTree.fromstring(money_picture([])) is not None
    # The sums of fifty assets over a day have eight digits and more: the whole of one is on the picture.
    rich = [SlotSums(0, 1_000, 900, 800, 700, 70_995_053, 70_995_053_123)]
    for picture in (money_picture(rich), price_picture(rich)):
        texts = [each for each in ElementTree.fromstring(picture).iter() if each.tag.endswith("text")]
        (top,) = [each for each in texts if each.text and each.text.isdigit() and len(each.text) > 7]
        assert int(top.get("x", "0")) >= 8 * len(top.text or "")
    rows = [list(csv.reader(StringIO(made(slots), newline=""))) for made in (energy_csv, price_csv, money_csv)]
    assert all(len(table) == 5 and {len(row) for row in table} == {len(table[0])} for table in rows)
    assert rows[0][2] == ["900", "100", "80", "70", "60"]
    assert [row[1] for row in rows[1]] == ["price_per_kwh", "", "200", "200", "200"]
    assert rows[2][-1] == ["2700", "36", "72"]
