"""The demo's own ear on the wire: a relay in front of the broker that reads every packet by the letter of MQTT.

All nodes connect through it, so nothing passes unheard, whoever reconnects first after an outage. It shares no code
with the transports that it listens to.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from node.app.demo.evidence import Heard

__all__ = ["PacketReader", "Wiretap"]

_CONNECT, _PUBLISH = 1, 3
_CHUNK = 65_536


@dataclass(slots=True)
class PacketReader:
    """Bytes that one client sends, in any pieces -> its PUBLISH packets (MQTT 3.1.1, 3.3; version 5 as well)."""

    hear: Callable[[Heard], None]
    clock: Callable[[], float] = time.time
    client: str = ""
    _version: int = 4
    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Takes what arrived."""
        self._buffer += data
        while (packet := self._packet()) is not None:
            kind, flags, body = packet
            if kind == _CONNECT:
                self._connect(body)
            elif kind == _PUBLISH:
                self._publish(flags, body)

    def _packet(self) -> tuple[int, int, bytes] | None:
        size, shift, at = 0, 0, 1
        while True:
            if at >= len(self._buffer):
                return None
            byte = self._buffer[at]
            size |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not byte & 0x80:
                break
        if len(self._buffer) < at + size:
            return None
        first, body = self._buffer[0], bytes(self._buffer[at : at + size])
        del self._buffer[: at + size]
        return first >> 4, first & 0x0F, body

    def _connect(self, body: bytes) -> None:
        name = 2 + int.from_bytes(body[:2], "big")
        self._version = body[name]
        at = name + 4
        if self._version == 5:
            at += 1 + body[at]
        self.client = body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "big")].decode(errors="replace")

    def _publish(self, flags: int, body: bytes) -> None:
        at = 2 + int.from_bytes(body[:2], "big")
        levels = body[2:at].decode(errors="replace").split("/")
        at += 2 if flags & 0b0110 else 0
        if self._version == 5:
            at += 1 + body[at]
        with contextlib.suppress(ValueError):
            # wattpact/v1/{sid}/{kind}[/{grant id}]; what is no topic of ours is still kept, under the kind "other".
            ours = levels[:2] == ["wattpact", "v1"] and len(levels) in (4, 5)
            kind = levels[3] if ours else "other"
            sid = bytes.fromhex(levels[2]) if ours else b""
            key = bytes.fromhex(levels[4]) if ours and len(levels) == 5 else b""
            self.hear(Heard(self.clock(), self.client, kind, sid, key, body[at:], bool(flags & 1)))


@dataclass(slots=True)
class Wiretap:
    """Listens on `port` (0: a free one) and relays to the broker at `broker`; while that is away, connections fail."""

    broker: tuple[str, int]
    port: int = 0
    heard: list[Heard] = field(default_factory=list)
    received: int = 0
    _server: asyncio.Server | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Begins to listen; `port` is set when it returns."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends all connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                there, back = await asyncio.open_connection(*self.broker)
                try:
                    await self._relay((reader, back), (there, writer))
                finally:
                    back.close()
        finally:
            writer.close()
            if task is not None:
                self._open.discard(task)

    async def _relay(
        self,
        up: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        down: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Both ways until one side ends."""
        ear = PacketReader(self.heard.append)
        tasks = [asyncio.ensure_future(self._pump(*up, ear)), asyncio.ensure_future(self._pump(*down, None))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, ear: PacketReader | None) -> None:
        while data := await source.read(_CHUNK):
            if ear is not None:
                ear.feed(data)
            else:
                self.received += len(data)
            sink.write(data)
            await sink.drain()
