"""A P1 port on a serial line, read without blocking the event loop, and opened again whenever the device vanishes.

DSMR 4 and 5: 115,200 bit/s, 8N1, nothing is ever written to the meter. The cable's data request line is held by the
device being open (RTS and DTR are raised by the driver).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

import serial

from node.services.meter.counters import MeterCounters, Outcome
from node.services.meter.errors import DeviceUnavailable

__all__ = ["SerialSettings", "SerialSource"]

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class SerialSettings:
    """`device` is a path or a pyserial name. Backoff doubles from `first_wait` to `longest_wait` seconds."""

    device: str
    baudrate: int = 115_200
    first_wait: float = 0.5
    longest_wait: float = 30.0

    def __post_init__(self) -> None:
        if self.baudrate <= 0 or not 0 < self.first_wait <= self.longest_wait:
            raise ValueError("baudrate and waits must be positive, first_wait at most longest_wait")


class SerialSource:
    """Bytes from a device for as long as the task lives. Absence and loss are counted, never raised.

    `last_error` says why the device is not open at the moment, None while it is; for status and `doctor`.
    """

    def __init__(self, settings: SerialSettings, counters: MeterCounters) -> None:
        self._settings = settings
        self._counters = counters
        self.last_error: DeviceUnavailable | None = None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Never ends by itself. A half-received telegram before a loss is dropped by the framing."""
        wait = self._settings.first_wait
        while True:
            try:
                port = await self._open()
            except DeviceUnavailable as cause:
                self.last_error = cause
                self._counters.add(Outcome.DEVICE_UNAVAILABLE)
            else:
                self.last_error = None
                self._counters.add(Outcome.DEVICE_OPENED)
                try:
                    async with aclosing(self._read(port)) as arriving:
                        async for chunk in arriving:
                            wait = self._settings.first_wait
                            yield chunk
                finally:
                    with suppress(OSError):  # SerialException is one; closing a vanished device may fail
                        port.close()
                self._counters.add(Outcome.DEVICE_LOST)
                self.last_error = DeviceUnavailable("the serial device has vanished")
            await asyncio.sleep(wait)
            wait = min(2 * wait, self._settings.longest_wait)

    async def _open(self) -> serial.Serial:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_blocking))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread cannot be stopped; its port must not stay locked behind our back.
            opening.add_done_callback(_close_late)
            raise

    def _open_blocking(self) -> serial.Serial:
        try:
            # exclusive: two readers on one port would each get half of every telegram.
            return serial.Serial(
                self._settings.device,
                baudrate=self._settings.baudrate,
                bytesize=serial.EIGHTBITS,
                parity=serial.PARITY_NONE,
                stopbits=serial.STOPBITS_ONE,
                timeout=0,
                exclusive=True,
            )
        except (OSError, ValueError) as cause:
            raise DeviceUnavailable(f"cannot open the serial device {self._settings.device}: {cause}") from cause

    async def _read(self, port: serial.Serial) -> AsyncGenerator[bytes, None]:
        """Ends when the device is gone."""
        while True:
            await _readable(port.fileno())
            try:
                chunk = port.read(_CHUNK)
            except OSError:
                return
            if chunk:
                yield chunk


def _close_late(opening: asyncio.Future[serial.Serial]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
