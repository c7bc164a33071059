from __future__ import annotations

import itertools

import pytest

from node.services.simulator.household import Household

ORIGIN = 1_795_046_400  # 2026-11-19T00:00:00Z
SUMMER = 1_782_000_000 - 1_782_000_000 % 86400
DAY = 86400


def energy(house: Household, begin: int, end: int) -> dict[str, int]:
    first, last = house.at(begin).registers, house.at(end).registers
    return {code: last[code] - first[code] for code in first}


def test_the_same_seed_is_the_same_household() -> None:
    one, two = Household(7, ORIGIN), Household(7, ORIGIN + 5000)
    for moment in (ORIGIN, ORIGIN + 40_000, ORIGIN + 2 * DAY + 17, ORIGIN + DAY):
        assert one.at(moment) == two.at(moment)
    assert Household(8, ORIGIN).at(ORIGIN + 40_000) != one.at(ORIGIN + 40_000)


def test_asking_out_of_order_changes_nothing() -> None:
    asked = Household(3, ORIGIN)
    late = asked.at(ORIGIN + 6 * DAY + 100)
    assert asked.at(ORIGIN + 100) == Household(3, ORIGIN).at(ORIGIN + 100)
    assert Household(3, ORIGIN).at(ORIGIN + 6 * DAY + 100) == late


def test_registers_are_exactly_the_integral_of_power() -> None:
    """Over a day: the sum of watts over seconds, in joules, is what the registers rose, to the last watt-hour."""
    house = Household(5, SUMMER)
    joules = {"in": 0, "out": 0}
    start = house.at(SUMMER).registers
    for moment in range(SUMMER, SUMMER + DAY):
        state = house.at(moment)
        assert min(state.imported, state.exported) == 0
        joules["in"] += state.imported
        joules["out"] += state.exported
        if moment % 3571 == 0:
            later = house.at(moment + 1).registers
            imported = sum(later[c] - start[c] for c in ("1-0:1.8.1", "1-0:1.8.2"))
            exported = sum(later[c] - start[c] for c in ("1-0:2.8.1", "1-0:2.8.2"))
            # Two registers per direction, each rounded down.
            assert 0 <= joules["in"] // 3600 - imported <= 1
            assert 0 <= joules["out"] // 3600 - exported <= 1
    assert joules["out"] > 0


def test_registers_and_gas_never_fall_over_midnight() -> None:
    house = Household(2, ORIGIN)
    moments = [*range(ORIGIN, ORIGIN + 3 * DAY, 977), ORIGIN + 3 * DAY - 1, ORIGIN + 3 * DAY, ORIGIN + 3 * DAY + 1]
    states = [house.at(moment) for moment in sorted(moments)]
    for before, after in itertools.pairwise(states):
        assert all(after.registers[code] >= value for code, value in before.registers.items())
        assert after.gas >= before.gas


@pytest.mark.parametrize("seed", range(4))
def test_a_plausible_household(seed: int) -> None:
    """A Dutch household draws roughly 5 to 25 kWh a day; the sun shines in June, the heating burns in November."""
    winter, summer = Household(seed, ORIGIN), Household(seed, SUMMER)
    cold, warm = energy(winter, ORIGIN, ORIGIN + 2 * DAY), energy(summer, SUMMER, SUMMER + 2 * DAY)
    drawn = cold["1-0:1.8.1"] + cold["1-0:1.8.2"]
    assert 8_000 < drawn < 50_000
    assert sum(warm[c] for c in ("1-0:2.8.1", "1-0:2.8.2")) > sum(cold[c] for c in ("1-0:2.8.1", "1-0:2.8.2"))
    burnt = winter.at(ORIGIN + 2 * DAY).gas[1] - winter.at(ORIGIN).gas[1]
    assert 4_000 < burnt < 30_000
    assert burnt > summer.at(SUMMER + 2 * DAY).gas[1] - summer.at(SUMMER).gas[1]
    assert max(summer.at(SUMMER + s).exported for s in range(0, DAY, 300)) > 0
    night = SUMMER + 3600
    assert all(summer.at(night + s).exported == 0 for s in range(0, 3600, 60))


def test_tariffs_follow_local_time() -> None:
    house = Household(1, ORIGIN)
    thursday = ORIGIN
    assert house.at(thursday + 5 * 3600).tariff == 1
    assert house.at(thursday + 6 * 3600).tariff == 2  # 07:00 in winter
    assert house.at(thursday + 22 * 3600).tariff == 1
    assert house.at(thursday + 2 * DAY + 12 * 3600).tariff == 1  # Saturday
    rising = energy(house, thursday + 8 * 3600, thursday + 20 * 3600)
    assert rising["1-0:1.8.1"] == 0
    assert rising["1-0:1.8.2"] > 0


def test_three_phases_sum_to_the_whole() -> None:
    house = Household(9, SUMMER, phases=3)
    for moment in range(SUMMER, SUMMER + DAY, 701):
        state = house.at(moment)
        assert len(state.phases) == 3
        assert sum(phase.imported for phase in state.phases) == state.imported
        assert sum(phase.exported for phase in state.phases) == state.exported
        assert all(2200 < phase.decivolts < 2400 for phase in state.phases)


def test_before_the_origin_there_is_no_meter() -> None:
    with pytest.raises(ValueError, match="not exist"):
        Household(1, ORIGIN).at(ORIGIN - 1)
    with pytest.raises(ValueError, match="phases"):
        Household(1, ORIGIN, phases=2)


def test_a_steady_generator_is_in_every_second_and_in_the_registers() -> None:
    """It moves the net power by its watts, whatever the sun does, and the registers are still the integral."""
    plain, steady = Household(7, ORIGIN), Household(7, ORIGIN, steady=9_000)
    for moment in (ORIGIN, ORIGIN + 40_000, ORIGIN + DAY):
        without, with_it = plain.at(moment), steady.at(moment)
        assert (without.imported - without.exported) - (with_it.imported - with_it.exported) == 9_000
    begin, end = steady.at(ORIGIN), steady.at(ORIGIN + 3_600)
    made = sum(end.registers[code] - begin.registers[code] for code in ("1-0:2.8.1", "1-0:2.8.2"))
    joules = sum(steady.at(ORIGIN + second).exported for second in range(3_600))
    assert abs(made - joules // 3_600) <= 2
