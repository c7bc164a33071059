"""The writer is checked against two readers that share nothing with it: dsmr-parser, and that of the meter service."""

from __future__ import annotations

from decimal import Decimal

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

from node.services.meter.counters import MeterCounters
from node.services.meter.framing import Framer
from node.services.meter.telegram import read_telegram
from node.services.simulator.dsmr5 import equipment_of, stamp, write_telegram
from node.services.simulator.household import Household

ORIGIN = 1_782_000_000 - 1_782_000_000 % 86400
OCTOBER_CHANGE = 1_792_890_000  # 2026-10-25T01:00:00Z
MOMENTS = [ORIGIN + 43_200, ORIGIN + 5, OCTOBER_CHANGE - 1, OCTOBER_CHANGE, OCTOBER_CHANGE + 3600]


@pytest.mark.parametrize("phases", [1, 3])
def test_our_reader_reads_what_was_meant(phases: int) -> None:
    for moment in MOMENTS:
        state = Household(11, moment, phases).at(moment)
        [candidate] = Framer(MeterCounters()).feed(write_telegram(state, equipment_of(11)))
        found = read_telegram(candidate)
        assert found.version == 50
        assert (found.meter_time.seconds, found.meter_time.plausible) == (moment, True)
        assert found.equipment_id == b"E0000000000000011"
        assert found.tariff == state.tariff
        assert {code: found.registers[code] for code in state.registers} == state.registers
        assert (found.registers["1-0:1.7.0"], found.registers["1-0:2.7.0"]) == (state.imported, state.exported)
        assert found.registers["1-0:32.7.0"] == state.phases[0].decivolts * 100
        assert found.gas is not None
        assert (found.gas.capture_time.seconds, found.gas.volume) == state.gas
        assert found.unknown_lines == 0


def test_dsmr_parser_reads_the_same() -> None:
    """An independent reader accepts the checksum and agrees on energy, power and time."""
    moment = MOMENTS[0]
    state = Household(11, moment, 3).at(moment)
    parser = TelegramParser(telegram_specifications.V5, apply_checksum_validation=True)
    found = parser.parse(write_telegram(state, equipment_of(11)).decode("ascii"))
    assert int(found.P1_MESSAGE_TIMESTAMP.value.timestamp()) == moment
    assert found.ELECTRICITY_USED_TARIFF_1.value == Decimal(state.registers["1-0:1.8.1"]) / 1000
    assert found.ELECTRICITY_DELIVERED_TARIFF_2.value == Decimal(state.registers["1-0:2.8.2"]) / 1000
    assert found.CURRENT_ELECTRICITY_DELIVERY.value == Decimal(state.exported) / 1000
    assert found.EQUIPMENT_IDENTIFIER.value == equipment_of(11).encode().hex().upper()


def test_the_repeated_hour_has_two_letters() -> None:
    assert stamp(OCTOBER_CHANGE - 1800) == "261025023000S"
    assert stamp(OCTOBER_CHANGE + 1800) == "261025023000W"


def test_a_wrong_clock_shows_another_time_and_the_same_registers() -> None:
    state = Household(1, ORIGIN).at(ORIGIN)
    [candidate] = Framer(MeterCounters()).feed(write_telegram(state, equipment_of(1), ORIGIN + 300))
    found = read_telegram(candidate)
    assert found.meter_time.seconds == ORIGIN + 300
    assert found.registers["1-0:1.8.1"] == state.registers["1-0:1.8.1"]
