"""Cuts a byte stream into candidate telegrams. No I/O, bounded memory, no exception for any input.

A telegram (DSMR P1 companion standard 5.0.2) runs from `/` to `!`; DSMR 4 and 5 append four hexadecimal digits
of CRC and CR LF, DSMR 2.2 and 3 only CR LF. Neither `/` nor `!` may stand in between (IEC 62056-21), so a `/` inside
means that the beginning belonged to a telegram that was cut off or overwritten.

How the stream is chopped into `feed` calls never changes the outcome: a decision depends only on the bytes before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from node.services.meter.counters import MeterCounters, Outcome

__all__ = ["DEFAULT_LIMIT", "Candidate", "Framer"]

# The longest DSMR 5 telegram has four M-Bus devices and a text message of 1,024 bytes as 2,048 digits: about 4 kB.
DEFAULT_LIMIT = 8192
_EDGE = re.compile(rb"[/!]")
_TRAILER = re.compile(rb"([0-9A-Fa-f]{4})\r\n")
_TRAILER_SIZE = 6


@dataclass(frozen=True, slots=True)
class Candidate:
    """Bytes from `/` to `!` inclusive, and the CRC that followed: None where the telegram carried none."""

    body: bytes
    crc: int | None


class Framer:
    """Bytes in, candidates out. Holds at most `limit` + 7 bytes between calls."""

    def __init__(self, counters: MeterCounters, limit: int = DEFAULT_LIMIT) -> None:
        if limit < 64:
            raise ValueError("no telegram fits into fewer than 64 bytes")
        self._counters = counters
        self._limit = limit
        self._buffer = bytearray()
        self._scanned = 0
        self._inside = False

    @property
    def pending(self) -> int:
        """Bytes held back until more arrive."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Candidate]:
        """Candidates completed by `data`, in order; what was skipped is counted by cause."""
        found: list[Candidate] = []
        for start in range(0, len(data), self._limit):
            self._buffer += data[start : start + self._limit]
            while self._step(found):
                pass
        return found

    def _step(self, found: list[Candidate]) -> bool:
        """Does one thing; False when more bytes are needed."""
        if not self._inside:
            return self._seek()
        edge = _EDGE.search(self._buffer, self._scanned, self._limit)
        if edge is None:
            if len(self._buffer) < self._limit:
                self._scanned = max(self._scanned, len(self._buffer))
                return False
            self._counters.add(Outcome.OVERSIZE)
            self._leave(self._limit)
            return True
        position = edge.start()
        if edge.group() == b"/":
            self._counters.add(Outcome.TRUNCATED)
            del self._buffer[:position]
            self._scanned = 1
            return True
        self._scanned = position
        return self._finish(position + 1, found)

    def _seek(self) -> bool:
        position = self._buffer.find(b"/")
        noise = len(self._buffer) if position < 0 else position
        if noise:
            self._counters.add(Outcome.NOISE_BYTES, noise)
            del self._buffer[:noise]
        if position < 0:
            return False
        self._inside = True
        self._scanned = 1
        return True

    def _finish(self, end: int, found: list[Candidate]) -> bool:
        """`end` is one past the `!`. Reads the trailer behind it, or waits for it."""
        if len(self._buffer) < end + 2:
            return False
        if self._buffer[end : end + 2] == b"\r\n":
            found.append(Candidate(bytes(self._buffer[:end]), None))
            self._leave(end + 2)
            return True
        if len(self._buffer) < end + _TRAILER_SIZE:
            return False
        trailer = _TRAILER.match(self._buffer, end)
        if trailer is None:
            # Only the telegram goes; the bytes behind it are searched again, the next `/` may be among them.
            self._counters.add(Outcome.BAD_TRAILER)
            self._leave(end)
            return True
        found.append(Candidate(bytes(self._buffer[:end]), int(trailer.group(1), 16)))
        del trailer  # a live match would forbid resizing the buffer below
        self._leave(end + _TRAILER_SIZE)
        return True

    def _leave(self, size: int) -> None:
        del self._buffer[:size]
        self._inside = False
        self._scanned = 0
