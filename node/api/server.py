"""Serves the application and cuts the clients that would hold it: silent, slow, too many.

aiohttp's own defaults keep an idle connection for an hour, wait for a slow body for ever and count nobody. Here a
connection that has not sent a whole header within `idle_timeout_s` is cut, bodies have their deadline in `limits`,
answers that are not taken are given up by the kernel, and connections are counted per address and in all.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections import Counter
from typing import Any, Final
from weakref import WeakSet

from aiohttp import web
from aiohttp.web import RequestHandler

from node.api.lane import PARCELS, ParcelLane
from node.api.limits import peer_key
from node.config import ApiSettings, Listen
from node.errors import Busy, ConfigError
from node.observability import Metrics, get_logger

__all__ = ["ApiServer"]

_LOG: Final = get_logger("node.api")
_LINGER_S: Final = 1.0
_SHUTDOWN_S: Final = 5.0
_MAX_LINE: Final = 8_190
_MAX_HEADERS: Final = 64


class ApiServer:
    """One listener. `start` returns once the port is open; `close` waits a little for running calls."""

    def __init__(self, app: web.Application, settings: ApiSettings, metrics: Metrics | None = None) -> None:
        self._settings = settings
        self._metrics = metrics or Metrics()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._server: asyncio.Server | None = None
        self._open: Counter[str] = Counter()
        self._door = app.get(PARCELS)
        self._lanes: WeakSet[ParcelLane] = WeakSet()

    @property
    def listen(self) -> Listen:
        """Where it listens; the real port if 0 was asked for."""
        if self._server is None:
            raise Busy("The server is not started.")
        return Listen(self._settings.listen.host, self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """Base URL for clients on this machine."""
        host, port = self.listen
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"{'https' if self._settings.tls_cert else 'http'}://{Listen(host, port)}"

    async def start(self) -> None:
        """Raises ConfigError for unusable TLS files, Busy if the port is taken."""
        context = self._tls()
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        tls: dict[str, Any] = {"ssl": context}
        if context is not None:
            tls["ssl_handshake_timeout"] = self._settings.idle_timeout_s
        host, port = self._settings.listen
        try:
            self._server = await loop.create_server(self._protocol, host, port, backlog=256, **tls)
        except OSError as error:
            await self._runner.cleanup()
            raise Busy(
                f"The interface cannot listen on {self._settings.listen} ({error.strerror}).",
                remedy="Stop the program that uses the port, or set [api] listen.",
            ) from None

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await asyncio.gather(self._runner.cleanup(), *(lane.stop(_SHUTDOWN_S) for lane in self._lanes))
        self._server = None

    def admit(self, transport: asyncio.BaseTransport) -> str | None:
        """The peer of a new connection, now counted; None where a cap is reached, and then it is cut."""
        address = transport.get_extra_info("peername")
        peer = peer_key(address[0] if isinstance(address, tuple) else None)
        full = self._open.total() >= self._settings.max_connections
        if full or self._open[peer] >= self._settings.max_connections_per_address:
            self._metrics.connection_refused()
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
            return None
        self._open[peer] += 1
        self._metrics.api_connections.set(self._open.total())
        _give_up_on_readers_that_stop(transport, self._settings.idle_timeout_s)
        return peer

    def release(self, peer: str) -> None:
        """One connection of the peer less."""
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]
        self._metrics.api_connections.set(self._open.total())

    def beyond(self, peer: str, until: float) -> asyncio.Protocol:
        """The HTTP server's end of a connection that was counted. By then (loop time) it must have had a whole head."""
        connection = _Connection(self, self._runner.server, self._settings.idle_timeout_s, peer)
        asyncio.get_running_loop().call_at(until, connection.cut_if_silent)
        return connection

    def failed(self, error: BaseException) -> None:
        """Tells of a defect of ours."""
        _LOG.error("unexpected error", exc_info=error)

    def _protocol(self) -> asyncio.Protocol:
        if self._door is None:
            return _Connection(self, self._runner.server, self._settings.idle_timeout_s)
        lane = ParcelLane(self, self._door, self._settings.idle_timeout_s)
        self._lanes.add(lane)
        return lane

    def _tls(self) -> ssl.SSLContext | None:
        if self._settings.tls_cert is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._settings.tls_cert, self._settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"The TLS certificate or key cannot be used ({error.strerror or error.args[-1]}).",
                remedy="Check [api] tls_cert and tls_key.",
            ) from None
        return context


class _Connection(RequestHandler):
    """aiohttp's connection, counted, with our limits and our shape of error."""

    def __init__(self, owner: ApiServer, manager: Any, idle_s: float, peer: str | None = None) -> None:
        super().__init__(
            manager,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=idle_s,
            lingering_time=_LINGER_S,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_LINE,
            max_headers=_MAX_HEADERS,
            auto_decompress=False,
        )
        self._owner = owner
        self._peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._peer = self._peer or self._owner.admit(transport)
        if self._peer is not None:
            super().connection_made(transport)

    def cut_if_silent(self) -> None:
        """Ends it if no whole head has come yet."""
        if self._peer is not None and not self._request_count:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._peer is None:
            return
        self._owner.release(self._peer)
        self._peer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            super().data_received(data)

    def eof_received(self) -> None:
        if self._peer is not None:
            super().eof_received()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Requests that are not HTTP, and defects of ours. Neither tells the peer what happened inside."""
        if status >= 500:
            _LOG.error("unexpected error", exc_info=exc)
        else:
            _LOG.debug("not a valid request", reason=message)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun; nothing else can be sent")
        title = "Internal Server Error" if status >= 500 else "Bad Request"
        code = "failed" if status >= 500 else "usage"
        problem = {
            "type": f"urn:wattpact:problem:{code}",
            "title": title,
            "status": status,
            "detail": "The node met an unexpected error." if status >= 500 else "This is not a valid HTTP request.",
            "code": code,
            "remedy": "Look at the node's log." if status >= 500 else "Send HTTP/1.1.",
            "errors": [],
        }
        body = json.dumps(problem).encode()
        response = web.Response(status=status, body=body, content_type="application/problem+json")
        response.force_close()
        return response


def _give_up_on_readers_that_stop(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Data that stays unacknowledged, or a window that stays shut, ends the connection (RFC 5482, Linux)."""
    sock = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if sock is not None and option is not None:
        sock.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1_000))
