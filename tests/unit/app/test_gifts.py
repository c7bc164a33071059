"""A stream given to another household that really reads it from then on, and nothing of before (channels.md 4, rule
11)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from channels.asks import Ask, AskKind
from channels.stores.records import StoredEnvelope
from keys.messages import Grant, TransferStream, digest, parcel_domain, verify
from keys.sealing import reader_key_hash
from node.api.forms import TransferForm
from node.app.core import Core, peer_of
from node.app.facade.streams import Streams
from node.app.inbox import Inbox
from node.app.streams.asking import AnswerDesk
from node.app.streams.giving import StreamGiver
from node.app.streams.home import OWN_STREAM, HomeRole, fields_of
from node.app.streams.moving import Mover
from node.app.streams.pairing import HomePairing
from node.app.streams.pastkeeping import PastKeeper
from node.app.streams.places import place_of
from node.app.streams.provider import ProviderRole
from node.app.streams.resyncs import ResyncPost
from node.app.streams.rotating import Rotator
from node.app.submissions import Submissions, said_by
from node.errors import Conflict, NodeUnreachable, NotFound, Refused
from node.projection import events as e
from node.projection.base import Block, Peer
from node.projection.consent import Consent, ConsentStatus
from node.projection.effects import SubmitMessage
from node.services.gateway.members import OWNER
from node.types import OPEN_END
from node.wire.past import read_past
from node.wire.streams import GrantForWriter, StreamGift, StreamHeir
from tests.support.pasthome import DAYS, World, opened, read_all, world_with_a_past
from tests.support.pastworld import GENESIS, SLOT, Delivered, open_core_of
from tests.support.raw_keys import raw_keys, raw_open
from tests.unit.node.projection.kit import block, h32

MOVED = GENESIS + 6 * SLOT + 10
"""Within slot 6, which is the present one: the new owner's first is the seventh."""
BLOCK = 150


@dataclass
class Heir:
    """The household that the stream is given to."""

    core: Core
    home: HomeRole
    post: Delivered
    gifts: StreamGiver
    past: PastKeeper
    reading: ProviderRole

    async def slots(self, sid: bytes) -> list[int]:
        """Of what it has read, each once."""
        rows = await self.core.storage.channels.readings(sid, OWNER, 0, 2**39)
        return sorted({row.slot for row in rows})


@dataclass
class Village:
    """Two households and the gateway of the first."""

    world: World
    heir: Heir
    giver: StreamGiver

    @property
    def sid(self) -> bytes:
        return self.world.sid

    async def rounds(self, count: int = 4) -> None:
        """Everybody goes on."""
        for _ in range(count):
            told = await self.world.gateway.round()
            self.world.chain += told
            for core in (self.world.home._core, self.heir.core):
                await core.storage.journal.apply(told)
            await self.heir.gifts.step()
            await self.heir.reading._open_own()
            await self.heir.past.step()
            await asyncio.sleep(0.02)

    async def reading(self, number: int) -> None:
        """One of the present slot, sealed and published; the next slot begins."""
        clock = self.world.clock
        await self.world.gateway.take_in(number)
        clock.advance(1)
        await self.rounds()
        clock.advance(SLOT - 1)
        await self.rounds(2)

    async def given(self) -> None:
        await self.giver.give_to(self.sid, self.heir.core.card)

    async def transferred(self, *, final: bool = True) -> None:
        """The chain has what both signed."""
        owners = self.world.role.owner.address, self.heir.home.owner.address
        await self.world.tell(e.LoggedStreamTransferred(block(BLOCK), self.sid, *owners))
        if final:
            await self.world.tell(e.LoggedFinalized(BLOCK, self.world.clock.now()))

    async def handed_over(self) -> None:
        await self.given()
        await self.heir.gifts.accept(self.sid)
        await self.transferred()
        await self.rounds(8)

    async def until_read(self, slots: list[int]) -> None:
        """Until the new owner has read exactly these."""
        for _ in range(1_000):  # what was sealed before it had a leaf is asked for after a while
            if await self.heir.slots(self.sid) == slots:
                return
            await self.rounds(1)
            await asyncio.sleep(0.05)
        raise AssertionError(f"it has read {await self.heir.slots(self.sid)}")


