"""The erasure of a gateway's own past (channels.md 4 rule 11), with the eyes of a thief of the gateway's whole folder.

The thief has every file, the passphrase of the keystore, the recovery phrase, and every envelope and commit that the
broker ever had.
"""

from __future__ import annotations

import asyncio
import base64
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from channels.transports.topics import Kind, Topic
from keys.identity import Identity
from keys.messages import parcel_domain
from keys.sealing import SealingKey
from node.app.core import peer_of
from node.app.streams import pasterasing
from node.app.streams.opening import Writing
from node.app.streams.pasterasing import RECEIPT
from node.app.streams.pastkeeping import ANSWER, ASKED, SENT, last_place
from node.app.streams.streamports import READER_KEYS
from node.errors import Conflict, InvalidInput, NotFound, Refused
from node.projection import events as e
from node.projection.stream import Stream
from node.services.gateway.members import OWNER
from node.wire.past import PastReceipt, SignedPast, past_statement
from tests.support import pastworld
from tests.support.pasthome import DAYS, World, files, opened, read_all, world_with_a_past
from tests.support.pastworld import GENESIS, SLOT, STEPS, Delivered, Gateway, open_core_of
from tests.unit.node.projection.kit import READER, block, h32


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_with_a_past(tmp_path) as found:
        yield found


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


async def test_what_a_past_grant_was_handed_stays_where_it_opens_nothing_that_was_erased(world: World) -> None:
    """channels.md 3 and 4 rule 11: a History is given once, so its reader must still find it."""
    gateway, key, owner = world.gateway, SealingKey.generate(), world.home._core.signer.address
    public = base64.b64encode(key.public_bytes).decode()
    await gateway.core.storage.memory.keep((), [(READER_KEYS, key.key_hash().hex(), public)])
    early, late = h32("e"), h32("l")
    for number, (grant, slot) in enumerate(((early, 0), (late, 4)), 150):
        times = (GENESIS + slot * SLOT, GENESIS + (slot + 1) * SLOT)
        told = e.LoggedGranted(block(number), grant, owner, READER, key.key_hash(), (world.sid,), *times, 7, h32("T"))
        await gateway.core.storage.journal.apply([told, e.LoggedFinalized(number, world.clock.now())])
        await gateway.core.storage.journal.apply([e.DueConsentEnd(grant, world.clock.now())])
    await gateway.round()
    store = gateway.core.storage.channels
    given = await store.capsule(world.sid, late)
    assert given is not None
    await world.home.ask(world.sid, GENESIS + 4 * SLOT, "")
    await world.rounds()
    left = {capsule.grant_id: capsule.data for capsule in await store.capsules(world.sid)}
    assert (left[early], left[late]) == (b"", given.data)


async def test_the_stream_goes_on_and_a_lost_log_is_made_again_from_the_snapshot(world: World) -> None:
    """channels.md 4 rule 11 with 7: T by a new one beside a snapshot, from which a lost store is rebuilt."""
    await world.home.ask(world.sid, None, "")
    await world.rounds()
    gateway = world.gateway
    await gateway.take_in(7)
    world.clock.advance(1)
    await gateway.round()
    await read_all(world, 1)
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
