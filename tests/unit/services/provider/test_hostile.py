"""A broker that invents messages, a member that seals nonsense, a writer that signs it: reading goes on, with alarms.

Every message here comes over a topic that somebody untrusted can write to. A reader that stops because of one would be
stopped for all streams of its provider.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from channels.commit import Commit
from channels.envelope import EnvelopeHeader, Lane
from channels.follower import ChainFacts
from channels.kdf import sha256
from channels.readings import Measurement, encode_batch
from channels.slots import OPEN_SLOT, FormerWriter
from channels.stores.memory import MemoryStore
from channels.transports.base import Delivery
from channels.transports.topics import KEYED, Kind
from channels.watch import REVOCATION_DELAY
from channels.writer import Join
from keys.sealing import SealingKey
from node.services.provider.membership import Membership, Ports
from node.services.provider.sorting import MAX_HELD
from tests.unit.channels.world import TWO_KEYS, World, at, sign_commit


@dataclass
class Asked:
    """Requests that were made; as strict as the real one about what can be asked."""

    made: list[tuple[str, int, int]] = field(default_factory=list)

    async def envelopes(self, first_seq: int, last_seq: int) -> None:
        assert 0 < first_seq <= last_seq
        self.made.append(("envelopes", first_seq, last_seq))

    async def history(self, first_slot: int) -> None:
        self.made.append(("history", first_slot, 0))

    async def commits(self, first_epoch: int, last_epoch: int) -> None:
        assert 0 < first_epoch <= last_epoch
        self.made.append(("commits", first_epoch, last_epoch))

    async def receipt(self, epoch: int) -> None:
        self.made.append(("receipt", epoch, 0))

    async def resync(self, since_epoch: int, request_id: bytes, public: bytes) -> None:
        self.made.append(("resync", since_epoch, 0))


@dataclass
class Fixed:
    """One key, the chain of a world, and a clock that stands."""

    world: World
    sealing: SealingKey
    lasting: bool = True
    time: int = at(1, 30)

    def key(self, *, resync: bool) -> tuple[SealingKey, bytes] | None:
        return None if resync else (self.sealing, bytes(32))

    def renew(self) -> tuple[bytes, bytes]:
        return b"\x01" * 32, self.sealing.public_bytes

    async def delete(self) -> None:
        return None

    async def facts(self, sid: bytes, first_epoch: int) -> ChainFacts:
        return self.world.registry

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return float(self.time)


def message(kind: Kind, sid: bytes, payload: bytes) -> Delivery:
    return Delivery(kind, sid, bytes(32) if kind in KEYED else b"", payload, False)


def batch(value: int) -> bytes:
    return encode_batch([Measurement(at(1), at(1), 0, {"1-0:1.8.1": value})])


@dataclass
class Scene:
    """A stream, one member that reads it through a node, and what the node keeps."""

    world: World
    membership: Membership
    store: MemoryStore
    asked: Asked
    capsule: bytes

    async def send(self, kind: Kind, *payloads: bytes) -> None:
        await self.membership.take([message(kind, self.membership.sid, payload) for payload in payloads])
        await self.membership.tick()

    async def values(self) -> list[tuple[int, bool]]:
        rows = await self.store.readings(self.membership.sid, self.membership.grant_id, 0, 2**40)
        return [(row.seq, row.provisional) for row in rows]

    async def alarms(self) -> list[str]:
        return [alarm.kind for alarm in await self.store.alarms(self.membership.sid)]


async def scene(*, welcomed: bool = True) -> Scene:
    world = World.start(0)
    leaf, _ = world.join(1)
    member, key = world.members[leaf], world.keys[leaf]
    store, asked, fixed = MemoryStore(), Asked(), Fixed(world, key)
    membership = Membership(
        world.writer.params, member.grant_id, (1, OPEN_SLOT), Ports(store, fixed, fixed, asked, fixed)
    )
    await membership.load()
    made = Scene(world, membership, store, asked, world.writer.welcome(member, key.public_bytes))
    if welcomed:
        await made.send(Kind.CAPSULE, made.capsule)
        # It asks for its past first; the answer begins the chain.
        await made.send(Kind.REPLAY, b"\x02" + world.seal(1, batch(1))[0])
    return made


async def test_a_capsule_that_was_taken_goes_from_the_broker_without_an_alarm() -> None:
    """The writer clears its topic; a broker tells whoever listens by a message with nothing in it."""
    found = await scene()
    await found.send(Kind.CAPSULE, b"")
    assert await found.alarms() == []


@pytest.mark.parametrize("kind", [Kind.CAPSULE, Kind.COMMITS, Kind.DATA, Kind.CHECKPOINTS, Kind.REPLAY])
@pytest.mark.parametrize("size", [0, 1, 2, 20, 101, 102, 118, 300, 5000])
async def test_noise_on_any_topic_is_an_alarm_at_most(kind: Kind, size: int) -> None:
    found = await scene(welcomed=False)
    for fill in (b"\x00", b"\xff", b"\x01"):
        await found.send(kind, fill * size, b"\x00\x01" + fill * size, b"\x00\x02" + fill * size)
    await found.send(Kind.CAPSULE, found.capsule)
    await found.send(Kind.REPLAY, b"\x02" + found.world.seal(1, batch(1))[0])
    assert await found.values() == [(1, True)]


async def test_a_capsule_of_noise_does_not_come_back_at_every_tick() -> None:
    """Attack: it raised again and again, outside of what looks after messages, and stopped every reader."""
    found = await scene(welcomed=False)
    await found.send(Kind.CAPSULE, b"\x00\x09noise" * 40)
    for _ in range(3):
        await found.membership.tick()
    assert await found.alarms() == ["damaged"]
    await found.send(Kind.CAPSULE, found.capsule)
    assert found.membership.status().epoch == 2


async def test_a_member_that_seals_nonsense_stops_nobody() -> None:
    """The envelope passes its tag, since members share the keys; what is inside is no batch of readings."""
    found = await scene()
    await found.send(Kind.DATA, *found.world.seal(1, b"no batch", batch(2)))
    assert await found.values() == [(1, True), (3, True)]
    assert "reading" in await found.alarms()


async def test_a_member_that_seals_an_impossible_number_stops_nobody() -> None:
    """No database keeps a seq of 64 bits, so no envelope has one."""
    found = await scene()
    last = EnvelopeHeader.decode(found.world.envelopes[-1])
    reader = found.membership._reader
    cipher = reader.keyring.cipher(Lane(last.sid, last.epoch, last.slot, last.inst))
    for seq in (2**63, 2**64 - 1):
        forged = cipher.seal_chain([batch(9)], seq, bytes(32))[0]
        await found.send(Kind.DATA, *forged)
    far = cipher.seal_chain([batch(9)], 2**63 - 1, bytes(32))[0]
    await found.send(Kind.DATA, *far)
    await found.send(Kind.DATA, *found.world.seal(1, batch(2)))
    assert (2, True) in await found.values()


async def test_invented_commits_are_bounded_and_ask_for_nothing_absurd() -> None:
    """A broker can make up any epoch in a header; the reader holds a bounded number and asks for what can be asked."""
    found = await scene()
    real = found.world.commits[-1]
    for epoch in (2**32 - 1, 5, 2**40, 2**64 - 1):
        await found.send(Kind.COMMITS, real[:34] + epoch.to_bytes(8, "big") + real[42:])
    flood = [real[:34] + epoch.to_bytes(8, "big") + real[42:] for epoch in range(1000, 1000 + MAX_HELD + 50)]
    await found.membership.take([message(Kind.COMMITS, found.membership.sid, data) for data in flood])
    assert len(found.membership._commits) <= MAX_HELD
    found.world.commit(1)
    await found.send(Kind.COMMITS, found.world.commits[-1])
    assert found.membership.status().epoch == 3


async def test_a_writer_that_signs_a_malformed_commit_is_an_alarm() -> None:
    """Header and signature are right, the arrays are not: only the writer itself can do this."""
    found = await scene()
    found.world.commit(1, joins=[])
    good = Commit.decode(found.world.commits[-1])
    # One wrap more than the changes can cause, and the header says so.
    header = good.header._replace(n_wraps=good.header.depth + 1)
    wraps = b"".join(bytes([0]) + index.to_bytes(4, "big") + bytes(40) for index in range(header.n_wraps))
    unsigned = header.encode() + good.body.encode_changes() + wraps + good.epoch_wrap + good.confirm
    message = found.world.prepare(1).message
    signed = unsigned + sign_commit(type(message)(header.sid, header.epoch, sha256(unsigned)))
    found.world.registry.hashes[header.epoch] = sha256(unsigned)
    await found.send(Kind.COMMITS, signed)
    assert "commit" in await found.alarms()
    await found.membership.tick()
    assert found.membership.status().epoch == 2


async def test_a_forged_reading_is_withdrawn_from_the_store() -> None:
    """channels.md 6: the attack on finality through a gap that closes late, down to what the node shows."""
    found = await scene()
    first = found.world.envelopes[0]
    header = EnvelopeHeader.decode(first)
    cipher = found.membership._reader.keyring.cipher(Lane(header.sid, header.epoch, header.slot, header.inst))
    forged = cipher.seal_chain([batch(666)], 2, sha256(first))[0]
    sealed = found.world.seal(1, *(batch(n) for n in (2, 3, 4, 5)))
    await found.send(Kind.DATA, *forged)
    found.membership._held.clear()
    # The relay lets the last one through first, as if the ones between were lost for good.
    progress = found.membership._reader.open([sealed[3]])
    found.membership._keeper.keep(progress)
    await found.send(Kind.DATA, sealed[2], sealed[1])
    [checkpoint] = found.world.writer.shutdown()
    await found.send(Kind.CHECKPOINTS, checkpoint)
    rows = await found.store.readings(found.membership.sid, found.membership.grant_id, 0, 2**40)
    assert {row.seq for row in rows if not row.provisional} == {3, 4, 5}
    assert all(row.payload != batch(666) for row in rows)
    await found.send(Kind.DATA, sealed[0])
    assert await found.values() == [(1, False), (2, False), (3, False), (4, False), (5, False)]
    assert "Forked" in await found.alarms()


async def test_a_former_writers_stolen_key_signs_nothing_once_the_chain_names_another() -> None:
    """Attack: the thief holds writer key, stream key, M and T. The owner has set another writer whose key has not come
    yet; the thief's capsule, commit and checkpoint of the next epoch must not be taken meanwhile."""
    made = await scene()
    before = made.membership.params
    last = made.world.writer.active_epoch
    former = (FormerWriter(before.writer, before.stream_public, last),)
    made.membership.renew(replace(before, writer=b"\x09" * 20, stream_public=b"", former=former))
    leaf = max(made.world.members)
    made.world.commit(1, [leaf], [Join(1, OPEN_SLOT, leaf)])
    member = replace(made.world.members[leaf], grant_id=made.membership.grant_id)
    forged = made.world.writer.welcome(member, made.world.keys[leaf].public_bytes)
    sealed = made.world.seal(1, batch(666))
    await made.send(Kind.COMMITS, made.world.commits[-1])
    await made.send(Kind.CAPSULE, forged)
    await made.send(Kind.DATA, *sealed)
    await made.send(Kind.CHECKPOINTS, *made.world.writer.shutdown())
    assert made.membership.status().epoch == last
    assert await made.values() == [(1, True)]
    # Once the real key is known the waiting words are judged by it, and are nobody's.
    made.membership.renew(replace(made.membership.params, stream_public=TWO_KEYS.public_bytes[:32][::-1]))
    await made.membership.tick()
    await made.membership.tick()
    assert made.membership.status().epoch == last
    assert await made.values() == [(1, True)]
    assert "checkpoint" in await made.alarms()


