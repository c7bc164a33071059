"""The streams that a gateway writes, derived from judged readings. Pure and restartable; integers only.

Data minimisation (channels.md 1): a reader of one stream learns nothing of the others, so each carries only what its
name says. No stream has the equipment id, the tariff in force, voltages, currents or powers per phase; electricity has
no gas and gas no electricity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from node.services.meter import obis
from node.services.meter.errors import SavedStateError
from node.services.meter.intervals import Interval, IntervalRule, IntervalState, advance
from node.services.meter.pipeline import Accepted
from node.services.meter.reading import MeterReading, Quality

__all__ = [
    "ELECTRICITY_QUARTER",
    "ELECTRICITY_SECOND",
    "GAS_HOUR",
    "GAS_RULE",
    "QUARTER_RULE",
    "STREAMS",
    "DerivedReading",
    "DerivedState",
    "DerivedStep",
    "derive",
]

ELECTRICITY_SECOND: Final = "electricity/1s"
ELECTRICITY_QUARTER: Final = "electricity/15min"
GAS_HOUR: Final = "gas/1h"
STREAMS: Final = (ELECTRICITY_QUARTER, ELECTRICITY_SECOND, GAS_HOUR)

# A telegram per second or per ten seconds: a minute without any is a gap. 3 x 80 A is 55 kW; twice it is no home.
QUARTER_RULE: Final = IntervalRule(seconds=900, registers=4, max_gap=60, max_rate=110_000)
# Gas meters report every five minutes (DSMR 5) or hourly (DSMR 4). A G25 meter passes 40 m3/h.
GAS_RULE: Final = IntervalRule(seconds=3600, registers=1, max_gap=3600, max_rate=40_000)

_SECOND_CODES = (obis.IMPORT_POWER, obis.EXPORT_POWER, *obis.ENERGY_REGISTERS)


@dataclass(frozen=True, slots=True)
class DerivedReading:
    """One entry of one stream.

    `reading.meter_time` is the moment (electricity/1s) or the START of the interval; `seconds` is its length, 0 for a
    moment; `completeness` in 1/1000. Values of an interval: what moved (`1-0:1.29.0`, `1-0:2.29.0`, `0-n:24.29.1`) and
    in `first` and `reading.values` the registers at its two ends; a gap has none.
    """

    stream: str
    reading: MeterReading
    seconds: int = 0
    completeness: int = 1000
    first: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class DerivedState:
    """What survives a restart, saved in the same transaction as the readings that it led to."""

    quarter: IntervalState = field(default_factory=IntervalState)
    gas: IntervalState = field(default_factory=IntervalState)

    def to_bytes(self) -> bytes:
        parts = {"quarter": self.quarter.to_bytes().decode(), "gas": self.gas.to_bytes().decode()}
        return json.dumps({"version": 1, **parts}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> DerivedState:
        """Raises SavedStateError for anything that `to_bytes` did not write."""
        try:
            found = json.loads(data)
            if found["version"] != 1:
                raise SavedStateError("the saved state of the derived streams is of another version")
            quarter, gas = found["quarter"].encode(), found["gas"].encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SavedStateError("the saved state of the derived streams cannot be read") from None
        return cls(IntervalState.from_bytes(quarter), IntervalState.from_bytes(gas))


@dataclass(frozen=True, slots=True)
class DerivedStep:
    """The state to keep and the entries to write, each stream's in its own order of time."""

    state: DerivedState
    entries: tuple[DerivedReading, ...]


def derive(state: DerivedState, accepted: Accepted) -> DerivedStep:
    """One judged telegram -> entries of the three streams. Raises SavedStateError for a state of other registers."""
    electricity = accepted.electricity
    entries = [DerivedReading(ELECTRICITY_SECOND, _second(electricity))]
    registers = tuple(electricity.values[code] for code in obis.ENERGY_REGISTERS)
    quarter = advance(QUARTER_RULE, state.quarter, electricity.meter_time, registers, electricity.quality)
    entries += [_quarter(interval, electricity.receipt_time) for interval in quarter.closed]
    gas_state = state.gas
    if accepted.gas is not None:
        gas = accepted.gas
        hour = advance(GAS_RULE, state.gas, gas.meter_time, (gas.values[obis.GAS_VOLUME],), gas.quality)
        gas_state = hour.state
        entries += [_hour(interval, gas.receipt_time) for interval in hour.closed]
    return DerivedStep(DerivedState(quarter.state, gas_state), tuple(entries))


def _second(raw: MeterReading) -> MeterReading:
    values = MappingProxyType({code: raw.values[code] for code in _SECOND_CODES})
    return MeterReading(raw.meter_time, raw.receipt_time, raw.quality, values)


def _totals(registers: tuple[int, ...]) -> dict[str, int]:
    if not registers:
        return {}
    named = dict(zip(obis.ENERGY_REGISTERS, registers, strict=True))
    imported = named[obis.IMPORT_T1] + named[obis.IMPORT_T2]
    exported = named[obis.EXPORT_T1] + named[obis.EXPORT_T2]
    return {**named, obis.IMPORT_ENERGY: imported, obis.EXPORT_ENERGY: exported}


def _quarter(interval: Interval, receipt_time: int) -> DerivedReading:
    values = _totals(interval.last)
    if Quality.GAP not in interval.quality:
        moved = _totals(interval.moved)
        values[obis.IMPORT_INTERVAL] = moved[obis.IMPORT_ENERGY]
        values[obis.EXPORT_INTERVAL] = moved[obis.EXPORT_ENERGY]
    return _entry(ELECTRICITY_QUARTER, interval, receipt_time, values, _totals(interval.first))


def _hour(interval: Interval, receipt_time: int) -> DerivedReading:
    if Quality.GAP in interval.quality:
        return _entry(GAS_HOUR, interval, receipt_time, {}, {})
    values = {obis.GAS_VOLUME: interval.last[0], obis.GAS_INTERVAL: interval.moved[0]}
    return _entry(GAS_HOUR, interval, receipt_time, values, {obis.GAS_VOLUME: interval.first[0]})


def _entry(
    stream: str, interval: Interval, receipt_time: int, values: dict[str, int], first: dict[str, int]
) -> DerivedReading:
    reading = MeterReading(interval.start, receipt_time, interval.quality, MappingProxyType(values))
    return DerivedReading(stream, reading, interval.seconds, interval.completeness, MappingProxyType(first))
