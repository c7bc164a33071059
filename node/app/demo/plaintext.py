"""What an envelope holds once it is open, read by the letter of its format, without the product's decoder.

ver u16 | count u8 | readings; a reading: zigzag varints of the meter time (difference to the reading before) and of the
receipt time (difference to the meter time), quality u8, varint seconds, if seconds > 0 varint completeness and the
values at the beginning, then the values: n u8, (code u8, zigzag varint difference to the last value of that code)*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Measured", "measured"]

_CODES = {
    1: "1-0:1.8.1", 2: "1-0:1.8.2", 3: "1-0:2.8.1", 4: "1-0:2.8.2", 5: "1-0:1.7.0", 6: "1-0:2.7.0",
    20: "0-n:24.2.1", 21: "1-0:1.8.0", 22: "1-0:2.8.0", 23: "1-0:1.29.0", 24: "1-0:2.29.0", 25: "0-n:24.29.1",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """One reading: a moment if `seconds` is 0, else the interval from `time` on with its values at the end."""

    time: int
    receipt: int
    quality: int
    seconds: int
    values: Mapping[str, int]


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            group = self.byte()
            value |= (group & 0x7F) << shift
            if group < 0x80:
                return value
            shift += 7

    def signed(self) -> int:
        value = self.varint()
        return -((value + 1) >> 1) if value & 1 else value >> 1

    def values(self, last: dict[int, int]) -> dict[str, int]:
        found: dict[str, int] = {}
        for _ in range(self.byte()):
            code = self.byte()
            last[code] = last.get(code, 0) + self.signed()
            found[_CODES.get(code, str(code))] = last[code]
        return found


def measured(plaintext: bytes) -> list[Measured]:
    """The readings of one envelope. ValueError for another version, IndexError where it ends early."""
    cursor = _Cursor(plaintext)
    if plaintext[:2] != b"\x00\x01":
        raise ValueError("a plaintext of another version")
    cursor.at = 2
    found: list[Measured] = []
    time, last = 0, dict[int, int]()
    for _ in range(cursor.byte()):
        time += cursor.signed()
        receipt = time + cursor.signed()
        quality, seconds = cursor.byte(), cursor.varint()
        if seconds:
            cursor.varint()
            cursor.values(last)
        found.append(Measured(time, receipt, quality, seconds, cursor.values(last)))
    return found
