"""A household beside its gateway (pastworld.py), a stream with a past, and the eyes of a thief of the gateway's folder.

The thief has every file, the passphrase of the keystore, the recovery phrase, and every envelope and commit that the
broker ever had.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from channels.commit import Commit
from channels.errors import ChannelError, StoreError
from channels.ggm import CoverNode
from channels.kdf import kdf
from channels.masters import Masters
from channels.stores.records import Capsule, LogKind, StoredCommit, StoredEnvelope
from channels.stores.sealed import StoreSeal
from channels.transports.inprocess import Hub
from channels.transports.topics import Kind, Topic
from channels.writer_state import StateChange, WriterState
from keys.identity import Identity
from keys.keystore import Keystore
from node.app.core import Core, peer_of
from node.app.inbox import Inbox
from node.app.streams.home import HomeRole
from node.app.streams.pastkeeping import PastKeeper
from node.app.streams.provider import ProviderRole
from node.app.submissions import Submissions
from node.clock import ManualClock
from node.projection import events as e
from node.projection.base import Event
from node.services.gateway.members import OWNER
from node.wire.past import PastReceipt, read_past
from node.wire.streams import OwnerKey
from tests.support.pastworld import GENESIS, PAIRING, SLOT, Delivered, Gateway, open_core_of
from tests.support.raw_keys import evolved, opened_wraps, raw_open
from tests.unit.node.projection.kit import block, h32

__all__ = ["DAYS", "World", "files", "opened", "read_all", "world_with_a_past"]

DAYS = 6
"""Slots with a reading each; the third begins an epoch."""
GONE = h32("z")
"""A grant that was served and has no leaf."""


@dataclass
class World:
    """A gateway in a folder of its own, its household, and what the broker had."""

    folder: Path
    clock: ManualClock
    hub: Hub
    stack: AsyncExitStack
    gateway_stack: AsyncExitStack
    gateway: Gateway
    home: PastKeeper
    home_post: Delivered
    home_inbox: Inbox
    reading: ProviderRole
    chain: list[Event]
    role: HomeRole
    others: list[Core]
    envelopes: tuple[StoredEnvelope, ...] = ()
    commits: tuple[StoredCommit, ...] = ()

    @property
    def sid(self) -> bytes:
        return self.gateway.writing.spec.sid

    async def tell(self, *events: Event) -> None:
        """The chain says the same to both."""
        self.chain += events
        for core in (self.gateway.core, self.home._core, *self.others):
            await core.storage.journal.apply(events)

    async def rounds(self, most: int = 30) -> None:
        """Both go on until the household has done everything."""
        for _ in range(most):
            await self.home.step()
            told = await self.gateway.round()
            self.chain += told
            await self.home._core.storage.journal.apply(told)
            await asyncio.sleep(0.01)
            found = await self.home.of(self.sid)
            if found.state == "done":
                return
        raise AssertionError("it does not come to an end")

    async def keep_aside(self) -> None:
        """What the broker had, whatever becomes of the gateway's own."""
        store = self.gateway.core.storage.channels
        self.envelopes, self.commits = await store.envelopes(self.sid), await store.commits(self.sid)

    async def receipt(self) -> PastReceipt:
        document = (await self.home.of(self.sid)).receipt
        assert document is not None
        return read_past(document)


@asynccontextmanager
async def world_with_a_past(folder: Path, signed: tuple[str, ...] = ()) -> AsyncIterator[World]:
    """Paired, registered, two epochs of three slots with a reading each; the household has read them all."""
    async with AsyncExitStack() as stack:
        clock, hub = ManualClock(GENESIS), Hub()
        hub.start()
        its = await stack.enter_async_context(AsyncExitStack())
        core = await open_core_of(its, folder / "gateway", 2, "gateway", clock, hub, signed=signed)
        own = await open_core_of(stack, folder / "home", 1, "home", clock, hub)
        gateway, post, inbox = Gateway(core), Delivered(own), Inbox(own)
        home, reading = HomeRole(own, post, Submissions(own)), ProviderRole(own)
        keeper = PastKeeper(own, post, home, reading)
        keeper.register(inbox)
        inbox.on("stream.offer", home._take_offer)
        gateway.post.to[own.signer.address] = inbox
        post.to[core.signer.address] = gateway.inbox
        device = core.signer.address
        for each, other in ((core, own), (own, core)):
            peer = peer_of(other.card)
            met = e.ReceivedPairing(PAIRING, own.signer.address, device, h32("s"), peer, "", GENESIS)
            await each.storage.journal.apply([met])
        found = World(folder, clock, hub, stack, its, gateway, keeper, post, inbox, reading, [], home, [])
        paired = e.LoggedDevicePaired(block(1), own.signer.address, PAIRING, device)
        await found.tell(paired, e.LoggedFinalized(1, GENESIS))
        await found.tell(*await gateway.registered())
        await _filled(found)
        await read_all(found, DAYS)
        yield found
        for reader in reading.reading.values():
            reader.task.cancel()
        await asyncio.gather(*(reader.task for reader in reading.reading.values()), return_exceptions=True)


