"""A process that tells a journal numbered facts and prints each number once it is on disk, until it is killed."""

from __future__ import annotations

import asyncio
import sys

from node.clock import SystemClock
from node.projection.base import Effect
from node.projection.effects import EFFECTS, NotifyCommitted
from node.runtime.executor import Executor, Handlers
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.extras import ChainUpdate, StoredHeader
from node.storage.journal import Journal
from node.storage.outbox import Outbox
from tests.unit.node.projection.kit import commit, h32


async def main(url: str) -> None:
    database = await Database.open(url)
    journal = Journal(database, SystemClock())
    outbox = Outbox(database, "child")
    await outbox.release()
    handlers = Handlers()

    async def carried_out(effect: Effect) -> None:
        if isinstance(effect, NotifyCommitted):
            print(f"carried {effect.epoch}", flush=True)

    for kind in EFFECTS:
        handlers.on(kind, carried_out)
    executor = Executor(outbox, journal, handlers, SystemClock())

    async def tell() -> None:
        # Where to go on is the stored cursor, never what this process remembers.
        cursor = await journal_cursor(database)
        for number in range(cursor + 1, 1_000_000):
            header = StoredHeader(number, h32("h"), h32("p"), number)
            await journal.apply([commit(number, number)], ChainUpdate([header], cursor=("registry", number, h32("h"))))
            print(f"told {number}", flush=True)

    async def carry() -> None:
        while True:
            if not await executor.step():
                await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as group:
        group.create_task(tell())
        group.create_task(carry())


async def journal_cursor(database: Database) -> int:
    found = await ChainStore(database).cursor("registry")
    return 0 if found is None else found[0]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
