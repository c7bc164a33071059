"""The erasure of a gateway's own past (channels.md 4 rule 11), with the eyes of a thief of the gateway's whole folder.

The thief has every file, the passphrase of the keystore, the recovery phrase, and every envelope and commit that the
broker ever had.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

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
from keys.messages import parcel_domain
from node.app.core import peer_of
from node.app.inbox import Inbox
from node.app.streams import pasterasing
from node.app.streams.home import OWN_STREAM, HomeRole
from node.app.streams.opening import Writing
from node.app.streams.pasterasing import RECEIPT
from node.app.streams.pastkeeping import ANSWER, ASKED, SENT, PastKeeper, last_place
from node.app.streams.provider import ProviderRole
from node.app.submissions import Submissions
from node.clock import ManualClock
from node.errors import Conflict, InvalidInput, NotFound, Refused
from node.projection import events as e
from node.projection.base import Event
from node.projection.stream import Stream
from node.services.gateway.members import OWNER
from node.wire.past import PastReceipt, SignedPast, past_statement, read_past
from node.wire.streams import OwnerKey, StreamOffer
from tests.support import pastworld
from tests.support.pastworld import GENESIS, PAIRING, SLOT, STEPS, Delivered, Gateway, open_core_of
from tests.support.raw_keys import evolved, opened_wraps, raw_open
from tests.unit.node.projection.kit import block, h32

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
    envelopes: tuple[StoredEnvelope, ...] = ()
    commits: tuple[StoredCommit, ...] = ()

    @property
    def sid(self) -> bytes:
        return self.gateway.writing.spec.sid

    async def tell(self, *events: Event) -> None:
        """The chain says the same to both."""
        self.chain += events
        for core in (self.gateway.core, self.home._core):
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


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Paired, registered, two epochs of three slots with a reading each; the household has read them all."""
    async with AsyncExitStack() as stack:
        clock, hub = ManualClock(GENESIS), Hub()
        hub.start()
        its = await stack.enter_async_context(AsyncExitStack())
        core = await open_core_of(its, tmp_path / "gateway", 2, "gateway", clock, hub)
        own = await open_core_of(stack, tmp_path / "home", 1, "home", clock, hub)
        gateway, post, inbox = Gateway(core), Delivered(own), Inbox(own)
        home, reading = HomeRole(own, post, Submissions(own)), ProviderRole(own)
        keeper = PastKeeper(own, post, home, reading)
        keeper.register(inbox)
        gateway.post.to[own.signer.address] = inbox
        post.to[core.signer.address] = gateway.inbox
        device = core.signer.address
        for each, other in ((core, own), (own, core)):
            peer = peer_of(other.card)
            met = e.ReceivedPairing(PAIRING, own.signer.address, device, h32("s"), peer, "", GENESIS)
            await each.storage.journal.apply([met])
        found = World(tmp_path, clock, hub, stack, its, gateway, keeper, post, inbox, reading, [])
        paired = e.LoggedDevicePaired(block(1), own.signer.address, PAIRING, device)
        await found.tell(paired, e.LoggedFinalized(1, GENESIS))
        await found.tell(*await gateway.registered())
        await _filled(found)
        await _read(found, DAYS)
        yield found
        for reader in reading.reading.values():
            reader.task.cancel()
        await asyncio.gather(*(reader.task for reader in reading.reading.values()), return_exceptions=True)


async def _filled(world: World) -> None:
    gateway, own = world.gateway, world.home._core
    spec = gateway.role.specs[0]
    offer = StreamOffer(
        category=spec.category, salt=spec.salt, writer=spec.writer.address, stream_key=spec.stream_key.public_bytes,
        stream_key_hash=spec.stream_key.key_hash(), genesis=GENESIS, slot_seconds=SLOT, nonce="1", deadline=2**39,
        writer_signature=bytes(65),
    )  # fmt: skip
    await own.storage.memory.keep((), [(OWN_STREAM, spec.sid.hex(), offer.to_json())])
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


async def _read(world: World, count: int) -> None:
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
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


# Tests


async def test_nothing_that_the_gateway_has_opens_its_past_afterwards(world: World) -> None:
    """channels.md 4 rule 11: masters, tree, states, store, replica and capsules; and the household's own copy."""
    await world.keep_aside()
    assert opened(world) == list(range(DAYS)), "the attack opens what it can before"
    before = files(world.folder / "gateway")
    assert all(any(each.data in content for content in before) for each in world.envelopes)
    asked = await world.home.ask(world.sid, None, "moved out")
    assert asked.state == "asked"
    await world.rounds()
    assert opened(world) == []
    after = files(world.folder / "gateway") + files(world.folder / "home")
    for each in world.envelopes:
        assert not any(each.data in content for content in after)
    assert not any(b"keys to the past" in content for content in after)
    receipt = await world.receipt()
    assert (receipt.epoch, receipt.envelopes, receipt.keys, receipt.copies) == (2, DAYS, 1, 2)
    assert (receipt.account, receipt.reason) == (world.gateway.writing.spec.writer.address, "moved out")
    assert receipt.commit_hash == world.commits[1].hash
    kept = await world.gateway.core.storage.channels.commits(world.sid)
    assert [commit.epoch for commit in kept] == [1, 2, 3], "what proves the past stays"
    assert await world.home._core.storage.channels.reading_count(world.sid, OWNER) == 0
    for core in (world.home._core, world.gateway.core):
        place = await last_place(core, world.sid)
        assert place is not None
        assert (place.seq, place.hash) == (DAYS, world.envelopes[-1].hash), "a next gateway goes on behind it"


