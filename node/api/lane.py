"""The short way of a sealed parcel through HTTP: nearly all that a busy market hears is this one kind of request.

A connection begins here, and stays as long as each request on it is a POST to the inbox with a plain head: known
headers, each once, one length. Whatever is anything else, or comes too slowly, or too often, goes to the HTTP server
with the connection and all its bytes, for good. What is answered here is answered as it would be there, with the same
limits, headers and problems; only the server's own work for each request is left out.
"""

from __future__ import annotations

import asyncio
import re
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Protocol

from aiohttp import web

from node.api.facade import NodeFacade
from node.api.limits import RateLimiter
from node.api.problems import PROBLEM_TYPE, problem_headers, problem_of
from node.clock import Clock
from node.errors import NodeError, TooManyRequests
from node.observability import Metrics, request_scope

__all__ = ["PARCELS", "SAFE_HEADERS", "Owner", "ParcelDoor", "ParcelLane", "plain_length"]

SAFE_HEADERS: Final = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Server": "wattpact",
    }
)
"""On every answer."""

_LINE: Final = b"POST /api/v1/inbox HTTP/1.1"
_END: Final = b"\r\n\r\n"
_MAX_HEAD: Final = 1_024
_BODY_S: Final = 1.0
"""For the rest of a parcel, which comes with its head or soon after; the HTTP server is patient with slow ones."""
_AGAIN_S: Final = 1.0
_PLAIN: Final = re.compile(rb"[\x20-\x7e]*(?:\r\n[\x20-\x7e]+)*\Z")
_KNOWN: Final = frozenset(
    {b"host", b"content-type", b"content-length", b"accept", b"accept-encoding", b"user-agent", b"connection"}
)


@lru_cache(maxsize=256)  # one sender's heads differ in nothing but the length, if at all
def plain_length(head: bytes) -> int | None:
    """How long the parcel behind a head is (without its empty line); None for any head that asks for something else."""
    if len(head) > _MAX_HEAD or not _PLAIN.match(head):
        return None
    line, *rest = head.split(b"\r\n")
    found: dict[bytes, bytes] = {}
    for each in rest:
        name, colon, value = each.partition(b":")
        if not colon or name.lower() not in _KNOWN or name.lower() in found:
            return None
        found[name.lower()] = value.strip(b" ")
    length = found.get(b"content-length", b"")
    plain = (
        line == _LINE
        and found.get(b"host")
        and found.get(b"content-type") == b"application/octet-stream"
        and found.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        and length.isdigit()
        and len(length) <= 7
    )
    return int(length) if plain else None


class ParcelDoor:
    """Takes a parcel to the inbox and writes the answer. `calls` counts those without a token, on either way."""

    def __init__(self, facade: NodeFacade, calls: RateLimiter, clock: Clock, metrics: Metrics, max_bytes: int) -> None:
        self._facade = facade
        self._calls = calls
        self._clock = clock
        self._metrics = metrics
        self.max_bytes = max_bytes

    def admit(self, peer: str) -> bool:
        """Counts one call, before its body is read; False where the peer had too many."""
        try:
            self._calls.spend(peer)
        except TooManyRequests:
            return False
        return True

    def refund(self, peer: str) -> None:
        """A call that is counted once more elsewhere."""
        self._calls.refund(peer)

    async def answer(self, parcel: bytes, peer: str) -> bytes:
        """Once the parcel's content is on disk, or was refused."""
        began, status = self._clock.monotonic(), int(HTTPStatus.ACCEPTED)
        with request_scope() as request_id:
            try:
                await self._facade.inbox(parcel, peer)
                answer = _ACCEPTED % (_date(self._clock.now()), request_id.encode())
            except NodeError as error:
                status = error.status
                answer = self._problem(error, request_id)
        self._metrics.request("POST", status, self._clock.monotonic() - began)
        return answer

    def _problem(self, error: NodeError, request_id: str) -> bytes:
        body = problem_of(error, request_id).model_dump_json().encode()
        more = {**problem_headers(error), "X-Request-Id": request_id}
        return _head(error.status, PROBLEM_TYPE, len(body), more) % _date(self._clock.now()) + body


def _head(status: int, content_type: str, length: int, more: dict[str, str]) -> bytes:
    """With a place for the date."""
    kind = {"Content-Type": content_type} if content_type else {}
    lines = {**kind, "Content-Length": str(length), **SAFE_HEADERS, **more}
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).replace("%", "%%")
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: %b\r\n{text}\r\n".encode()


_ACCEPTED: Final = _head(202, "", 0, {"X-Request-Id": "?"}).replace(b"Id: ?", b"Id: %b")
_FAILED: Final = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@lru_cache(maxsize=2)
def _date(now: int) -> bytes:
    return formatdate(now, usegmt=True).encode()


