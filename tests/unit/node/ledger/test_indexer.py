"""The indexer on a real chain: reorganisations, restarts, catching up, endpoints that leave out, invent or lag."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from node.clock import SystemClock
from node.ledger.endpoint import Pace
from node.ledger.errors import LogRefused, RpcError
from node.ledger.finality import Finality
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.rpc import Rpc, RpcOptions
from tests.support.anvil import Anvil, anvil
from tests.support.chain_consumer import Consumer, Mark, MarkDecoder, truth
from tests.support.processes import PATIENCE, until
from tests.support.rpc_proxy import RpcProxy, rpc_proxy

pytestmark = pytest.mark.chain
TOPIC = b"\x01" * 32
PATIENT = RpcOptions(pace=Pace(timeout=60.0, pause=0.0, longest_pause=0.0), attempts=1)
HASTY = RpcOptions(pace=Pace(timeout=1.0, pause=0.0, longest_pause=0.0), attempts=1)


@dataclass
class World:
    chain: Anvil
    emitter: bytes
    indexer: Indexer[Mark]
    consumer: Consumer = field(default_factory=Consumer)

    async def emit(self, *words: bytes, topic: bytes = TOPIC) -> None:
        """Put logs into one block of their own."""
        for account, word in enumerate(words):
            await self.chain.send(self.emitter, topic + word, account=account)
        await self.chain.mine()

    async def catch_up(self) -> None:
        for _ in range(500):
            head = await self.chain.head()
            batch = await self.indexer.step()
            if batch is not None:
                self.consumer.apply(batch)
            elif self.indexer.chain.tip == head:
                return
        raise AssertionError("the indexer does not reach the head")

    async def agrees(self) -> bool:
        return self.consumer.marks == await truth(self.chain.rpc, self.emitter, MarkDecoder(TOPIC))


def make_indexer(
    rpc: Rpc, emitter: bytes, *, depth: int | None = 1, options: IndexerOptions | None = None
) -> Indexer[Mark]:
    options = options or IndexerOptions(cross_check_every=0.0)
    return Indexer(rpc, Watched((emitter,)), MarkDecoder(TOPIC), Finality(depth), SystemClock(), options)


@asynccontextmanager
async def world(*, depth: int | None = 1, options: IndexerOptions | None = None) -> AsyncIterator[World]:
    async with anvil() as chain:
        emitter = await chain.deploy()
        yield World(chain, emitter, make_indexer(chain.rpc, emitter, depth=depth, options=options))


@asynccontextmanager
async def proxied(*, others: bool = False, options: RpcOptions = PATIENT) -> AsyncIterator[tuple[World, RpcProxy]]:
    async with anvil() as chain, rpc_proxy(chain.url) as proxy:
        emitter = await chain.deploy()
        urls = [proxy.url, chain.url] if others else [proxy.url]
        async with Rpc(urls, chain.chain_id, SystemClock(), options) as rpc:
            yield World(chain, emitter, make_indexer(rpc, emitter)), proxy


async def test_logs_arrive_in_chain_order_with_block_transaction_and_index() -> None:
    async with world() as w:
        await w.emit(b"a", b"b")
        await w.emit(b"c")
        batch = await w.indexer.step()
        assert batch is not None
        assert [event.data for event in batch.events] == [b"a", b"b", b"c"]
        assert [entry.index for entry in batch.entries] == [0, 1, 0]
        for entry in batch.entries:
            receipt = await w.chain.rpc.receipt(entry.transaction)
            assert receipt is not None
            assert (receipt.block_number, receipt.block_hash) == (entry.event.block, entry.event.block_hash)
        assert batch.cursor == batch.head == await w.chain.head()
        assert await w.indexer.step() is None


@pytest.mark.parametrize("depth", [1, 2, 12, 64])
async def test_a_reorganisation_is_undone_in_the_batch_that_brings_the_new_branch(depth: int) -> None:
    """contracts.md, "Finality, reorgs": the rollback and the new logs are one batch, so one storage transaction."""
    async with world(depth=100) as w:
        await w.emit(b"stays")
        for number in range(depth - 1):
            await w.emit(b"gone %d" % number)
        await w.emit(b"gone")
        await w.catch_up()
        assert len(w.consumer.marks) == depth + 1
        before = await w.chain.head()
        await w.chain.reorg(depth)
        await w.emit(b"new")
        batch = await w.indexer.step()
        assert batch is not None
        assert batch.rollback_to == before.number - depth
        assert [event.data for event in batch.events] == [b"new"]
        assert not batch.rescan
        assert not batch.undone_final
        w.consumer.apply(batch)
        assert w.consumer.words == [b"stays", b"new"]
        assert await w.agrees()


async def test_a_reorganisation_without_a_new_block_is_seen() -> None:
    async with world(depth=100) as w:
        await w.emit(b"gone")
        await w.catch_up()
        await w.chain.reorg(1)
        await w.catch_up()
        assert w.consumer.marks == []


async def test_a_rollback_of_the_chain_is_seen_when_it_grows_again() -> None:
    async with world(depth=100) as w:
        await w.emit(b"stays")
        await w.emit(b"gone")
        await w.chain.mine(11)
        await w.catch_up()
        await w.chain.rollback(12)
        assert await w.indexer.step() is None, "a lower head alone is lateness"
        await w.emit(b"new")
        await w.catch_up()
        assert w.consumer.words == [b"stays", b"new"]
        assert await w.agrees()


async def test_grants_wait_for_finality_and_finality_follows_the_configured_depth() -> None:
    async with world(depth=2) as w:
        await w.emit(b"a")
        at = (await w.chain.head()).number
        await w.catch_up()
        assert w.consumer.words == [b"a"], "at first sight"
        assert w.consumer.final == at - 2
        await w.chain.mine()
        await w.catch_up()
        assert w.consumer.final == at - 1
        await w.chain.mine()
        await w.catch_up()
        assert w.consumer.final == at


async def test_without_a_depth_the_finalized_tag_of_the_chain_counts() -> None:
    async with world(depth=None) as w:
        await w.chain.mine(99)
        await w.catch_up()
        tagged = await w.chain.rpc.block("finalized")
        assert tagged is not None
        assert tagged.header.number > 0
        assert w.consumer.final == tagged.header.number


async def test_a_reorganisation_below_finality_raises_the_alarm_and_finality_starts_anew() -> None:
    async with world(depth=1) as w:
        await w.emit(b"final and gone")
        await w.chain.mine(4)
        await w.catch_up()
        await w.chain.reorg(5)
        await w.catch_up()
        assert w.consumer.alarms == 1
        assert w.consumer.marks == []
        assert w.consumer.final == (await w.chain.head()).number - 1
        finalized = await w.chain.rpc.block(w.consumer.final)
        assert finalized is not None
        assert w.indexer.chain.holds(finalized.header.number, finalized.header.hash)


async def test_a_reorganisation_below_the_window_scans_everything_again() -> None:
    async with world(options=IndexerOptions(window=16, cross_check_every=0.0)) as w:
        await w.emit(b"old")
        await w.chain.mine(30)
        await w.emit(b"gone")
        await w.catch_up()
        await w.chain.reorg(25)
        await w.emit(b"new")
        await w.catch_up()
        assert w.consumer.rescans == 1
        assert w.consumer.words == [b"old", b"new"]
        assert await w.agrees()


async def test_a_restart_resumes_at_the_stored_cursor() -> None:
    async with world() as w:
        await w.emit(b"a")
        await w.catch_up()
        w.indexer = make_indexer(w.chain.rpc, w.emitter)
        w.indexer.resume(await w.consumer.headers.load_headers(), w.consumer.final)
        await w.emit(b"b")
        batch = await w.indexer.step()
        assert batch is not None
        assert [event.data for event in batch.events] == [b"b"], "nothing is told twice"


async def test_a_reorganisation_while_the_node_was_off_is_undone_at_the_start() -> None:
    async with world(depth=100) as w:
        await w.emit(b"stays")
        await w.emit(b"gone")
        await w.catch_up()
        await w.chain.reorg(1)
        await w.chain.mine(300)  # farther than the window
        await w.emit(b"new")
        w.indexer = make_indexer(w.chain.rpc, w.emitter, depth=100)
        w.indexer.resume(await w.consumer.headers.load_headers(), w.consumer.final)
        await w.catch_up()
        assert w.consumer.words == [b"stays", b"new"]
        assert len(w.consumer.rollbacks) == 1


async def test_a_batch_that_was_not_stored_is_told_again() -> None:
    """kill -9 between reading and storing: the loop hands out the next batch only when the last one was stored."""
    async with world() as w:
        await w.emit(b"a")
        loop = w.indexer.batches()
        first = await anext(loop)
        await loop.aclose()  # the consumer died before it stored
        assert w.indexer.chain.tip is None
        again = w.indexer.batches()
        assert (await anext(again)).entries == first.entries
        await again.aclose()


async def test_catching_up_reads_ranges_not_every_block() -> None:
    async with proxied() as (w, proxy):
        await w.emit(b"a")
        await w.chain.mine(700)
        await w.emit(b"b")
        await w.chain.mine(700)
        await w.catch_up()
        assert w.consumer.words == [b"a", b"b"]
        assert proxy.seen["eth_getBlockByNumber"] < 350
        assert await w.agrees()


async def test_an_endpoint_with_a_small_range_limit_is_adapted_to() -> None:
    def limit(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= 300:
            return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": -32005, "message": "range too large"}}
        return answer

    async with proxied() as (w, proxy):
        await w.emit(b"a")
        await w.chain.mine(1_500)
        proxy.rewrite = limit
        await w.catch_up()
        assert w.consumer.words == [b"a"]


async def test_logs_that_an_answer_left_out_are_found_by_the_bloom_of_the_header() -> None:
    """An RPC node that hides a revocation: the range answer is empty, the header says that there is a log."""

    def hide(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getLogs" and "fromBlock" in params[0]:
            return answer | {"result": []}
        return answer

    async with proxied() as (w, proxy):
        proxy.rewrite = hide
        await w.emit(b"revoked")
        await w.catch_up()
        assert w.consumer.words == [b"revoked"]
        assert w.indexer.recovered == 1


async def test_logs_hidden_by_one_endpoint_come_from_another() -> None:
    def hide(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        return answer | {"result": []} if method == "eth_getLogs" else answer

    async with proxied(others=True) as (w, proxy):
        proxy.rewrite = hide
        await w.emit(b"revoked")
        await w.catch_up()
        assert w.consumer.words == [b"revoked"]


@pytest.mark.parametrize("field_name", ["blockHash", "address", "twice"])
async def test_an_invented_or_stale_log_is_refused_and_nothing_of_the_answer_is_used(field_name: str) -> None:
    def forge(method: str, params: list[Any], answer: dict[str, Any]) -> dict[str, Any]:
        if method == "eth_getLogs" and answer["result"]:
            log = answer["result"][0]
            if field_name == "twice":
                answer["result"].append(log)
            else:
                log[field_name] = log[field_name][:-2] + ("00" if log[field_name][-2:] != "00" else "01")
        return answer

    async with proxied() as (w, proxy):
        proxy.rewrite = forge
        await w.emit(b"a")
        with pytest.raises(LogRefused):
            await w.indexer.step()
        assert w.indexer.chain.tip is None
        proxy.rewrite = None
        await w.catch_up()
        assert w.consumer.words == [b"a"]


async def test_unknown_logs_are_counted_and_skipped() -> None:
    async with world() as w:
        await w.emit(b"a")
        await w.emit(b"from the future", topic=b"\x02" * 32)
        await w.catch_up()
        assert w.consumer.words == [b"a"]
        assert w.indexer.unknown_logs == 1


async def test_an_endpoint_that_falls_back_in_time_undoes_nothing() -> None:
    """A lagging node behind a load balancer shows an older head: known blocks, so lateness, never a rollback."""
    async with proxied() as (w, proxy):
        await w.emit(b"a")
        await w.emit(b"b")
        await w.catch_up()
        proxy.frozen = (await w.chain.head()).number - 1
        assert await w.indexer.step() is None
        assert w.indexer.behind == 1
        assert w.consumer.words == [b"a", b"b"]
        proxy.frozen = None
        await w.emit(b"c")
        await w.catch_up()
        assert w.consumer.words == [b"a", b"b", b"c"]


async def test_a_lagging_first_endpoint_does_not_hold_back_the_node() -> None:
    async with proxied(others=True) as (w, proxy):
        await w.emit(b"a")
        proxy.frozen = 1
        await w.chain.mine(10)
        await w.emit(b"b")
        await w.catch_up()
        assert w.consumer.words == [b"a", b"b"]


async def _fault(indexer: Indexer[Mark]) -> bool:
    return isinstance(indexer.fault, RpcError)


@pytest.mark.parametrize("fault", ["silent", "status", "garbage", "closed", "error"])
@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_getLogs"])
async def test_the_loop_survives_an_outage_and_tells_what_is_wrong(method: str, fault: str) -> None:
    async with proxied(options=HASTY if fault == "silent" else PATIENT) as (w, proxy):
        await w.emit(b"a")
        proxy.failing = (method, fault)
        loop = w.indexer.batches()
        waiting = asyncio.ensure_future(anext(loop))
        await until("the fault is told", lambda: _fault(w.indexer), every=0.01)
        assert not waiting.done(), "nothing is told by halves"
        proxy.failing = None
        w.consumer.apply(await asyncio.wait_for(waiting, PATIENCE))
        while b"a" not in w.consumer.words:
            w.consumer.apply(await asyncio.wait_for(anext(loop), PATIENCE))
        assert await w.agrees()
        await loop.aclose()