@pytest.fixture
async def village(tmp_path: Path) -> AsyncIterator[Village]:
    async with world_with_a_past(tmp_path) as world:
        world.gateway.times = {BLOCK: MOVED}
        core = await open_core_of(world.stack, tmp_path / "heir", 3, "home", world.clock, world.hub, "heir")
        await core.storage.journal.apply(world.chain)
        post, inbox, reading = Delivered(core), Inbox(core), ProviderRole(core)
        home = HomeRole(core, post, Submissions(core))

        async def time_of(at: Block) -> int | None:
            return world.gateway.times.get(at.number)

        gifts, past = StreamGiver(core, post, home, time_of), PastKeeper(core, post, home, reading)
        gifts.register(inbox)
        past.register(inbox)
        heir = Heir(core, home, post, gifts, past, reading)
        post.to[world.gateway.core.signer.address] = world.gateway.inbox
        post.to[world.role.owner.address] = world.home_inbox
        world.home_post.to[core.signer.address] = inbox
        world.gateway.post.to[core.signer.address] = inbox
        world.others.append(core)
        gateway = world.gateway
        answers = AnswerDesk(gateway.core, gateway.role, gateway.heirs, ResyncPost(gateway.core, gateway.post))
        desk = asyncio.create_task(answers._listen())
        yield Village(world, heir, StreamGiver(world.home._core, world.home_post, world.role, time_of))
        desk.cancel()
        for reader in reading.reading.values():
            reader.task.cancel()
        tasks = [desk, *(reader.task for reader in reading.reading.values())]
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_both_sign_the_transfer_and_the_new_owner_brings_it_onto_the_chain(village: Village) -> None:
    """contracts.md, TransferStream: signed by both."""
    await village.given()
    [offered] = await village.heir.gifts.views()
    assert (offered.sid, offered.state) == (village.sid, "waiting to be accepted")
    assert [given.state for given in await village.giver.views()] == ["waiting to be accepted"]
    assert await village.heir.home.streams() == {}, "nothing is taken into possession by being offered"
    await village.heir.gifts.accept(village.sid)
    await village.heir.gifts.accept(village.sid)
    owners = village.world.role.owner.address, village.heir.home.owner.address
    [effect] = await _submitted(village.heir.core, "TransferStream")
    submission, (message, domain, _) = await said_by(village.heir.core, effect.digest)
    assert isinstance(message, TransferStream)
    assert (message.owner, message.new_owner, message.sid) == (*owners, village.sid)
    for signature, account in zip(submission.signatures, owners, strict=True):
        verify(message, domain, signature, account)
    assert await _submitted(village.world.home._core, "TransferStream") == [], "the former owner needs no gas for it"


async def _submitted(core: Core, kind: str) -> list[SubmitMessage]:
    items = await core.storage.outbox.claim(core.clock.now(), 1_000, 1)
    return [item.effect for item in items if isinstance(item.effect, SubmitMessage) and item.effect.kind == kind]


@pytest.mark.parametrize(("to", "error"), [("http://127.0.0.1:1", NodeUnreachable), ("wattpact/v1/nowhere", Refused)])
async def test_an_address_where_no_household_is_found_is_said_of_its_field(
    village: Village, to: str, error: type[NodeUnreachable | Refused]
) -> None:
    with pytest.raises(error) as raised:
        await village.giver.give(village.sid, TransferForm(to=to))
    assert raised.value.field == "to"
    assert await village.giver.views() == ()


