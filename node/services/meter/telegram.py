"""One DSMR 4 or 5 telegram, read strictly. Sans I/O: a candidate in, a frozen Telegram out or a TelegramRefused raised.

Strict means: the checksum first; then every line must have the shape of a P1 object, every object that we use the exact
form that the standard gives it, none of them twice, none of the required ones missing. One tolerance, for meters in
the field: an M-Bus reading without a value or time (`632525252525S` is sent while no gas meter answers) is no reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from node.services.meter import obis
from node.services.meter.crc import crc16
from node.services.meter.errors import ChecksumMismatch, MalformedTelegram, UnsupportedVersion
from node.services.meter.framing import Candidate
from node.services.meter.meter_time import CENTRAL_EUROPE, MeterTime, read_meter_time

__all__ = ["GasReading", "Telegram", "read_number", "read_telegram"]

_HEADER = re.compile(rb"/[A-Za-z]{3}\d[\x20-\x7e]{1,64}")
_OBJECT = re.compile(rb"\d{1,3}-\d{1,3}:\d{1,3}\.\d{1,3}\.\d{1,3}(?:\([\x20-\x27\x2a-\x7e]*\))+")
_EQUIPMENT = re.compile(rb"([0-9A-Fa-f]{0,96})\)")
_MBUS = re.compile(rb"0-([1-4]):24\.(1\.0|2\.1)\Z")
_MBUS_VALUE = re.compile(rb"([0-9]{12}[SW])\)\((\d{1,8}\.\d{1,3}\*m3\))")
_GAS_TYPES = frozenset({b"003)", b"03)", b"3)"})
_VERSION_CODE = obis.VERSION.encode()
_TIME_CODE = obis.METER_TIME.encode()
_ID_CODE = obis.EQUIPMENT_ID.encode()
_TARIFF_CODE = obis.TARIFF.encode()
_TARIFFS = {b"0001)": 1, b"0002)": 2}


@dataclass(frozen=True, slots=True)
class GasReading:
    """What the gas meter said at its own `capture_time`: total volume in dm3. `channel` is the M-Bus channel, 1..4."""

    channel: int
    capture_time: MeterTime
    volume: int


@dataclass(frozen=True, slots=True)
class Telegram:
    """`registers`: OBIS code -> integer in Wh, W, mV or mA. The equipment id stays out of repr, logs and streams."""

    version: int
    meter_time: MeterTime
    equipment_id: bytes = field(repr=False)
    tariff: int
    registers: Mapping[str, int]
    gas: GasReading | None
    unknown_lines: int


@dataclass(slots=True)
class _Draft:
    """What the lines read so far have given."""

    registers: dict[str, int] = field(default_factory=dict)
    single: dict[bytes, bytes] = field(default_factory=dict)
    mbus_types: dict[int, bytes] = field(default_factory=dict)
    mbus_values: dict[int, bytes] = field(default_factory=dict)
    unknown: int = 0


def read_number(text: bytes, unit: bytes) -> int:
    """`000004.426*kWh)` with unit `*kWh)` -> 4426: the value in thousandths. Raises MalformedTelegram."""
    if not text.endswith(unit):
        raise MalformedTelegram("a value has another unit than its register")
    whole, dot, fraction = text[: -len(unit)].partition(b".")
    if not (whole.isdigit() and len(whole) <= 9 and len(fraction) <= 3 and (fraction.isdigit() if dot else True)):
        raise MalformedTelegram("a value is not a decimal number of the standard's form")
    return int(whole) * 1000 + int(fraction.ljust(3, b"0"))


def read_telegram(candidate: Candidate, standard_offset: int = CENTRAL_EUROPE) -> Telegram:
    """Checks and reads one candidate. Raises ChecksumMismatch, UnsupportedVersion or MalformedTelegram."""
    if candidate.crc is None:
        if b"\n" + _VERSION_CODE in candidate.body:
            raise MalformedTelegram("a DSMR 4 or 5 telegram without its checksum")
        raise UnsupportedVersion("unsupported version: no checksum and no version line, as in DSMR 2.2 and 3")
    if crc16(candidate.body) != candidate.crc:
        raise ChecksumMismatch("the checksum does not fit")
    lines = candidate.body.split(b"\r\n")
    if len(lines) < 4 or lines[1] != b"" or lines[-1] != b"!" or not _HEADER.fullmatch(lines[0]):
        raise MalformedTelegram("the telegram does not begin with an identification and an empty line")
    draft = _Draft()
    for line in lines[2:-1]:
        _read_line(line, draft)
    return _build(draft, standard_offset)


def _read_line(line: bytes, draft: _Draft) -> None:
    code, _, value = line.partition(b"(")
    number = obis.NUMBERS.get(code)
    if number is not None:
        name, unit = number
        if name in draft.registers:
            raise MalformedTelegram("a register stands twice in one telegram")
        draft.registers[name] = read_number(value, unit)
        return
    if not _OBJECT.fullmatch(line):
        raise MalformedTelegram("a line is not a P1 object")
    if code in obis.IGNORED:
        return
    if code in (_VERSION_CODE, _TIME_CODE, _ID_CODE, _TARIFF_CODE):
        if code in draft.single:
            raise MalformedTelegram("an object stands twice in one telegram")
        draft.single[code] = value
        return
    mbus = _MBUS.match(code)
    if mbus is None:
        draft.unknown += 1
        return
    table = draft.mbus_types if mbus.group(2) == b"1.0" else draft.mbus_values
    channel = int(mbus.group(1))
    if channel in table:
        raise MalformedTelegram("an M-Bus object stands twice in one telegram")
    table[channel] = value


def _build(draft: _Draft, standard_offset: int) -> Telegram:
    version = draft.single.get(_VERSION_CODE)
    if version is None:
        raise UnsupportedVersion("unsupported version: the telegram names none")
    if len(version) != 3 or version[:1] not in (b"4", b"5") or not version[:2].isdigit():
        raise UnsupportedVersion("unsupported version: only DSMR 4 and 5 are read")
    time = draft.single.get(_TIME_CODE)
    if time is None:
        raise MalformedTelegram("the telegram has no time")
    if not draft.registers.keys() >= obis.REQUIRED:
        raise MalformedTelegram("the telegram lacks a required register")
    equipment = _EQUIPMENT.fullmatch(draft.single.get(_ID_CODE, b")"))
    if equipment is None or len(equipment.group(1)) % 2:
        raise MalformedTelegram("the equipment identifier is not pairs of hexadecimal digits")
    tariff = _TARIFFS.get(draft.single.get(_TARIFF_CODE, b""))
    if tariff is None:
        raise MalformedTelegram("the tariff is neither 0001 nor 0002")
    return Telegram(
        version=int(version[:2]),
        meter_time=read_meter_time(time[:-1], standard_offset),
        equipment_id=bytes.fromhex(equipment.group(1).decode()),
        tariff=tariff,
        registers=MappingProxyType(draft.registers),
        gas=_gas(draft, standard_offset),
        unknown_lines=draft.unknown,
    )


def _gas(draft: _Draft, standard_offset: int) -> GasReading | None:
    """The gas reading captured last. After an exchange the old meter keeps its channel and its last value."""
    best: GasReading | None = None
    for channel, value in sorted(draft.mbus_values.items()):
        if draft.mbus_types.get(channel) not in _GAS_TYPES:
            continue
        match = _MBUS_VALUE.fullmatch(value)
        if match is None:
            continue
        try:
            captured = read_meter_time(match.group(1), standard_offset)
        except MalformedTelegram:
            continue
        if best is None or captured.seconds > best.capture_time.seconds:
            best = GasReading(channel, captured, read_number(match.group(2), b"*m3)"))
    return best