async def test_what_a_new_writer_says_waits_for_its_key_and_is_read_then() -> None:
    """The chain was faster than the parcel with the key: nothing is lost, and there is no false alarm."""
    made = await scene()
    known = made.membership.params
    former = (FormerWriter(known.writer, known.stream_public, made.world.writer.active_epoch),)
    made.membership.renew(replace(known, stream_public=b"", former=former))
    made.world.commit(1, joins=[Join(1, OPEN_SLOT)])
    closing = made.world.checkpoints[-1]
    await made.send(Kind.CHECKPOINTS, closing)
    await made.send(Kind.COMMITS, made.world.commits[-1])
    await made.send(Kind.DATA, *made.world.seal(1, batch(2)))
    await made.send(Kind.CHECKPOINTS, *made.world.writer.shutdown())
    assert await made.values() == [(1, False)]
    made.membership.renew(replace(known, former=former))
    for _ in range(2):
        await made.membership.tick()
    assert await made.values() == [(1, False), (2, False)]
    assert await made.alarms() == []


async def test_a_welcome_that_waits_is_not_displaced_by_the_answer_to_an_old_request() -> None:
    """A new writer answered what was asked of the one before: that capsule opens with no key that still exists."""
    made = await scene(welcomed=False)
    known = made.membership.params
    former = (FormerWriter(b"\x08" * 20, known.stream_public, 0),)
    made.membership.renew(replace(known, stream_public=b"", former=former))
    await made.send(Kind.CAPSULE, made.capsule)
    member = next(m for m in made.world.members.values() if m.grant_id == made.membership.grant_id)
    stale = made.world.writer.resync(member, SealingKey.generate().public_bytes, b"\x05" * 32, 0)
    await made.send(Kind.CAPSULE, stale)
    assert made.membership.status().epoch == 0
    made.membership.renew(replace(known, former=former))
    await made.membership.tick()
    assert made.membership.status().epoch == made.world.writer.active_epoch
    assert await made.alarms() == []


