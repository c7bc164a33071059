from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from node.services.meter.clock_rule import ClockPolicy, ClockView, Reason
from node.services.meter.counters import MeterCounters, Outcome
from node.services.meter.derive import DerivedReading, DerivedState, derive
from node.services.meter.errors import SavedStateError
from node.services.meter.pipeline import Accepted, MeterPipeline, PipelineState, SetAside
from node.services.meter.reading import Quality
from tests.unit.services.meter.samples import lines, telegram

NOW = 1_795_267_800
MINIMAL = {"1-0:1.7.0", "1-0:2.7.0", "1-0:1.8.1", "1-0:1.8.2", "1-0:2.8.1", "1-0:2.8.2"}


def at(time: int, imported: int = 1_000_000, gas: int | None = None, meter: str = "54455354303031") -> bytes:
    """A telegram at `time`."""

    def stamp(seconds: int) -> str:
        return f"{datetime.fromtimestamp(seconds, ZoneInfo('Europe/Amsterdam')):%y%m%d%H%M%S}W"

    gas_line = f"({stamp(time - time % 300)})({gas // 1000:05d}.{gas % 1000:03d}*m3)" if gas is not None else "()"
    content = lines(stamp(time), imported, 0, gas_line)
    return telegram([line.replace("54455354303031", meter) for line in content])


def pipeline(policy: ClockPolicy | None = None, state: PipelineState | None = None) -> MeterPipeline:
    return MeterPipeline(policy or ClockPolicy(), MeterCounters(), state)


def test_accepts_and_counts() -> None:
    meter = pipeline()
    [found] = meter.receive(at(NOW, gas=5000), ClockView(NOW + 1, NOW))
    assert isinstance(found, Accepted)
    assert (found.electricity.meter_time, found.electricity.receipt_time) == (NOW, NOW + 1)
    assert found.gas is not None
    assert dict(found.gas.values) == {"0-n:24.2.1": 5000}
    assert meter.counters[Outcome.ACCEPTED] == 1


def test_damage_is_counted_by_cause_and_never_fatal() -> None:
    meter = pipeline()
    good = at(NOW)
    damaged = good.replace(b"01.193", b"91.193")
    old = b"/TST5\\2OLD\r\n\r\n0-0:96.1.1(00)\r\n!\r\n"
    stream = good[50:] + damaged + good[:90] + old + good[:-6] + b"ZZZZ\r\n" + b"/" + b"a" * 9000 + good
    results = meter.receive(stream, ClockView(NOW, NOW))
    assert len(results) == 1
    counts = meter.counters.snapshot()
    assert {
        name: counts[name] for name in ("checksum", "truncated", "unsupported_version", "bad_trailer", "oversize")
    } == {
        "checksum": 1,
        "truncated": 1,
        "unsupported_version": 1,
        "bad_trailer": 1,
        "oversize": 1,
    }
    assert counts["accepted"] == 1


def test_a_telegram_dated_2099_is_set_aside_and_harms_nothing() -> None:
    meter = pipeline()
    [found] = meter.receive(at(4_070_908_800 + 86_400), ClockView(NOW, NOW))
    assert isinstance(found, SetAside)
    assert found.reason is Reason.FAR_FUTURE
    assert meter.counters[Outcome.SET_ASIDE_FAR_FUTURE] == 1
    assert isinstance(meter.receive(at(NOW), ClockView(NOW, NOW))[0], Accepted)


def test_nothing_is_lost_while_our_own_clock_is_in_doubt() -> None:
    """channels.md 1: a gateway clock in 2099, corrected ten minutes later: held telegrams are taken in order, with the
    receipt time that was right, and a wrong meter time among them is still found."""
    meter = pipeline()
    wrong = 4_070_908_800
    held = []
    for second, shown in ((0, NOW), (1, NOW + 1), (2, NOW + 4000), (3, NOW + 3)):
        held += meter.receive(at(shown), ClockView(wrong + second, NOW + second))
    assert [h.reason for h in held if isinstance(h, SetAside)] == [Reason.GATEWAY_CLOCK] * 4
    later = []
    for second, one in enumerate(held):
        assert isinstance(one, SetAside)
        assert meter.reconsider(one, ClockView(wrong, NOW + 600), 600 - second) is one
        later.append(meter.reconsider(one, ClockView(NOW + 600, NOW + 598), 600 - second))
    assert [isinstance(one, Accepted) for one in later] == [True, True, False, True]
    assert isinstance(later[0], Accepted)
    assert later[0].electricity.receipt_time == NOW
    assert later[0].electricity.quality is Quality.GOOD
    assert isinstance(later[2], SetAside)
    assert later[2].reason is Reason.FUTURE
    with pytest.raises(ValueError, match="own clock"):
        meter.reconsider(later[2], ClockView(NOW, NOW), 0)