async def test_the_new_owner_reads_from_the_transfer_on_and_nothing_of_before(village: Village) -> None:
    """channels.md 4 rule 11, and 1: leaf 0 is the owner's."""
    await village.given()
    await village.heir.gifts.accept(village.sid)
    await village.transferred(final=False)
    await village.reading(6)  # of slot 6, in which the transfer lies
    await village.reading(7)
    assert village.world.gateway.writing.engine.member(OWNER) is None, "nobody is the owner for good yet"
    await village.world.keep_aside()
    before = {envelope.slot: envelope for envelope in village.world.envelopes}
    await village.world.tell(e.LoggedFinalized(BLOCK, village.world.clock.now()))
    await village.rounds(8)
    await village.reading(8)
    await village.until_read([7, 8])
    member = village.world.gateway.writing.engine.member(OWNER)
    assert member is not None
    assert (member.leaf, member.start_slot) == (0, 7)
    assert {slot for slot in before if _opens(village, before[slot])} == {7}, "its keys, tried on what came before"
    assert set(opened(village.world)) == {7}, "nor does the gateway's folder open what came before"
    shown = Streams(village.heir.core, None, village.heir.home, village.heir.reading, village.heir.past)
    assert (await shown.stream(village.sid)).relation == "owner"
    given = Streams(village.world.home._core, None, village.world.role, village.world.reading, village.world.home)
    assert (await given.stream(village.sid)).relation == "reader"
    former = village.world.home._core.storage.channels
    assert await former.reading_count(village.sid, OWNER) == DAYS
    assert [each.kind for each in await former.alarms(village.sid)] == []
    assert [each.kind for each in await village.heir.core.storage.channels.alarms(village.sid)] == []


def _opens(village: Village, envelope: StoredEnvelope) -> bool:
    path, nodes = raw_keys(village.heir.reading.reading[village.sid, OWNER].membership._reader)
    return raw_open(path, nodes, envelope.data) is not None


async def test_a_restarted_gateway_and_household_go_on(village: Village) -> None:
    """Everything follows from what facts and chain say."""
    await village.handed_over()
    await village.reading(6)
    await village.reading(7)
    await village.until_read([7])
    role = village.world.gateway.role
    role.writing.clear()
    await role.load()
    heir = village.heir
    for reader in heir.reading.reading.values():
        reader.task.cancel()
    await asyncio.gather(*(r.task for r in heir.reading.reading.values()), return_exceptions=True)
    heir.reading.reading.clear()
    await village.rounds()
    await village.reading(8)
    await village.until_read([7, 8])


async def test_the_new_owner_grants_and_revokes_at_the_gateway_of_the_former(village: Village) -> None:
    """contracts.md: the owner alone decides, whichever household the gateway stands at."""
    await village.handed_over()
    heir, gateway = village.heir, village.world.gateway
    assert list(await heir.home.living()) == [village.sid]
    assert await village.world.role.living() == {}
    peers = await heir.home.places.writers_of([village.sid])
    assert [peer.address for peer in peers] == [gateway.core.signer.address]
    assert await village.world.role.places.inherited(village.sid) is None
    key = heir.core.keys.identity.sealing_key("somebody").public_bytes
    account, reader, sids = heir.home.owner.address, bytes([9]) * 20, (village.sid,)
    grant = Grant(account, reader, reader_key_hash(key), sids, MOVED + SLOT, OPEN_END, 1, h32("t"), 5, 2**39)
    grant_id = digest(grant, heir.core.chain.domain)
    told = GrantForWriter(grant_id=grant_id, grant=fields_of(grant), reader_key=key, signature=bytes(65))
    await heir.post.send(peer_of(gateway.core.card), "stream.grant", told.to_json())
    fields = (grant_id, account, reader, grant.reader_key_hash, sids, grant.start, grant.end, 1, grant.text_hash)
    await village.world.tell(e.LoggedGranted(block(160), *fields), e.LoggedFinalized(160, village.world.clock.now()))
    village.world.clock.advance(2 * SLOT)
    await village.rounds(6)
    assert gateway.writing.engine.member(grant_id) is not None
    await heir.home.revoke(grant_id, None, None)
    [effect] = await _submitted(heir.core, "Revoke")
    await heir.home._hand_over(effect)
    await gateway.role._step()
    engine = gateway.writing.engine
    assert engine.member(grant_id) is None, "before the chain has it"
    assert engine.writer.epoch > engine.active_epoch


