"""Where the bytes of a P1 port come from: one protocol, and recorded telegrams from a file. Serial has its own module.

A source only moves bytes; what they mean is the pipeline's business.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Protocol

from node.services.meter.errors import RecordingUnreadable

__all__ = ["FileSource", "MeterSource"]

_TELEGRAM_END = re.compile(rb"![0-9A-Fa-f]{0,4}\r?\n")


class MeterSource(Protocol):
    """`chunks` goes on until the source is exhausted (a file) or the task is cancelled (a device)."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Bytes as they come, in order, at least one per chunk; telegram edges mean nothing here."""
        ...


class FileSource:
    """Recorded telegrams, once. `pace` is the pause in seconds after each telegram; None reads in one go."""

    def __init__(self, path: Path, pace: float | None = None, chunk_size: int = 4096) -> None:
        if chunk_size < 1 or (pace is not None and pace < 0):
            raise ValueError("chunk_size must be positive and pace not negative")
        self._path = path
        self._pace = pace
        self._chunk_size = chunk_size

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Raises RecordingUnreadable if the file cannot be read."""
        try:
            data = await asyncio.to_thread(self._path.read_bytes)
        except OSError as cause:
            raise RecordingUnreadable(f"cannot read recorded telegrams: {cause.strerror}") from cause
        start = 0
        ends = [len(data)] if self._pace is None else [*(m.end() for m in _TELEGRAM_END.finditer(data)), len(data)]
        for end in ends:
            while start < end:
                stop = min(end, start + self._chunk_size)
                yield data[start:stop]
                start = stop
            if self._pace is not None:
                await asyncio.sleep(self._pace)
