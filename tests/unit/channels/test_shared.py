"""Readers of one stream that share their work see what each would see alone, and nothing of each other's grants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from channels.chain import EnvelopeChain
from channels.checkpoint import Checkpoint
from channels.commit import Commit, verify_commit_signature
from channels.envelope import EnvelopeHeader, Lane, SlotCipher
from channels.errors import ChannelError, CommitRejected, ReaderRemoved, SignatureRejected
from channels.reader import Reader
from channels.reader_state import restore_reader, snapshot_reader
from channels.shared import ALONE, Shared
from channels.slots import OPEN_SLOT
from channels.writer import Join
from tests.unit.channels.world import World, sign_commit

READERS = 200


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the work was really done."""
    calls: Counter[str] = Counter()
    real, chain = verify_commit_signature, SlotCipher.open_chain
    decode, verify = Commit.decode, Checkpoint.verify

    def signature(*args: object) -> bytes:
        calls["signature"] += 1
        return real(*args)  # type: ignore[arg-type]

    def parsed(data: bytes, header: object = None) -> Commit:
        calls["parsed"] += 1
        return decode(data, header)  # type: ignore[arg-type]

    def point(data: bytes, public: bytes) -> Checkpoint:
        calls["checkpoint"] += 1
        return verify(data, public)

    def opened(self: SlotCipher, envelopes: Sequence[bytes], *args: object) -> tuple[list[bytes], bytes]:
        found = chain(self, envelopes, *args)  # type: ignore[arg-type]
        calls["opened"] += len(found[0])
        return found

    monkeypatch.setattr("channels.shared.verify_commit_signature", signature)
    monkeypatch.setattr(Commit, "decode", parsed)
    monkeypatch.setattr(Checkpoint, "verify", point)
    monkeypatch.setattr(SlotCipher, "open_chain", opened)
    return calls


def members(world: World, shared: Shared) -> list[Reader]:
    """Everybody who is in the tree, the owner left out."""
    found = []
    for leaf in sorted(world.members)[1:]:
        reader = world.welcome(leaf)
        reader.shared = shared
        found.append(reader)
    return found


def history(world: World) -> None:
    """A few members leave, some join, readings and checkpoints between."""
    for slot in range(1, 5):
        world.commit(slot, removed=[2 * slot], joins=[Join(slot, OPEN_SLOT)] if slot % 2 else [])
        world.seal(slot, *(b"%d of %d" % (number, slot) for number in range(20)))
        world.checkpoints += world.writer.close_slot(slot)


def follow(world: World, reader: Reader, commits: Sequence[bytes]) -> list[object]:
    """What a reader saw: effects and errors in order."""
    seen: list[object] = []
    for data in commits:
        try:
            seen.append(reader.process_commit(data, world.registry))
        except ReaderRemoved as gone:
            seen.append(("removed", gone.epoch))
    seen += [reader.open(world.envelopes[at : at + 7]) for at in range(0, len(world.envelopes), 7)]
    seen += [reader.accept_checkpoint(data) for data in world.checkpoints]
    return seen


@pytest.mark.parametrize("options", [{}, {"signed": True}, {"two_signatures": True}], ids=str)
def test_shared_and_alone_see_the_same(options: dict[str, bool]) -> None:
    world = World.start(0, readers=12, **options)
    alone, together = members(world, ALONE), members(world, Shared())
    history(world)
    commits = world.commits[1:]
    for one, other in zip(alone, together, strict=True):
        assert follow(world, one, commits) == follow(world, other, commits)
        assert snapshot_reader(one) == snapshot_reader(other)


def test_the_work_is_done_once_for_two_hundred_grants(counted: Counter[str]) -> None:
    world = World.start(0, readers=READERS)
    readers = members(world, Shared())
    history(world)
    counted.clear()
    for reader in readers:
        follow(world, reader, world.commits[1:])
    assert counted["signature"] == counted["parsed"] == 4
    assert counted["checkpoint"] == len(world.checkpoints)
    # The first envelope of a chain has no place yet and is opened by each for itself.
    assert counted["opened"] <= len(world.envelopes)
    assert {reader.epoch for reader in readers if not reader.removed_in} == {5}
    assert sum(bool(reader.removed_in) for reader in readers) == 4


def test_catching_up_is_shared_too(counted: Counter[str]) -> None:
    world = World.start(0, readers=READERS)
    shared = Shared()
    readers = members(world, shared)
    for slot in range(1, 40):
        world.commit(slot, removed=[slot])
    counted.clear()
    stayed = readers[60:]
    for reader in stayed:
        reader.catch_up(world.commits[1:], world.registry)
    assert counted == {"signature": 1, "parsed": 39}
    assert {reader.epoch for reader in stayed} == {40}