async def test_before_a_day_everything_else_stays(world: World) -> None:
    """channels.md 4 rule 11: an epoch that the day falls into loses its earlier slots, and no reader loses the rest."""
    await world.keep_aside()
    await world.home.ask(world.sid, GENESIS + 4 * SLOT, "")
    await world.rounds()
    assert opened(world) == [4, 5]
    receipt = await world.receipt()
    assert (receipt.epoch, receipt.before_slot, receipt.envelopes) == (2, 4, 4)
    own = await world.home._core.storage.channels.readings(world.sid, OWNER, 0, 2**39)
    assert [row.slot for row in own] == [4, 5]


async def test_the_stream_goes_on_and_a_lost_log_is_made_again_from_the_snapshot(world: World) -> None:
    """channels.md 4 rule 11 with 7: T by a new one beside a snapshot, from which a lost store is rebuilt."""
    await world.home.ask(world.sid, None, "")
    await world.rounds()
    gateway = world.gateway
    await gateway.take_in(7)
    world.clock.advance(1)
    await gateway.round()
    await _read(world, 1)
    writer = gateway.writing.engine.writer
    tree, position = writer.state.tree.dump(), writer.position
    core = gateway.core
    with sqlite3.connect(world.folder / "gateway" / "channels.db") as database:
        database.execute("DELETE FROM channel_writer")
        database.execute("DELETE FROM channel_change")
        database.execute("UPDATE channel_stream SET progress = NULL")
    database.close()
    again = Gateway(core)
    again.post.to = gateway.post.to
    await again.round()
    made = again.writing.engine.writer
    assert made.state.tree.dump() == tree
    assert (made.position.seq, made.epoch) == (position.seq, 3)


async def test_asked_again_it_is_the_same_erasure(world: World) -> None:
    first = await world.home.ask(world.sid, None, "once")
    assert await world.home.ask(world.sid, None, "twice") == first
    await world.rounds()
    done = await world.home.of(world.sid)
    covered = await world.home.ask(world.sid, GENESIS + SLOT, "covered by it")
    assert covered == done
    world.clock.advance(1)
    await world.home.ask(world.sid, None, "later")
    assert (await world.home.of(world.sid)).reason == "later"


async def test_what_cannot_be_is_refused(world: World) -> None:
    with pytest.raises(NotFound):
        await world.home.ask(h32("q"), None, "")
    with pytest.raises(InvalidInput):
        await world.home.ask(world.sid, world.clock.now() + 1, "")
    with pytest.raises(NotFound):
        await world.home.of(world.sid)
    stranger = await open_core_of(world.stack, world.folder / "stranger", 3, "home", world.clock, world.hub)
    post = Delivered(stranger)
    post.to[world.gateway.core.signer.address] = world.gateway.inbox
    body = {"erasure_id": "0x" + h32("e").hex(), "sid": "0x" + world.sid.hex(), "requested_at": GENESIS}
    with pytest.raises(Refused):
        await post.send(peer_of(world.gateway.core.card), "stream.erase", body)
    await world.tell(e.LoggedWriterSet(block(900), world.sid, bytes(20), bytes(32)))
    with pytest.raises(Conflict):
        await world.home.ask(world.sid, None, "")


async def test_attack_a_receipt_of_somebody_else_or_for_something_else(world: World) -> None:
    """A provider, or whoever can reach the inbox, would have the household believe that the past is gone."""
    await world.home.ask(world.sid, None, "moved out")
    writing: Writing = world.gateway.writing
    await world.rounds()
    true = await world.receipt()

    async def signed(receipt: PastReceipt, by: Any) -> dict[str, Any]:
        signature = await by.sign_message(past_statement(receipt), parcel_domain(receipt.chain_id))
        document: dict[str, Any] = SignedPast(receipt=receipt, signature=signature).to_json()
        return document

    own = peer_of(world.home._core.card)
    changes = ({"before": GENESIS}, {"reason": "other"}, {"requested_at": 1}, {"owner": b"x" * 20}, {"chain_id": 1})
    for change in changes:
        lie = await signed(true.model_copy(update=change), writing.spec.writer)
        with pytest.raises(Refused):
            await world.gateway.post.send(own, "stream.erased", lie)
    stranger = Identity(bytes([9]) * 64).wallet()
    forged = await signed(true.model_copy(update={"account": stranger.address}), stranger)
    with pytest.raises(Refused, match="writer that the chain names"):
        await world.gateway.post.send(own, "stream.erased", forged)
    with pytest.raises(Refused, match="not signed"):
        await world.gateway.post.send(own, "stream.erased", {**forged, "receipt": true.to_json()})


