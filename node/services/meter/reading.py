"""A reading: what a meter said at one moment, with the time at which it arrived and flags that say what it is worth.

permissions.md 3: readings carry meter time, receipt time, sequence and quality. The sequence is the channel's (every
envelope has one), so it is not repeated here. Values are a mapping from OBIS code to integer; units are fixed per code
(README): Wh, W, mV, mA, dm3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from types import MappingProxyType

from node.services.meter import obis
from node.services.meter.telegram import Telegram

__all__ = ["MeterReading", "Quality", "electricity_of", "gas_of"]


class Quality(IntFlag):
    """0 is a live reading without remarks. The bits are part of stored and sent readings: never renumber them."""

    GOOD = 0
    BACKLOG = 1  # replayed by the meter or logger after an outage; older than max_skew at receipt
    CALENDAR_DOUBT = 2  # the meter's summer or winter letter contradicts the EU calendar
    METER_CHANGED = 4  # another equipment identifier than in the reading before
    INCOMPLETE = 8  # derived: not every second of the interval is covered
    GAP = 16  # derived: nothing is known about the interval
    RESET = 32  # derived: a register fell, or rose faster than a connection can carry; that step is left out
    LATE = 64  # derived: readings for this interval came after newer ones and were not used


@dataclass(frozen=True, slots=True)
class MeterReading:
    """Times in seconds UTC, `values` OBIS code -> integer in the code's base unit."""

    meter_time: int
    receipt_time: int
    quality: Quality
    values: Mapping[str, int]


def electricity_of(telegram: Telegram, receipt_time: int, quality: Quality = Quality.GOOD) -> MeterReading:
    """The electricity registers of a telegram. Equipment id, gas and tariff number stay behind."""
    if not telegram.meter_time.plausible:
        quality |= Quality.CALENDAR_DOUBT
    return MeterReading(telegram.meter_time.seconds, receipt_time, quality, telegram.registers)


def gas_of(telegram: Telegram, receipt_time: int, quality: Quality = Quality.GOOD) -> MeterReading | None:
    """The gas volume at the gas meter's own capture time, under one code whatever its channel; None without one."""
    gas = telegram.gas
    if gas is None:
        return None
    if not gas.capture_time.plausible:
        quality |= Quality.CALENDAR_DOUBT
    values = MappingProxyType({obis.GAS_VOLUME: gas.volume})
    return MeterReading(gas.capture_time.seconds, receipt_time, quality, values)
