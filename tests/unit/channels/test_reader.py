"""What a reader opens, refuses and reports (channels.md 3, 4 rule 6, 6)."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels.alarms import Damaged, Dropped, Forked, MissingCheckpoint, Reordered, Replayed, StaleEpoch
from channels.checkpoint import Checkpoint
from channels.envelope import EnvelopeHeader, Lane, SlotCipher
from channels.errors import (
    CapsuleRejected,
    ChannelError,
    CheckpointRejected,
    CommitNotOnChain,
    EnvelopeRejected,
    NoKey,
    ReaderRemoved,
    SignatureRejected,
    SnapshotInvalid,
)
from channels.kdf import sha256
from channels.reader import Progress, Reader
from channels.reader_state import restore_reader, snapshot_reader
from channels.slots import OPEN_SLOT
from channels.writer import Changes, Join, Writer
from keys.sealing import SealingKey
from tests.unit.channels.world import SLOT, STREAM_KEY, World, at, evidence, hashed, masters, sign_commit


def sealed(count: int, signed: bool = False) -> tuple[World, Reader, list[bytes]]:
    """A reader and `count` envelopes of slot 0 that it has not seen."""
    world = World.start(0, signed=signed)
    _, reader = world.join(0)
    return world, reader, world.seal(0, *(b"reading %d" % n for n in range(1, count + 1)))


def seqs(progress: Progress) -> list[int]:
    return [reading.seq for reading in progress.readings]


@pytest.mark.parametrize("signed", [False, True])
def test_readings_are_provisional_until_a_checkpoint_covers_them(signed: bool) -> None:
    world, reader, envelopes = sealed(3, signed)
    progress = reader.open(envelopes)
    assert [(r.seq, r.plaintext, r.provisional) for r in progress.readings] == [
        (1, b"reading 1", True),
        (2, b"reading 2", True),
        (3, b"reading 3", True),
    ]
    [checkpoint] = world.writer.close_slot(0)
    assert reader.accept_checkpoint(checkpoint).final == ((1, 3),)
    more = world.seal(1, b"reading 4")
    [checkpoint] = world.writer.shutdown()
    assert reader.accept_checkpoint(checkpoint) == Progress()
    late = reader.open(more)
    assert late.final == ((1, 4),)
    assert not late.readings[0].provisional


def test_what_waited_for_a_commit_before_the_removal_is_not_lost() -> None:
    """Data came before its commit, and that one came together with the one that removes this reader."""
    world = World.start(0)
    leaf, reader = world.join(0)
    world.commit(1, joins=[Join(1, OPEN_SLOT)])
    early = world.seal(1, b"before", b"the end")
    assert reader.open(early).readings == ()
    world.commit(1, removed=[leaf])
    late = world.seal(1, b"after")
    assert reader.open(late).readings == ()
    with pytest.raises(ReaderRemoved):
        reader.catch_up(world.commits[2:], world.registry)
    assert [reading.plaintext for reading in reader.open(()).readings] == [b"before", b"the end"]
    assert reader.open(late).readings == ()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["flip", "cut", "extend"]), st.booleans())
@example(22_681, "flip", False)
def test_any_changed_envelope_is_refused_with_evidence(where: int, kind: str, signed: bool) -> None:
    _, reader, [first, second] = _WORLDS[signed]
    reader = restore_reader(reader.params, snapshot_reader(reader))
    if kind == "flip":
        bit = where % (len(second) * 8)
        changed = bytearray(second)
        changed[bit // 8] ^= 1 << bit % 8
        wrong = bytes(changed)
    else:
        wrong = second[: where % len(second)] if kind == "cut" else second + bytes(1 + where % 9)
    reader.open([first])
    progress = reader.open([wrong])
    assert not progress.readings
    if EnvelopeHeader.decode(second).epoch == int.from_bytes(wrong[34:42], "big"):
        assert progress.alarms == (Damaged(progress.alarms[0].reason, (wrong,)),)  # type: ignore[union-attr]
    assert seqs(reader.open([second])) == [2]


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("signed", [False, True])
def test_an_envelope_of_an_earlier_epoch_does_not_take_the_place_of_the_next_one(epoch: int, signed: bool) -> None:
    """Attack: a broker writes an epoch before the reader's time into the next envelope, which then cannot be opened and
    was taken as one that keeps the chain going; the right one came too late."""
    _, reader, [first, second] = _WORLDS[signed]
    reader = restore_reader(reader.params, snapshot_reader(reader))
    reader.open([first])
    forged = second[:34] + epoch.to_bytes(8, "big") + second[42:]
    progress = reader.open([forged])
    assert progress.alarms == (Damaged(progress.alarms[0].reason, (forged,)),)  # type: ignore[union-attr]
    assert not progress.readings
    assert seqs(reader.open([second])) == [2]


_WORLDS = {signed: sealed(2, signed) for signed in (False, True)}


def test_open_one_raises() -> None:
    world, reader, [first, second] = sealed(2)
    assert reader.open_one(first).plaintext == b"reading 1"
    with pytest.raises(EnvelopeRejected) as caught:
        reader.open_one(second[:-1] + bytes([second[-1] ^ 1]))
    assert isinstance(caught.value.alarm, Damaged)
    stranger = Reader(world.writer.params, hashed("nobody"))
    with pytest.raises(NoKey):
        stranger.open_one(second)


def test_a_drop_is_reported_and_the_late_envelope_still_fits() -> None:
    _, reader, envelopes = sealed(6)
    assert seqs(reader.open(envelopes[:2])) == [1, 2]
    progress = reader.open(envelopes[4:])
    assert seqs(progress) == [5, 6]
    assert progress.alarms == (Dropped(3, 4, (envelopes[1], envelopes[4])),)
    late = reader.open([envelopes[2]])
    assert (late.readings, late.alarms) == ((), (Reordered(3, (envelopes[2],)),))
    late = reader.open([envelopes[3]])
    assert seqs(late) == [3, 4]
    assert late.alarms == (Reordered(4, (envelopes[3],)),)


def test_finality_goes_back_only_through_an_unbroken_chain() -> None:
    world, reader, envelopes = sealed(6)
    reader.open([*envelopes[:2], *envelopes[3:]])
    [checkpoint] = world.writer.shutdown()
    assert reader.accept_checkpoint(checkpoint).final == ((4, 6),)
    late = reader.open([envelopes[2]])
    assert [(r.seq, r.provisional) for r in late.readings] == [(3, False)]
    assert late.final == ((3, 3), (1, 2))


def test_a_replay_is_reported() -> None:
    _, reader, envelopes = sealed(3)
    reader.open(envelopes)
    assert reader.open([envelopes[1]]).alarms == (Replayed(2, (envelopes[1],)),)
    restored = restore_reader(reader.params, snapshot_reader(reader))
    assert restored.open([envelopes[1]]).alarms == (Replayed(2, (envelopes[1],)),)


def test_two_copies_of_a_writer_are_a_fork_and_share_no_key_and_nonce() -> None:
    """channels.md 2 and 6: a second copy, or a restored old backup, seals under its own inst."""
    world, reader, envelopes = sealed(2)
    snapshot = world.writer.snapshot()
    copy = Writer.restore(world.writer.params, masters(), STREAM_KEY, hashed("copy")[:16], snapshot)
    [one] = world.seal(0, b"the same")
    [two] = copy.seal([(at(0), b"the same")], evidence(at(0))).envelopes
    assert EnvelopeHeader.decode(one).seq == EnvelopeHeader.decode(two).seq
    assert EnvelopeHeader.decode(one).inst != EnvelopeHeader.decode(two).inst
    assert one[102:] != two[102:]
    reader.open([*envelopes, one])
    progress = reader.open([two])
    assert progress.alarms == (Forked("envelope", 3, (one, two)),)
    assert not progress.readings


def test_an_old_backup_forks_the_chain_and_the_checkpoint_settles_it() -> None:
    world, reader, envelopes = sealed(2)
    old = world.writer.snapshot()
    more = world.seal(0, b"three", b"four")
    reader.open([*envelopes, *more])
    restored = Writer.restore(world.writer.params, masters(), STREAM_KEY, hashed("restored")[:16], old)
    branch = restored.seal([(at(0), b"other three")], evidence(at(0))).envelopes
    [checkpoint] = restored.shutdown()
    assert reader.open(branch).alarms == (Forked("envelope", 3, (more[0], branch[0])),)
    settled = reader.accept_checkpoint(checkpoint)
    assert settled.alarms == (Forked("checkpoint", 3, (more[0], checkpoint)),)
    assert not settled.final
    following = restored.seal([(at(0), b"four again")], evidence(at(0))).envelopes
    assert [r.plaintext for r in reader.open(following).readings] == [b"four again"]


def member_forgery(reader: Reader, envelope: bytes, seq: int, prev_hash: bytes) -> bytes:
    """What a member can do: it holds the slot key, so its envelope passes the tag."""
    header = EnvelopeHeader.decode(envelope)
    cipher: SlotCipher = reader.keyring.cipher(Lane(header.sid, header.epoch, header.slot, header.inst))
    return cipher.seal_chain([b"forged"], seq, prev_hash)[0][0]


def test_a_members_forgery_before_a_gap_never_becomes_final() -> None:
    """channels.md 6, attack: a member forges one envelope, the relay first holds back what would contradict it.

    The gap behind the forgery closes late; the checkpoint over all of it must not reach the forgery, and the reader
    must say that its reading is withdrawn and take the right one.
    """
    world, reader, envelopes = sealed(5)
    forged = member_forgery(reader, envelopes[0], 2, sha256(envelopes[0]))
    assert [r.plaintext for r in reader.open([envelopes[0], forged]).readings][1] == b"forged"
    reader.open([envelopes[4], envelopes[3]])
    closed = reader.open([envelopes[2]])
    assert Forked("envelope", 2, (forged, envelopes[2])) in closed.alarms
    [checkpoint] = world.writer.shutdown()
    progress = reader.accept_checkpoint(checkpoint)
    assert progress.final == ((3, 5),)
    assert progress.withdrawn == ((2, 2),)
    healed = reader.open([envelopes[1]])
    assert [(r.seq, r.plaintext, r.provisional) for r in healed.readings] == [(2, b"reading 2", False)]
    assert healed.final == ((2, 2), (1, 1))
    assert healed.taken == (envelopes[1],)


def test_a_forgery_and_its_refutation_in_one_step_leave_the_right_reading_alone() -> None:
    world, reader, envelopes = sealed(5)
    forged = member_forgery(reader, envelopes[0], 2, sha256(envelopes[0]))
    [checkpoint] = world.writer.shutdown()
    reader.accept_checkpoint(checkpoint)
    order = [0, None, 4, 3, 2, 1]
    progress = reader.open([forged if place is None else envelopes[place] for place in order])
    later = reader.open([envelopes[1]])
    kept = [r for r in progress.readings if not any(a <= r.seq <= b for a, b in later.withdrawn)] + [*later.readings]
    assert b"forged" not in [r.plaintext for r in kept]
    assert sorted(r.seq for r in kept) == [1, 2, 3, 4, 5]


def test_an_envelope_without_a_key_may_fill_a_gap_that_its_hash_fits() -> None:
    """Retention took the keys: the chain stays whole over what cannot be opened; noise does not move it."""
    _, reader, envelopes = sealed(4)
    reader.open([envelopes[0], envelopes[3]])
    reader.forget(1)
    noise = bytearray(envelopes[2])
    noise[-1] ^= 1
    assert reader.open([bytes(noise), envelopes[1]]) == Progress()
    late = reader.open([envelopes[2], envelopes[1]])
    assert late.taken == (envelopes[2], envelopes[1])
    assert not late.readings
    assert not reader.chain.gaps


def test_a_snapshot_of_before_is_read_and_links_nothing_that_it_cannot() -> None:
    """Version 1 did not say what lies below a gap: what fills it is taken, the part below stays provisional."""
    world, reader, envelopes = sealed(4)
    reader.open([envelopes[0], envelopes[3]])
    [gap] = reader.chain.gaps
    [checkpoint] = world.writer.shutdown()
    stored = snapshot_reader(reader)
    whole = gap.expected + gap.before + b"\x00"
    head = reader.chain.start.to_bytes(8, "big") + reader.chain.next_seq.to_bytes(8, "big")
    before = stored.replace(whole, gap.expected).replace(head, head + bytes(8))
    again = restore_reader(world.writer.params, b"\x00\x01" + before[2:])
    assert again.accept_checkpoint(checkpoint).final == ((4, 4),)
    assert again.open([envelopes[2], envelopes[1]]).final == ((3, 3), (2, 2))


def test_a_members_forgery_never_becomes_final() -> None:
    """channels.md 3: symmetric keys let any reader forge; only what the stream key signs counts."""
    world, reader, envelopes = sealed(3)
    reader.open(envelopes[:2])
    forged = member_forgery(reader, envelopes[0], 3, sha256(envelopes[1]))
    assert reader.open([forged]).readings[0].provisional
    [checkpoint] = world.writer.shutdown()
    progress = reader.accept_checkpoint(checkpoint)
    assert progress.alarms == (Forked("checkpoint", 3, (forged, checkpoint)),)
    assert progress.final == ()


def test_a_forged_leap_ahead_delays_and_does_not_shut_out() -> None:
    world, reader, envelopes = sealed(4)
    reader.open(envelopes[:1])
    forged = member_forgery(reader, envelopes[0], 1_000_000, bytes(32))
    assert isinstance(reader.open([forged]).alarms[0], Dropped)
    assert reader.open(envelopes[1:]).readings == ()
    [checkpoint] = world.writer.shutdown()
    progress = reader.accept_checkpoint(checkpoint)
    assert [(r.seq, r.provisional) for r in progress.readings] == [(2, False), (3, False), (4, False)]
    following = world.seal(0, b"five")
    reader.open(following)
    [checkpoint] = world.writer.shutdown()
    assert seqs(reader.accept_checkpoint(checkpoint)) == [5]


def test_a_signed_stream_refuses_a_members_forgery_at_once() -> None:
    _, reader, envelopes = sealed(2, signed=True)
    reader.open(envelopes[:1])
    header = EnvelopeHeader.decode(envelopes[0])
    cipher = reader.keyring.cipher(Lane(header.sid, header.epoch, header.slot, header.inst))
    forged = cipher.seal_chain([b"forged"], 2, sha256(envelopes[0]))[0][0] + bytes(64)
    progress = reader.open([forged])
    assert isinstance(progress.alarms[0], Damaged)
    assert seqs(reader.open(envelopes[1:])) == [2]


def test_envelopes_wait_for_their_commit() -> None:
    world, reader, envelopes = sealed(1)
    world.commit(0, joins=[Join(0, OPEN_SLOT)])
    after = world.seal(0, b"after", b"more")
    assert seqs(reader.open([*envelopes, *after, after[0]])) == [1]
    progress = reader.process_commit(world.commits[-1], world.registry)
    assert seqs(progress) == [2, 3]
    assert not progress.alarms


def test_unreadable_envelopes_keep_the_chain_and_cannot_move_it() -> None:
    world = World.start(0)
    first = world.seal(0, b"before the grant")
    _, reader = world.join(1)
    second = world.seal(1, b"inside")
    assert seqs(reader.open([*first, *second])) == [2]
    junk = bytearray(first[0])
    junk[62:70] = (99).to_bytes(8, "big")
    assert reader.open([bytes(junk)]) == Progress()
    assert seqs(reader.open(world.seal(1, b"next"))) == [3]


def test_a_stale_epoch_is_an_alarm() -> None:
    """channels.md 4 rule 6: data under an epoch older than a revocation by more than the delay."""
    world, reader, envelopes = sealed(1)
    reader.revocation_seen(block=5_000, at=at(0, 10))
    assert reader.open(envelopes, received_at=at(0, 20)).alarms == ()
    prompt = world.seal(1, b"sealed in time, as its slot says, and yet it comes only now")
    assert reader.open(prompt, received_at=at(0, 131)).alarms == (StaleEpoch(2, 1, at(0, 10), (prompt[0],)),)
    late = world.seal(4, b"still the old epoch")
    assert reader.open(late).alarms == (StaleEpoch(2, 4, at(0, 10), (late[0],)),)
    assert reader.open(world.seal(4, b"and again")).alarms == (), "said once for a slot"
    prepared = world.writer.prepare(Changes(4, 5_000, added=(Join(4, OPEN_SLOT),)))
    world.commits.append(world.writer.apply(prepared, sign_commit(prepared.message)))
    world.include(prepared)
    reader.process_commit(world.commits[-1], world.registry)
    assert reader.open(world.seal(5, b"new epoch"), received_at=at(9)).alarms == ()


def test_missing_checkpoints_are_alarms_once() -> None:
    """channels.md 3: no checkpoint by slot end + 60 s."""
    world, reader, envelopes = sealed(1)
    reader.open(envelopes)
    assert reader.check(at(1, 60)) == ()
    assert reader.check(at(1, 61)) == (MissingCheckpoint(2, 0, ()),)
    assert reader.check(at(1, 62)) == ()
    for checkpoint in world.writer.close_slot(0):
        reader.accept_checkpoint(checkpoint)
    for checkpoint in world.writer.close_slot(1):
        reader.accept_checkpoint(checkpoint)
    assert reader.check(at(3)) == ()
    assert reader.check(at(3, 61)) == (MissingCheckpoint(0, 2, ()),)


def test_a_cut_off_end_is_reported() -> None:
    """channels.md 5 threat 8: truncation. The checkpoint signs for envelopes that never came."""
    world, reader, envelopes = sealed(3)
    reader.open(envelopes[:1])
    [checkpoint] = world.writer.shutdown()
    assert reader.accept_checkpoint(checkpoint) == Progress()
    assert Dropped(2, 3, (checkpoint,)) in reader.check(at(1, 61))


def test_checkpoints_are_signed_and_commit_to_the_slot_key() -> None:
    world, reader, envelopes = sealed(1)
    [checkpoint] = world.writer.shutdown()
    for place in range(0, len(checkpoint), 7):
        wrong = bytearray(checkpoint)
        wrong[place] ^= 1
        with pytest.raises(ChannelError):
            reader.accept_checkpoint(bytes(wrong))
    for wrong_length in (checkpoint[:-1], checkpoint + b"\x00"):
        with pytest.raises(ChannelError):
            reader.accept_checkpoint(wrong_length)
    found = Checkpoint.decode(checkpoint)
    lie = Checkpoint(found.sid, found.epoch, found.slot, found.first_seq, found.count, found.last_hash, hashed("key"))
    with pytest.raises(CheckpointRejected):
        reader.accept_checkpoint(lie.sign(STREAM_KEY))
    reader.open(envelopes)
    assert reader.accept_checkpoint(checkpoint).final == ((1, 1),)


def test_capsules_belong_to_one_reader_grant_epoch_and_commit() -> None:
    world = World.start(0)
    [leaf] = world.commit(0, joins=[Join(0, OPEN_SLOT)])
    member, key = world.members[leaf], world.keys[leaf]
    capsule = world.writer.welcome(member, key.public_bytes)
    params, registry = world.writer.params, world.registry
    other_key = SealingKey.from_bytes(hashed("another key"))
    for grant_id, used, request in (
        (hashed("another grant"), key, bytes(32)),
        (member.grant_id, key, hashed("request")),
        (member.grant_id, other_key, bytes(32)),
    ):
        with pytest.raises(SignatureRejected):
            Reader(params, grant_id).receive_capsule(capsule, used, registry, request)
    chance = random.Random(5)
    for place in chance.sample(range(len(capsule)), 60):
        changed = bytearray(capsule)
        changed[place] ^= 1
        with pytest.raises(ChannelError):
            Reader(params, member.grant_id).receive_capsule(bytes(changed), key, registry)
    good = registry.hashes.pop(2)
    with pytest.raises(CommitNotOnChain):
        Reader(params, member.grant_id).receive_capsule(capsule, key, registry)
    registry.hashes[2] = hashed("another commit")
    with pytest.raises(SignatureRejected):
        Reader(params, member.grant_id).receive_capsule(capsule, key, registry)
    registry.hashes[2] = good
    reader = Reader(params, member.grant_id)
    effect = reader.receive_capsule(capsule, key, registry)
    assert effect.reader_key_hash == key.key_hash()
    with pytest.raises(CapsuleRejected, match="newer"):
        reader.receive_capsule(capsule, key, registry)


def test_a_capsule_is_only_made_for_the_key_that_the_grant_names() -> None:
    world = World.start(0)
    [leaf] = world.commit(0, joins=[Join(0, OPEN_SLOT)])
    other = SealingKey.from_bytes(hashed("substituted"))
    with pytest.raises(CapsuleRejected):
        world.writer.welcome(world.members[leaf], other.public_bytes)
    with pytest.raises(CapsuleRejected):
        world.writer.welcome(world.members[leaf], b"short")


def test_refresh_removes_and_adds_one_leaf_and_closes_the_stolen_keys() -> None:
    """channels.md 4 rule 8: the old device state opens nothing after the refresh."""
    world = World.start(0, readers=2)
    leaf, reader = world.join(0)
    stolen = restore_reader(reader.params, snapshot_reader(reader))
    grant = world.members[leaf].grant_id
    world.commit(0, removed=[leaf], joins=[Join(0, OPEN_SLOT, leaf)])
    fresh = world.keys[leaf]
    member = world.members[leaf]
    renewed = type(member)(grant, fresh.key_hash(), leaf, 0, OPEN_SLOT, 2)
    reader.receive_capsule(world.writer.welcome(renewed, fresh.public_bytes), fresh, world.registry)
    envelopes = world.seal(0, b"after the refresh")
    assert seqs(reader.open(envelopes)) == [1]
    with pytest.raises(ChannelError):
        stolen.catch_up(world.commits[2:], world.registry)
    assert stolen.open(envelopes).readings == ()


def test_retention_punctures_keys() -> None:
    world = World.start(0)
    _, reader = world.join(0)
    envelopes = [*world.seal(0, b"zero"), *world.seal(1, b"one"), *world.seal(2, b"two")]
    stored = snapshot_reader(reader)
    reader.forget(2)
    assert [r.plaintext for r in reader.open(envelopes).readings] == [b"two"]
    assert len(snapshot_reader(reader)) > 0
    assert [r.plaintext for r in restore_reader(reader.params, stored).open(envelopes).readings] == [
        b"zero",
        b"one",
        b"two",
    ]


def test_snapshots_of_readers_are_canonical_and_checked() -> None:
    world, reader, envelopes = sealed(3)
    reader.open([envelopes[0], envelopes[2]])
    stored = snapshot_reader(reader)
    again = restore_reader(world.writer.params, stored)
    assert snapshot_reader(again) == stored
    assert seqs(again.open([envelopes[1]])) == [2]
    for wrong in (stored[:-1], stored + b"\x00", b"\x00\x03" + stored[2:], b"\x00\x01" + stored[2:]):
        with pytest.raises(SnapshotInvalid):
            restore_reader(world.writer.params, wrong)


def test_a_reader_of_history_follows_no_commits() -> None:
    world = World.start(0)
    envelopes = [*world.seal(0, b"zero"), *world.seal(1, b"one"), *world.seal(2, b"two")]
    key = SealingKey.from_bytes(hashed("history"))
    reader = Reader(world.writer.params, hashed("past grant"))
    capsule = world.writer.history(hashed("past grant"), key.public_bytes, (1, 2), 3)
    reader.receive_capsule(capsule, key, world.registry)
    assert [r.plaintext for r in reader.open(envelopes).readings] == [b"one"]
    with pytest.raises(NoKey):
        reader.process_commit(world.commits[0], world.registry)
    assert SLOT == 60
