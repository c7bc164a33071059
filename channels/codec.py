"""Strict big-endian reading and writing of fixed and counted fields.

A decoder reads every byte exactly once and calls `end()`: what is left over is an error, so each message has one
encoding.
"""

from __future__ import annotations

from channels.errors import FormatError, UnknownVersion

__all__ = ["LAST_EPOCH", "LAST_SEQ", "ByteReader", "ByteWriter", "require"]

LAST_EPOCH = 2**32 - 1  # the epoch tree has 2**32 leaves
LAST_SEQ = 2**63 - 1  # what a database keeps as an integer


def require(condition: bool, message: str) -> None:
    """Raise `FormatError(message)` unless `condition` holds."""
    if not condition:
        raise FormatError(message)


class ByteReader:
    """A cursor over immutable bytes; every short read raises `FormatError`."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    def raw(self, count: int) -> bytes:
        at = self._at
        end = at + count
        if end > self._end:
            raise FormatError("the message is truncated")
        self._at = end
        return self._data[at:end]

    def u8(self) -> int:
        return self.raw(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.raw(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self.raw(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.raw(8), "big")

    def counted(self) -> bytes:
        """Bytes behind a u32 length; the length is checked against what is there before anything is copied."""
        return self.raw(self.u32())

    def flag(self) -> bool:
        """One byte that is 0 or 1; any other value is a second encoding and refused."""
        value = self.u8()
        require(value <= 1, "a flag is 0 or 1")
        return value == 1

    def version(self, known: int) -> None:
        """Read a u16 version and refuse any other than `known`."""
        found = self.u16()
        if found != known:
            raise UnknownVersion(f"version {found} is not spoken here")

    @property
    def left(self) -> int:
        return self._end - self._at

    def end(self) -> None:
        require(self._at == self._end, "the message has trailing bytes")


class ByteWriter:
    """Collects fields; the counterpart of `ByteReader`."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def raw(self, data: bytes) -> ByteWriter:
        self._parts.append(bytes(data))
        return self

    def uint(self, value: int, width: int) -> ByteWriter:
        """`value` in `width` bytes; a value that does not fit raises `FormatError` (never truncated)."""
        try:
            self._parts.append(value.to_bytes(width, "big"))
        except OverflowError as error:
            raise FormatError(f"{value} does not fit {width} bytes") from error
        return self

    def u8(self, value: int) -> ByteWriter:
        return self.uint(value, 1)

    def u16(self, value: int) -> ByteWriter:
        return self.uint(value, 2)

    def u32(self, value: int) -> ByteWriter:
        return self.uint(value, 4)

    def u64(self, value: int) -> ByteWriter:
        return self.uint(value, 8)

    def flag(self, value: bool) -> ByteWriter:
        return self.uint(1 if value else 0, 1)

    def counted(self, data: bytes) -> ByteWriter:
        return self.u32(len(data)).raw(data)

    def done(self) -> bytes:
        return b"".join(self._parts)
