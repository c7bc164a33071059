"""A transfer closes the past of a stream (channels.md 4 rule 11), with the eyes of a thief of the gateway's folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from channels.transports.topics import Kind, Topic
from node.app.core import peer_of
from node.app.streams.pasterasing import RECEIPT
from node.errors import Conflict, Refused
from node.projection import events as e
from node.services.gateway.members import OWNER
from node.wire.past import PastReceipt, read_past
from tests.support.pasthome import DAYS, World, opened, read_all, world_with_a_past
from tests.support.pastworld import GENESIS, SLOT
from tests.unit.node.projection.kit import STRANGER, block, h32

MOVED = GENESIS + 4 * SLOT + 10
"""Within slot 4: the first slot of the new owner is the fifth."""
BLOCK, BACK = 150, 160


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_with_a_past(tmp_path) as found:
        found.gateway.times = {BLOCK: MOVED}
        yield found


async def _transferred(world: World, *, number: int = BLOCK, back: bool = False) -> None:
    owner = world.home._core.signer.address
    parties = (STRANGER, owner) if back else (owner, STRANGER)
    await world.tell(e.LoggedStreamTransferred(block(number), world.sid, *parties))


async def _final(world: World, number: int = BLOCK) -> None:
    await world.tell(e.LoggedFinalized(number, world.clock.now()))


async def _rounds(world: World, count: int = 4) -> None:
    for _ in range(count):
        told = await world.gateway.round()
        await world.home._core.storage.journal.apply(told)
        await asyncio.sleep(0.01)


async def _reading(world: World) -> None:
    """One of the present slot, sealed and published; the next slot begins."""
    await world.gateway.take_in(7)
    world.clock.advance(1)
    await _rounds(world)
    world.clock.advance(SLOT - 1)


async def _answered(world: World) -> None:
    """What the household let pass while it had no leaf it asks for, of the writer or of who else has a copy."""
    [passed] = [each for each in world.envelopes if each.seq == DAYS + 1]
    await world.gateway.core.transport.publish(Topic(Kind.DATA, world.sid), passed.data)


async def _receipts(world: World) -> list[PastReceipt]:
    found = await world.gateway.core.storage.memory.facts.all(RECEIPT)
    return sorted((read_past(document) for document in found.values()), key=lambda receipt: receipt.requested_at)


async def test_what_lies_before_a_final_transfer_can_be_opened_by_nobody_and_the_rest_stays(world: World) -> None:
    """channels.md 4 rule 11: M up to the transfer is destroyed, in every copy, with a receipt for the former owner."""
    await world.keep_aside()
    await _transferred(world)
    await _rounds(world)
    assert opened(world) == list(range(DAYS)), "a reorg may undo what is not final"
    assert await _receipts(world) == []
    await _final(world)
    await _rounds(world)
    assert opened(world) == [5]
    [receipt] = await _receipts(world)
    assert (receipt.before, receipt.before_slot, receipt.epoch, receipt.envelopes) == (MOVED, 5, 2, 5)
    assert (receipt.owner, receipt.reason) == (world.home._core.signer.address, "transferred")
    assert (receipt.keys, receipt.copies) == (1, 2)
    told = await world.home.of(world.sid)
    assert (told.state, told.receipt and read_past(told.receipt)) == ("told", receipt)
    own = await world.home._core.storage.channels.reading_count(world.sid, OWNER)
    assert own == DAYS, "what the household has read is its own"


async def test_the_former_owner_reads_nothing_from_the_first_sight_of_a_transfer_on(world: World) -> None:
    """channels.md 4 rules 2, 3 and 11: leaf 0 goes like a revoked reader's, before anything else is sealed."""
    await _transferred(world)
    await world.gateway.take_in(7)
    await world.gateway.round()
    engine = world.gateway.writing.engine
    assert engine.writer.position.seq == DAYS, "nothing is sealed under the old epoch"
    await _rounds(world)
    assert (engine.member(OWNER), engine.writer.position.seq, engine.active_epoch) == (None, DAYS + 1, 3)
    await asyncio.sleep(0.2)
    await read_all(world, DAYS)
    assert not world.reading.reading[world.sid, OWNER].task.done()


