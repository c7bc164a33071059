"""A process that reads a chain into a database as fast as it can, until it is there or killed.

python -m tests.support.catchup_child RPC-URL CHAIN-ID REGISTRY START-BLOCK DATABASE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from node.app.commands.rebuild import catch_up
from node.clock import ManualClock, SystemClock
from node.ledger.finality import Finality
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.registry import RegistryDecoder
from node.ledger.rpc import Rpc
from node.projection.events import ChainEvent
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.journal import Journal


async def main(url: str, chain_id: int, registry: bytes, start: int, path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{path}")
    journal = Journal(database, ManualClock(1_000))
    options = IndexerOptions(near_range=6, window=160)
    async with Rpc([url], chain_id, SystemClock()) as rpc:
        watched = Watched((registry,), start)
        indexer: Indexer[ChainEvent] = Indexer(rpc, watched, RegistryDecoder(), Finality(1), SystemClock(), options)
        print("reading", flush=True)
        await catch_up(indexer, journal, ChainStore(database), SystemClock(), lambda _: None)
    await journal.close()
    await database.close()
    print("there", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])))