PARCELS: Final = web.AppKey("parcels", ParcelDoor)
"""What a listener needs of an application to take in parcels this way."""


class Owner(Protocol):
    """Whoever counts connections."""

    def admit(self, transport: asyncio.BaseTransport) -> str | None:
        """The peer of a new connection, now counted; None where it is one too many, and was cut."""
        ...

    def release(self, peer: str) -> None:
        """One connection of the peer less."""
        ...

    def beyond(self, peer: str, until: float) -> asyncio.Protocol:
        """The HTTP server's end of a connection that was counted. By then (loop time) it must have had a whole head."""
        ...

    def failed(self, error: BaseException) -> None:
        """Tells of a defect of ours."""
        ...


class ParcelLane(asyncio.Protocol):
    """One connection, one request at a time; what comes meanwhile waits."""

    def __init__(self, owner: Owner, door: ParcelDoor, idle_s: float) -> None:
        self._owner = owner
        self._door = door
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._peer: str | None = None
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._parcel: tuple[int, int] | None = None  # where it begins and ends, once its head was read
        self._running: asyncio.Task[bytes] | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = self._full = False

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._peer = self._owner.admit(transport)
        if self._peer is not None and isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._wait(self._idle_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def pause_writing(self) -> None:
        """The peer takes no answers: nothing more is read from it, and the kernel gives it up in time."""
        if self._transport is not None:
            self._full = True
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._full = False
            self._transport.resume_reading()

    async def stop(self, patience: float) -> None:
        """Closes once the running request was answered, or its time is over."""
        self._stopping = True
        if self._running is not None:
            await asyncio.wait([self._running], timeout=patience)
        self._close()

    # Requests

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        if self._running is None:
            self._go_on()
        elif self._transport is not None:
            self._transport.pause_reading()  # resumed with the answer

    def _go_on(self) -> None:
        """Looks at what came: a whole request, part of one, or something else."""
        if self._parcel is None and not self._read_head():
            return
        assert self._parcel is not None  # noqa: S101 (its head was read)
        begin, end = self._parcel
        if len(self._data) < end:
            return
        parcel, self._data, self._parcel = self._data[begin:end], self._data[end:], None
        self._running = self._loop.create_task(self._door.answer(parcel, self._peer or ""))
        self._running.add_done_callback(self._answered)

    def _read_head(self) -> bool:
        """Whether a plain head is there. One that may become plain is waited for."""
        end = self._data.find(_END, 0, _MAX_HEAD + len(_END))
        if end < 0:
            if len(self._data) > _MAX_HEAD or self._data[: len(_LINE)] != _LINE[: len(self._data)]:
                self._hand_over()
            return False
        length = plain_length(self._data[:end])
        if length is None or length > self._door.max_bytes:
            self._hand_over()
            return False
        if not self._door.admit(self._peer or ""):
            self._hand_over()
            return False
        begin = end + len(_END)
        self._parcel = begin, begin + length
        if len(self._data) < begin + length:
            self._wait(_BODY_S)
        return True

    def _answered(self, running: asyncio.Task[bytes]) -> None:
        self._running = None
        if running.cancelled():
            self._close()
            return
        error = running.exception()
        if error is not None:
            self._owner.failed(error)
            self._close(_FAILED)
            return
        if self._transport is None or self._stopping:
            self._close(running.result())
            return
        self._transport.write(running.result())
        self._until = self._loop.time() + self._idle_s
        if not self._full:
            self._transport.resume_reading()
        if self._data:
            self._go_on()

    # Time

    def _wait(self, seconds: float) -> None:
        self._until = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._until:
            self._look_at(self._until)

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """Cuts a silent peer. Where there was something meanwhile it looks again later, so that no request has to set
        a clock."""
        now = self._loop.time()
        if self._running is not None or now < self._until:
            self._look_at(max(self._until, now + _AGAIN_S))
        elif self._parcel is not None:
            self._door.refund(self._peer or "")
            self._hand_over()
        else:
            self._close()

    # The end

    def _hand_over(self) -> None:
        """To the HTTP server, with all that was not looked at."""
        transport, data, peer, self._peer = self._transport, self._data, self._peer, None
        self._leave()
        if transport is not None and peer is not None:
            beyond = self._owner.beyond(peer, self._until)
            transport.set_protocol(beyond)
            beyond.connection_made(transport)
            beyond.data_received(data)

    def _close(self, answer: bytes = b"") -> None:
        if self._transport is not None:
            self._transport.write(answer)
            self._transport.close()
        self._leave()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._transport = None
        self._data = b""
        peer, self._peer = self._peer, None
        if peer is not None:
            self._owner.release(peer)
