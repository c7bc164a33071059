"""The database from a full chain, and a restart on a long history."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from node.app.commands.rebuild import catch_up
from node.app.garbage import collect_seldom
from node.clock import SystemClock
from node.ledger.finality import Finality
from node.ledger.indexer import Indexer
from node.ledger.logs import Watched
from node.ledger.registry import RegistryDecoder
from node.ledger.rpc import Rpc
from node.projection.events import ChainEvent
from node.runtime.devnet.deploy import deploy_registry
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.journal import Journal
from scripts.benchmarks.rows import Row, at_least, at_most
from tests.support.anvil import Anvil, anvil
from tests.support.fullchain import fill
from tests.support.longhistory import measure_restart

__all__ = ["measure"]

EVENTS, PER_BLOCK, ROUNDS = 20_000, 200, 3
HISTORY = 1_000_000


def measure() -> list[Row]:
    """Events a second from a real chain to stored states; seconds from start to ready on a million events."""
    with tempfile.TemporaryDirectory() as folder:
        rates = asyncio.run(_index(Path(folder)))
    with tempfile.TemporaryDirectory() as folder:
        restart = asyncio.run(measure_restart(Path(folder), HISTORY))
    anchor = f"{EVENTS} events in blocks of {PER_BLOCK}, best of {', '.join(f'{rate:.0f}' for rate in rates)}"
    row = at_most("restart_after_1m_events_s", restart.seconds, "s", 5, f"{restart.events} events, real process")
    return [at_least("index_events_per_s", max(rates), "events/s", 5_000, anchor), row]


async def _index(folder: Path) -> list[float]:
    collect_seldom()  # as the node and `wattpact rebuild` do
    async with anvil(block_time=0) as chain:
        deployment = await deploy_registry(chain.rpc, payer=chain.signers[3].address)
        await fill(chain, deployment.address, EVENTS, PER_BLOCK)
        watched = Watched((deployment.address,), deployment.block)
        return [await _once(chain, watched, folder / f"{n}.db") for n in range(ROUNDS)]


async def _once(chain: Anvil, watched: Watched, path: Path) -> float:
    clock = SystemClock()
    database = await Database.open(f"sqlite+aiosqlite:///{path}")
    journal = Journal(database, clock)
    # As in a node that has no role in what these events are about.
    journal.want(())
    async with Rpc([chain.url], chain.chain_id, clock) as rpc:
        indexer: Indexer[ChainEvent] = Indexer(rpc, watched, RegistryDecoder(), Finality(1), clock)
        began = clock.monotonic()
        found = await catch_up(indexer, journal, ChainStore(database), clock, lambda _: None)
        spent = clock.monotonic() - began
    assert found.events > EVENTS
    await journal.close()
    await database.close()
    return found.events / spent