async def test_a_writer_that_ignores_a_revocation_is_an_alarm_once_for_each_slot() -> None:
    """channels.md 4 rule 6, attack: the grant is revoked on chain, and its reader keeps the keys of what comes."""
    found = await scene()
    clock = cast("Fixed", found.membership._ports.clock)
    await found.membership.revocation_seen(5_000)
    clock.time += REVOCATION_DELAY
    await found.send(Kind.DATA, found.world.seal(3, batch(2))[0])
    assert await found.alarms() == [], "within the delay"
    clock.time += 60
    for value in (3, 4):
        await found.send(Kind.DATA, found.world.seal(4, batch(value))[0])
    assert await found.alarms() == ["StaleEpoch"]


async def test_what_was_sealed_before_a_revocation_and_comes_late_is_no_alarm() -> None:
    """A reader that was away takes in the past for longer than the writer may take to answer."""
    found = await scene()
    clock = cast("Fixed", found.membership._ports.clock)
    late = found.world.seal(1, batch(2))[0]
    clock.time = at(9)
    await found.membership.revocation_seen(5_000)
    clock.time += 2 * REVOCATION_DELAY
    await found.send(Kind.DATA, late)
    assert await found.values() == [(1, True), (2, True)]
    assert "StaleEpoch" not in await found.alarms()


async def test_a_household_that_lost_its_log_asks_for_it_whichever_capsule_lets_it_in() -> None:
    """Its log says who sits where when a gateway is dead: without the commits before the capsule nobody could move."""
    found = await scene()
    assert ("commits", 1, 2) in found.asked.made
