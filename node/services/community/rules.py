"""Pure rules of sources and readings (P-11 to P-18, contracts.md EnergyToken). Wh and seconds UTC; no float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.services.community.errors import ReadingRefused

__all__ = ["Counted", "Limits", "check_reading", "exported_wh", "imported_wh", "reading_due", "sent_again"]

_EXPORT = ("1-0:2.8.1", "1-0:2.8.2")
_IMPORT = ("1-0:1.8.1", "1-0:1.8.2")
SECONDS_PER_HOUR = 3_600


def exported_wh(values: Mapping[str, int]) -> int:
    """The absolute counter of what was delivered to the grid, all tariffs, in Wh (OBIS 2.8.x)."""
    return sum(values.get(code, 0) for code in _EXPORT)


def imported_wh(values: Mapping[str, int]) -> int:
    """The absolute counter of what was taken from the grid, all tariffs, in Wh (OBIS 1.8.x)."""
    return sum(values.get(code, 0) for code in _IMPORT)


@dataclass(frozen=True, slots=True)
class Counted:
    """A reading, signed or taken: its index, the absolute counter in Wh, and the meter's time."""

    index: int
    counter_wh: int
    meter_time: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a source can make: its device, and its greatest power in W."""

    device: bytes
    max_power_w: int


def reading_due(last: Counted, now: Counted, every: int) -> bool:
    """Whether the gateway signs a reading: so many seconds after the last, and only if the counter moved on."""
    return now.counter_wh > last.counter_wh and now.meter_time >= last.meter_time + every


def sent_again(reading: Counted, signer: bytes, last: Counted, limits: Limits) -> bool:
    """Whether the source's own device brings what counts already: a gateway that was rebuilt repeats what it sent.

    Of what came before the last reading only the index is known. Another one under the last index is no repetition.
    """
    return signer == limits.device and (reading.index < last.index or reading == last)


def check_reading(reading: Counted, signer: bytes, last: Counted, limits: Limits) -> None:
    """Raises ReadingRefused, naming the field, for a reading that the contract would not take or that is implausible.

    The contract decides by block time; this spares a transaction for what can never be right. A counter that goes
    back never mints: a meter that was swapped needs a reset that owner, device and registrar sign.
    """
    if signer != limits.device:
        raise ReadingRefused("The reading is not signed by the source's device.", field="signature")
    if reading.index <= last.index:
        raise ReadingRefused("A reading with this index was taken already.", field="index")
    if reading.meter_time <= last.meter_time:
        raise ReadingRefused("The reading is older than the last one.", field="meterTime")
    if reading.counter_wh < last.counter_wh:
        raise ReadingRefused("The counter went back; a swapped meter needs a signed reset.", field="counterWh")
    if last.meter_time:
        most = limits.max_power_w * (reading.meter_time - last.meter_time)
        if (reading.counter_wh - last.counter_wh) * SECONDS_PER_HOUR > most + limits.max_power_w * SECONDS_PER_HOUR:
            raise ReadingRefused("The source cannot have made that much since the last reading.", field="counterWh")
