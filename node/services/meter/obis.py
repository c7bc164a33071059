"""OBIS codes of the objects in a DSMR 4/5 telegram, and what is done with each.

Source: DSMR P1 companion standard 4.2.2 and 5.0.2; IEC 62056-61 for the interval codes (D = 29). All values become
integers of the milli unit that the telegram's three decimals stand for.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ENERGY_REGISTERS",
    "EQUIPMENT_ID",
    "EXPORT_ENERGY",
    "EXPORT_INTERVAL",
    "EXPORT_POWER",
    "EXPORT_T1",
    "EXPORT_T2",
    "GAS_INTERVAL",
    "GAS_VOLUME",
    "IGNORED",
    "IMPORT_ENERGY",
    "IMPORT_INTERVAL",
    "IMPORT_POWER",
    "IMPORT_T1",
    "IMPORT_T2",
    "METER_TIME",
    "NUMBERS",
    "REQUIRED",
    "TARIFF",
    "VERSION",
]

VERSION: Final = "1-3:0.2.8"
METER_TIME: Final = "0-0:1.0.0"
EQUIPMENT_ID: Final = "0-0:96.1.1"
TARIFF: Final = "0-0:96.14.0"

IMPORT_T1: Final = "1-0:1.8.1"
IMPORT_T2: Final = "1-0:1.8.2"
EXPORT_T1: Final = "1-0:2.8.1"
EXPORT_T2: Final = "1-0:2.8.2"
IMPORT_POWER: Final = "1-0:1.7.0"
EXPORT_POWER: Final = "1-0:2.7.0"

# Sums over the tariffs, and energy of one interval; these never stand in a DSMR telegram, only in derived readings.
IMPORT_ENERGY: Final = "1-0:1.8.0"
EXPORT_ENERGY: Final = "1-0:2.8.0"
IMPORT_INTERVAL: Final = "1-0:1.29.0"
EXPORT_INTERVAL: Final = "1-0:2.29.0"
# The channel number says in which order devices were joined, which is nobody's business: derived gas always says n.
GAS_VOLUME: Final = "0-n:24.2.1"
GAS_INTERVAL: Final = "0-n:24.29.1"

ENERGY_REGISTERS: Final = (IMPORT_T1, IMPORT_T2, EXPORT_T1, EXPORT_T2)
REQUIRED: Final = frozenset({*ENERGY_REGISTERS, IMPORT_POWER, EXPORT_POWER})

# Code in the telegram -> (code, how a value of this object ends): kWh -> Wh, kW -> W, V -> mV, A -> mA.
NUMBERS: Final[dict[bytes, tuple[str, bytes]]] = {
    code.encode(): (code, unit)
    for unit, codes in (
        (b"*kWh)", ENERGY_REGISTERS),
        (b"*kW)", (IMPORT_POWER, EXPORT_POWER)),
        (b"*kW)", tuple(f"1-0:{c}.7.0" for c in (21, 41, 61, 22, 42, 62))),
        (b"*V)", tuple(f"1-0:{c}.7.0" for c in (32, 52, 72))),
        (b"*A)", tuple(f"1-0:{c}.7.0" for c in (31, 51, 71))),
    )
    for code in codes
}

# Known and of no use to any stream: power failures, sags and swells, text messages, switches, M-Bus serial numbers.
IGNORED: Final = frozenset(
    code.encode()
    for code in (
        "0-0:96.7.21",
        "0-0:96.7.9",
        "1-0:99.97.0",
        "0-0:96.13.0",
        "0-0:96.13.1",
        "0-0:96.3.10",
        "0-0:17.0.0",
        *(f"1-0:{c}.{d}.0" for c in (32, 52, 72) for d in (32, 36)),
        *(f"0-{n}:96.1.0" for n in (1, 2, 3, 4)),
        *(f"0-{n}:24.4.0" for n in (1, 2, 3, 4)),
    )
)
