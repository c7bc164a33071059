"""An MQTT client made of bytes, for tests that send what no library would."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from node.runtime.broker.embedded import EmbeddedBroker
from tests.support.processes import PATIENCE

__all__ = ["RawClient", "connect_packet", "connected", "packet", "publish_packet", "subscribe_packet", "text", "until"]


def text(value: str | bytes) -> bytes:
    """A length-prefixed string."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def packet(kind: int, body: bytes, announced: int | None = None) -> bytes:
    """A packet; `announced` lies about the length."""
    size = len(body) if announced is None else announced
    header = bytes([kind])
    while True:
        size, low = size >> 7, size & 0x7F
        header += bytes([low | (0x80 if size else 0)])
        if not size:
            return header + body


def connect_packet(
    user: str, password: str, client_id: str, *, clean: bool = False, will: tuple[str, str] | None = None
) -> bytes:
    """A CONNECT."""
    flags = 0xC0 | (0x02 if clean else 0) | (0x2C if will else 0)
    body = text("MQTT") + bytes([4, flags]) + (30).to_bytes(2, "big") + text(client_id)
    if will is not None:
        body += text(will[0]) + text(will[1])
    return packet(0x10, body + text(user) + text(password))


def publish_packet(topic: str, payload: bytes, number: int = 1, *, retain: bool = False, qos: int = 1) -> bytes:
    """A PUBLISH."""
    body = text(topic) + (number.to_bytes(2, "big") if qos else b"") + payload
    return packet(0x30 | qos << 1 | int(retain), body)


def subscribe_packet(*filters: str, number: int = 1, qos: int = 1) -> bytes:
    """A SUBSCRIBE."""
    return packet(0x82, number.to_bytes(2, "big") + b"".join(text(f) + bytes([qos]) for f in filters))


class RawClient:
    """A socket that reads whole packets. `opened` lets a fixture close what a test left open."""

    opened: ClassVar[list[RawClient]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.opened.append(self)

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1") -> RawClient:
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        """The next packet as (first byte, body); (0, b"") when the broker hung up."""
        try:
            return await asyncio.wait_for(self._receive(), PATIENCE)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0, b""

    async def _receive(self) -> tuple[int, bytes]:
        kind = (await self.reader.readexactly(1))[0]
        size = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return kind, await self.reader.readexactly(size)

    async def silent(self) -> bool:
        """Whether nothing comes for a moment."""
        try:
            await asyncio.wait_for(self._receive(), 0.3)
        except TimeoutError:
            return True
        return False

    async def hung_up(self) -> bool:
        """Whether the broker ended the connection; whatever it said before is read away."""
        while True:
            if (await self.receive())[0] == 0:
                return True

    async def close(self) -> None:
        self.writer.close()

    @classmethod
    async def close_all(cls) -> None:
        """Close every client of this test."""
        while cls.opened:
            client = cls.opened.pop()
            client.writer.transport.abort()
            with suppress(ConnectionError):
                await client.writer.wait_closed()


async def connected(broker: EmbeddedBroker, user: str, client_id: str = "", *, clean: bool = False) -> RawClient:
    """A client that is in; the password is the user's name reversed."""
    client = await RawClient.open(broker.port)
    await client.send(connect_packet(user, user[::-1], client_id or user, clean=clean))
    kind, body = await client.receive()
    assert (kind, body[1]) == (0x20, 0), "not let in"
    return client


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that will happen."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the broker has no event for what a test wants to see
            await asyncio.sleep(0.01)