def test_what_a_clock_that_stood_still_could_not_judge_waits_until_it_goes_again() -> None:
    """The gateway's clock stands; the newest block that it knows is a few seconds old all the time."""
    meter, lag = pipeline(), 5
    held: list[tuple[int, SetAside]] = []
    for second in range(140):
        [found] = meter.receive(at(NOW + second), ClockView(NOW, NOW + second - lag))
        if isinstance(found, SetAside):
            assert found.reason is Reason.GATEWAY_CLOCK
            held.append((second, found))
        # Another look under the clock that still stands changes nothing.
        for came, one in held:
            again = meter.reconsider(one, ClockView(NOW, NOW + second - lag), second - came)
            assert isinstance(again, SetAside)
            assert again.reason is Reason.GATEWAY_CLOCK
    assert [second for second, _ in held] == list(range(121, 140))
    right = ClockView(NOW + 140, NOW + 140 - lag)
    later = [meter.reconsider(one, right, 140 - second) for second, one in held]
    assert all(isinstance(one, Accepted) for one in later)


def test_every_reason_has_a_counter() -> None:
    for reason in Reason:
        assert Outcome(f"set_aside_{reason}")


def test_another_meter_is_flagged_once_even_over_a_restart() -> None:
    meter = pipeline()
    meter.receive(at(NOW), ClockView(NOW, NOW))
    meter = pipeline(state=PipelineState.from_bytes(meter.state.to_bytes()))
    qualities = []
    for second in (1, 2):
        [found] = meter.receive(at(NOW + second, meter="4E4557"), ClockView(NOW + second, NOW))
        assert isinstance(found, Accepted)
        qualities.append(found.electricity.quality)
    assert qualities == [Quality.METER_CHANGED, Quality.GOOD]


def test_saved_state_names_no_meter() -> None:
    meter = pipeline()
    meter.receive(at(NOW), ClockView(NOW, NOW))
    saved = meter.state.to_bytes()
    assert b"54455354303031" not in saved
    assert b"TEST001" not in saved


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"version":9}',
        b'{"version":1,"clock":[1,2],"meter":""}',
        b'{"version":1,"clock":[1,2,"3"],"meter":""}',
    ],
)
def test_a_foreign_state_is_refused(data: bytes) -> None:
    with pytest.raises(SavedStateError):
        PipelineState.from_bytes(data)
    with pytest.raises(SavedStateError):
        DerivedState.from_bytes(data)


def test_gas_from_the_future_is_dropped_alone() -> None:
    meter = pipeline()
    content = lines("261121143000W", gas="(261129200000W)(00981.443*m3)")
    [found] = meter.receive(telegram(content), ClockView(NOW, NOW))
    assert isinstance(found, Accepted)
    assert found.gas is None
    assert meter.counters[Outcome.SET_ASIDE_GAS] == 1


def test_streams_carry_only_what_their_names_say() -> None:
    """channels.md 1, data minimisation: no serial number, no gas in electricity, nothing per phase."""
    meter = pipeline(ClockPolicy(max_backlog=86400))
    state = DerivedState()
    entries: list[DerivedReading] = []
    for time in range(NOW - 7200, NOW + 1, 10):
        data = at(time, 1_000_000 + (time - NOW + 7200) // 10, 3000 + (time - NOW + 7200) // 300)
        for found in meter.receive(data, ClockView(NOW, NOW)):
            assert isinstance(found, Accepted)
            step = derive(state, found)
            state = DerivedState.from_bytes(step.state.to_bytes())
            assert state == step.state
            entries += step.entries
    by_stream = {
        name: [e for e in entries if e.stream == name] for name in ("electricity/1s", "electricity/15min", "gas/1h")
    }
    assert len(by_stream["electricity/1s"]) == 721
    assert all(set(e.reading.values) == MINIMAL for e in by_stream["electricity/1s"])
    quarters = by_stream["electricity/15min"]
    assert len(quarters) == 8
    for quarter in quarters:
        assert quarter.completeness == 1000
        assert quarter.reading.values["1-0:1.29.0"] == 90
        assert quarter.reading.values["1-0:2.29.0"] == 0
        assert quarter.reading.values["1-0:1.8.1"] - quarter.first["1-0:1.8.1"] == 90
        assert not any(code.startswith("0-") for code in quarter.reading.values)
    hours = by_stream["gas/1h"]
    assert [dict(h.reading.values) for h in hours][-1]["0-n:24.29.1"] == 12
    assert all(code.startswith("0-n:24.") for h in hours for code in h.reading.values)
    assert len(entries) == 721 + 8 + len(hours)