async def test_attacks_on_what_only_the_owner_may(village: Village) -> None:
    """channels.md 4 rule 11: before the transfer the heir, and after it the former owner, is a stranger."""
    await village.given()
    heir, gateway = village.heir, peer_of(village.world.gateway.core.card)
    wish = {"erasure_id": "0x" + h32("e").hex(), "sid": "0x" + village.sid.hex(), "requested_at": GENESIS}
    key = heir.core.keys.identity.sealing_key("x").public_bytes

    claim = StreamHeir(sid=village.sid, owner_key=key, place=place_of(peer_of(heir.core.card))).to_json()
    for kind, body in (("stream.erase", wish), ("stream.heir", claim)):
        with pytest.raises(Refused):
            await heir.post.send(gateway, kind, body)
    await heir.gifts.accept(village.sid)
    await village.transferred()
    await village.rounds()
    own = village.world.home._core
    mine = StreamHeir(sid=village.sid, owner_key=key, place=place_of(peer_of(own.card))).to_json()
    for kind, body in (("stream.erase", wish), ("stream.heir", mine)):
        with pytest.raises(Refused):
            await village.world.home_post.send(gateway, kind, body)
    with pytest.raises(Conflict):
        await village.given()


async def test_a_new_owner_that_comes_while_the_broker_is_away_comes_again(village: Village) -> None:
    """Nothing half-done remains: it has no key at the gateway, and says so again."""
    await village.given()
    await village.heir.gifts.accept(village.sid)
    await village.transferred()
    village.world.hub.stop()
    facts = village.heir.core.storage.memory.facts
    await village.heir.gifts.step()
    assert await facts.get("own_stream", village.sid.hex()) is None
    village.world.hub.start()
    village.world.clock.advance(10)
    await village.rounds(8)
    assert await facts.get("own_stream", village.sid.hex()) is not None


async def test_a_gift_is_believed_as_far_as_the_chain_says_the_same(village: Village) -> None:
    """contracts.md: forged, foreign, expired and changed gifts are refused, each with the field."""
    await village.given()
    [(_, body)] = [sent for sent in village.world.home_post.sent if sent[0] == "stream.gift"]
    good = StreamGift.model_validate(body)
    to = peer_of(village.heir.core.card)
    changed = {
        "owner_signature": good.model_copy(update={"owner_signature": bytes(64) + b"\x1b"}),
        "deadline": good.model_copy(update={"deadline": village.world.clock.now()}),
        "sid": good.model_copy(update={"sid": h32("q")}),
        "offer": good.model_copy(update={"offer": good.offer.model_copy(update={"category": "gas/1h"})}),
        "owner": good.model_copy(update={"owner": bytes([7]) * 20}),
    }
    for field, gift in changed.items():
        with pytest.raises(Refused) as refused:
            await village.world.home_post.send(to, "stream.gift", gift.to_json())
        assert refused.value.field == field
    with pytest.raises(NotFound):
        await village.heir.gifts.accept(h32("q"))
    village.world.clock.advance(25 * 3600)
    with pytest.raises(Conflict):
        await village.heir.gifts.accept(village.sid)
    assert [gift.state for gift in await village.heir.gifts.views()] == ["expired"]


