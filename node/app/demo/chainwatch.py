"""The demo's own eye on the chain: bare JSON-RPC, so that no check leans on the client it judges."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from node.app.demo.evidence import Block, Log, Receipt

__all__ = ["ChainWatch"]

LOOK_EVERY_S = 0.05


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@dataclass(slots=True)
class ChainWatch:
    """Looks at the head every 50 ms; keeps every block that it ever saw with its logs, removed ones included."""

    url: str
    registry: str
    blocks: dict[bytes, Block] = field(default_factory=dict)
    head: bytes = b""
    _session: aiohttp.ClientSession | None = None
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        await self._look()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._session:
            await self._session.close()

    @property
    def height(self) -> int:
        """Number of the newest block."""
        return self.blocks[self.head].number if self.head else 0

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
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                await self._look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self) -> None:
        """The head and, after a reorg or a busy second, whatever below it is not known yet."""
        found = await self.call("eth_getBlockByNumber", "latest", False)
        at = time.time()
        head = _raw(found["hash"])
        new: list[Block] = []
        while found is not None and _raw(found["hash"]) not in self.blocks:
            new.append(await self._block(found, at))
            number = int(found["number"], 16)
            found = await self.call("eth_getBlockByHash", found["parentHash"], False) if number else None
        for block in reversed(new):
            self.blocks[block.hash] = block
        self.head = head

    async def _block(self, found: dict[str, Any], at: float) -> Block:
        logs = await self.call("eth_getLogs", {"blockHash": found["hash"], "address": self.registry})
        return Block(
            int(found["number"], 16),
            _raw(found["hash"]),
            _raw(found["parentHash"]),
            int(found["timestamp"], 16),
            at,
            tuple(
                Log(_raw(log["transactionHash"]), tuple(_raw(topic) for topic in log["topics"]), _raw(log["data"]))
                for log in logs
            ),
        )

    async def receipts(self) -> dict[bytes, Receipt]:
        """What each transaction with a log of the registry cost; those that a reorg removed have none."""
        transactions = dict.fromkeys(log.transaction for block in self.blocks.values() for log in block.logs)
        found: dict[bytes, Receipt] = {}
        for transaction in transactions:
            name = "0x" + transaction.hex()
            receipt = await self.call("eth_getTransactionReceipt", name)
            sent = await self.call("eth_getTransactionByHash", name)
            if receipt is not None and sent is not None:
                status = int(receipt["status"], 16) == 1
                found[transaction] = Receipt(int(receipt["gasUsed"], 16), _raw(sent["input"])[:4], status)
        return found
