"""Netting is a pure function of its lines, whatever their order: sum zero, |net| <= gross, limits kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.market.errors import LineRefused
from node.services.market.netting import DAY, Asking, NetLine, check_day, check_line, deposit_for, net, within

PEOPLE = [bytes([n]) * 20 for n in range(1, 7)]
LINES = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.integers(0, 10**12)).filter(lambda x: x[0] != x[1]),
    max_size=40,
).map(lambda rows: [NetLine(n.to_bytes(32, "big"), *row) for n, row in enumerate(rows)])


@given(LINES, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(lines: list[NetLine], chance: object) -> None:
    again = [*lines, *lines[: len(lines) // 2]]
    chance.shuffle(again)  # type: ignore[attr-defined]
    assert net(again) == net(lines)


@given(LINES)
def test_the_sum_is_zero_and_nobody_pays_more_than_its_lines(lines: list[NetLine]) -> None:
    found = net(lines)
    assert sum(found.net.values()) == 0
    assert found.total == sum(found.debits().values()) == sum(found.credits().values())
    assert 0 not in found.net.values()
    for account, amount in found.net.items():
        owes = sum(line.amount for line in lines if line.debtor == account)
        gets = sum(line.amount for line in lines if line.creditor == account)
        assert amount == gets - owes
        assert abs(amount) <= max(owes, gets)


@given(LINES, st.dictionaries(st.sampled_from(PEOPLE), st.integers(0, 10**13)))
def test_no_limit_is_passed_and_no_line_is_lost(lines: list[NetLine], limits: dict[bytes, int]) -> None:
    found, out = within(lines, limits)
    assert all(amount <= limits.get(account, 0) for account, amount in found.debits().items())
    assert sorted((*found.lines, *out)) == sorted(set(lines))
    assert sum(found.net.values()) == 0
    shuffled, others = within(reversed(lines), limits)
    assert (shuffled, others) == (found, out)


def test_who_has_no_mandate_takes_nobody_else_out() -> None:
    a, b, c = PEOPLE[:3]
    lines = [NetLine(b"1" * 32, a, b, 10), NetLine(b"2" * 32, c, b, 7)]
    found, out = within(lines, {a: 100})
    assert found.net == {a: -10, b: 10}
    assert [line.debtor for line in out] == [c]


ASKING = Asking(PEOPLE[0], PEOPLE[5], bytes(20), 1_000, 250, 86_400)


def test_a_line_costs_its_energy_at_its_price_rounded_down() -> None:
    assert check_line(ASKING, PEOPLE[5], PEOPLE[1], 333, 250, 0) == 83
    assert check_line(ASKING, PEOPLE[5], PEOPLE[1], 400, 250, 600) == 100


@pytest.mark.parametrize(
    ("asking", "seller", "wh", "price", "taken", "field"),
    [
        (replace(ASKING, operator=PEOPLE[4]), PEOPLE[1], 1, 1, 0, "operator"),
        (ASKING, PEOPLE[0], 1, 1, 0, "seller"),
        (replace(ASKING, partner=PEOPLE[2]), PEOPLE[1], 1, 1, 0, "seller"),
        (ASKING, PEOPLE[1], 0, 1, 0, "wh"),
        (ASKING, PEOPLE[1], -1, 1, 0, "wh"),
        (ASKING, PEOPLE[1], 401, 1, 600, "wh"),
        (ASKING, PEOPLE[1], 1, 251, 0, "price"),
        (ASKING, PEOPLE[1], 1, -1, 0, "price"),
    ],
)
def test_a_line_that_does_not_bind_its_debtor_is_refused(
    asking: Asking, seller: bytes, wh: int, price: int, taken: int, field: str
) -> None:
    with pytest.raises(LineRefused) as refused:
        check_line(asking, PEOPLE[5], seller, wh, price, taken)
    assert refused.value.field == field


def test_a_line_is_told_between_the_begin_of_its_delivery_and_the_netting_of_its_day() -> None:
    start = 20 * DAY + 100
    for now in (start, start + 1, 21 * DAY, 21 * DAY + 3_599):
        check_day(start, now, 3_600)
    for now, after in ((start - 1, 3_600), (0, 0), (21 * DAY + 3_600, 3_600), (21 * DAY, 0), (40 * DAY, 3_600)):
        with pytest.raises(LineRefused):
            check_day(start, now, after)


def test_an_operator_deposits_a_tenth_as_the_contract_counts_it() -> None:
    assert [deposit_for(total) for total in (0, 9, 10, 19, 2_000)] == [0, 0, 1, 1, 200]