async def test_the_new_owner_has_its_own_past_erased_with_a_receipt_in_its_name(village: Village) -> None:
    """channels.md 4 rule 11, erasure: at the owner's wish, whoever that is."""
    await village.handed_over()
    await village.reading(6)
    await village.reading(7)
    await village.until_read([7])
    await village.heir.past.ask(village.sid, None, "mine")
    for _ in range(30):
        await village.rounds(1)
        if (await village.heir.past.of(village.sid)).state == "done":
            break
    found = await village.heir.past.of(village.sid)
    assert found.receipt is not None
    receipt = read_past(found.receipt)
    assert (found.state, receipt.owner, receipt.reason) == ("done", village.heir.home.owner.address, "mine")
    await village.world.keep_aside()
    await village.reading(9)
    assert await village.heir.slots(village.sid) == [village.world.clock.now() // SLOT - GENESIS // SLOT - 1]


async def test_a_resync_is_answered_once_over_a_restart_of_the_gateway(village: Village) -> None:
    """channels.md 4, rule 8: valid ten minutes, once."""
    gateway, now = village.world.gateway, village.world.clock.now()
    mine, public = village.world.role.owner, village.heir.core.keys.identity.sealing_key("x").public_bytes
    ask = Ask(AskKind.RESYNC, village.sid, OWNER, h32("n"), now, 1, 0, public)
    signature = await mine.sign_message(ask.statement(mine.address), parcel_domain(31337))
    capsules = []
    for _ in range(2):
        desk = AnswerDesk(gateway.core, gateway.role, gateway.heirs, ResyncPost(gateway.core, gateway.post))
        task = asyncio.create_task(desk._listen())
        await asyncio.sleep(0.2)
        await desk._answer(gateway.writing, ask, signature)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        capsules.append(await gateway.core.storage.channels.capsule(village.sid, OWNER))
    first, second = capsules
    assert first == second, "a second capsule was made"
    assert len(await ResyncPost(gateway.core, gateway.post).given()) == 1


async def test_consents_of_before_are_over_for_good(village: Village) -> None:
    """contracts.md: voids all grants in one write."""
    await village.handed_over()
    rows = await village.world.gateway.core.storage.views.page(
        Consent, status=ConsentStatus.LIVE.value, link=("sid", village.sid), limit=10
    )
    assert rows == []
    await read_all(village.world, DAYS)


async def test_of_two_streams_with_one_name_the_own_one_counts_unless_the_other_is_named(village: Village) -> None:
    """permissions.md 1: what is granted is what the person chose."""
    await village.handed_over()
    home = village.heir.home
    given = (await home.streams())[village.sid]
    offers = {h32("a"): given, village.sid: given}
    for named, last in (((), h32("a")), (("0x" + village.sid.hex(),), village.sid), (("0x" + "61" * 32,), h32("a"))):
        owned = await home.places.owned(offers, named)
        assert owned[-1].sid == last
        assert {stream.sid: stream.since for stream in owned} == {h32("a"): 0, village.sid: MOVED}


async def test_a_gateway_with_a_stream_of_that_name_does_not_take_the_other_meters(village: Village) -> None:
    """channels.md 1: a stream is one series."""
    await village.handed_over()
    heir = village.heir
    rotator = Rotator(heir.core, heir.home, Mover(heir.core, heir.post, heir.home, HomePairing(heir.core, heir.home)))
    with pytest.raises(Conflict, match="No gateway is paired"):
        await rotator.rotate(village.sid)
    device, mine = bytes([8]) * 20, heir.home.owner.address
    peer = Peer(device, "http://annex.example", bytes(1216))
    await heir.core.storage.journal.apply([e.ReceivedPairing(h32("p"), mine, device, h32("s"), peer, "", GENESIS)])
    await heir.core.storage.journal.apply([e.LoggedDevicePaired(block(170), mine, h32("p"), device)])
    await heir.core.storage.journal.apply([e.LoggedFinalized(170, GENESIS)])
    own = (await heir.home.streams())[village.sid]
    await heir.core.storage.memory.keep((), [(OWN_STREAM, h32("a").hex(), own.to_json())])
    with pytest.raises(Conflict, match="of its own"):
        await rotator.rotate(village.sid)
    await heir.core.storage.memory.keep((), [(OWN_STREAM, h32("a").hex(), None)])
    assert (await rotator.rotate(village.sid)).sid == village.sid
