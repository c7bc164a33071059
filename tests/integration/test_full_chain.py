"""From a real chain full of events to the database: equal on every way, in bounded batches, over a lost snapshot."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from contracts.deployments import Deployment
from node.app.commands.rebuild import catch_up
from node.app.progress import Progress, told
from node.clock import ManualClock, SystemClock
from node.ledger.finality import Finality
from node.ledger.headers import Header
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.registry import RegistryDecoder
from node.ledger.rpc import Rpc
from node.projection.events import ChainEvent
from node.runtime.devnet.deploy import deploy_registry
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.schema import states
from tests.support.anvil import Anvil, anvil
from tests.support.fullchain import fill
from tests.support.longhistory import history, write_history

pytestmark = pytest.mark.chain

FEW = IndexerOptions(poll=0.05, first_range=7, largest_range=16, window=12, many_logs=150)


@asynccontextmanager
async def database(path: Path) -> AsyncIterator[tuple[Database, Journal]]:
    opened = await Database.open(f"sqlite+aiosqlite:///{path}")
    journal = Journal(opened, ManualClock(1_000))
    try:
        yield opened, journal
    finally:
        await journal.close()
        await opened.close()


def indexer(
    rpc: Rpc, registry: Deployment, options: IndexerOptions | None = None, finality: Finality | None = None
) -> Indexer[ChainEvent]:
    watched = Watched((registry.address,), registry.block)
    return Indexer(rpc, watched, RegistryDecoder(), finality or Finality(1), SystemClock(), options)


async def contents(opened: Database) -> list[tuple[Any, ...]]:
    """Every state without the journal numbers, which depend on how the events were cut into transactions."""
    chosen = (states.c.kind, states.c.key, states.c.status, states.c.top_block, states.c.unsettled, states.c.document)
    async with opened.read() as connection:
        return sorted(tuple(row) for row in await connection.execute(select(*chosen)))


async def test_every_way_to_the_head_gives_the_same_state(tmp_path: Path) -> None:
    """architecture.md: with every header linked, in small ranges of old blocks, and over a restart."""
    async with anvil(block_time=0) as chain:
        registry = await deploy_registry(chain.rpc, payer=chain.signers[3].address)
        async with Rpc([chain.url], chain.chain_id, SystemClock()) as rpc:
            async with database(tmp_path / "near.db") as (near, journal):
                following = indexer(rpc, registry)
                await fill(chain, registry.address, 600, 20)
                await chain.mine(2)
                while (batch := await following.step()) is not None:
                    events, update = told(batch)
                    await journal.apply(events, update)
                grown = await contents(near)
                assert len(grown) > 300
                assert await journal.verify() > 600
            shown: list[Progress] = []
            async with database(tmp_path / "small.db") as (small, journal):
                reader = indexer(rpc, registry, FEW)
                found = await catch_up(reader, journal, ChainStore(small), SystemClock(), shown.append)
                assert await contents(small) == grown
                assert await journal.verify() > 600
            assert found.events == 640
            assert (shown[-1].done, shown[-1].total) == (found.total, found.total)
            assert [each.done for each in shown] == sorted(each.done for each in shown)
            old = [each for each in shown if each.head - each.at >= FEW.window]
            assert max(after.events - before.events for before, after in pairwise(old)) <= FEW.many_logs
            async with database(tmp_path / "small.db") as (again, journal):
                await chain.mine(30)
                await catch_up(indexer(rpc, registry, FEW), journal, ChainStore(again), SystemClock(), lambda _: None)
                assert await contents(again) == grown


async def test_a_snapshot_whose_block_left_the_chain_is_not_used(tmp_path: Path) -> None:
    """The stored window names blocks by hash: on another chain the reading starts over, and no right stays."""
    async with anvil(block_time=0) as first:
        registry = await deploy_registry(first.rpc, payer=first.signers[3].address)
        await fill(first, registry.address, 60, 20)
        await first.mine(40)
        await _follow(tmp_path / "node.db", first, registry)
    async with anvil(block_time=0) as second:
        other = await deploy_registry(second.rpc, payer=second.signers[3].address)
        assert other.address == registry.address
        await second.mine(60)
        kept = await _follow(tmp_path / "node.db", second, other)
    # Revocations act for good, whatever becomes of their block; they give nobody anything.
    assert {(kind, status) for kind, _, status, *_ in kept} == {("consent", "none")}


async def test_killed_in_the_middle_of_a_bulk_the_rebuild_goes_on_without_loss_or_double(tmp_path: Path) -> None:
    async with anvil(block_time=0) as chain:
        registry = await deploy_registry(chain.rpc, payer=chain.signers[3].address)
        await fill(chain, registry.address, 3_000, 60)
        await chain.mine(2)
        async with database(tmp_path / "whole.db") as (whole, journal):
            async with Rpc([chain.url], chain.chain_id, SystemClock()) as rpc:
                await catch_up(indexer(rpc, registry), journal, ChainStore(whole), SystemClock(), lambda _: None)
            expected = await contents(whole)
        killed, pause = 0, 0.05
        while not await _read_until_killed(chain, registry, tmp_path / "killed.db", pause):
            killed, pause = killed + 1, pause + 0.15
        assert killed >= 2
        async with database(tmp_path / "killed.db") as (again, journal):
            assert await contents(again) == expected
            assert await journal.verify() >= 3_000


async def _read_until_killed(chain: Anvil, registry: Deployment, path: Path, pause: float) -> bool:
    """One process, killed so many seconds after it began to read; whether it got there before."""
    arguments = (chain.url, str(chain.chain_id), registry.address.hex(), str(registry.block), str(path))
    program = (sys.executable, "-m", "tests.support.catchup_child", *arguments)
    child = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"reading\n"
    try:
        async with asyncio.timeout(pause):
            there = await child.stdout.readline() == b"there\n"
            assert there, "the reading failed"
    except TimeoutError:
        there = False
        child.kill()
    await child.wait()
    return there


async def test_a_reorganisation_that_cuts_through_a_bulk_leaves_what_the_new_branch_says(tmp_path: Path) -> None:
    """Blocks of one transaction of the database go in part: the upper ones leave the chain, the lower ones stay."""
    part = IndexerOptions(poll=0.05, near_range=10)
    async with anvil(block_time=0) as chain:
        registry = await deploy_registry(chain.rpc, payer=chain.signers[3].address)
        await fill(chain, registry.address, 500, 20)
        async with Rpc([chain.url], chain.chain_id, SystemClock()) as rpc:
            async with database(tmp_path / "cut.db") as (cut, journal):
                reader = indexer(rpc, registry, part, Finality(20))
                batch_end = 0
                for _ in range(2):
                    batch = await reader.step()
                    assert batch is not None
                    assert len(batch.headers) == 10
                    batch_end = batch.headers[-1].number
                    events, update = told(batch)
                    await journal.apply(events, update)
                # Of the twenty blocks read so far, in two bulks, the upper five go: half of the second bulk.
                await chain.rollback((await chain.head()).number - batch_end + 5)
                await chain.mine(45)  # so that the same is final for both readers
                undone = []
                while (batch := await reader.step()) is not None:
                    events, update = told(batch)
                    await journal.apply(events, update)
                    undone.append(batch.rollback_to)
                found = await contents(cut)
                assert await journal.verify() > 200
            assert undone[0] == batch_end - 5
            async with database(tmp_path / "fresh.db") as (fresh, journal):
                reader = indexer(rpc, registry, part, Finality(20))
                while (batch := await reader.step()) is not None:
                    events, update = told(batch)
                    await journal.apply(events, update)
                expected = await contents(fresh)
    # What is alive is the same; a revocation whose block is gone stands all the same, which a fresh reader cannot know.
    alive = [row for row in found if row[2] != "none"]
    assert alive == [row for row in expected if row[2] != "none"]
    assert {row[:2] for row in expected} <= {row[:2] for row in found}


async def _follow(path: Path, chain: Anvil, registry: Deployment) -> list[tuple[Any, ...]]:
    async with Rpc([chain.url], chain.chain_id, SystemClock()) as rpc, database(path) as (opened, journal):
        await catch_up(indexer(rpc, registry, FEW), journal, ChainStore(opened), SystemClock(), lambda _: None)
        return await contents(opened)


async def test_the_long_history_of_the_benchmark_is_what_the_journal_writes(tmp_path: Path) -> None:
    head = Header(1_000, bytes(32), bytes(32), 5)
    async with database(tmp_path / "slow.db") as (slow, journal):
        for event in history(1_000, head.number):
            await journal.apply([event])
        expected, rows = await contents(slow), await journal.verify()
    assert await write_history(tmp_path / "fast.db", 1_000, head) == rows
    async with database(tmp_path / "fast.db") as (fast, journal):
        assert await contents(fast) == expected
        assert await journal.verify() == rows


@pytest.mark.long
async def test_memory_is_flat_in_history(tmp_path: Path) -> None:
    """architecture.md, scale: O(live state). Ten times the events over the same streams take no more memory."""

    async def peak(count: int) -> int:
        program = (sys.executable, "-m", "tests.support.history_child", str(count), str(tmp_path / f"{count}.db"))
        child = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
        told, _ = await child.communicate()
        assert child.returncode == 0
        return int(told)

    few, many = await asyncio.gather(peak(10_000), peak(100_000))
    assert many < few * 1.2, (few, many)
