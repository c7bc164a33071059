"""A database with a long history, and how long the real program takes from its start to being ready on it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from node.clock import SystemClock
from node.ledger.headers import Header
from node.projection import events as e
from node.projection.aggregates import deadlines_of, index_of
from node.projection.base import AggregateId, Block, Event
from node.projection.codec import CODEC
from node.projection.feed import announce
from node.projection.replay import World
from node.runtime.devnet.anvil import AnvilOptions
from node.runtime.devnet.devnet import Devnet, DevnetOptions
from node.storage.database import Database
from node.storage.extras import ChainUpdate
from node.storage.journal import Journal
from tests.support.nodes import NodeProcess, Surroundings
from tests.support.processes import free_port

__all__ = ["Restart", "history", "measure_restart", "write_history"]

_STREAMS, _EPOCHS = 50, 10
_IN_BLOCK = _STREAMS * _EPOCHS
_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Restart:
    """`seconds` from the start of the process until `/readyz` says 200; `megabytes`: its memory then."""

    events: int
    seconds: float
    megabytes: float


def _word(kind: str, number: int) -> bytes:
    return sha256(f"{kind}{number}".encode()).digest()


def history(count: int, last: int) -> Iterator[Event]:
    """About so many events, the last ones in block `last`: fifty streams, ten commits of each in a block, all final."""
    blocks = max(1, count // _IN_BLOCK)
    first = Block(last - blocks, _word("b", last - blocks))
    for n in range(_STREAMS):
        owner = _word("o", n)[:20]
        yield e.LoggedStreamRegistered(first, _word("s", n), owner, owner, _word("n", n), _word("k", n), 0, 900)
    for place in range(blocks):
        block = Block(first.number + 1 + place, _word("b", first.number + 1 + place))
        for n in range(_IN_BLOCK):
            epoch = place * _EPOCHS + n // _STREAMS + 1
            yield e.LoggedCommitted(block, _word("s", n % _STREAMS), epoch, _word("c", place * _IN_BLOCK + n))
        yield e.LoggedFinalized(block.number, 1_700_000_000)


async def write_history(path: Path, count: int, head: Header) -> int:
    """What the journal would have written for `history`, in bulk; the number of its rows. A test compares the two."""
    database = await Database.open(f"sqlite+aiosqlite:///{path}")
    await database.close()
    rows = await asyncio.to_thread(_fill, path, count, head.number)
    database = await Database.open(f"sqlite+aiosqlite:///{path}")
    journal = Journal(database, SystemClock())
    await journal.apply([], ChainUpdate([head], cursor=("finalized", head.number, head.hash)))
    await journal.close()
    await database.close()
    return rows


def _fill(path: Path, count: int, last: int) -> int:
    world, rows = World(), _Rows()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for event in history(count, last):
            rows.take(world, event)
            if len(rows.journal) >= 20_000:
                rows.write(connection)
        rows.write(connection)
        rows.write_states(connection, world)
    connection.close()
    return rows.seq


class _Rows:
    """Rows of the tables, in the order of their columns."""

    def __init__(self) -> None:
        self.seq = 0
        self.fed = 0
        self.journal: list[tuple[Any, ...]] = []
        self.targets: list[tuple[Any, ...]] = []
        self.feed: list[tuple[Any, ...]] = []
        self.created: dict[AggregateId, int] = {}
        self.updated: dict[AggregateId, int] = {}

    def take(self, world: World, event: Event) -> None:
        self.seq += 1
        self.journal.append((self.seq, type(event).__name__, 1_700_000_000, CODEC.encode(event)))
        effects = world.apply(event)
        for aggregate in self._targets(world, event):
            self.created.setdefault(aggregate, self.seq)
            self.updated[aggregate] = self.seq
            self.targets.append((aggregate.kind, aggregate.key, self.seq))
        if isinstance(event, e.LoggedFinalized):
            return
        (aggregate,) = world.targets(event)
        for each in announce(event, aggregate, world.get(aggregate), effects):
            self.fed += 1
            block = (each.block.number, each.block.hash) if each.block else (None, None)
            row = (self.fed, each.kind, aggregate.kind, aggregate.key, 1_700_000_000, None, *block, each.undo)
            self.feed.append((*row, _json(each.data)))

    @staticmethod
    def _targets(world: World, event: Event) -> tuple[AggregateId, ...]:
        # Every stream has something to settle in every block of this history.
        return tuple(sorted(world.states)) if isinstance(event, e.LoggedFinalized) else world.targets(event)

    def write(self, connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT INTO journal VALUES (?,?,?,?)", self.journal)
        connection.executemany("INSERT INTO journal_targets VALUES (?,?,?)", self.targets)
        connection.executemany("INSERT INTO feed VALUES (?,?,?,?,?,?,?,?,?,?)", self.feed)
        for rows in (self.journal, self.targets, self.feed):
            rows.clear()
        connection.commit()

    def write_states(self, connection: sqlite3.Connection, world: World) -> None:
        for aggregate, state in world.states.items():
            index = index_of(state)
            assert not deadlines_of(state)
            seqs = (self.created[aggregate], self.updated[aggregate])
            heights = (index.top_block, index.unsettled, index.chain_deadline)
            row = (aggregate.kind, aggregate.key, index.status, *heights, *seqs, CODEC.encode(state))
            connection.execute("INSERT INTO states VALUES (?,?,?,?,?,?,?,?,?)", row)
            links = [(name, value, aggregate.kind, aggregate.key) for name, value in dict.fromkeys(index.links)]
            connection.executemany("INSERT INTO state_links VALUES (?,?,?,?)", links)
        connection.commit()


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


async def measure_restart(folder: Path, count: int) -> Restart:
    """Make the history, start a real home with a broker inside on a real chain, and wait until it is ready."""
    async with Devnet(DevnetOptions(AnvilOptions(block_time=1))) as devnet:
        for _ in range(count // _IN_BLOCK // 100 + 1):
            await devnet.rpc.request("anvil_mine", [hex(110)])
        around = Surroundings(
            folder, devnet.url, devnet.chain_id, "0x" + devnet.registry.address.hex(), devnet.registry.block, ""
        )
        broker = f"127.0.0.1:{free_port()}"
        settings = {"broker.embedded": True, "broker.listen": broker, "broker.url": f"mqtt://{broker}"}
        node = NodeProcess("home", "home", around, settings)
        node.init()
        rights = f'name = "{node.name}"\npassword_hash_file = "{node.hash_file}"\nrules = ["read wattpact/v1/+/data"]\n'
        with node.config.open("a", encoding="utf-8") as config:
            config.write(f"\n[[broker.users]]\n{rights}")
        events = await write_history(node.folder / "wattpact.db", count, await devnet.rpc.head())
        try:
            began = time.monotonic()
            await node.launch()
            seconds = await _ready(node, began)
            memory = psutil.Process(node.process.pid).memory_info().rss / 2**20
        finally:
            await node.process.end()
    return Restart(events, seconds, memory)


async def _ready(node: NodeProcess, began: float) -> float:
    async with aiohttp.ClientSession() as http:
        while time.monotonic() - began < _WITHIN_S:
            assert node.process.running, node.process.said()[-2_000:]
            try:
                async with http.get(f"{node.url}/readyz") as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
    raise AssertionError(f"not ready in time: {node.process.said()[-2_000:]}")
