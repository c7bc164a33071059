"""A switch to a fork of depth 12 and 64, through sender, batches, indexer and journal together, all of them on disk.

Signed messages go in before it. Afterwards each is in force once, and what the node's database says is what a database
says that has only ever seen the new chain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from keys import messages as m
from keys.signers import LocalSigner
from node.app.progress import FINAL, told
from node.clock import SystemClock
from node.ledger.batches import Batches, BatchFace
from node.ledger.finality import Finality
from node.ledger.indexer import Indexer, IndexerOptions
from node.ledger.logs import Watched
from node.ledger.registry import RegistryDecoder, registry_batch, registry_reason, rejections
from node.ledger.relay import Relay
from node.ledger.sender import Sender, SenderOptions
from node.ledger.stored import StoredTransactions
from node.ledger.transaction import TxState
from node.projection.events import ChainEvent
from node.storage.chain import ChainStore
from node.storage.database import Database
from node.storage.journal import Journal
from node.storage.schema import states
from node.storage.transactions import TransactionRows
from tests.support.anvil import dev_signer
from tests.support.registryworld import ZERO, World, world

pytestmark = pytest.mark.chain


@dataclass
class Node:
    """The chain side of a node on its database. ``again`` is the same after a restart."""

    world: World
    database: Database
    sender: Sender
    batches: Batches
    relay: Relay
    indexer: Indexer[ChainEvent]
    journal: Journal
    alarms: int = 0

    async def read(self) -> None:
        """To the head, into the journal."""
        while (batch := await self.indexer.step()) is not None:
            events, update = told(batch)
            await self.journal.apply(events, update)
            self.alarms += batch.undone_final
            if batch.rollback_to is not None:
                self.sender.look_again()

    async def turn(self) -> None:
        """What a node does around one block."""
        await self.batches.step()
        await self.sender.step()
        await self.world.devnet.mine()
        await self.sender.step()
        await self.batches.settle()
        await self.read()


@asynccontextmanager
async def node(w: World, payer: LocalSigner, folder: Path, depth: int) -> AsyncIterator[Node]:
    rpc, clock, address = w.devnet.rpc, SystemClock(), w.views.address
    database = await Database.open(f"sqlite:///{folder / 'node.db'}")
    journal = Journal(database, clock)
    options = SenderOptions(folder, Finality(depth), idle_pause=0.0)
    store = StoredTransactions(TransactionRows(database))
    face = BatchFace(lambda calls: registry_batch(address, calls), rejections, registry_reason)
    watched = Watched((address,), w.devnet.registry.block)
    try:
        async with Sender(rpc, payer, store, clock, registry_reason, options) as sender:
            indexer = Indexer(rpc, watched, RegistryDecoder(), Finality(depth), clock, IndexerOptions())
            final = await ChainStore(database).cursor(FINAL)
            indexer.resume(await ChainStore(database).load_headers(), final[0] if final else -1)
            batches = Batches(rpc, sender, face, clock)
            yield Node(w, database, sender, batches, Relay(rpc, sender, w.views), indexer, journal)
    finally:
        await journal.close()
        await database.close()


async def contents(database: Database) -> list[tuple[Any, ...]]:
    """Every state, without the journal numbers that depend on the way to it."""
    chosen = (states.c.kind, states.c.key, states.c.status, states.c.top_block, states.c.unsettled, states.c.document)
    async with database.read() as connection:
        return sorted(tuple(row) for row in await connection.execute(select(*chosen)))


@dataclass
class Told:
    """What was signed: grant ids, those of them that are revoked, and all digests."""

    grants: list[bytes]
    revoked: list[bytes]
    digests: list[bytes]


async def say(n: Node, said: Told, message: m.Message, *signers: LocalSigner) -> bytes:
    digest = (await n.relay.accept(message, await n.world.sign(message, *signers))).digest
    said.digests.append(digest)
    return digest


async def one_block(n: Node, said: Told, sid: bytes, number: int) -> None:
    """Two grants, and in every third block the end of an earlier one."""
    w = n.world
    for _ in range(2):
        said.grants.append(await say(n, said, w.grant(sid), w.owner))
    if number % 3 == 2:
        said.revoked.append(said.grants[number])
        await say(n, said, m.Revoke(w.owner.address, said.grants[number], ZERO), w.owner)
    await n.turn()


async def fork(n: Node, depth: int, how: str) -> None:
    """Replace the newest blocks by empty ones, or by a branch with the same transactions in its first block."""
    rpc = n.world.devnet.rpc
    moved: list[list[Any]] = []
    if how == "moved":
        head = await rpc.head()
        for height in range(head.number - depth + 1, head.number + 1):
            for spent in await rpc.transactions_of_block(height) or ():
                raw = await rpc.request("eth_getRawTransactionByHash", ["0x" + spent.hash.hex()])
                moved.append([raw, 0])
        assert len(moved) >= depth
    await rpc.request("anvil_reorg", [depth, moved])


@pytest.mark.parametrize(
    ("depth", "finality", "how", "restart"),
    [
        (12, 1, "empty", True),
        (12, 100, "moved", True),
        (64, 1, "empty", False),
        (64, 100, "moved", True),
        pytest.param(64, 100, "empty", False, marks=pytest.mark.long),
    ],
)
async def test_after_a_fork_each_message_is_in_force_once(
    tmp_path: Path, depth: int, finality: int, how: str, restart: bool
) -> None:
    said = Told([], [], [])
    async with world(tmp_path / "world") as w:
        payer = dev_signer(1)
        async with node(w, payer, tmp_path, finality) as n:
            stream = w.stream()
            sid = w.sid(stream)
            await say(n, said, stream, w.owner, w.writer)
            await n.turn()
            for number in range(3):
                await one_block(n, said, sid, number)
            for number in range(3, depth + 3):
                await one_block(n, said, sid, number)
            await fork(n, depth, how)
            if not restart:
                await settled(n, finality)
        if restart:
            async with node(w, payer, tmp_path, finality) as n:
                await settled(n, finality)
        await check(w, payer, tmp_path, said, sid)


async def settled(n: Node, finality: int) -> None:
    """Until nothing is open any more, and every block of ours is final for the reader too."""
    await n.read()
    assert n.alarms == (finality == 1)
    for _ in range(8):
        await n.turn()
    await n.world.devnet.mine(finality)
    for _ in range(3):
        await n.turn()
    assert n.sender.open_count == 0


async def check(w: World, payer: LocalSigner, folder: Path, said: Told, sid: bytes) -> None:
    rpc = w.devnet.rpc
    async with node(w, payer, folder, 1) as n:
        for digest in said.digests:
            tx = await n.sender.find(digest)
            assert tx is not None
            assert (tx.state, tx.succeeded) == (TxState.FINAL, True)
        for grant in said.grants:
            live = await w.views.is_live(grant, sid, w.now + 10)
            assert live == (grant not in said.revoked)
        grown = await contents(n.database)
    head = await rpc.head()
    logs = await rpc.logs([w.views.address], w.devnet.registry.block, head.number)
    told_of = [event for log in logs if (event := RegistryDecoder().decode(log)) is not None]
    assert len(told_of) == len(said.digests), "each message acted once"
    (folder / "fresh").mkdir()
    async with node(w, payer, folder / "fresh", 1) as fresh:
        await fresh.read()
        assert await contents(fresh.database) == grown