async def test_a_second_store_out_of_reach_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """channels.md 4 rule 11, every copy that counts: nothing is called erased while one still lies somewhere."""
    replicas = world.gateway.core.storage.replicas

    async def away(_replica: object) -> None:
        return None

    await world.home.ask(world.sid, None, "")
    with monkeypatch.context() as broken:
        broken.setattr(replicas, "_reach", away)
        with pytest.raises(AssertionError):
            await world.rounds(8)
        assert not await world.gateway.core.storage.memory.facts.all(RECEIPT)
        [why] = world.gateway.role.erasing.values()
        assert "cannot be reached" in why
    await world.rounds()
    assert (await world.receipt()).envelopes == DAYS
    assert world.gateway.role.erasing == {}


async def test_no_receipt_before_renewed_capsules_are_in_the_place_of_former_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """channels.md 4 rule 11: what the broker keeps of the household's own capsule opens the past until then."""
    core, topic = world.gateway.core, Topic(Kind.CAPSULE, world.sid, OWNER)
    [served] = [each for each in await core.storage.channels.capsules(world.sid) if each.grant_id == OWNER]
    await core.transport.publish(topic, served.data)  # not taken off: who reads it has not been there since
    keep, publish = core.storage.memory.keep, core.transport.publish
    kept: list[bytes] = []

    async def looked(events: Any, facts: Any = (), *more: Any) -> Any:
        kept.extend(world.hub._retained[topic.name][1] for namespace, *_ in facts if namespace == RECEIPT)
        return await keep(events, facts, *more)

    async def unheard(to: Topic, payload: bytes) -> None:
        await (asyncio.Event().wait() if to.kind is Kind.CAPSULE else publish(to, payload))

    async def idle() -> bool:
        return False

    monkeypatch.setattr(core.storage.memory, "keep", looked)
    monkeypatch.setattr(world.gateway.role, "_publish", idle)  # the eraser does not lean on when that is called
    await world.home.ask(world.sid, None, "")
    with monkeypatch.context() as down:
        down.setattr(pasterasing, "CLEAR_S", 0.2)
        down.setattr(core.transport, "publish", unheard)
        with pytest.raises(AssertionError):
            await world.rounds(8)
        assert list(world.gateway.role.erasing.values()) == ["the broker does not answer"]
    assert kept == []
    await world.rounds()
    [renewed] = [each for each in await core.storage.channels.capsules(world.sid) if each.grant_id == OWNER]
    assert kept == [renewed.data] != [served.data]


async def test_a_gateway_that_was_moved_away_does_not_keep_an_erasure_for_ever(world: World) -> None:
    """The wish goes to the gateway of now as well, and who asks again is not told of one that nobody carries out."""
    await world.home.ask(world.sid, None, "once")
    memory = world.home._core.storage.memory
    [name] = await memory.facts.all(ASKED)
    await memory.keep((), [(SENT, name, h32("former")[:20].hex())])
    world.clock.advance(1)
    assert (await world.home.ask(world.sid, None, "again")).reason == "again"
    assert (await world.home.ask(world.sid, None, "a third time")).reason == "again"
    await world.rounds()
    for _ in range(5):
        await world.gateway.round()
        await world.home.step()
    assert len(await memory.facts.all(ANSWER)) == len(await memory.facts.all(ASKED)) == 2
    assert [kind for kind, _ in world.home_post.sent].count("stream.erase") == 2


QUICK = ("masters",)


@pytest.mark.parametrize("step", [s if s in QUICK else pytest.param(s, marks=pytest.mark.long) for s in STEPS])
async def test_a_kill_after_any_step_is_mended_and_the_receipt_tells_the_same(world: World, step: str) -> None:
    """channels.md 4 rule 11: kill -9 in the middle of each step; the next start completes it."""
    await world.keep_aside()
    await world.home.ask(world.sid, GENESIS + 4 * SLOT, "sold")
    await world.home.step()
    await world.gateway_stack.aclose()  # its process is gone; the household's goes on
    command = [sys.executable, "-m", pastworld.__name__, str(world.folder / "gateway"), str(world.clock.now()), step]
    process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[3])
    assert await process.wait() == -signal.SIGKILL
    core = await open_core_of(world.stack, world.folder / "gateway", 2, "gateway", world.clock, world.hub)
    again = Gateway(core)
    again.post.to = world.gateway.post.to
    world.gateway = again
    await again.round()
    stream = await core.storage.views.one(Stream, world.sid)
    for commit in stream.commits:
        told = e.LoggedCommitted(commit.block, world.sid, commit.epoch, commit.commit_hash)
        if (await world.home._core.storage.views.one(Stream, world.sid)).epoch < commit.epoch:
            await world.home._core.storage.journal.apply([told])
    await world.rounds()
    assert opened(world) == [4, 5]
    receipt = await world.receipt()
    assert (receipt.epoch, receipt.before_slot, receipt.envelopes, receipt.keys) == (2, 4, 4, 1)
