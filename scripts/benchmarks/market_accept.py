"""Sealed, signed orders over HTTP into a market's inbox: opened, verified, matched against the rules, on disk.

The bodies are made before; 256 connections, as of so many assets, hand them over as fast as the market answers, one
after the other on each. A connection waits for its answer, which waits for the disk: fewer of them would measure the
disk's delay.
The market is a node of its own with everything a node runs, the chain of it mines every second.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from scripts.benchmarks.markethall import Hall, opened_hall, order_parcels
from scripts.benchmarks.rows import Row, at_least, cpu_seconds, helpers_of

__all__ = ["accepted", "measure"]

ORDERS = 6_000
WARM_UP = 500
"""Orders before those that are measured: the node starts the helper that opens parcels when many come."""
CONNECTIONS = 256
_HEAD = (
    "POST /api/v1/inbox HTTP/1.1\r\nHost: market\r\n"
    "Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n"
)


def measure() -> list[Row]:
    """One run."""
    return accepted(ORDERS)


def accepted(orders: int) -> list[Row]:
    """So many orders, each of an account of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rate, cpu, helped = asyncio.run(_accepted(Path(folder), orders))
    how = f"{orders - WARM_UP} orders over {CONNECTIONS} connections, each answered when it is on disk"
    how += f"; {cpu * 1e3:.2f} ms of the node's CPU for each, and {helped * 1e3:.2f} ms of its helper's"
    return [at_least("market_accept_per_s", rate, "per second", 2_000, how)]


async def _accepted(folder: Path, orders: int) -> tuple[float, float, float]:
    async with opened_hall(folder) as hall:
        place = await hall.place()
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            bodies = await asyncio.get_running_loop().run_in_executor(
                pool, order_parcels, place, hall.devnet.chain_id, hall.contract, orders
            )
        await _hand_over(hall, bodies[:WARM_UP])
        pid, rest = hall.node.process.pid, bodies[WARM_UP:]
        helpers = helpers_of(pid)
        used, helped = cpu_seconds(pid), sum(map(cpu_seconds, helpers))
        began = time.perf_counter()
        await _hand_over(hall, rest)
        seconds = time.perf_counter() - began
        used, helped = cpu_seconds(pid) - used, sum(map(cpu_seconds, helpers)) - helped
        return len(rest) / seconds, used / len(rest), helped / len(rest)


async def _hand_over(hall: Hall, bodies: Sequence[bytes]) -> None:
    loop = asyncio.get_running_loop()
    requests = [_HEAD.format(len(body)).encode() + body for body in bodies]
    made = [
        await loop.create_connection(partial(_Sender, requests[number::CONNECTIONS]), "127.0.0.1", hall.node.port)
        for number in range(CONNECTIONS)
    ]
    await asyncio.gather(*(sender.done for _, sender in made))


class _Sender(asyncio.Protocol):
    """One connection: each request once the one before was answered. It shares the processor with the node, so it
    does as little as can be."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests = iter(requests)
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"\r\n\r\n"):
            return  # an answer of 202 has no body
        if not self._answer.startswith(b"HTTP/1.1 202 "):
            self._fail(self._answer)
            return
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._fail(self._answer)

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
            return
        self.done.set_result(None)
        self._transport.close()

    def _fail(self, answer: bytes) -> None:
        self.done.set_exception(AssertionError(f"not accepted: {answer!r}"))
        self._transport.close()
