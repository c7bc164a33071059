"""Brokers for tests: the hub in this process, the broker inside a node, a real Mosquitto; all with the same users."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Protocol

import pytest
from aiohttp import web

from channels.transports.base import Transport
from channels.transports.http import HttpSettings, HttpTransport
from channels.transports.inprocess import Hub, InProcessTransport
from channels.transports.mqtt import MqttTransport
from channels.transports.mqtt_client import MqttSettings
from channels.transports.topics import Topic
from node.api.relay import Relay
from node.clock import SystemClock
from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.mosquitto import MosquittoFiles, mosquitto_files
from node.runtime.broker.passwords import hash_for_mosquitto
from node.runtime.broker.patterns import covers, reader_rights, writer_rights
from node.runtime.broker.settings import BrokerSettings, BrokerUser
from node.runtime.relay.log import RelayLog
from tests.support.processes import free_port, until

__all__ = [
    "GRANT",
    "GRANT2",
    "PASSWORDS",
    "SID",
    "Broker",
    "EmbeddedHarness",
    "HubHarness",
    "MosquittoHarness",
    "RelayHarness",
    "users",
]

SID, GRANT, GRANT2 = b"\x01" * 32, b"\x0a" * 32, b"\x0b" * 32
PASSWORDS = {"writer": "w-secret", "reader": "r-secret", "other": "o-secret"}


def users() -> tuple[BrokerUser, ...]:
    """One writer and two readers of one stream (channels.md 7)."""
    rights = {"writer": writer_rights(SID), "reader": reader_rights(SID, GRANT), "other": reader_rights(SID, GRANT2)}
    return tuple(BrokerUser(name, hash_for_mosquitto(PASSWORDS[name]), *rights[name]) for name in rights)


class Broker(Protocol):
    """What a test does with a broker. `tells`: it answers a forbidden subscription with a refusal."""

    tells: bool

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def transport(self, name: str) -> Transport: ...


class HubHarness:
    """The hub of one process."""

    tells = True

    def __init__(self) -> None:
        self._users = {user.name: user for user in users()}
        self._hub = Hub(self._allows)

    def _allows(self, client_id: str, action: str, topic: Topic) -> bool:
        user = self._users[client_id]
        patterns = user.publish if action == "publish" else user.subscribe
        return any(covers(pattern, topic.name) for pattern in patterns)

    async def start(self) -> None:
        self._hub.start()

    async def stop(self) -> None:
        self._hub.stop()

    def transport(self, name: str) -> Transport:
        return InProcessTransport(self._hub, name)


def _mqtt(port: int, name: str) -> Transport:
    return MqttTransport(
        MqttSettings("127.0.0.1", port, name, name, PASSWORDS[name], timeout=60.0, backoff_first=0.05, backoff_most=0.5)
    )


class EmbeddedHarness:
    """The broker inside a node, with a state file."""

    tells = True

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        settings = BrokerSettings(port=self.port, users=users(), state_file=folder / "broker.db")
        self.broker = EmbeddedBroker(settings)

    async def start(self) -> None:
        await self.broker.start()

    async def stop(self) -> None:
        await self.broker.stop()

    def transport(self, name: str) -> Transport:
        return _mqtt(self.port, name)


class RelayHarness:
    """The relay that speaks HTTP, with a real listener and its log in a file."""

    tells = True

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.relay = Relay(RelayLog(folder / "relay.db"), users(), SystemClock())
        self._folder = folder
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        if self._runner is None:
            self.relay = Relay(RelayLog(self._folder / "relay.db"), users(), SystemClock())
            self._runner = web.AppRunner(self.relay.application(), access_log=None, shutdown_timeout=2)
            await self._runner.setup()
            await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def transport(self, name: str) -> Transport:
        url = f"http://127.0.0.1:{self.port}"
        settings = HttpSettings(url, name, name, PASSWORDS[name], timeout=60.0, backoff_first=0.05, backoff_most=0.5)
        return HttpTransport(settings)


class MosquittoHarness:
    """A Mosquitto process with the files that we generate. It takes every subscription and delivers what is allowed."""

    tells = False

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.fail("mosquitto is not installed; install it with: apt-get install -y mosquitto")
        self._program = program
        self.port = free_port()
        self.folder = folder
        self._config = self.write(users())
        self._process: asyncio.subprocess.Process | None = None

    def write(self, table: tuple[BrokerUser, ...]) -> Path:
        """Write the files for these users."""
        return self.adopt(mosquitto_files(table, self.folder, port=self.port))

    def adopt(self, files: MosquittoFiles) -> Path:
        """Run with these files from the next start on."""
        path = files.write(self.folder)
        if os.geteuid() == 0:
            # As root it would give up its rights and could not read files that are for root alone.
            with path.open("a") as config:
                config.write("user root\n")
        return path

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The running process."""
        assert self._process is not None
        return self._process

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            self._program, "-c", str(self._config), stderr=asyncio.subprocess.DEVNULL
        )

        async def listens() -> bool:
            assert self.process.returncode is None, "mosquitto ended"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionError:
                return False
            writer.close()
            return True

        await until("mosquitto opens its port", listens, every=0.05)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()
        self._process = None

    def transport(self, name: str) -> Transport:
        return _mqtt(self.port, name)
