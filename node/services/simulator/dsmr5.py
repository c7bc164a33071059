"""Writes DSMR 5 telegrams as a meter does. Own formatting from the standard's table; no reader of ours is involved.

Source: DSMR P1 companion standard 5.0.2: object order, value formats (F9(3,3) for energy, F5(3,3) for power, F4(1,1)
for voltage, F3(0,0) for current, F8(3,3) for gas), CRC16 over everything from `/` to `!`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from crcmod.predefined import mkPredefinedCrcFun

from node.services.simulator.household import ZONE, MeterState

__all__ = ["equipment_of", "stamp", "write_telegram"]

_CRC = mkPredefinedCrcFun("crc-16")
_IDENTIFICATION = "/WPT5\\2SIMULATED-1000"


def equipment_of(seed: int) -> str:
    """The serial number printed on the simulated meter: 17 characters, as on Dutch meters."""
    return f"E{seed % 10**16:016d}"


def stamp(time: int) -> str:
    """Local time with S or W behind it."""
    local = datetime.fromtimestamp(time, ZONE)
    return f"{local:%y%m%d%H%M%S}{'S' if local.dst() else 'W'}"


def write_telegram(state: MeterState, equipment: str, shown_time: int | None = None) -> bytes:
    """One telegram with CRC. `shown_time` is what a wrong meter clock shows instead of the state's time."""
    shift = 0 if shown_time is None else shown_time - state.time
    lines = [_IDENTIFICATION, "", *_objects(state, equipment, shift), "!"]
    body = "\r\n".join(lines).encode("ascii")
    return body + b"%04X\r\n" % _CRC(body)


def _objects(state: MeterState, equipment: str, shift: int) -> Iterator[str]:
    yield "1-3:0.2.8(50)"
    yield f"0-0:1.0.0({stamp(state.time + shift)})"
    yield f"0-0:96.1.1({_text(equipment)})"
    for code, energy in state.registers.items():
        yield f"{code}({energy // 1000:06d}.{energy % 1000:03d}*kWh)"
    yield f"0-0:96.14.0({state.tariff:04d})"
    yield f"1-0:1.7.0({_power(state.imported)})"
    yield f"1-0:2.7.0({_power(state.exported)})"
    yield "0-0:96.7.21(00004)"
    yield "0-0:96.7.9(00002)"
    yield "1-0:99.97.0()"
    for digit in (32, 36):
        for line in _phase_codes(state, 32):
            yield f"1-0:{line}.{digit}.0(00000)"
    yield "0-0:96.13.0()"
    for line, phase in zip(_phase_codes(state, 32), state.phases, strict=True):
        yield f"1-0:{line}.7.0({phase.decivolts // 10:03d}.{phase.decivolts % 10}*V)"
    for line, phase in zip(_phase_codes(state, 31), state.phases, strict=True):
        yield f"1-0:{line}.7.0({phase.amperes:03d}*A)"
    for line, phase in zip(_phase_codes(state, 21), state.phases, strict=True):
        yield f"1-0:{line}.7.0({_power(phase.imported)})"
    for line, phase in zip(_phase_codes(state, 22), state.phases, strict=True):
        yield f"1-0:{line}.7.0({_power(phase.exported)})"
    captured, volume = state.gas
    yield "0-1:24.1.0(003)"
    yield f"0-1:96.1.0({_text('G' + equipment[1:])})"
    yield f"0-1:24.2.1({stamp(captured + shift)})({volume // 1000:05d}.{volume % 1000:03d}*m3)"


def _phase_codes(state: MeterState, first: int) -> range:
    return range(first, first + 20 * len(state.phases), 20)


def _power(watts: int) -> str:
    return f"{watts // 1000:02d}.{watts % 1000:03d}*kW"


def _text(value: str) -> str:
    return value.encode("ascii").hex().upper()
