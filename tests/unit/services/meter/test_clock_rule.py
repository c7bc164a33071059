from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.services.meter.clock_rule import ClockPolicy, ClockState, ClockView, Reason, judge, judge_gas

NOW = 1_795_267_800
POLICY = ClockPolicy()
LOGGER = ClockPolicy(max_backlog=3 * 86400)


def reason(
    meter_time: int, view: ClockView, state: ClockState | None = None, policy: ClockPolicy = POLICY
) -> Reason | None:
    return judge(meter_time, view, state or ClockState(), policy)[0].reason


@pytest.mark.parametrize(
    ("meter_time", "expected"),
    [
        (NOW, None),
        (NOW + 120, None),
        (NOW - 120, None),
        (NOW + 121, Reason.FUTURE),
        (NOW - 121, Reason.PAST),
        (NOW + 86_401, Reason.FAR_FUTURE),
        (4_070_908_800, Reason.FAR_FUTURE),
        (0, Reason.PAST),
    ],
)
def test_max_skew_of_the_meter(meter_time: int, expected: Reason | None) -> None:
    """channels.md 1: more than max_skew from the gateway clock is set aside; exactly max_skew is not."""
    assert reason(meter_time, ClockView(NOW, NOW)) is expected


@pytest.mark.parametrize(("block", "expected"), [(NOW - 120, None), (NOW - 121, Reason.GATEWAY_CLOCK),
                                                 (NOW + 121, Reason.GATEWAY_CLOCK), (None, None)])  # fmt: skip
def test_max_skew_of_the_gateway(block: int | None, expected: Reason | None) -> None:
    """channels.md 1: a gateway clock that differs from the newest block sets readings aside, recoverably."""
    assert reason(NOW, ClockView(NOW, block)) is expected
    assert Reason.GATEWAY_CLOCK.recoverable
    assert not Reason.PAST.recoverable


@pytest.mark.parametrize(
    ("meter_time", "block", "expected"),
    [
        (NOW + 120, NOW + 119, None),
        # Ahead of our clock, as the chain nearly is: it is ours that lags, whoever crosses the limit first.
        (NOW + 121, NOW + 120, Reason.GATEWAY_CLOCK),
        (NOW + 121, NOW + 61, Reason.GATEWAY_CLOCK),
        (NOW + 181, NOW + 61, Reason.GATEWAY_CLOCK),
        # The chain does not say so, or the meter is ahead of both.
        (NOW + 121, NOW + 60, Reason.FUTURE),
        (NOW + 182, NOW + 61, Reason.FUTURE),
        (NOW + 121, None, Reason.FUTURE),
    ],
)
def test_a_gateway_clock_that_falls_behind_costs_nothing(
    meter_time: int, block: int | None, expected: Reason | None
) -> None:
    """A clock that stands still leaves the meter's time before it leaves the newest block's, which is a little old."""
    verdict, state = judge(meter_time, ClockView(NOW, block), ClockState(), POLICY)
    assert verdict.reason is expected
    if expected is Reason.GATEWAY_CLOCK:
        assert state == ClockState(), "it is judged again later"


def test_a_reading_set_aside_for_our_own_clock_is_taken_later() -> None:
    _, state = judge(NOW, ClockView(NOW + 5000, NOW), ClockState(), POLICY)
    assert state == ClockState()
    assert reason(NOW, ClockView(NOW + 1, NOW), state) is None


def test_a_repeated_telegram_and_then_a_stuck_clock() -> None:
    verdict, state = judge(NOW, ClockView(NOW, NOW), ClockState(), POLICY)
    assert verdict.reason is None
    seen = []
    for passed in (1, 29, 30, 100, 10_000):
        verdict, state = judge(NOW, ClockView(NOW + passed, NOW + passed), state, POLICY)
        seen.append(verdict.reason)
    assert seen == [Reason.REPEATED, Reason.REPEATED, Reason.STUCK, Reason.STUCK, Reason.STUCK]
    assert reason(NOW + 10_001, ClockView(NOW + 10_001, NOW + 10_001), state) is None


def test_replayed_old_telegram_within_the_skew() -> None:
    _, state = judge(NOW, ClockView(NOW, NOW), ClockState(), POLICY)
    assert reason(NOW - 60, ClockView(NOW + 1, NOW), state) is Reason.BACKWARD


def test_backlog_is_off_by_default_and_explicit() -> None:
    assert reason(NOW - 7200, ClockView(NOW, NOW)) is Reason.PAST
    verdict, _ = judge(NOW - 7200, ClockView(NOW, NOW), ClockState(), LOGGER)
    assert verdict.reason is None
    assert verdict.backlog
    assert reason(NOW - 3 * 86400 - 1, ClockView(NOW, NOW), policy=LOGGER) is Reason.PAST


def test_backlog_must_rise_strictly() -> None:
    view = ClockView(NOW, NOW)
    state = ClockState()
    verdicts = []
    for meter_time in (NOW - 5000, NOW - 4990, NOW - 4995, NOW - 4990, NOW - 4980, NOW - 10):
        verdict, state = judge(meter_time, view, state, LOGGER)
        verdicts.append((verdict.reason, verdict.backlog))
    assert verdicts == [
        (None, True),
        (None, True),
        (Reason.BACKWARD, False),
        (Reason.BACKWARD, False),
        (None, True),
        (None, False),
    ]


def test_a_backlog_after_live_is_refused() -> None:
    """An attacker at the cable cannot write into the past once the present was accepted."""
    _, state = judge(NOW, ClockView(NOW, NOW), ClockState(), LOGGER)
    assert reason(NOW - 3600, ClockView(NOW + 1, NOW), state, LOGGER) is Reason.BACKWARD


def test_an_hour_in_2099_does_not_shut_the_meter_out() -> None:
    """Gateway and meter in 2099 together and no chain yet: accepted, but never believed over the chain later."""
    far = 4_070_908_800
    verdict, state = judge(far, ClockView(far), ClockState(), POLICY)
    assert verdict.reason is None
    assert reason(NOW, ClockView(NOW), state) is Reason.GATEWAY_CLOCK
    verdict, state = judge(NOW, ClockView(NOW, NOW), state, POLICY)
    assert verdict.reason is None
    assert state.newest == NOW


def test_2099_on_the_gateway_alone() -> None:
    assert reason(NOW, ClockView(4_070_908_800, NOW)) is Reason.GATEWAY_CLOCK


def test_gas_times() -> None:
    assert judge_gas(NOW - 300, NOW, POLICY).reason is None
    assert judge_gas(NOW + 121, NOW, POLICY).reason is Reason.GAS
    assert judge_gas(NOW - 2 * 86400 - 1, NOW, POLICY).reason is Reason.GAS


def test_a_senseless_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        ClockPolicy(max_skew=0)


@given(st.lists(st.tuples(st.integers(-400, 400), st.integers(0, 60)), max_size=60))
def test_accepted_times_rise_and_stay_near(steps: list[tuple[int, int]]) -> None:
    """Whatever a meter says while time passes: what is accepted rises strictly and is never off by over max_skew."""
    now, state, accepted = NOW, ClockState(), []
    for offset, passed in steps:
        now += passed
        verdict, state = judge(now + offset, ClockView(now, now), state, POLICY)
        if verdict.reason is None:
            assert abs(offset) <= 120
            accepted.append(now + offset)
    assert accepted == sorted(set(accepted))
