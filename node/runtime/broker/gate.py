"""The door of the broker: counts connections, reads the first packet, knows who is asking, then hands over.

Nothing of the broker library is touched before the password was right. In amqtt 0.12 a CONNECT that names somebody
else's client id changes that live session (its user name, for one) before the password is looked at, which would give
any user the rights of any other.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from amqtt.adapters import StreamWriterAdapter

from node.runtime.broker.connect import BAD_IDENTIFIER, NOT_AUTHORIZED, BadConnect, Connect, parse_connect, refusal
from node.runtime.broker.engine import LISTENER, Engine
from node.runtime.broker.passwords import hash_password, matches_hash
from node.runtime.broker.settings import BrokerLimits, BrokerUser
from node.runtime.broker.users import UserTable
from node.runtime.broker.wire import FrameReader, read_connect_frame

__all__ = ["Gate"]

_log = structlog.get_logger(__name__)
_MINUTE = 60.0
_LINGER = 1.0
_TAKE_OVER = 5.0
_HASHES_AT_ONCE = 2
_MOST_FAILURES_KEPT = 10_000


class _Writer(StreamWriterAdapter):  # type: ignore[misc]
    """Closes without waiting for a peer that does not read."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer)
        self._stream = writer
        self.is_closed: bool = False

    async def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._stream.close()


@dataclass(slots=True, eq=False)
class _Connection:
    writer: asyncio.StreamWriter
    address: str
    username: str = ""
    client_id: str = ""
    task: asyncio.Task[None] | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        # CPython 3.11.2 forgets what is behind a TLS transport once it was closed twice, and cannot abort it then.
        with suppress(AttributeError):
            self.writer.transport.abort()


