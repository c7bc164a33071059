"""A copy of a stream in a second store, and the writer that is rebuilt from it (channels.md 2 and 7)."""

from __future__ import annotations

import pytest

from channels.envelope import EnvelopeHeader
from channels.errors import StoreConflict
from channels.kdf import sha256
from channels.rebuild import rebuild_writer
from channels.slots import OPEN_SLOT
from channels.stores.memory import MemoryStore
from channels.stores.records import Capsule, LeafRecord, LogKind, StoredCommit, StoredEnvelope
from channels.stores.replica import StreamCopy, restore_stream
from channels.writer import Join
from node.services.gateway.members import by_grant, leaf_record
from tests.unit.channels.world import STREAM_KEY, World, hashed, masters, params

SID = params().sid


class Recorded:
    """A writer with the store that its node would keep."""

    def __init__(self, readers: int = 2) -> None:
        self.world = World.start(readers=readers)
        self.store = MemoryStore()
        self.stored = 0
        self.sent = 0

    async def record(self) -> None:
        """Everything that the writer made since the last call, as the engine records it."""
        world = self.world
        for data in world.commits[self.stored :]:
            self.stored += 1
            commit = StoredCommit(self.stored, sha256(data[:-65]), data)
            before = {leaf.leaf for leaf in await self.store.leaves(SID)}
            leaves = [leaf_record(member) for member in world.members.values()]
            gone = [LeafRecord(leaf, None, 0, b"") for leaf in before - {leaf.leaf for leaf in leaves}]
            capsules = [
                Capsule(m.grant_id, self.stored, hashed("capsule", m.grant_id, self.stored), bytes([self.stored]))
                for m in world.members.values()
                if m.joined_epoch == self.stored
            ]
            await self.store.record_commit(SID, commit, capsules, [*gone, *leaves], b"c", world.writer.progress())
        rows = [_row(data) for data in world.envelopes[self.sent :]]
        self.sent += len(rows)
        await self.store.append_envelopes(SID, rows)

    async def rebuilt(self, store: MemoryStore) -> bytes:
        """The state of a writer made again from a store and the masters alone."""
        log = [commit.data for commit in await store.commits(SID, 0, 10_000)]
        members = by_grant(await store.leaves(SID)).values()
        position = self.world.writer.position
        made = rebuild_writer(params(), masters(), STREAM_KEY, hashed("new")[:16], log, members, len(log), position)
        return made.snapshot()


def _row(data: bytes) -> StoredEnvelope:
    header = EnvelopeHeader.decode(data)
    return StoredEnvelope(header.epoch, header.slot, header.inst, header.seq, sha256(data), data)


async def test_a_writer_whose_store_is_lost_is_rebuilt_from_the_copy() -> None:
    """Every commit, removals and a growing tree included: the state is the same to the byte."""
    recorded, copy = Recorded(), MemoryStore()
    running = StreamCopy(SID, recorded.store, copy)
    for step in range(6):
        recorded.world.seal(step, b"a", b"b", b"c")
        leaf = max(recorded.world.members)
        recorded.world.commit(step, removed=[leaf] if step % 2 else [], joins=[Join(step, OPEN_SLOT)] * 3)
        await recorded.record()
        await running.run()
    assert await running.run() == 0
    lost = MemoryStore()
    assert await restore_stream(SID, copy, lost) > 0
    assert await recorded.rebuilt(lost) == recorded.world.writer.snapshot()
    assert [e.data for e in await lost.envelopes(SID)] == recorded.world.envelopes
    for member in recorded.world.members.values():
        kept, original = await lost.capsule(SID, member.grant_id), await recorded.store.capsule(SID, member.grant_id)
        assert kept is not None
        assert original is not None
        assert kept.data == original.data


async def test_what_comes_back_is_not_published_again_but_for_the_newest_commit_and_the_capsules() -> None:
    recorded, copy, lost = Recorded(), MemoryStore(), MemoryStore()
    recorded.world.seal(0, b"a", b"b", b"c")
    recorded.world.commit(0, joins=[Join(0, OPEN_SLOT)])
    await recorded.record()
    await StreamCopy(SID, recorded.store, copy).run()
    await restore_stream(SID, copy, lost)
    waiting = await lost.unpublished(SID)
    assert {row.kind for row in waiting} == {LogKind.COMMITS, LogKind.CAPSULE}
    assert [row.data for row in waiting if row.kind is LogKind.COMMITS] == recorded.world.commits[-1:]
    assert await restore_stream(SID, MemoryStore(), MemoryStore()) == 0


async def test_a_copy_goes_on_after_a_restart_without_doubling_anything() -> None:
    recorded, copy = Recorded(), MemoryStore()
    for step in range(3):
        recorded.world.seal(step, b"a", b"b")
        recorded.world.commit(step, joins=[Join(step, OPEN_SLOT)])
        await recorded.record()
        await StreamCopy(SID, recorded.store, copy).run()
    assert [e.data for e in await copy.envelopes(SID)] == recorded.world.envelopes
    assert [c.data for c in await copy.commits(SID)] == recorded.world.commits
    assert await copy.leaves(SID) == await recorded.store.leaves(SID)


async def test_the_copy_holds_no_secret_of_the_writer() -> None:
    recorded, copy = Recorded(), MemoryStore()
    await recorded.record()
    await StreamCopy(SID, recorded.store, copy).run()
    assert await copy.writer_record(SID) is None


async def test_an_old_backup_in_the_first_store_never_takes_the_copy_back() -> None:
    """The copy is the newer one; leaves of an old epoch beside commits of a new one would be lost for good."""
    recorded, copy = Recorded(), MemoryStore()
    await recorded.record()
    old = MemoryStore()
    await StreamCopy(SID, recorded.store, old).run()
    recorded.world.commit(1, removed=[1], joins=[Join(1, OPEN_SLOT)])
    await recorded.record()
    await StreamCopy(SID, recorded.store, copy).run()
    await StreamCopy(SID, old, copy).run()
    assert await recorded.rebuilt(copy) == recorded.world.writer.snapshot()


async def test_two_writers_of_one_epoch_are_seen_by_the_copy() -> None:
    """Attack: a copied gateway committed something else. The copy refuses and shows both."""
    one, two, copy = Recorded(), Recorded(), MemoryStore()
    one.world.commit(1, joins=[Join(1, OPEN_SLOT)])
    two.world.commit(2, joins=[Join(2, OPEN_SLOT)])
    for recorded in (one, two):
        await recorded.record()
    await StreamCopy(SID, one.store, copy).run()
    with pytest.raises(StoreConflict) as caught:
        await StreamCopy(SID, two.store, copy).run()
    assert {caught.value.existing, caught.value.offered} == {one.world.commits[-1], two.world.commits[-1]}
