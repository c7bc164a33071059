"""A provider with many grants on one stream does the work of one, and keeps what each grant may read apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from channels.commit import verify_commit_signature
from channels.slots import OPEN_SLOT
from channels.stores.memory import MemoryStore
from channels.stores.records import OpenRecord, StoredCommit
from channels.transports.topics import Kind
from channels.writer import Join
from node.services.provider.common import LOGGED, Common
from node.services.provider.membership import Membership
from node.services.provider.ports import Ports
from tests.unit.channels.world import World, sign_commit
from tests.unit.services.provider.test_hostile import Asked, Fixed, batch, message

GRANTS = 200


class CountingStore(MemoryStore):
    """Counts what is written into the log, duplicates as well."""

    def __init__(self) -> None:
        super().__init__()
        self.written: Counter[str] = Counter()

    async def record_open(self, sid: bytes, grant_id: bytes, record: OpenRecord) -> None:
        self.written["commits"] += len(record.commits)
        self.written["envelopes"] += len(record.envelopes)
        self.written["readings"] += len(record.readings)
        await super().record_open(sid, grant_id, record)


@dataclass
class Provider:
    """All readers of one node and what they share."""

    world: World
    store: CountingStore
    asked: Asked
    memberships: list[Membership]

    @classmethod
    async def of(cls, world: World, common: Common | None) -> Provider:
        store, asked, memberships = CountingStore(), Asked(), []
        for leaf in sorted(world.members)[1:]:
            member, fixed = world.members[leaf], Fixed(world, world.keys[leaf])
            ports = Ports(store, fixed, fixed, asked, fixed, common or Common())
            membership = Membership(world.writer.params, member.grant_id, (0, OPEN_SLOT), ports)
            await membership.load()
            capsule = world.writer.welcome(member, world.keys[leaf].public_bytes)
            await membership.take([message(Kind.CAPSULE, membership.sid, capsule)])
            memberships.append(membership)
        return cls(world, store, asked, memberships)

    async def send(self, kind: Kind, payloads: Sequence[bytes]) -> None:
        for membership in self.memberships:
            await membership.take([message(kind, membership.sid, payload) for payload in payloads])
            await membership.tick()

    async def readings(self) -> list[list[tuple[int, bool]]]:
        found = []
        for each in self.memberships:
            rows = await self.store.readings(each.sid, each.grant_id, 0, 2**40)
            found.append([(row.seq, row.provisional) for row in rows])
        return found


@pytest.fixture
def signatures(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    calls: Counter[str] = Counter()

    def counting(data: bytes, *args: Any) -> bytes:
        calls["signature"] += 1
        return verify_commit_signature(data, *args)

    monkeypatch.setattr("channels.shared.verify_commit_signature", counting)
    return calls


@pytest.mark.asyncio
async def test_two_hundred_grants_of_one_stream(signatures: Counter[str]) -> None:
    world = World.start(0, readers=GRANTS)
    provider = await Provider.of(world, Common())
    world.commit(1, removed=[5])
    envelopes = world.seal(1, *(batch(number) for number in range(10)))
    points = world.writer.close_slot(1)
    await provider.send(Kind.COMMITS, world.commits[-1:])
    await provider.send(Kind.DATA, envelopes)
    await provider.send(Kind.CHECKPOINTS, points)
    assert signatures["signature"] == 1
    assert provider.store.written == {"commits": 1, "envelopes": 10, "readings": (GRANTS - 1) * 10}
    seen = await provider.readings()
    assert seen.pop(4) == [], "the one that was removed reads nothing"
    assert all(rows == [(seq, False) for seq in range(1, 11)] for rows in seen)


@pytest.mark.asyncio
async def test_alone_and_together_keep_the_same(signatures: Counter[str]) -> None:
    world = World.start(0, readers=5)
    alone, together = await Provider.of(world, None), await Provider.of(world, Common())
    for slot in range(1, 4):
        world.commit(slot, removed=[slot], joins=[Join(slot, OPEN_SLOT)])
        world.seal(slot, batch(slot), batch(slot + 100))
        world.checkpoints += world.writer.close_slot(slot)
    for provider in (alone, together):
        await provider.send(Kind.COMMITS, world.commits[1:])
        await provider.send(Kind.DATA, world.envelopes)
        await provider.send(Kind.CHECKPOINTS, world.checkpoints)
    assert await alone.readings() == await together.readings()
    for reading in ("commits", "last_envelope"):
        sid = alone.memberships[0].sid
        assert await getattr(alone.store, reading)(sid) == await getattr(together.store, reading)(sid)
    assert [m.status() for m in alone.memberships] == [m.status() for m in together.memberships]


@pytest.mark.asyncio
async def test_missed_commits_are_followed_with_one_signature(signatures: Counter[str]) -> None:
    """What comes in one delivery is one run; the newest signature vouches for the others."""
    world = World.start(0, readers=2)
    provider = await Provider.of(world, Common())
    for number in range(300):
        world.commit(1 + number // 50, joins=[Join(1, OPEN_SLOT)])
    await provider.send(Kind.COMMITS, world.commits[1:])
    assert [membership.status().epoch for membership in provider.memberships] == [301, 301]
    assert signatures["signature"] == 1
    assert [commit.epoch for commit in await provider.store.commits(world.writer.params.sid)] == list(range(2, 302))


@pytest.mark.asyncio
async def test_a_removal_inside_a_run_is_where_reading_ends() -> None:
    world = World.start(0, readers=2)
    provider = await Provider.of(world, Common())
    world.commit(1, joins=[Join(1, OPEN_SLOT)])
    world.seal(1, batch(1))
    world.commit(1, removed=[2])
    world.seal(1, batch(2))
    world.commit(2, joins=[Join(2, OPEN_SLOT)])
    for each in provider.memberships:
        payloads = [*world.commits[1:], *world.envelopes]
        kinds = [Kind.COMMITS] * 3 + [Kind.DATA] * 2
        await each.take([message(kind, each.sid, data) for kind, data in zip(kinds, payloads, strict=True)])
        await each.tick()
    stays, gone = provider.memberships
    assert (stays.status().epoch, stays.status().removed_in) == (4, 0)
    assert (gone.status().epoch, gone.status().removed_in) == (2, 3)
    assert await provider.readings() == [[(1, True), (2, True)], [(1, True)]]


@pytest.mark.asyncio
async def test_a_forged_commit_inside_a_run_is_told_and_the_others_are_followed() -> None:
    world = World.start(0, readers=1)
    provider = await Provider.of(world, None)
    for slot in range(1, 6):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    good = world.commits[1:]
    forged = bytearray(good[2])
    forged[-70] ^= 1
    await provider.send(Kind.COMMITS, [*good[:2], bytes(forged), *good[3:]])
    [only] = provider.memberships
    assert only.status().epoch == 3
    assert [alarm.kind for alarm in await provider.store.alarms(only.sid)] == ["commit"]
    await provider.send(Kind.COMMITS, good[2:3])
    assert only.status().epoch == 6


@pytest.mark.asyncio
async def test_a_second_commit_of_an_epoch_takes_no_honest_ones_place() -> None:
    """Both in one delivery: the one that came first is judged before the other is looked at."""
    world = World.start(0, readers=1)
    provider = await Provider.of(world, None)
    prepared = world.prepare(1, joins=[Join(1, OPEN_SLOT)])
    bent = prepared.unsigned + sign_commit(prepared.message, bytes(31) + b"\x07")
    world.commit(1, joins=[Join(1, OPEN_SLOT)])
    [only] = provider.memberships
    await only.take([message(Kind.COMMITS, only.sid, data) for data in (world.commits[-1], bent)])
    assert only.status().epoch == 2
    [kept] = await provider.store.commits(only.sid)
    assert kept.data == world.commits[-1]


@pytest.mark.asyncio
async def test_commits_the_ledger_does_not_show_yet_wait() -> None:
    world = World.start(0, readers=1)
    provider = await Provider.of(world, None)
    for slot in range(1, 6):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    late = {epoch: world.registry.hashes.pop(epoch) for epoch in (4, 6)}
    await provider.send(Kind.COMMITS, world.commits[1:])
    [only] = provider.memberships
    assert only.status().epoch == 3
    world.registry.hashes.update(late)
    await only.tick()
    assert only.status().epoch == 6


def test_what_is_known_to_be_logged_is_bounded() -> None:
    common = Common()
    record = OpenRecord(b"", commits=tuple(_stored(number) for number in range(LOGGED + 10)))
    common.written(record)
    assert common.news(record) == record, "a single reader keeps no list"
    common.enter()
    common.enter()
    common.written(record)
    assert [commit.epoch for commit in common.news(record).commits] == list(range(10))


def _stored(number: int) -> StoredCommit:
    return StoredCommit(number, number.to_bytes(32, "big"), b"")
