"""The meter's side of the cable: a pseudo-terminal behind a symbolic link that stays the same when it is plugged again.

The simulator keeps the far side open itself, so a reader may come, go, be killed and come back. What nobody reads stays
in the kernel's buffer until it is full; then `send` waits, as a buffering logger does.
"""

from __future__ import annotations

import asyncio
import os
import tty
from contextlib import suppress
from pathlib import Path

from node.services.simulator.errors import PathRefused

__all__ = ["PseudoTerminal"]


class PseudoTerminal:
    """`plug` makes the device and the link, `unplug` removes both, which a reader sees as a vanished device."""

    def __init__(self, link: Path) -> None:
        self._link = link
        self._master = -1
        self._slave = -1
        self._waiting: asyncio.Future[None] | None = None

    @property
    def plugged(self) -> bool:
        return self._master >= 0

    @property
    def device(self) -> str:
        """The device's own path, empty while unplugged."""
        return os.ttyname(self._slave) if self.plugged else ""

    def plug(self) -> None:
        """Raises PathRefused if something that is not a symbolic link stands where the link should be."""
        if self.plugged:
            return
        if self._link.exists() and not self._link.is_symlink():
            raise PathRefused(f"{self._link} exists and is not a symbolic link")
        self._master, self._slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        fresh = self._link.with_name(f"{self._link.name}.{os.getpid()}")
        try:
            self._link.parent.mkdir(parents=True, exist_ok=True)
            fresh.symlink_to(self.device)
            fresh.replace(self._link)  # atomic: a reader finds the old device or the new one
        except OSError as cause:
            self._shut()
            raise PathRefused(f"cannot make the link {self._link}: {cause.strerror}") from cause

    def unplug(self) -> None:
        if not self.plugged:
            return
        with suppress(OSError):
            if self._link.is_symlink() and os.readlink(self._link) == self.device:
                self._link.unlink()
        self._shut()

    def _shut(self) -> None:
        if self._waiting is not None:
            self._waiting.get_loop().remove_writer(self._master)
            _wake(self._waiting)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    async def send(self, data: bytes) -> None:
        """Writes all of it, waiting for the reader as long as it takes. Cancelled in between, the rest is not sent.
        Raises ConnectionError if the terminal is unplugged, also meanwhile."""
        rest = memoryview(data)
        while rest:
            if not self.plugged:
                raise ConnectionError("the cable is unplugged")
            try:
                rest = rest[os.write(self._master, rest) :]
            except BlockingIOError:
                await self._writable()

    async def _writable(self) -> None:
        """Until there is room, or the cable is pulled."""
        loop = asyncio.get_running_loop()
        descriptor = self._master
        self._waiting = loop.create_future()
        loop.add_writer(descriptor, _wake, self._waiting)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if self._master == descriptor:  # otherwise `_shut` took it off before closing
                loop.remove_writer(descriptor)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
