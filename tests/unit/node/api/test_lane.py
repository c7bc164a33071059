"""The short way of a parcel answers what the long way answers, and takes nothing that the long way would not."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from node.api.lane import plain_length
from node.api.operations import BinaryBody
from node.errors import Refused
from node.runtime.broker.authority import client_context, issue_server, make_authority
from tests.support.processes import PATIENCE
from tests.unit.node.api.memory_node import MemoryNode
from tests.unit.node.api.serving import Served, served, settings
from tests.unit.runtime.broker.test_tls import NOW as SINCE

LINE = b"POST /api/v1/inbox HTTP/1.1"
PLAIN = (b"Host: x", b"Content-Type: application/octet-stream")
ODD = (
    b"Transfer-Encoding: chunked",
    b"Content-Encoding: identity",
    b"Expect: 100-continue",
    b"X-Forwarded-For: 127.0.0.1",
    b"Idempotency-Key: a",
    b"Connection: close",
    b"Connection: upgrade",
    b"Content-Length: 3",
    b"Content-Length : 3",
    b"content-length: 3",
    b"Host: y",
    b" folded",
    b"Accept: a\nContent-Length: 9",
    b"Accept: a\rContent-Length: 9",
    b"Accept: \xff",
    b"Accept: \x00",
    b"Accept",
)


def head(*lines: bytes, line: bytes = LINE) -> bytes:
    return b"\r\n".join((line, *lines))


def request(body: bytes, *more: bytes) -> bytes:
    return head(*PLAIN, *more, b"Content-Length: %d" % len(body)) + b"\r\n\r\n" + body


@asynccontextmanager
async def raw(
    api: Served, trust: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*api.server.listen, ssl=trust)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    async with asyncio.timeout(PATIENCE):
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), headers, await reader.readexactly(int(headers["Content-Length"]))


def comparable(found: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    """Without what differs from request to request."""
    status, headers, body = found
    assert re.fullmatch("[0-9a-f]{16}", headers["X-Request-Id"])
    body = body.replace(headers["X-Request-Id"].encode(), b"")
    assert re.fullmatch("[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT", headers["Date"])
    return status, {name: value for name, value in headers.items() if name not in ("X-Request-Id", "Date")}, body


def test_a_head_is_plain_or_somebody_else_reads_it() -> None:
    """Attack: a head that two readers understand in two ways (RFC 9112, 11.2)."""
    whole = (*PLAIN, b"Content-Length: 3")
    assert plain_length(head(*whole)) == 3
    assert plain_length(head(*whole, b"User-Agent: a/1", b"ACCEPT: */*", b"Connection: Keep-Alive")) == 3
    for odd in ODD:
        assert plain_length(head(*whole, odd)) is None, odd
        assert plain_length(head(odd, *whole)) is None, odd
    for left_out in whole:
        assert plain_length(head(*(each for each in whole if each != left_out))) is None, left_out
    for length in (b"", b"-1", b"+1", b"1_0", b"0x1", b"12345678", b"1 2", "\u0663".encode()):
        assert plain_length(head(*PLAIN, b"Content-Length: " + length)) is None, length
    for line in (b"GET /api/v1/inbox HTTP/1.1", LINE[:-1] + b"0", LINE + b" ", b"POST /api/v1/inbox?a HTTP/1.1", b""):
        assert plain_length(head(*whole, line=line)) is None, line
    assert plain_length(head(*whole, b"Accept: " + b"a" * 1_024)) is None


class Refusing(MemoryNode):
    """Takes what begins with p."""

    async def inbox(self, parcel: bytes, peer: str) -> None:
        if parcel == b"defect":
            raise LookupError("a defect of ours")
        if not parcel.startswith(b"p"):
            raise Refused("Not this one.", remedy="Another one.", field="parcel")
        await super().inbox(parcel, peer)


@pytest.mark.parametrize("body", [b"parcel", b"junk", b""], ids=["taken", "refused", "empty"])
async def test_both_ways_answer_the_same(body: bytes) -> None:
    async with served(node=Refusing()) as api, raw(api) as (short, to_short), raw(api) as (long, to_long):
        to_short.write(request(body))
        to_long.write(request(body, b"X-Odd: 1"))
        assert comparable(await answer(short)) == comparable(await answer(long))
        assert api.node.parcels == ([(body, "127.0.0.1")] * 2 if body.startswith(b"p") else [])
        counted = [line for line in api.metrics.render().decode().splitlines() if "api_requests_total{" in line]
        assert [line.rpartition(" ")[2] for line in counted] == ["2.0"]


async def test_requests_that_come_together_are_taken_one_after_the_other() -> None:
    async with served() as api, raw(api) as (reader, writer):
        writer.write(b"".join(request(b"p%d" % n) for n in range(50)))
        assert [(await answer(reader))[0] for _ in range(50)] == [202] * 50
        assert [parcel for parcel, _ in api.node.parcels] == [b"p%d" % n for n in range(50)]


@pytest.mark.parametrize("pause", [0.0, 1.5], ids=["soon", "slowly"])
async def test_a_request_may_come_in_pieces(pause: float) -> None:
    """One that is slow goes to the HTTP server, and counts once against the limit all the same."""
    async with served(settings(open_calls_per_minute=2)) as api, raw(api) as (reader, writer):
        for body in (b"parcel", b"p" * 3_000):
            whole = request(body)
            for part in (whole[:9], whole[9:60], whole[60:-2], whole[-2:]):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.02)
                if part == whole[60:-2]:
                    await asyncio.sleep(pause)
            assert (await answer(reader))[0] == 202
        assert [parcel for parcel, _ in api.node.parcels] == [b"parcel", b"p" * 3_000]


async def test_a_connection_goes_on_with_other_calls_and_back_to_parcels() -> None:
    async with served() as api, raw(api) as (reader, writer):
        writer.write(request(b"p1") + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + request(b"p2"))
        assert [(await answer(reader))[0] for _ in range(3)] == [202, 200, 202]
        assert [parcel for parcel, _ in api.node.parcels] == [b"p1", b"p2"]


async def test_the_limit_of_calls_holds_on_both_ways_together() -> None:
    """architecture.md, access: rate-limited before any cryptography is done."""
    async with served(settings(open_calls_per_minute=3)) as api, raw(api) as (reader, writer):
        writer.write(request(b"p1") + request(b"p2"))
        assert [(await answer(reader))[0] for _ in range(2)] == [202, 202]
        headers = {"Content-Type": BinaryBody, "X-Odd": "1"}
        assert (await api.call("POST", "/api/v1/inbox", token=None, data=b"p3", headers=headers))[0] == 202
        writer.write(request(b"p4"))
        status, got, _ = await answer(reader)
        assert (status, got["Retry-After"]) == (429, "20")
        assert len(api.node.parcels) == 3


async def test_a_kept_connection_that_falls_silent_is_cut() -> None:
    async with served(settings(idle_timeout_s=1)) as api, raw(api) as (reader, writer):
        writer.write(request(b"p"))
        assert (await answer(reader))[0] == 202
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""


async def test_a_defect_ends_the_connection_and_tells_nothing() -> None:
    async with served(node=Refusing()) as api, raw(api) as (reader, writer):
        writer.write(request(b"defect"))
        async with asyncio.timeout(PATIENCE):
            got = await reader.read()
        assert got.startswith(b"HTTP/1.1 500 ")
        assert b"defect" not in got


async def test_over_tls_it_is_the_same_way_and_may_be_left(tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "test", SINCE)
    files = issue_server(tmp_path, authority, ["127.0.0.1"], SINCE)
    trust, chosen = client_context(authority.certificate), settings(tls_cert=files.certificate, tls_key=files.key)
    async with served(chosen) as api, raw(api, trust) as (reader, writer):
        writer.write(request(b"p1"))
        assert (await answer(reader))[0] == 202
        writer.write(request(b"p2", b"X-Odd: 1"))
        assert (await answer(reader))[0] == 202
        assert [parcel for parcel, _ in api.node.parcels] == [b"p1", b"p2"]


async def test_what_nodes_send_each_other_is_plain() -> None:
    """As the client in use writes it; a head of another shape would still be read, but the long way."""
    heads: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n"))[:-4])
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v1/inbox"
    parcel, binary = b"p" * 4_000, {"Content-Type": BinaryBody}
    async with server, aiohttp.ClientSession() as http, http.post(url, data=parcel, headers=binary) as response:
        assert response.status == 202
    assert [plain_length(head) for head in heads] == [4_000]


class Slow(MemoryNode):
    def __init__(self) -> None:
        super().__init__()
        self.came, self.go_on = asyncio.Event(), asyncio.Event()

    async def inbox(self, parcel: bytes, peer: str) -> None:
        self.came.set()
        await self.go_on.wait()
        await super().inbox(parcel, peer)


async def test_the_end_waits_for_what_is_being_taken_in() -> None:
    node = Slow()
    async with served(node=node) as api, raw(api) as (reader, writer):
        writer.write(request(b"p"))
        await node.came.wait()
        closing = asyncio.create_task(api.server.close())
        await asyncio.sleep(0)
        node.go_on.set()
        assert (await answer(reader))[0] == 202
        assert await reader.read() == b""
        await closing
