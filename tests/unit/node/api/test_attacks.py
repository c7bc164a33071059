"""Clients that hold, flood or overfill the interface, over real sockets (operations.md F4; 4, tests 29, 30)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from node.api.limits import RateLimiter, peer_key
from node.api.operations import BinaryBody
from node.clock import ManualClock
from node.errors import Busy, ConfigError, TooManyRequests
from tests.support.processes import PATIENCE
from tests.unit.node.api.serving import Served, served, settings

INBOX = f"POST /api/v1/inbox HTTP/1.1\r\nHost: x\r\nContent-Type: {BinaryBody}\r\n"


@asynccontextmanager
async def raw(api: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*api.server.listen)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until_cut(reader: asyncio.StreamReader) -> bytes:
    """Everything the server sends until it closes; fails if it never does."""
    received = b""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                part = await reader.read(65_536)
            except ConnectionError:
                return received
            if not part:
                return received
            received += part


async def trickle(writer: asyncio.StreamWriter, part: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.1)


async def until_connections(api: Served, count: int) -> None:
    wanted = f"wattpact_api_connections {count}.0\n".encode()
    async with asyncio.timeout(PATIENCE):
        while wanted not in api.metrics.render():  # noqa: ASYNC110 - the metric is what an operator would watch
            await asyncio.sleep(0.02)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("begin", [b"", b"G", b"GET /livez HTTP/1.1\r\nHost: x\r\n"])
async def test_silent_clients_are_cut(begin: bytes) -> None:
    async with served(settings(idle_timeout_s=1)) as api, raw(api) as (reader, writer):
        writer.write(begin)
        await until_cut(reader)


@pytest.mark.parametrize("first", [b"", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_header_that_trickles_is_cut(first: bytes) -> None:
    """As the first request, and as the second on a kept connection."""
    async with served(settings(idle_timeout_s=1)) as api, raw(api) as (reader, writer):
        writer.write(first + b"GET /livez HTTP/1.1\r\nX: ")
        task = asyncio.create_task(trickle(writer, b"a"))
        await until_cut(reader)
        task.cancel()


async def test_a_body_that_trickles_is_cut() -> None:
    async with served(settings(body_timeout_s=1)) as api, raw(api) as (reader, writer):
        writer.write(INBOX.encode() + b"Content-Length: 1000\r\n\r\n")
        task = asyncio.create_task(trickle(writer, b"a"))
        answer = await until_cut(reader)
        task.cancel()
        assert status_of(answer) == 408
        assert not api.node.parcels


async def test_others_are_served_while_slow_clients_hang() -> None:
    limits = settings(idle_timeout_s=30, max_connections_per_address=200)
    async with served(limits) as api, contextlib.AsyncExitStack() as stack:
        for _ in range(100):
            _, writer = await stack.enter_async_context(raw(api))
            writer.write(b"GET /livez HTTP/1.1\r\nX: ")
        assert (await api.call("GET", "/livez", token=None))[0] == 200


async def test_a_declared_oversize_is_refused_before_it_is_sent() -> None:
    async with served() as api, raw(api) as (reader, writer):
        writer.write(INBOX.encode() + b"Content-Length: 1073741824\r\n\r\n")
        answer = await until_cut(reader)
        assert status_of(answer) == 413
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["code"] == "too_large"


async def test_an_undeclared_oversize_is_cut_as_it_grows() -> None:
    async with served(settings(max_parcel_bytes=4_096)) as api, raw(api) as (reader, writer):
        writer.write(INBOX.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        task = asyncio.create_task(trickle(writer, b"1000\r\n" + b"x" * 4_096 + b"\r\n"))
        answer = await until_cut(reader)
        task.cancel()
        assert status_of(answer) == 413
        assert not api.node.parcels


async def test_a_compressed_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\x00" * 50_000_000)
    async with served() as api:
        for encoding in ("gzip", "deflate", "br"):
            headers = {"Content-Type": BinaryBody, "Content-Encoding": encoding}
            status, problem, _ = await api.call("POST", "/api/v1/inbox", token=None, data=bomb, headers=headers)
            assert (status, problem["code"]) == (415, "unsupported_media")
        assert not api.node.parcels


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /livez HTTP/1.1\r\nX: " + b"a" * 10_000_000,
        b"GET /livez HTTP/1.1\r\n" + b"".join(b"X%d: a\r\n" % n for n in range(5_000)),
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 50 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["huge header", "many headers", "huge path", "tls on plain port", "two lengths", "negative length"],
)
async def test_requests_that_are_not_http(request_bytes: bytes) -> None:
    async with served(settings(idle_timeout_s=2)) as api:
        async with raw(api) as (reader, writer):
            sending = asyncio.create_task(_send(writer, request_bytes))
            answer = await until_cut(reader)
            sending.cancel()
        if answer:
            assert status_of(answer) == 400
            assert b"application/problem+json" in answer
        assert (await api.call("GET", "/livez", token=None))[0] == 200


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()


async def test_connections_of_one_address_are_capped_and_counted_down() -> None:
    async with served(settings(max_connections_per_address=4)) as api:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(4):
                await stack.enter_async_context(raw(api))
            fifth, _ = await stack.enter_async_context(raw(api))
            assert await until_cut(fifth) == b""
            assert b"wattpact_api_connections_refused_total 1.0" in api.metrics.render()
        await until_connections(api, 0)
        assert (await api.call("GET", "/livez", token=None))[0] == 200


async def test_connections_are_capped_in_all() -> None:
    limits = settings(max_connections=8, max_connections_per_address=100)
    async with served(limits) as api, contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(raw(api))
        ninth, _ = await stack.enter_async_context(raw(api))
        assert await until_cut(ninth) == b""


async def test_an_answer_that_nobody_takes_is_given_up() -> None:
    """A peer that asks for much and never reads holds a connection, not the node for ever."""
    async with served(settings(idle_timeout_s=1)) as api:
        host, port = api.server.listen
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            lazy.setblocking(False)
            await asyncio.get_running_loop().sock_connect(lazy, (host, port))
            asking = b"GET /api/v1/redoc.standalone.js HTTP/1.1\r\nHost: x\r\n\r\n" * 20
            await asyncio.get_running_loop().sock_sendall(lazy, asking)
            await until_connections(api, 1)
            await until_connections(api, 0)


async def test_calls_without_a_token_are_limited_before_anything_is_read() -> None:
    """architecture.md, access: size- and rate-limited before any cryptography is done."""
    async with served(settings(open_calls_per_minute=3)) as api:
        headers = {"Content-Type": BinaryBody}
        for _ in range(3):
            assert (await api.call("POST", "/api/v1/inbox", token=None, data=b"p", headers=headers))[0] == 202
        async with raw(api) as (reader, writer):
            writer.write(INBOX.encode() + b"Content-Length: 1000\r\n\r\n")  # the body never comes
            answer = await until_cut(reader)
        assert status_of(answer) == 429
        status, problem, got = await api.call("POST", "/pairing/v1/start", token=None, data=b"p", headers=headers)
        assert (status, problem["code"]) == (429, "too_many_requests")
        assert int(got["Retry-After"]) >= 1
        assert len(api.node.parcels) == 3
        assert not api.node.steps
        assert (await api.call("GET", "/api/v1/status"))[0] == 200, "a token holder is not kept out by it"
        api.clock.advance(60)
        assert (await api.call("POST", "/api/v1/inbox", token=None, data=b"p", headers=headers))[0] == 202


async def test_guessing_tokens_is_slowed_and_never_locks_the_owner_out() -> None:
    async with served() as api:
        answers = [(await api.call("GET", "/api/v1/status", token="guess"))[0] for _ in range(80)]
        assert answers.count(401) == 60
        assert answers[-1] == 429
        assert (await api.call("GET", "/api/v1/status"))[0] == 200


async def test_a_big_body_without_a_token_is_not_read() -> None:
    async with served() as api, raw(api) as (reader, writer):
        writer.write(b"POST /api/v1/requests HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n")
        assert status_of(await until_cut(reader)) == 401


def test_one_customer_is_one_peer() -> None:
    assert peer_key("2001:db8:1:2:3::4") == peer_key("2001:db8:1:2:ffff::1")
    assert peer_key("2001:db8:1:2::1") != peer_key("2001:db8:1:3::1")
    assert peer_key("::ffff:10.0.0.1") == peer_key("10.0.0.1") != peer_key("10.0.0.2")
    assert peer_key("fe80::1%eth0") == peer_key("fe80::2%eth1")
    assert peer_key(None) == "unknown"


def test_the_table_of_peers_does_not_grow_without_end() -> None:
    limiter = RateLimiter(2, ManualClock())
    for number in range(25_000):
        limiter.spend(f"peer {number}")
    assert len(limiter) <= 10_000
    limiter.spend("peer 24999")
    with pytest.raises(TooManyRequests):
        limiter.spend("peer 24999")


async def test_a_taken_port_and_bad_tls_files_are_said_in_words(tmp_path: Any) -> None:
    async with served() as api:
        taken = str(api.server.listen)
        with pytest.raises(Busy, match="cannot listen"):
            async with served(settings(listen=taken)):
                pass
    with pytest.raises(ConfigError, match="certificate or key"):
        async with served(settings(tls_cert=str(tmp_path / "no.pem"), tls_key=str(tmp_path / "no.key"))):
            pass
