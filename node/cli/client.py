"""Talks to the running node over its REST interface and turns its problems back into errors."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp

from node import errors
from node.config import LocalAccess
from node.errors import ExitCode, NodeError, NodeUnreachable
from node.runtime.outbound import read_at_most

__all__ = ["ApiClient", "RemoteProblem"]

_TIMEOUT: Final = aiohttp.ClientTimeout(total=120, sock_connect=5)
_PREFIX: Final = "/api/v1"
_MAX_ANSWER: Final = 64_000_000
_BY_STATUS: Final = {
    400: ExitCode.USAGE,
    401: ExitCode.REFUSED,
    403: ExitCode.REFUSED,
    404: ExitCode.NOT_FOUND,
    408: ExitCode.NOT_REACHABLE,
    409: ExitCode.BUSY,
    410: ExitCode.NOT_FOUND,
    413: ExitCode.USAGE,
    415: ExitCode.USAGE,
    422: ExitCode.USAGE,
    429: ExitCode.BUSY,
    503: ExitCode.NOT_REACHABLE,
}


class RemoteProblem(NodeError):
    """A problem that the node reported, with the exit code that belongs to its code."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        detail = problem.get("detail")
        message = detail if isinstance(detail, str) else f"The node answered with status {status}."
        remedy = problem.get("remedy")
        field = problem.get("field")
        super().__init__(
            message,
            remedy=remedy if isinstance(remedy, str) else None,
            field=field if isinstance(field, str) else None,
        )
        self.status_code = status
        self.remote_code = str(problem.get("code", ""))
        self.remote_exit = _exit_code(self.remote_code, status)


def _exit_code(code: str, status: int) -> ExitCode:
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, NodeError) and kind.code == code:
            return kind.exit_code
    return _BY_STATUS.get(status, ExitCode.FAILED)


class ApiClient:
    """One command's connection. Paths are relative to /api/v1. Raises RemoteProblem and NodeUnreachable."""

    def __init__(self, access: LocalAccess) -> None:
        self._access = access

    @property
    def url(self) -> str:
        """The node's address, without a slash at its end."""
        return self._access.url.rstrip("/")

    def get(self, path: str, **query: str | int | None) -> dict[str, Any]:
        params = {key.rstrip("_"): str(value) for key, value in query.items() if value is not None}
        return asyncio.run(self._call("GET", path, params, None))

    def items(self, path: str) -> list[dict[str, Any]]:
        """A list that comes page by page, whole."""
        page = self.get(path)
        found: list[dict[str, Any]] = page["items"]
        while page["next"]:
            page = self.get(path, before=page["next"])
            found += page["items"]
        return found

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Sent with an idempotency key, so that a broken connection can be tried again without acting twice."""
        return asyncio.run(self._call("POST", path, {}, body))

    def delete(self, path: str) -> dict[str, Any]:
        return asyncio.run(self._call("DELETE", path, {}, None))

    async def _call(
        self, method: str, path: str, params: Mapping[str, str], body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._access.token}"} if self._access.token else {}
        if method == "POST":
            headers["Idempotency-Key"] = secrets.token_hex(16)
        arguments: dict[str, Any] = {"headers": headers, "params": params, "ssl": self._tls(), "allow_redirects": False}
        if body is not None:
            arguments["json"] = {key: value for key, value in body.items() if value is not None}
        url = self._access.url.rstrip("/") + _PREFIX + path
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            for last in (False, True):
                try:
                    async with session.request(method, url, **arguments) as response:
                        return await _read(response)
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                    if last or isinstance(error, aiohttp.ClientConnectorError):
                        raise NodeUnreachable(f"The node at {self._access.url} does not answer.") from None
                except (aiohttp.ClientError, TimeoutError):
                    raise NodeUnreachable(f"The node at {self._access.url} does not answer.") from None
        raise NodeUnreachable(f"The node at {self._access.url} does not answer.")

    def download(self, path: str, query: Mapping[str, str], take: Callable[[bytes, Mapping[str, str]], None]) -> None:
        """Hand the answer's pieces to `take` as they come, with the headers. Raises if it breaks off half-way."""
        asyncio.run(self._download(path, query, take))

    async def _download(
        self, path: str, query: Mapping[str, str], take: Callable[[bytes, Mapping[str, str]], None]
    ) -> None:
        headers = {"Authorization": f"Bearer {self._access.token}"}
        url = self._access.url.rstrip("/") + _PREFIX + path
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            try:
                async with session.get(url, params=dict(query), ssl=self._tls(), allow_redirects=False) as response:
                    if response.status != 200:
                        await _read(response)
                        raise RemoteProblem(response.status, {})
                    async for piece in response.content.iter_any():
                        take(piece, response.headers)
            except aiohttp.ClientConnectorError:
                raise NodeUnreachable(f"The node at {self._access.url} does not answer.") from None
            except (aiohttp.ClientError, TimeoutError):
                raise NodeUnreachable(
                    f"The node at {self._access.url} broke off in the middle.",
                    remedy="Look at its log, then try again.",
                ) from None

    def follow(
        self, path: str, query: Mapping[str, str], take: Callable[[dict[str, Any]], dict[str, Any] | None]
    ) -> None:
        """Hand every WebSocket message to `take`, and send back what it returns. Raises when the connection ends."""
        asyncio.run(self._follow(path, query, take))

    async def _follow(
        self, path: str, query: Mapping[str, str], take: Callable[[dict[str, Any]], dict[str, Any] | None]
    ) -> None:
        headers = {"Authorization": f"Bearer {self._access.token}"}
        url = self._access.url.rstrip("/") + _PREFIX + path
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            try:
                async with session.ws_connect(url, params=dict(query), ssl=self._tls()) as socket:
                    async for message in socket:
                        document = json.loads(message.data)
                        if document["type"] == "problem":
                            raise RemoteProblem(document["problem"]["status"], document["problem"])
                        answer = take(document)
                        if answer is not None:
                            await socket.send_json(answer)
            except aiohttp.WSServerHandshakeError as refused:
                # The body of a refused handshake is not handed out; a plain call of the same address tells the reason.
                raise await self._reason(session, url, query, refused.status) from None
            except (aiohttp.ClientError, TimeoutError):
                raise NodeUnreachable(f"The node at {self._access.url} does not answer.") from None
        raise NodeUnreachable(f"The node at {self._access.url} ended the connection.")

    async def _reason(
        self, session: aiohttp.ClientSession, url: str, query: Mapping[str, str], status: int
    ) -> NodeError:
        async with session.get(url, params=dict(query), ssl=self._tls(), allow_redirects=False) as response:
            try:
                await _read(response)
            except RemoteProblem as problem:
                return problem
        return RemoteProblem(status, {})

    def _tls(self) -> ssl.SSLContext | bool:
        if self._access.certificate is None:
            return True
        # The node's own certificate, named by a file that only the owner can write: its name does not matter.
        context = ssl.create_default_context(cafile=str(self._access.certificate))
        context.check_hostname = False
        return context


async def _read(response: aiohttp.ClientResponse) -> dict[str, Any]:
    data = await read_at_most(response, _MAX_ANSWER)
    try:
        document = json.loads(data) if data else {}
    except ValueError:
        document = {}
    if not isinstance(document, dict):
        document = {}
    if response.status >= 300 and not (response.status == 503 and "checks" in document):
        raise RemoteProblem(response.status, document)
    return document
