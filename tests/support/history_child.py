"""A process that puts a long history through the journal and tells the most memory that Python had for it, in bytes.

python -m tests.support.history_child EVENTS DATABASE

A process of its own: how soon the collector looks for cycles depends on all else that is alive, and what was asked for
before is in the caches already.
"""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from pathlib import Path

from node.clock import ManualClock
from node.projection.base import Event
from node.projection.events import LoggedFinalized
from node.storage.database import Database
from node.storage.journal import Journal
from tests.support.longhistory import history


async def main(count: int, path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{path}")
    journal = Journal(database, ManualClock(1_000))
    journal.want(())
    tracemalloc.start()
    batch: list[Event] = []
    for event in history(count, 10_000):
        batch.append(event)
        if isinstance(event, LoggedFinalized):
            await journal.apply(batch)
            batch = []
    print(tracemalloc.get_traced_memory()[1])
    await journal.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
