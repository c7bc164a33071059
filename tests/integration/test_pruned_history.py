"""An RPC node that comes back without old blocks: nothing is skipped, the fault is named, another one takes over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from node.clock import SystemClock
from node.ledger.endpoint import Pace
from node.ledger.errors import ChainError, RpcError, RpcPruned
from node.ledger.finality import Finality
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.rpc import Rpc, RpcOptions
from tests.support.anvil import Anvil, anvil
from tests.support.chain_consumer import Consumer, Mark, MarkDecoder, truth
from tests.support.rpc_proxy import Rewrite, RpcProxy, rpc_proxy

pytestmark = pytest.mark.chain
TOPIC = b"\x01" * 32
QUICK = RpcOptions(pace=Pace(timeout=60.0, pause=0.0, longest_pause=0.0), attempts=1)
OPTIONS = IndexerOptions(cross_check_every=0.0, window=32, first_range=50)
KEPT = 64
"""Blocks below the head that the pruned node still has."""


def pruned_below(height: int, how: str) -> Rewrite:
    """Answers of a node that has dropped blocks, receipts and logs under ``height``, by error or by silence."""
    gone = {"jsonrpc": "2.0", "error": {"code": 4444, "message": "pruned history unavailable"}}
    nothing = {"jsonrpc": "2.0", "result": None}

    def rewrite(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        first = params[0] if params else None
        if method == "eth_getLogs" and int(params[0].get("fromBlock", "0x0"), 16) < height:
            return gone
        if method == "eth_getBlockByNumber" and isinstance(first, str) and first.startswith("0x"):
            return (gone if how == "error" else nothing) if int(first, 16) < height else answer
        if method == "eth_getBlockByHash" and answer.get("result") and int(answer["result"]["number"], 16) < height:
            return nothing
        return answer

    return rewrite


class World:
    """A consumer fed through one proxied endpoint, and, where asked for, an archive behind it."""

    def __init__(self, chain: Anvil, emitter: bytes, proxy: RpcProxy) -> None:
        self.chain, self.emitter, self.proxy = chain, emitter, proxy
        self.consumer = Consumer()

    def indexer(self, rpc: Rpc, options: IndexerOptions = OPTIONS) -> Indexer[Mark]:
        return Indexer(rpc, Watched((self.emitter,)), MarkDecoder(TOPIC), Finality(20), SystemClock(), options)

    async def resumed(self, rpc: Rpc, options: IndexerOptions = OPTIONS) -> Indexer[Mark]:
        found = self.indexer(rpc, options)
        found.resume(await self.consumer.headers.load_headers(), self.consumer.final)
        return found

    async def emit(self, word: bytes) -> None:
        await self.chain.send(self.emitter, TOPIC + word)
        await self.chain.mine()

    async def catch_up(self, indexer: Indexer[Mark], *, tries: int = 0) -> None:
        """To the head. ``tries`` failing steps are tried again, as the loop does."""
        for _ in range(400):
            try:
                batch = await indexer.step()
            except (RpcError, ChainError):
                tries -= 1
                if tries < 0:
                    raise
                continue
            if batch is not None:
                self.consumer.apply(batch)
            elif indexer.chain.tip == await self.chain.head():
                return
        raise AssertionError("the indexer does not reach the head")

    async def agrees(self) -> bool:
        return self.consumer.marks == await truth(self.chain.rpc, self.emitter, MarkDecoder(TOPIC))


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with anvil() as chain, rpc_proxy(chain.url) as proxy:
        yield World(chain, await chain.deploy(), proxy)


def one(w: World) -> Rpc:
    return Rpc([w.proxy.url], w.chain.chain_id, SystemClock(), QUICK)


@pytest.mark.parametrize("how", ["error", "nothing"])
async def test_a_node_at_the_head_needs_no_history(how: str) -> None:
    """The RPC node restarts pruned: following goes on, and so does a reorganisation within what it kept."""
    async with world() as w, one(w) as rpc:
        indexer = w.indexer(rpc)
        await w.emit(b"a")
        await w.chain.mine(150)
        await w.emit(b"gone")
        await w.chain.mine(11)
        await w.catch_up(indexer)
        w.proxy.rewrite = pruned_below((await w.chain.head()).number - KEPT, how)
        restarted = await w.resumed(rpc)
        await w.chain.reorg(12)
        await w.emit(b"b")
        await w.catch_up(restarted)
        assert w.consumer.words == [b"a", b"b"]
        assert await w.agrees()


@pytest.mark.parametrize("how", ["error", "nothing"])
async def test_what_the_only_node_has_pruned_is_waited_for_and_named_never_skipped(how: str) -> None:
    """A revocation may be in the gap: going on behind it would keep a right alive that ended."""
    async with world() as w, one(w) as rpc:
        await w.emit(b"a")
        await w.chain.mine(40)
        await w.catch_up(w.indexer(rpc))
        await w.emit(b"revoked in the gap")
        await w.chain.mine(200)
        await w.emit(b"b")
        w.proxy.rewrite = pruned_below((await w.chain.head()).number - KEPT, how)
        away = await w.resumed(rpc)
        cursor = away.chain.tip
        faults: list[Exception] = []
        for _ in range(30):
            try:
                batch = await away.step()
                assert batch is None
            except (RpcError, ChainError) as fault:
                faults.append(fault)
        assert away.chain.tip == cursor
        assert w.consumer.words == [b"a"]
        assert isinstance(faults[-1], RpcPruned)
        assert w.proxy.url in str(faults[-1])
        assert "rpc_urls" in faults[-1].remedy
        w.proxy.rewrite = None  # another node with the whole history behind the same address
        await w.catch_up(away, tries=3)
        assert w.consumer.words == [b"a", b"revoked in the gap", b"b"]
        assert await w.agrees()


@pytest.mark.parametrize("how", ["error", "nothing"])
async def test_an_endpoint_with_the_whole_history_takes_over(how: str) -> None:
    async with world() as w:
        urls = [w.proxy.url, w.chain.url]
        async with Rpc(urls, w.chain.chain_id, SystemClock(), QUICK) as rpc:
            await w.emit(b"a")
            await w.catch_up(w.indexer(rpc))
            await w.chain.mine(30)
            await w.emit(b"revoked in the gap")
            await w.chain.mine(200)
            await w.emit(b"b")
            w.proxy.rewrite = pruned_below((await w.chain.head()).number - KEPT, how)
            # Each refusal makes the range smaller first: hosted endpoints say the same of a range that is too long.
            options = replace(OPTIONS, cross_check_every=3_600.0)
            await w.catch_up(await w.resumed(rpc, options), tries=10)
            assert w.consumer.words == [b"a", b"revoked in the gap", b"b"]
            assert await w.agrees()


async def test_a_small_range_limit_holds_for_young_blocks_too() -> None:
    """A node that was away for fewer blocks than its window, at an endpoint that gives ten blocks at a time."""

    def limit(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            blocks = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
            if blocks > 10:
                return {"jsonrpc": "2.0", "error": {"code": -32600, "message": "up to a 10 block range"}}
        return answer

    async with world() as w, one(w) as rpc:
        await w.emit(b"a")
        await w.catch_up(w.indexer(rpc))
        w.proxy.rewrite = limit
        for number in range(5):
            await w.emit(b"%d" % number)
            await w.chain.mine(5)
        await w.catch_up(await w.resumed(rpc))
        assert w.consumer.words == [b"a", b"0", b"1", b"2", b"3", b"4"]
        assert await w.agrees()


async def test_a_block_whose_logs_nobody_can_tell_is_not_passed() -> None:
    """The header says that there is a log, the range answer is empty, and the question by hash ends in an error."""
    failing = {"jsonrpc": "2.0", "error": {"code": -32000, "message": "missing trie node"}}

    def hide(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method != "eth_getLogs":
            return answer
        return answer | {"result": []} if "fromBlock" in params[0] else failing

    async with world() as w, one(w) as rpc:
        indexer = w.indexer(rpc)
        await w.catch_up(indexer)
        before = indexer.chain.tip
        w.proxy.rewrite = hide
        await w.emit(b"revoked")
        for _ in range(3):
            with suppress(RpcError):
                assert await indexer.step() is None
        assert indexer.chain.tip == before
        w.proxy.rewrite = None
        await w.catch_up(indexer, tries=2)
        assert w.consumer.words == [b"revoked"]
