"""An answer is read whole, however the network cuts it, and never beyond its limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from node.runtime.outbound import read_at_most

BODY = b'{"terms": "of a market"}'


@asynccontextmanager
async def answering(*pieces: bytes) -> AsyncIterator[str]:
    """A server that sends the pieces of its answer one after the other, each once the one before has been taken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        done.set()

    done = asyncio.Event()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await done.wait()


async def read(url: str, limit: int) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url) as found:
        return await read_at_most(found, limit)


async def test_an_answer_in_pieces_is_read_whole() -> None:
    async with answering(BODY[:5], BODY[5:9], BODY[9:]) as url:
        assert await read(url, 1_000) == BODY


async def test_no_more_than_the_limit_is_read() -> None:
    async with answering(BODY[:5], BODY[5:]) as url:
        assert await read(url, 7) == BODY[:7]


async def test_an_answer_that_breaks_off_is_no_answer() -> None:
    async with answering(BODY[:5]) as url:
        with pytest.raises(aiohttp.ClientError):
            await read(url, 1_000)