async def test_a_reorg_that_undoes_a_transfer_gives_the_household_its_leaf_and_readings_back(world: World) -> None:
    """channels.md 4 rule 11: until it is final, nothing is lost."""
    await _transferred(world)
    await _rounds(world)
    await _reading(world)
    await world.tell(e.LoggedRolledBack(BLOCK - 1))
    await _rounds(world)
    await _reading(world)
    await world.keep_aside()
    await _answered(world)
    await read_all(world, DAYS + 2)
    await _final(world)
    await _rounds(world)
    assert await _receipts(world) == []


async def test_a_stream_that_comes_back_shows_its_household_nothing_of_the_time_between(world: World) -> None:
    """channels.md 4 rule 11: each transfer closes the past before it, and no member begins before it."""
    await _transferred(world)
    await _final(world)
    await _rounds(world)
    await _reading(world)  # slot 6 is the other owner's
    world.gateway.times[BACK] = world.clock.now()
    await _transferred(world, number=BACK, back=True)
    await _rounds(world)
    assert world.gateway.writing.engine.member(OWNER) is None, "an addition waits until it is final"
    await world.keep_aside()
    await _final(world, BACK)
    await _rounds(world, 8)
    await _reading(world)
    await _answered(world)
    await read_all(world, DAYS + 1)
    own = await world.home._core.storage.channels.readings(world.sid, OWNER, 0, 2**39)
    assert [row.slot for row in own] == [0, 1, 2, 3, 4, 5, 7]
    member = world.gateway.writing.engine.member(OWNER)
    assert member is not None
    assert (member.leaf, member.start_slot) == (0, 7)
    assert opened(world) == []
    first, second = await _receipts(world)
    assert (first.owner, second.owner) == (world.home._core.signer.address, STRANGER)
    told = await world.home.of(world.sid)
    assert told.receipt is not None
    assert read_past(told.receipt) == first, "the other household's receipt is not this one's"


async def test_without_the_time_of_the_transfer_nothing_is_destroyed_yet(world: World) -> None:
    world.gateway.times.clear()
    await _transferred(world)
    await _final(world)
    await _rounds(world)
    assert await _receipts(world) == []
    world.gateway.times[BLOCK] = MOVED
    await _rounds(world)
    assert [receipt.before for receipt in await _receipts(world)] == [MOVED]


async def test_what_was_given_away_is_not_offered_to_anybody_who_asks_for_consent(world: World) -> None:
    """The registry would refuse the grant."""
    home = world.home._home
    assert home is not None
    assert list(await home.living()) == [world.sid]
    await _transferred(world)
    assert await home.living() == {}


async def test_attack_the_former_owner_would_have_the_new_owners_past_destroyed(world: World) -> None:
    """channels.md 4 rule 11: a pairing is no right to a stream that has another owner."""
    await _transferred(world)
    with pytest.raises(Conflict):
        await world.home.ask(world.sid, None, "")
    body = {"erasure_id": "0x" + h32("e").hex(), "sid": "0x" + world.sid.hex(), "requested_at": GENESIS}
    with pytest.raises(Refused):
        await world.home_post.send(peer_of(world.gateway.core.card), "stream.erase", body)
    await _rounds(world)
    assert await _receipts(world) == []


async def test_a_wish_of_before_the_transfer_reaches_nothing_behind_it(world: World) -> None:
    """It was not carried out before its owner gave the stream away; the transfer destroys what it was about."""
    await world.keep_aside()
    await world.home.ask(world.sid, None, "")
    await world.home.step()
    await _transferred(world)
    await _final(world)
    await _rounds(world)
    assert opened(world) == [5]
    assert [receipt.reason for receipt in await _receipts(world)] == ["transferred"]
