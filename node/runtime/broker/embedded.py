"""The broker inside a node.

broker = EmbeddedBroker(BrokerSettings(port=0, users=(user,)))
await broker.start()
... broker.port ...
await broker.set_users(others)
await broker.stop()
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import structlog

from node.runtime.broker.engine import Engine
from node.runtime.broker.errors import BrokerNotStarted
from node.runtime.broker.gate import Gate
from node.runtime.broker.settings import BrokerSettings, BrokerUser
from node.runtime.broker.state import StateFile
from node.runtime.broker.users import UserTable

__all__ = ["EmbeddedBroker"]

_log = structlog.get_logger(__name__)


class EmbeddedBroker:
    """A broker for one household or a small community; a market uses Mosquitto or EMQX."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._users = UserTable(settings.users)
        self._state = StateFile(settings.state_file) if settings.state_file is not None else None
        self._engine: Engine | None = None
        self._gate: Gate | None = None
        self._server: asyncio.Server | None = None

    @property
    def running(self) -> bool:
        """Whether clients can connect; for readiness."""
        return self._server is not None and self._server.is_serving()

    @property
    def port(self) -> int:
        """The port that is listened on. Raises BrokerNotStarted before `start`."""
        if self._server is None or not self._server.sockets:
            raise BrokerNotStarted("the broker is not running")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """Open connections."""
        return self._gate.connections if self._gate is not None else 0

    @property
    def refused(self) -> Counter[str]:
        """How many connections were refused, by reason."""
        return Counter(self._gate.refused) if self._gate is not None else Counter()

    async def start(self) -> None:
        """Open the state file, then the port. Raises BrokerNotStarted."""
        engine = Engine(self._users, self._settings.limits, self._keep)
        await engine.start()
        if self._state is not None:
            await self._restore(engine, self._state)
        gate = Gate(self._users, self._settings.limits, engine)
        try:
            self._server = await asyncio.start_server(
                gate.accept(self._settings.tls), self._settings.host, self._settings.port, reuse_address=True
            )
        except OSError as error:
            await engine.shutdown()
            raise BrokerNotStarted(f"the broker cannot listen on port {self._settings.port}: {error}") from error
        self._engine, self._gate = engine, gate
        _log.info("broker started", port=self.port, users=len(self._settings.users))

    async def _restore(self, engine: Engine, state: StateFile) -> None:
        await state.open()
        for topic, payload in await state.retained():
            engine.restore_retained(topic, payload)
        for kept in await state.take_sessions():
            if self._users.get(kept.username) is not None:
                await engine.restore_session(kept)

    async def _keep(self, topic: str, payload: bytes) -> None:
        if self._state is not None:
            await self._state.keep_retained(topic, payload)

    async def stop(self) -> None:
        """Close the port, end every connection, write sessions down. Safe to call twice."""
        if self._server is None or self._engine is None or self._gate is None:
            return
        self._server.close()
        await self._gate.end_all()
        await self._server.wait_closed()
        self._server = None
        if self._state is not None:
            await self._state.keep_sessions(self._engine.kept_sessions())
            await self._state.close()
            self._state = StateFile(self._settings.state_file) if self._settings.state_file is not None else None
        await self._engine.shutdown()
        self._engine = self._gate = None
        _log.info("broker stopped")

    async def set_users(self, users: Iterable[BrokerUser]) -> None:
        """Put other users in the place of the present ones, now.

        Returns when the connections of those who are gone, or have another password, are cut and the sessions of the
        former forgotten; rights that were taken away end subscriptions, and what waited under them is not sent.
        """
        ended = self._users.replace(users)
        if self._engine is None or self._gate is None:
            return
        await self._gate.end_users(ended)
        await self._engine.forget_users({name for name in ended if self._users.get(name) is None})
        self._engine.trim_subscriptions()
