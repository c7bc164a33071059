"""Setting off is a pure function of its lines: nobody's balance changes, no ring stays, and no more is taken off."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.services.market.netting import NetLine
from node.services.market.setoff import set_off

PEOPLE = [bytes([n]) * 20 for n in range(1, 8)]
LINES = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.integers(0, 10**12)).filter(lambda x: x[0] != x[1]),
    max_size=60,
).map(lambda rows: [NetLine(n.to_bytes(32, "big"), *row) for n, row in enumerate(rows)])


def line(name: int, debtor: int, creditor: int, amount: int) -> NetLine:
    return NetLine(bytes([name]) * 32, PEOPLE[debtor], PEOPLE[creditor], amount)


def left(lines: list[NetLine]) -> list[int]:
    found = set_off(lines)
    return [found[each.leaf] for each in lines]


def test_of_two_that_face_each_other_the_difference_is_owed_by_the_one_who_owes_more() -> None:
    assert left([line(1, 0, 1, 900), line(2, 1, 0, 400)]) == [500, 0]
    assert left([line(1, 0, 1, 400), line(2, 1, 0, 400)]) == [0, 0]


def test_a_ring_of_three_loses_its_least_debt() -> None:
    assert left([line(1, 0, 1, 500), line(2, 1, 2, 300), line(3, 2, 0, 400)]) == [200, 0, 100]


def test_what_leads_nowhere_back_stays_whole() -> None:
    assert left([line(1, 0, 1, 500), line(2, 1, 2, 300), line(3, 0, 2, 400)]) == [500, 300, 400]


@given(LINES, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(lines: list[NetLine], chance: object) -> None:
    again = [*lines, *lines[: len(lines) // 2]]
    chance.shuffle(again)  # type: ignore[attr-defined]
    assert set_off(again) == set_off(lines)


@given(LINES)
def test_nobody_is_owed_more_or_less_in_all(lines: list[NetLine]) -> None:
    owed = set_off(lines)
    assert set(owed) == {each.leaf for each in lines}
    assert all(0 <= owed[each.leaf] <= each.amount for each in lines)
    for account in PEOPLE:
        debts = sum(each.amount - owed[each.leaf] for each in lines if each.debtor == account)
        claims = sum(each.amount - owed[each.leaf] for each in lines if each.creditor == account)
        assert debts == claims


@given(LINES)
def test_no_ring_stays(lines: list[NetLine]) -> None:
    """Somebody always owes without being owed, so taking those away in turns takes everybody away."""
    owed = set_off(lines)
    debts = {(each.debtor, each.creditor) for each in lines if owed[each.leaf]}
    while debts:
        free = {debtor for debtor, _ in debts} - {creditor for _, creditor in debts}
        assert free
        debts = {each for each in debts if each[0] not in free}


def test_rings_of_any_length_are_found() -> None:
    """10,000 parties, each of which owes the next one twice: deeper than any recursion goes."""
    count = 10_000
    people = [n.to_bytes(20, "big") for n in range(1, count + 1)]
    lines = [
        NetLine((turn * count + n).to_bytes(32, "big"), people[n], people[(n + 1) % count], 5 + turn)
        for n in range(count)
        for turn in range(2)
    ]
    assert set(set_off(lines).values()) == {0}
