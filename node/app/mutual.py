"""HTTP between two programs of one operator, each of which shows a certificate of their common authority.

A folder on each machine holds `authority.pem`, a server's certificate (`server.pem`, `server.key`) and a client's
(`client-<name>.pem`, `.key`), as `wattpact broker certs` makes them. The authority may have other clients, so a server
asks for the name as well.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import ValidationError

from node.config import Listen
from node.errors import Busy, NodeError, Refused
from node.runtime.broker.authority import CertificateFiles, client_context, server_context

__all__ = ["Handler", "MutualServer", "Tls"]

MAX_BYTES = 65_536
TIMEOUT_S = 10.0

Handler = Callable[[Any], Awaitable[Mapping[str, Any]]]
"""Takes the JSON of a body (None for a GET), returns that of the answer. NodeError and ValidationError are told."""


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificates of one side: its folder, and the name of its client's certificate."""

    folder: Path
    name: str

    def client(self) -> aiohttp.ClientSession:
        """For calls to the other side. Raises CertificateInvalid."""
        own = CertificateFiles(self.folder / f"client-{self.name}.pem", self.folder / f"client-{self.name}.key")
        context = client_context(self.folder / "authority.pem", own)
        connector = aiohttp.TCPConnector(ssl=context)
        return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))


class MutualServer:
    """One listener for one peer. `routes`: by method and path."""

    def __init__(self, listen: Listen, tls: Tls, peer: str, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._listen = listen
        self._tls = tls
        self._peer = peer
        app = web.Application(client_max_size=MAX_BYTES)
        for (method, path), handler in routes.items():
            app.router.add_route(method, path, self._guarded(handler))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)

    @property
    def port(self) -> int:
        """The real one, if 0 was asked for."""
        return int(self._runner.addresses[0][1])

    async def start(self) -> None:
        """Raises CertificateInvalid, and Busy if the port is taken."""
        files = CertificateFiles(self._tls.folder / "server.pem", self._tls.folder / "server.key")
        context = server_context(files, self._tls.folder / "authority.pem")
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, *self._listen, ssl_context=context).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Busy(f"{self._listen} cannot be listened on ({error.strerror}).", remedy="Free the port.") from None

    async def close(self) -> None:
        await self._runner.cleanup()

    def _guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                if _named(request) != self._peer:
                    raise Refused(f"Only {self._peer} is heard here.", remedy="Show its certificate.")
                body = None if request.method == "GET" else await request.json()
                return web.json_response({"success": True, **await handler(body)})
            except ValidationError as error:
                first = error.errors()[0]
                return _failed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", HTTPStatus.UNPROCESSABLE_ENTITY)
            except ValueError:
                return _failed("The body is no JSON.", HTTPStatus.UNPROCESSABLE_ENTITY)
            except NodeError as error:
                return _failed(error.message, error.status)

        return answer


def _failed(reason: str, status: int) -> web.Response:
    return web.json_response({"success": False, "error": reason}, status=status)


def _named(request: web.Request) -> str:
    """The common name in the certificate that the client showed; TLS has checked that it has the key."""
    shown = request.transport.get_extra_info("peercert") if request.transport is not None else None
    names = [value for part in (shown or {}).get("subject", ()) for key, value in part if key == "commonName"]
    return str(names[0]) if len(names) == 1 else ""