class Gate:
    """Lets clients in. `refused` counts why others stayed outside, for metrics."""

    def __init__(self, users: UserTable, limits: BrokerLimits, engine: Engine) -> None:
        self._users = users
        self._limits = limits
        self._engine = engine
        self._connections: set[_Connection] = set()
        self._by_client: dict[str, _Connection] = {}
        self._per_address: Counter[str] = Counter()
        self._failures: dict[tuple[str, str], deque[float]] = {}
        self._hashing = asyncio.Semaphore(_HASHES_AT_ONCE)
        self._nobody = hash_password("nobody")
        self.refused: Counter[str] = Counter()

    @property
    def connections(self) -> int:
        """Open connections, those before their CONNECT included."""
        return len(self._connections)

    def accept(
        self, tls: ssl.SSLContext | None
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
        """The callback for asyncio.start_server."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")
            connection = _Connection(writer, str(peer[0]) if peer else "", task=asyncio.current_task())
            if not self._take(connection):
                connection.cut()
                return
            try:
                await self._serve(connection, reader, tls)
            except (OSError, asyncio.IncompleteReadError, TimeoutError, ssl.SSLError) as error:
                self._refuse(connection, type(error).__name__)
            finally:
                await self._release(connection)

        return connected

    def _take(self, connection: _Connection) -> bool:
        if len(self._connections) >= self._limits.connections:
            self._refuse(connection, "too many connections")
            return False
        if self._per_address[connection.address] >= self._limits.connections_per_address:
            self._refuse(connection, "too many connections of one address")
            return False
        self._connections.add(connection)
        self._per_address[connection.address] += 1
        return True

    async def _release(self, connection: _Connection) -> None:
        connection.writer.close()
        with suppress(OSError, TimeoutError, ssl.SSLError):
            async with asyncio.timeout(_LINGER):
                await connection.writer.wait_closed()
        connection.cut()
        self._connections.discard(connection)
        self._per_address[connection.address] -= 1
        if self._per_address[connection.address] <= 0:
            del self._per_address[connection.address]
        if self._by_client.get(connection.client_id) is connection:
            del self._by_client[connection.client_id]
        connection.finished.set()

    def _refuse(self, connection: _Connection, reason: str) -> None:
        self.refused[reason] += 1
        _log.info("broker connection refused", reason=reason, address=connection.address)

    async def _serve(self, connection: _Connection, reader: asyncio.StreamReader, tls: ssl.SSLContext | None) -> None:
        async with asyncio.timeout(self._limits.connect_seconds):
            if tls is not None:
                await connection.writer.start_tls(tls)
            frame = await read_connect_frame(
                reader, self._limits.connect_bytes, lambda reason: self._refuse(connection, reason)
            )
        if frame is None:
            return
        asked = parse_connect(frame[1])
        code = await self._check(connection, asked)
        if isinstance(asked, BadConnect) or code:
            if code:
                connection.writer.write(refusal(code))
                await connection.writer.drain()
            return
        await self._take_over(connection, asked)
        idle = asked.keepalive * 1.5 if asked.keepalive else self._limits.idle_seconds
        frames = FrameReader(reader, frame[0] + frame[1], self._limits.packet_bytes, self._limits.packet_seconds, idle)
        await self._engine.external_connected(frames, _Writer(connection.writer), LISTENER)

    async def _check(self, connection: _Connection, asked: Connect | BadConnect) -> int:
        """0 when the client may come in, else the CONNACK code (0 as well for a packet that deserves no answer)."""
        if isinstance(asked, BadConnect):
            self._refuse(connection, asked.reason)
            return asked.code
        user = self._users.get(asked.username)
        if self._too_often(connection.address, asked.username):
            self._refuse(connection, "too many wrong passwords")
            return NOT_AUTHORIZED
        if not await self._password_is_right(user, asked.password):
            self._note_failure(connection.address, asked.username)
            self._refuse(connection, "unknown user or wrong password")
            return NOT_AUTHORIZED
        # Asked again: the table may have changed while the hash was computed.
        user = self._users.get(asked.username) if user == self._users.get(asked.username) else None
        if user is None:
            return NOT_AUTHORIZED
        if not user.owns(asked.client_id):
            self._refuse(connection, "a client id that belongs to another user")
            return BAD_IDENTIFIER
        return 0

    async def _password_is_right(self, user: BrokerUser | None, password: str) -> bool:
        # An unknown name costs as much time as a wrong password, and few are computed at once.
        async with self._hashing:
            hashed = user.password_hash if user is not None else self._nobody
            right = await asyncio.to_thread(matches_hash, hashed, password)
        return right and user is not None

    def _too_often(self, address: str, username: str) -> bool:
        times = self._failures.get((address, username))
        if times is None:
            return False
        now = asyncio.get_running_loop().time()
        while times and now - times[0] > _MINUTE:
            times.popleft()
        return len(times) >= self._limits.failed_logins_per_minute

    def _note_failure(self, address: str, username: str) -> None:
        if len(self._failures) >= _MOST_FAILURES_KEPT:
            self._failures.clear()
        times = self._failures.setdefault((address, username), deque(maxlen=self._limits.failed_logins_per_minute))
        times.append(asyncio.get_running_loop().time())

    async def _take_over(self, connection: _Connection, asked: Connect) -> None:
        """End the older connection of the same client before the new one begins (MQTT 3.1.1, 3.1.4-2)."""
        connection.username, connection.client_id = asked.username, asked.client_id
        while (older := self._by_client.get(asked.client_id)) is not None:
            older.cut()
            async with asyncio.timeout(_TAKE_OVER):
                await older.finished.wait()
        self._by_client[asked.client_id] = connection

    async def end_users(self, names: set[str]) -> None:
        """Cut the connections of these users and wait until they are gone."""
        await self._end([connection for connection in self._connections if connection.username in names])

    async def end_all(self) -> None:
        """Cut every connection."""
        await self._end(list(self._connections))

    async def _end(self, connections: list[_Connection]) -> None:
        for connection in connections:
            connection.cut()
        waits = [asyncio.ensure_future(connection.finished.wait()) for connection in connections]
        if waits:
            _, late = await asyncio.wait(waits, timeout=_TAKE_OVER)
            for connection in connections:
                if late and not connection.finished.is_set() and connection.task is not None:
                    connection.task.cancel()
            for wait in late:
                wait.cancel()
