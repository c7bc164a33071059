"""P-27 and B-11: energy flows of a quarter of an hour, exact to the Wh whatever the figures."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.community.errors import FlowRefused
from node.services.community.flows import Totals, apportion, flows_of

KEYS = [bytes([number]) for number in range(8)]
wh = st.integers(0, 2**50) | st.integers(0, 20)
energy = st.dictionaries(st.sampled_from(KEYS), wh, max_size=8)
produced_by = energy.map(lambda found: {b"s" + key: value for key, value in found.items()})


def test_p27_by_what_was_used() -> None:
    """3 kWh used, 1 kWh made: everybody gets the same third of what it used, the rest comes from the grid."""
    flows = flows_of({b"pv": 1_000}, {b"a": 600, b"b": 900, b"c": 1_500})
    assert flows.green == {b"a": 200, b"b": 300, b"c": 500}
    assert flows.grid == {b"a": 400, b"b": 600, b"c": 1_000}
    assert flows.export == {b"pv": 0}


def test_b11_nobody_gets_more_than_it_used_and_overproduction_is_exported() -> None:
    flows = flows_of({b"pv": 900, b"wind": 300}, {b"a": 100, b"b": 200})
    assert flows.green == {b"a": 100, b"b": 200}
    assert flows.export == {b"pv": 675, b"wind": 225}
    assert flows.used + sum(flows.export.values()) == 1_200


def test_b11_what_one_share_leaves_over_goes_to_the_others() -> None:
    """Equal shares of 300 are 100 each; a uses 10, so 45 more for each of the others; who has no share comes last."""
    flows = flows_of({b"pv": 300}, {b"a": 10, b"b": 200, b"c": 200}, {b"a": 1, b"b": 1, b"c": 1})
    assert flows.green == {b"a": 10, b"b": 145, b"c": 145}
    flows = flows_of({b"pv": 300}, {b"a": 10, b"b": 200, b"c": 200}, {b"a": 1, b"b": 1})
    assert flows.green == {b"a": 10, b"b": 200, b"c": 90}


def test_b11_largest_remainder() -> None:
    """10 Wh among 3, 3 and 1 used of 7 are all served; 5 among 3, 3, 1: 2.14, 2.14, 0.71."""
    assert flows_of({b"pv": 5}, {b"a": 3, b"b": 3, b"c": 1}).green == {b"a": 2, b"b": 2, b"c": 1}


@given(produced_by, energy, st.none() | energy)
def test_b11_every_wh_is_somewhere_and_only_once(
    produced: dict[bytes, int], consumed: dict[bytes, int], weights: dict[bytes, int] | None
) -> None:
    flows = flows_of(produced, consumed, weights)
    made, used = sum(produced.values()), sum(consumed.values())
    assert flows.used + sum(flows.export.values()) == made
    assert flows.used == min(made, used)  # nothing is exported while somebody takes from the grid
    for unit, wh_used in consumed.items():
        assert 0 <= flows.green[unit] <= wh_used
        assert flows.green[unit] + flows.grid[unit] == wh_used
        assert sum(w for (_, to), w in flows.matrix.items() if to == unit) == flows.green[unit]
    for source, wh_made in produced.items():
        sent = sum(w for (by, _), w in flows.matrix.items() if by == source)
        assert sent + flows.export[source] == wh_made
    assert all(value > 0 for value in flows.matrix.values())


@given(st.integers(0, 2**52), energy, st.randoms())
def test_shares_are_fair_to_a_wh_and_do_not_depend_on_order(
    total: int, consumed: dict[bytes, int], chance: object
) -> None:
    """Where nobody is served in full, no share is a whole Wh away from its exact value."""
    found = apportion(total, consumed, consumed)
    backwards = dict(reversed(list(consumed.items())))
    assert apportion(total, backwards, backwards) == found
    whole = sum(consumed.values())
    if total < whole:
        for key, value in consumed.items():
            assert abs(found[key] - Fraction(total * value, whole)) < 1


@given(st.integers(0, 10**6), energy, energy)
def test_a_greater_weight_is_never_worse_off(total: int, most: dict[bytes, int], weights: dict[bytes, int]) -> None:
    """Of two that used the same, the one with more weight gets no less."""
    found = apportion(total, weights, most)
    for one in most:
        for two in most:
            if most[one] == most[two] and weights.get(one, 0) > weights.get(two, 0):
                assert found[one] >= found[two]


@pytest.mark.parametrize("bad", [({b"s": -1}, {}, None), ({}, {b"a": -1}, None), ({}, {b"a": 1}, {b"a": -1})])
def test_negative_energy_has_no_flows(bad: tuple[dict[bytes, int], dict[bytes, int], dict[bytes, int] | None]) -> None:
    with pytest.raises(FlowRefused):
        flows_of(*bad)


@given(st.lists(st.tuples(produced_by, energy), max_size=5))
def test_p27_members_add_up_to_the_community(intervals: list[tuple[dict[bytes, int], dict[bytes, int]]]) -> None:
    owner = {key: bytes([n % 3]) for n, key in enumerate([*KEYS, *(b"s" + key for key in KEYS)])}
    totals = Totals(pairs={})
    for produced, consumed in intervals:
        totals.add(flows_of(produced, consumed), owner)
    sums = [sum(member[place] for member in totals.members.values()) for place in range(4)]
    assert sums == [totals.produced, totals.consumed, totals.green, totals.exported]
    assert totals.produced == sum(sum(produced.values()) for produced, _ in intervals)
    assert totals.green + totals.exported == totals.produced
    assert totals.imported == totals.consumed - totals.green >= 0
    assert totals.pairs is not None
    for member, (made, _, green, exported) in totals.members.items():
        assert sum(wh for (_, user), wh in totals.pairs.items() if user == member) == green
        assert sum(wh for (maker, _), wh in totals.pairs.items() if maker == member) == made - exported
