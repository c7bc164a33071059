from __future__ import annotations

import pytest

from node.services.meter.counters import MeterCounters, Outcome
from node.services.meter.errors import TelegramRefused
from node.services.meter.framing import Framer
from node.services.meter.telegram import Telegram, read_telegram
from node.services.simulator.dsmr5 import write_telegram
from node.services.simulator.errors import CommandRefused
from node.services.simulator.faults import Faults, set_fault
from node.services.simulator.household import Household

ORIGIN = 1_795_046_400
ONE = write_telegram(Household(1, ORIGIN).at(ORIGIN), "E1")


def read(data: bytes) -> tuple[list[Telegram], MeterCounters]:
    counters, good = MeterCounters(), []
    for candidate in Framer(counters).feed(data):
        try:
            good.append(read_telegram(candidate))
        except TelegramRefused:
            continue
    return good, counters


@pytest.mark.parametrize("number", range(1, 60))
def test_each_fault_is_what_it_says(number: int) -> None:
    [right], _ = read(ONE)
    assert read(Faults.apply("damage", ONE, number))[0] == []
    assert read(Faults.apply("truncate", ONE, number) + ONE)[0] == [right]
    good, counters = read(Faults.apply("interleave", ONE, number))
    assert good == [right]
    assert counters[Outcome.TRUNCATED] == 1
    assert Faults.apply(None, ONE, number) == ONE


def test_rates() -> None:
    faults = set_fault(set_fault(Faults(), ["damage", "10"], 0), ["truncate", "4"], 0)
    assert [faults.of(n) for n in (1, 4, 10, 20)] == [None, "truncate", "damage", "damage"]
    assert set_fault(faults, ["none"], 0) == Faults()


def test_clocks() -> None:
    assert set_fault(Faults(), ["clock", "-300"], 0).shown_time(1000) == 700
    assert set_fault(Faults(), ["stuck"], 555).shown_time(1000) == 555
    assert set_fault(Faults(), ["2099"], 0).shown_time(ORIGIN) == 4_070_908_800


@pytest.mark.parametrize("words", [[], ["damage"], ["damage", "x"], ["damage", "-1"], ["fire"], ["clock", "1e3"]])
def test_nonsense_is_refused(words: list[str]) -> None:
    with pytest.raises(CommandRefused):
        set_fault(Faults(), words, 0)
