"""The demo's own eye on the chain: bare JSON-RPC, so that no check leans on the client it judges."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from eth_utils.crypto import keccak

__all__ = ["ChainWatch", "Log", "topic"]

LOOK_EVERY_S = 0.05


def topic(signature: str) -> str:
    """The first topic of an event, from its signature as Solidity writes it."""
    return "0x" + keccak(text=signature).hex()


@dataclass(frozen=True, slots=True)
class Log:
    """One log as the node returned it; data and topics in bytes."""

    block: int
    block_hash: str
    transaction: str
    topics: tuple[bytes, ...]
    data: bytes

    def word(self, index: int) -> int:
        """The 32-byte word `index` of the data as an integer."""
        return int.from_bytes(self.data[32 * index : 32 * index + 32], "big")


@dataclass(slots=True)
class ChainWatch:
    """Looks at the head every 50 ms and remembers when each block was first seen (seconds of the wall clock)."""

    url: str
    registry: str
    seen: dict[str, float] = field(default_factory=dict)
    head: int = 0
    _session: aiohttp.ClientSession | None = None
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._session:
            await self._session.close()

    async def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call; raises ConnectionError with the node's own words."""
        if self._session is None:
            raise ConnectionError("the watch was not started")
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        async with self._session.post(self.url, json=body) as answer:
            reply = await answer.json(content_type=None)
        if "error" in reply:
            raise ConnectionError(f"{method}: {reply['error'].get('message')}")
        return reply["result"]

    async def _watch(self) -> None:
        last = ""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                block = await self.call("eth_getBlockByNumber", "latest", False)
                if block["hash"] != last:
                    last = block["hash"]
                    self.head = int(block["number"], 16)
                    self.seen.setdefault(last, time.time())
            await asyncio.sleep(LOOK_EVERY_S)

    async def logs(self, signature: str, topics: Sequence[str | None] = (), first: int = 0) -> list[Log]:
        """All logs of one event of the registry on the present chain, oldest first."""
        wanted = {
            "address": self.registry,
            "fromBlock": hex(first),
            "toBlock": "latest",
            "topics": [topic(signature), *topics],
        }
        return [
            Log(
                int(item["blockNumber"], 16),
                item["blockHash"],
                item["transactionHash"],
                tuple(bytes.fromhex(t[2:]) for t in item["topics"]),
                bytes.fromhex(item["data"][2:]),
            )
            for item in await self.call("eth_getLogs", wanted)
        ]

    async def gas(self, transaction: str) -> int:
        """Gas that one transaction used, from its receipt."""
        receipt = await self.call("eth_getTransactionReceipt", transaction)
        return int(receipt["gasUsed"], 16)