def test_a_reader_without_the_key_gets_nothing_from_one_that_has_it() -> None:
    """The revoked, the future and the one of another slot stay outside, however much was opened beside them."""
    world = World.start(0, readers=2)
    shared = Shared()
    stays, leaves = members(world, shared)
    world.commit(1, removed=[2])
    secret = world.seal(1, b"first", b"second", b"third")
    stays.process_commit(world.commits[-1], world.registry)
    with pytest.raises(ReaderRemoved):
        leaves.process_commit(world.commits[-1], world.registry)
    _, late = world.join(2)
    late.shared = shared
    stays.process_commit(world.commits[-1], world.registry)
    assert [reading.plaintext for reading in stays.open(secret).readings] == [b"first", b"second", b"third"]
    [run] = shared._runs
    assert isinstance(run, tuple)
    _, place, public = run
    header = EnvelopeHeader.decode(secret[0])
    lane = Lane(header.sid, header.epoch, header.slot, header.inst)
    assert shared.open_chain(SlotCipher.of(bytes(32), lane), secret, 1, place, public)[0] == [], "another key"
    for outsider in (leaves, late):
        outsider.chain.start, outsider.chain.next_seq, outsider.chain.tip = 1, 1, bytes(32)
        assert outsider.open(secret).readings == ()


def test_what_was_refused_is_refused_for_everybody() -> None:
    world = World.start(0, readers=2)
    shared = Shared()
    readers = members(world, shared)
    prepared = world.prepare(1, removed=[0])
    forged = prepared.unsigned + sign_commit(prepared.message, bytes(31) + b"\x05")
    world.registry.hashes[prepared.epoch] = prepared.commit_hash
    for reader in readers:
        with pytest.raises(SignatureRejected):
            reader.process_commit(forged, world.registry)
    good = prepared.unsigned + sign_commit(prepared.message)
    for reader in readers:
        reader.process_commit(good, world.registry)
        # The other's signature vouches for nothing but these very bytes.
        with pytest.raises(ChannelError):
            reader.process_commit(good[:-1] + bytes([good[-1] ^ 1]), world.registry)


def test_each_reader_asks_its_own_chain() -> None:
    """What one reader's node saw on the ledger counts for no other."""
    world = World.start(0, readers=2)
    first, second = members(world, Shared())
    world.commit(1, removed=[0])
    first.process_commit(world.commits[-1], world.registry)
    world.registry.hashes[2] = bytes(32)
    with pytest.raises(CommitRejected):
        second.process_commit(world.commits[-1], world.registry)


def test_a_changed_envelope_is_noticed_beside_a_shared_one() -> None:
    world = World.start(0, readers=2)
    first, second = members(world, Shared())
    envelopes = world.seal(0, b"a", b"b", b"c", b"d")
    for reader in (first, second):
        reader.open(envelopes[:1])
    assert len(first.open(envelopes[1:]).readings) == 3
    bent = [*envelopes[1:3], envelopes[3][:-1] + bytes([envelopes[3][-1] ^ 1])]
    progress = second.open(bent)
    assert [reading.plaintext for reading in progress.readings] == [b"b", b"c"]
    assert [type(alarm).__name__ for alarm in progress.alarms] == ["Damaged"]
    assert second.open(envelopes[3:]).readings[0].plaintext == b"d"


def test_memory_is_bounded() -> None:
    world = World.start(0, readers=1)
    shared = Shared(16)
    [reader] = members(world, shared)
    for number in range(100):
        world.commit(number // 4, joins=[Join(number // 4, OPEN_SLOT)])
        world.seal(number // 4, b"x", b"y")
        world.checkpoints += world.writer.shutdown()
    follow(world, reader, world.commits[1:])
    assert (len(shared._commits), len(shared._signed), len(shared._checkpoints)) == (16, 16, 2)
    assert 100 < sum(len(run) for run, _, _ in shared._runs.values()) == shared._opened <= 128
    other = restore_reader(world.writer.params, snapshot_reader(reader))
    other.shared, other.chain = shared, EnvelopeChain()
    other.open(world.envelopes[:150])  # the same places, other runs
    assert 100 < sum(len(run) for run, _, _ in shared._runs.values()) == shared._opened <= 128
    assert not any((ALONE._commits, ALONE._signed, ALONE._checkpoints, ALONE._runs))