async def _filled(world: World) -> None:
    gateway, own = world.gateway, world.home._core
    spec = gateway.role.specs[0]
    await gateway.role._offer(spec, peer_of(own.card))
    key = own.keys.identity.sealing_key(f"own-stream/{spec.sid.hex()}").public_bytes
    await world.home_post.send(
        peer_of(gateway.core.card), "stream.owner_key", OwnerKey(sid=spec.sid, owner_key=key).to_json()
    )
    await world.reading._open_own()
    await asyncio.sleep(0.1)
    for day in range(DAYS):
        if day == 3:
            gateway.writing.engine.closing = 1
        told = await gateway.rounds(lambda: _active(gateway), 5)
        world.chain += told
        await own.storage.journal.apply(told)
        await gateway.take_in(1000 + day)
        world.clock.advance(1)
        await gateway.round()
        world.clock.advance(SLOT - 1)
    await gateway.round()
    served = Capsule(GONE, 1, h32("y"), b"keys to the past")
    await gateway.core.storage.channels.put_capsule(spec.sid, served)
    await gateway.core.transport.publish(Topic(Kind.CAPSULE, spec.sid, GONE), served.data)
    await gateway.core.storage.channels.mark_published(
        spec.sid, LogKind.CAPSULE, (await gateway.core.storage.channels.capsules(spec.sid))[-1].position
    )
    await gateway.round()


def _active(gateway: Gateway) -> bool:
    engine = gateway.writing.engine
    return engine.active_epoch == engine.writer.epoch > engine.closing


async def read_all(world: World, count: int) -> None:
    """Waits until the household has opened so many readings."""
    store = world.home._core.storage.channels
    for _ in range(200):
        if await store.reading_count(world.sid, OWNER) == count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{await store.reading_count(world.sid, OWNER)} of {count} were read")


# What a thief finds


def _windows(secret: bytes) -> Iterator[bytes]:
    return (secret[at : at + 32] for at in range(len(secret) - 31))


def _states(sealed: Iterator[bytes]) -> Iterator[set[bytes]]:
    """The keys in whatever writer's states open."""
    for data in sealed:
        for read in (WriterState.from_bytes, StateChange.from_bytes):
            try:
                found = read(data)
            except ChannelError:
                continue
            if isinstance(found, StateChange):
                yield set(found.delta.keys.values())
            else:
                keys, _ = found.tree.dump()
                yield {level[at : at + 32] for level in keys for at in range(0, len(level), 32)}


def _secrets(folder: Path) -> tuple[set[bytes], list[dict[int, list[CoverNode]]]]:
    """Every key in the folder, by passphrase and phrase: single ones, and the trees over time."""
    keystore = Keystore.open(folder / "keystore", "x")
    identity = Identity(bytes([2]) * 64)
    single: set[bytes] = {identity.secret("channel-store")}
    trees: list[dict[int, list[CoverNode]]] = []
    states: list[bytes] = []
    sid = bytes.fromhex(next(n for n in keystore.names() if n.startswith("masters-"))[8:72])
    for name in keystore.names():
        secret = keystore.get(name)
        if not name.startswith("masters-"):
            single.update(_windows(secret))
            continue
        masters = Masters.from_bytes(secret)
        part = {} if masters.part is None else {masters.part.epoch: list(masters.part.slots)}
        trees.append({-1: list(masters.epochs), **part})
        single.add(masters.tree)
        seal = StoreSeal(kdf(masters.tree, b"tree-snapshot", sid))
        for path in (folder / "trees").glob("*"):
            try:
                states.append(seal.open("masters", sid, b"", path.read_bytes()))
            except StoreError:
                continue
    seal = StoreSeal(identity.secret("channel-store"))
    for file in folder.glob("*.db"):
        with sqlite3.connect(file) as database:
            for purpose, query in (
                ("writer", "SELECT '', snapshot FROM channel_writer"),
                ("writer-change", "SELECT epoch, data FROM channel_change"),
            ):
                for row in database.execute(query).fetchall() if _has(database, "channel_writer") else []:
                    place = int(row[0]).to_bytes(8, "big") if purpose == "writer-change" else b""
                    states.append(seal.open(purpose, sid, place, row[1]))
        database.close()
    for keys in _states(iter(states)):
        single |= keys
    return single, trees


def _has(database: sqlite3.Connection, table: str) -> bool:
    return bool(database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall())


def opened(world: World) -> list[int]:
    """The slots of the envelopes kept aside that the gateway's folder opens, its keys used in every place."""
    single, trees = _secrets(world.folder / "gateway")
    climbed = evolved(single)
    found = {
        header.slot for header in world.envelopes for nodes in trees if raw_open(single, nodes, header.data) is not None
    }
    for commit in world.commits:
        below = {envelope.slot for envelope in world.envelopes if envelope.epoch == commit.epoch}
        if below - found and opened_wraps(climbed, Commit.decode(commit.data)):
            found |= below
    return sorted(found)


def files(folder: Path) -> list[bytes]:
    """What is in every file below."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
