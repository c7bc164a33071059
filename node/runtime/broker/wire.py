"""The bytes of one connection on their way into the broker library, cut off where a limit is passed.

The library reads what a packet's header announces, however much that is, and waits for it as long as it takes. This
reader follows the packet frame itself: a packet that is too long ends the connection when its length is read, before
any of it is; one that comes too slowly ends it too, as does silence for longer than `idle_seconds`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from amqtt.adapters import ReaderAdapter

__all__ = ["FrameReader", "read_connect_frame"]

_CONNECT = 0x10
_LENGTH_BYTES = 4


class FrameReader(ReaderAdapter):  # type: ignore[misc]
    """A ReaderAdapter of amqtt over a stream; `first` is what was read from it already."""

    def __init__(
        self, stream: asyncio.StreamReader, first: bytes, packet_bytes: int, packet_seconds: float, idle_seconds: float
    ) -> None:
        self._stream = stream
        self._first = first
        self._packet_bytes = packet_bytes
        self._packet_seconds = packet_seconds
        self._idle_seconds = idle_seconds
        self._header: list[int] | None = None
        self._left = 0
        self._broken = False
        self._deadline = asyncio.get_running_loop().time() + packet_seconds
        self._room = asyncio.Event()
        self._room.set()

    def hold(self) -> None:
        """Read no further packet until `release`: what came in is not worked through yet."""
        self._room.clear()

    def release(self) -> None:
        """Go on reading."""
        self._room.set()

    async def read(self, n: int = -1) -> bytes:
        """Read exactly n bytes. Raises ConnectionResetError where the connection ends, which amqtt takes as its end."""
        if self._broken or n < 1:
            raise ConnectionResetError
        try:
            return await self._read(n)
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            self._broken = True
            raise ConnectionResetError from None

    async def _read(self, n: int) -> bytes:
        between = self._header is None and self._left == 0
        if between and not self._room.is_set():
            await self._room.wait()
            # The silence was ours.
            self._deadline = asyncio.get_running_loop().time() + self._idle_seconds
        # Before it is waited for: a field inside a packet may claim more bytes than the packet has.
        if n > (self._left if self._header is None and not between else 1):
            raise ConnectionResetError
        async with asyncio.timeout_at(self._deadline):
            data = await self._exactly(n)
        now = asyncio.get_running_loop().time()
        if between:
            self._header = [data[0]]
            self._deadline = now + self._packet_seconds
        elif self._header is not None:
            self._header.append(data[0])
        if self._header is None:
            self._left -= n
        elif len(self._header) > 1 and not data[0] & 0x80:
            self._left = sum((byte & 0x7F) << (7 * i) for i, byte in enumerate(self._header[1:]))
            self._header = None
            if self._left > self._packet_bytes:
                raise ConnectionResetError
        elif len(self._header) > _LENGTH_BYTES:
            raise ConnectionResetError
        if self._header is None and self._left == 0:
            self._deadline = now + self._idle_seconds
        return data

    async def _exactly(self, n: int) -> bytes:
        if self._first:
            data, self._first = self._first[:n], self._first[n:]
            return data if len(data) == n else data + await self._stream.readexactly(n - len(data))
        return await self._stream.readexactly(n)

    def feed_eof(self) -> None:
        """End of what can be read."""
        self._stream.feed_eof()


async def read_connect_frame(
    stream: asyncio.StreamReader, most: int, report: Callable[[str], None]
) -> tuple[bytes, bytes] | None:
    """The first packet as (header, body), or None for what is no CONNECT of at most `most` bytes.

    The caller sets the deadline. Raises IncompleteReadError when the peer hangs up.
    """
    header = await stream.readexactly(1)
    if header[0] != _CONNECT:
        report("the first packet is no CONNECT")
        return None
    size = 0
    for i in range(_LENGTH_BYTES):
        byte = await stream.readexactly(1)
        header += byte
        size |= (byte[0] & 0x7F) << (7 * i)
        if not byte[0] & 0x80:
            break
    else:
        report("a length of more than four bytes")
        return None
    if size > most:
        report("a CONNECT that is too long")
        return None
    return header, await stream.readexactly(size)
