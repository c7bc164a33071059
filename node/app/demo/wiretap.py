"""The demo's own ear on the broker: every message with its time, parsed by offsets alone."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from dataclasses import dataclass, field

import aiomqtt

__all__ = ["Heard", "SealedEnvelope", "Wiretap", "parse_envelope"]

# channels.md 3: ver u16 | sid 32 | epoch u64 | slot u32 | inst 16 | seq u64 | prev_hash 32 | ciphertext | tag 16
HEADER = struct.Struct(">H32sQI16sQ32s")


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as the broker delivered it; `at` in seconds of the wall clock."""

    at: float
    kind: str
    sid: bytes
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class SealedEnvelope:
    """An envelope by its header fields; `header` is all of the additional authenticated data."""

    at: float
    sid: bytes
    epoch: int
    slot: int
    inst: bytes
    seq: int
    header: bytes
    sealed: bytes


def parse_envelope(heard: Heard) -> SealedEnvelope:
    """Splits an envelope by the offsets of the format."""
    _, sid, epoch, slot, inst, seq, _ = HEADER.unpack_from(heard.payload)
    return SealedEnvelope(
        heard.at, sid, epoch, slot, inst, seq, heard.payload[: HEADER.size], heard.payload[HEADER.size :]
    )


@dataclass(slots=True)
class Wiretap:
    """Hears everything below `wattpact/v1/`, as a broker's operator or a thief at the broker could."""

    host: str
    port: int
    user: str
    password: str
    heard: list[Heard] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    self.host, self.port, username=self.user, password=self.password, identifier="demo-wiretap"
                ) as client:
                    await client.subscribe("wattpact/v1/#", qos=1)
                    async for message in client.messages:
                        self._hear(str(message.topic), bytes(message.payload or b""), bool(message.retain))
            await asyncio.sleep(0.2)

    def _hear(self, topic: str, payload: bytes, retained: bool) -> None:
        parts = topic.split("/")
        if len(parts) >= 4:
            self.heard.append(
                Heard(time.time(), parts[3], bytes.fromhex(parts[2].removeprefix("0x")), payload, retained)
            )

    def envelopes(self, sid: bytes) -> list[SealedEnvelope]:
        """First delivery of every envelope of a stream, in order of arrival."""
        found: dict[bytes, SealedEnvelope] = {}
        for item in self.heard:
            if item.kind == "data" and item.sid == sid and len(item.payload) > HEADER.size:
                found.setdefault(item.payload, parse_envelope(item))
        return list(found.values())

    def commits(self, sid: bytes) -> list[Heard]:
        """First delivery of every commit of a stream."""
        found: dict[bytes, Heard] = {}
        for item in self.heard:
            if item.kind == "commits" and item.sid == sid and item.payload:
                found.setdefault(item.payload, item)
        return list(found.values())
