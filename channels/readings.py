"""The plaintext of an envelope: up to 60 readings, compact, integers only, one encoding.

::

    ver u16 | count u8 | reading* reading   meter_time | receipt_time | quality u8 | seconds | values
    all numbers are varints unless said and if seconds > 0: completeness | values at the beginning values    n u8,
    then (code u8, number)*, codes ascending

`meter_time` is the difference to the reading before (to 0 for the first), `receipt_time` the difference to the
meter time, and a value the difference to the last value of the same code in this batch: registers hardly move
within a minute. Differences are signed (zigzag), `seconds` and `completeness` are not. Varints are little endian
groups of 7 bits (LEB128), the shortest form only.

The batch has no time or length outside the seal, so an observer learns its size alone. Codes are registered below;
a number once given is never used for another code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from channels.codec import ByteReader, require
from channels.errors import FormatError, UsageError

__all__ = ["MAX_READINGS", "OBIS_CODES", "Measurement", "code_of", "decode_batch", "encode_batch", "id_of"]

BATCH_VERSION = 1
MAX_READINGS = 60
_MAX_TIME = 2**40
_MAX_VALUE = 2**63 - 1
_MAX_SECONDS = 2**32
_NO_VALUES: Mapping[str, int] = MappingProxyType({})

# IEC 62056-61 codes; units Wh, W, mV, mA, dm3. The position is the number on the wire, 0 is unused.
OBIS_CODES: tuple[str, ...] = (
    "",
    "1-0:1.8.1",
    "1-0:1.8.2",
    "1-0:2.8.1",
    "1-0:2.8.2",
    "1-0:1.7.0",
    "1-0:2.7.0",
    "0-0:96.14.0",  # tariff in force
    "1-0:32.7.0",
    "1-0:52.7.0",
    "1-0:72.7.0",
    "1-0:31.7.0",
    "1-0:51.7.0",
    "1-0:71.7.0",
    "1-0:21.7.0",
    "1-0:41.7.0",
    "1-0:61.7.0",
    "1-0:22.7.0",
    "1-0:42.7.0",
    "1-0:62.7.0",
    "0-n:24.2.1",  # gas, whatever its M-Bus channel
    "1-0:1.8.0",  # sums over the tariffs
    "1-0:2.8.0",
    "1-0:1.29.0",  # energy of one interval
    "1-0:2.29.0",
    "0-n:24.29.1",
)
_IDS: Mapping[str, int] = MappingProxyType({code: number for number, code in enumerate(OBIS_CODES) if code})


def id_of(code: str) -> int:
    """The number of an OBIS code; UsageError for a code that is not registered."""
    found = _IDS.get(code)
    if found is None:
        raise UsageError(f"OBIS code {code!r} has no number in this version")
    return found


def code_of(number: int) -> str:
    """The OBIS code of a number; FormatError for a number that is not registered."""
    if not 1 <= number < len(OBIS_CODES):
        raise FormatError(f"no OBIS code has number {number}")
    return OBIS_CODES[number]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One reading. Times in seconds UTC below 2**40, values integers in the unit of their code, quality bits
    0..255.

    `seconds` 0 is a moment. Otherwise the reading describes the interval that begins at `meter_time`: `values` at
    its end, `first` at its beginning, `completeness` in 1/1000.
    """

    meter_time: int
    receipt_time: int
    quality: int
    values: Mapping[str, int]
    seconds: int = 0
    completeness: int = 1000
    first: Mapping[str, int] = field(default_factory=lambda: _NO_VALUES)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _signed(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _read_varint(data: ByteReader) -> int:
    value = shift = 0
    while True:
        group = data.u8()
        value |= (group & 0x7F) << shift
        if group < 0x80:
            require(group > 0 or shift == 0, "a number is not in its shortest form")
            return value
        shift += 7
        require(shift < 70, "a number is too long")


def _read_signed(data: ByteReader) -> int:
    value = _read_varint(data)
    return -((value + 1) >> 1) if value & 1 else value >> 1


def _encode_values(values: Mapping[str, int], last: dict[int, int]) -> bytes:
    numbered = sorted((id_of(code), value) for code, value in values.items())
    parts = [bytes((len(numbered),))]
    for number, value in numbered:
        if abs(value) > _MAX_VALUE:
            raise UsageError("a value does not fit 64 bits")
        parts.append(bytes((number,)) + _signed(value - last.get(number, 0)))
        last[number] = value
    return b"".join(parts)


def _decode_values(data: ByteReader, last: dict[int, int]) -> Mapping[str, int]:
    values: dict[str, int] = {}
    before = 0
    for _ in range(data.u8()):
        number = data.u8()
        require(number > before, "codes are not sorted")
        before = number
        code = code_of(number)
        last[number] = values[code] = last.get(number, 0) + _read_signed(data)
        require(abs(last[number]) <= _MAX_VALUE, "a value does not fit 64 bits")
    return MappingProxyType(values)


def encode_batch(readings: Sequence[Measurement]) -> bytes:
    """1 to 60 readings as one plaintext; UsageError for anything that has no place in it."""
    if not 1 <= len(readings) <= MAX_READINGS:
        raise UsageError(f"a batch has 1 to {MAX_READINGS} readings")
    parts = [BATCH_VERSION.to_bytes(2, "big"), bytes((len(readings),))]
    before = 0
    last: dict[int, int] = {}
    for reading in readings:
        _check(reading)
        parts.append(_signed(reading.meter_time - before))
        parts.append(_signed(reading.receipt_time - reading.meter_time))
        parts.append(bytes((reading.quality,)) + _varint(reading.seconds))
        if reading.seconds:
            parts.append(_varint(reading.completeness))
            parts.append(_encode_values(reading.first, last))
        parts.append(_encode_values(reading.values, last))
        before = reading.meter_time
    return b"".join(parts)


def decode_batch(plaintext: bytes) -> tuple[Measurement, ...]:
    """The inverse of `encode_batch`; FormatError for any other bytes, a second encoding included."""
    data = ByteReader(plaintext)
    data.version(BATCH_VERSION)
    count = data.u8()
    require(1 <= count <= MAX_READINGS, f"a batch has 1 to {MAX_READINGS} readings")
    readings: list[Measurement] = []
    before = 0
    last: dict[int, int] = {}
    for _ in range(count):
        before += _read_signed(data)
        receipt = before + _read_signed(data)
        quality, seconds, completeness, first = data.u8(), _read_varint(data), 1000, _NO_VALUES
        if seconds:
            completeness = _read_varint(data)
            first = _decode_values(data, last)
        values = _decode_values(data, last)
        reading = Measurement(before, receipt, quality, values, seconds, completeness, first)
        try:
            _check(reading)
        except UsageError as error:
            raise FormatError(str(error)) from error
        readings.append(reading)
    data.end()
    return tuple(readings)


def _check(reading: Measurement) -> None:
    if not 0 <= reading.meter_time < _MAX_TIME or not 0 <= reading.receipt_time < _MAX_TIME:
        raise UsageError("a time has 40 bits")
    if not 0 <= reading.quality <= 0xFF:
        raise UsageError("quality has 8 bits")
    if not 0 <= reading.seconds < _MAX_SECONDS or not 0 <= reading.completeness <= 1000:
        raise UsageError("an interval has at most 2**32 - 1 seconds and 1000 thousandths")
    if not reading.seconds and (reading.first or reading.completeness != 1000):
        raise UsageError("a moment has no values at its beginning and is complete")
