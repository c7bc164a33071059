from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.meter.errors import SavedStateError
from node.services.meter.intervals import Interval, IntervalRule, IntervalState, advance
from node.services.meter.reading import Quality

RULE = IntervalRule(seconds=900, registers=1, max_gap=60, max_rate=110_000)
START = 1_795_267_800 - 1_795_267_800 % 900
GAP = Quality.GAP | Quality.INCOMPLETE


def play(points: list[tuple[int, int]], quality: Quality = Quality.GOOD) -> tuple[list[Interval], IntervalState]:
    state = IntervalState()
    closed: list[Interval] = []
    for offset, value in points:
        step = advance(RULE, state, START + offset, (value,), quality)
        # Every step survives a restart.
        state = IntervalState.from_bytes(step.state.to_bytes())
        assert state == step.state
        closed += step.closed
    return closed, state


def steady(begin: int, end: int, step: int = 10, base: int = 1000) -> list[tuple[int, int]]:
    return [(t, base + t) for t in range(begin, end, step)]


def test_a_full_quarter_is_closed_by_the_next_reading() -> None:
    closed, _ = play(steady(0, 900))
    assert closed == []
    closed, _ = play(steady(0, 901))
    assert closed == [Interval(START, 900, Quality.GOOD, 1000, (900,), (1000,), (1900,))]


def test_without_a_reading_on_the_edge_nothing_is_lost() -> None:
    closed, _ = play(steady(5, 1806))
    assert [interval.moved for interval in closed] == [(900,), (900,)]
    assert closed[0].completeness == 994
    assert closed[1] == Interval(START + 900, 900, Quality.GOOD, 1000, (900,), (1905,), (2805,))


def test_a_hole_inside_counts_energy_but_not_seconds() -> None:
    closed, _ = play([*steady(0, 300), *steady(600, 901)])
    [interval] = closed
    assert interval.moved == (900,)
    assert interval.completeness == (900 - 310) * 1000 // 900
    assert interval.quality is Quality.INCOMPLETE


def test_a_hole_over_an_edge_is_given_to_nobody() -> None:
    closed, _ = play([*steady(0, 301), *steady(2800, 3601)])
    assert [i.quality for i in closed] == [Quality.INCOMPLETE, GAP, GAP, Quality.INCOMPLETE]
    assert closed[0].moved == (300,)
    assert closed[0].last == (1300,)
    assert closed[1] == Interval(START + 900, 900, GAP, 0)
    assert closed[3].first == (3800,)
    assert closed[3].moved == (800,)


def test_a_falling_counter_is_flagged_and_never_negative() -> None:
    closed, _ = play([*steady(0, 450), (450, 3), (460, 13), *[(t, t - 447) for t in range(470, 901, 10)]])
    [interval] = closed
    assert Quality.RESET in interval.quality
    assert interval.moved == (440 + 450,)


def test_an_impossible_rise_is_flagged_and_left_out() -> None:
    closed, _ = play([*steady(0, 450), *steady(450, 901, base=10_000_000)])
    [interval] = closed
    assert Quality.RESET in interval.quality
    assert interval.moved == (440 + 450,)


def test_a_changed_meter_is_not_compared_with_the_old_one() -> None:
    _, state = play(steady(0, 450))
    step = advance(RULE, state, START + 450, (1451,), Quality.METER_CHANGED)
    assert Quality.RESET in step.state.quality
    assert step.state.moved == (440,)


def test_a_reset_on_the_edge_keeps_the_last_register_of_the_old_counter() -> None:
    closed, state = play([*steady(0, 900), (900, 5)])
    [interval] = closed
    assert interval.last == (1890,)
    assert interval.moved == (890,)
    assert Quality.RESET in interval.quality
    assert state.first == (5,)


def test_late_readings_change_nothing_but_the_flag() -> None:
    _, state = play(steady(0, 300))
    again = advance(RULE, state, START + 290, (1290,))
    assert again.state == state
    late = advance(RULE, state, START + 100, (1,))
    assert late.state.moved == state.moved
    assert late.state.quality is Quality.LATE
    assert late.closed == ()


def test_a_long_silence_stays_bounded() -> None:
    closed, _ = play([(0, 1), (900 * 100_000, 2)])
    assert len(closed) == 1 + 31 * 96
    assert closed[-1].start == START + 900 * 99_999


def test_backlog_marks_its_intervals() -> None:
    closed, _ = play(steady(0, 901), Quality.BACKLOG)
    assert closed[0].quality is Quality.BACKLOG


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"version":2,"numbers":[0,0,0,0],"lists":[[],[],[]]}',
                                  b'{"version":1,"numbers":[0,0,0],"lists":[[],[],[]]}', b"\xff",
                                  b'{"version":1,"numbers":[0,0,0,0],"lists":[[1],[],[]]}',
                                  b'{"version":1,"numbers":[0.5,0,0,0],"lists":[[],[],[]]}'])  # fmt: skip
def test_a_foreign_state_is_refused(data: bytes) -> None:
    with pytest.raises(SavedStateError):
        IntervalState.from_bytes(data)


def test_a_state_of_another_rule_is_refused() -> None:
    _, state = play(steady(0, 20))
    with pytest.raises(SavedStateError):
        advance(IntervalRule(900, 2, 60, 1000), state, START + 30, (1, 2))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 50)), min_size=1, max_size=200), st.integers(0, 899))
def test_intervals_add_up_to_what_the_register_moved(steps: list[tuple[int, int]], begin: int) -> None:
    """Without gaps: no watt-hour is lost, none counted twice, and each interval begins where the one before ended."""
    points, t, value = [(begin, 7)], begin, 7
    for seconds, rise in steps:
        t, value = t + seconds, value + min(rise, 110_000 * seconds // 3600)
        points.append((t, value))
    closed, state = play(points)
    assert sum(i.moved[0] for i in closed) + state.moved[0] == value - 7
    for left, right in itertools.pairwise(closed):
        assert left.last == right.first
        assert right.completeness == 1000
    assert all(i.start % 900 == 0 for i in closed)


@given(st.lists(st.tuples(st.integers(-100, 4000), st.integers(-500, 3000)), max_size=60))
def test_anything_gives_ordered_intervals_that_are_never_negative(steps: list[tuple[int, int]]) -> None:
    points, t, value = [], 5000, 10_000
    for seconds, rise in steps:
        t, value = max(0, t + seconds), max(0, value + rise)
        points.append((t, value))
    closed, _ = play(points)
    starts = [i.start for i in closed]
    assert starts == sorted(set(starts))
    for interval in closed:
        assert 0 <= interval.completeness <= 1000
        assert all(moved >= 0 for moved in interval.moved)
        assert (Quality.GAP in interval.quality) == (interval.first == ())
