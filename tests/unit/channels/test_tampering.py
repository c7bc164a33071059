"""channels.md 6: any flipped bit, truncation, extension or swapped field is rejected, in every message and every field.

Also the equality of the three ways to the present: online, offline then replay, and resync.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.alarms import Forked
from channels.checkpoint import CHECKPOINT_BYTES, Checkpoint
from channels.errors import ChannelError, CheckpointRejected, CommitRejected, FormatError, SignatureRejected
from channels.reader import Progress, Reader
from channels.reader_state import snapshot_reader
from keys.sealing import SealingKey
from tests.unit.channels.world import STREAM_KEY, World, hashed

WORLD = World.start(0, readers=2)
_, READER = WORLD.join(1)
WORLD.seal(1, b"one", b"two")
[CHECKPOINT] = WORLD.writer.shutdown()
[LEAF] = [leaf for leaf, member in WORLD.members.items() if member.grant_id == READER.grant_id]
CAPSULE = WORLD.writer.welcome(WORLD.members[LEAF], WORLD.keys[LEAF].public_bytes)
FRESH = snapshot_reader(Reader(READER.params, READER.grant_id))


def bent(data: bytes, how: tuple[str, int, int]) -> bytes:
    kind, at, value = how
    at %= len(data)
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ (1 << value % 8)]) + data[at + 1 :]
    if kind == "cut":
        return data[:at]
    if kind == "drop a byte":
        return data[:at] + data[at + 1 :]
    if kind == "double a byte":
        return data[: at + 1] + data[at:]
    return data + bytes([value])


HOW = st.tuples(
    st.sampled_from(["flip", "flip", "flip", "cut", "drop a byte", "double a byte", "extend"]),
    st.integers(0, 10_000),
    st.integers(0, 255),
)


@settings(max_examples=300, deadline=None)
@given(HOW)
def test_no_capsule_can_be_changed(how: tuple[str, int, int]) -> None:
    changed = bent(CAPSULE, how)
    if changed == CAPSULE:
        return
    reader = Reader(READER.params, READER.grant_id)
    with pytest.raises(ChannelError):
        reader.receive_capsule(changed, WORLD.keys[LEAF], WORLD.registry)
    assert snapshot_reader(reader) == FRESH, "a refused capsule changed the reader"


def test_every_bit_of_a_checkpoint_counts() -> None:
    for bit in range(8 * len(CHECKPOINT)):
        with pytest.raises((FormatError, SignatureRejected)):
            Checkpoint.verify(bent(CHECKPOINT, ("flip", bit // 8, bit)), STREAM_KEY.public_bytes)
    for length in range(len(CHECKPOINT)):
        with pytest.raises((FormatError, SignatureRejected)):
            Checkpoint.verify(CHECKPOINT[:length], STREAM_KEY.public_bytes)
    with pytest.raises(FormatError):
        Checkpoint.verify(CHECKPOINT + b"\x00", STREAM_KEY.public_bytes)


FIELDS = {"stream": (2, 34), "epoch": (34, 42), "slot": (42, 46), "first": (46, 54), "count": (54, 58)}
FIELDS |= {"last hash": (58, 90), "key": (90, 122), "signature": (122, CHECKPOINT_BYTES)}


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_of_two_checkpoints_can_be_swapped(field: str) -> None:
    """Both are signed; a splice of the two is not."""
    theirs = Checkpoint(hashed("other"), 9, 77, 5, 4, hashed("h"), hashed("k"))
    signed = theirs.sign(STREAM_KEY)
    begin, end = FIELDS[field]
    assert signed[begin:end] != CHECKPOINT[begin:end]
    with pytest.raises(SignatureRejected):
        Checkpoint.verify(CHECKPOINT[:begin] + signed[begin:end] + CHECKPOINT[end:], STREAM_KEY.public_bytes)


def test_a_signature_of_one_kind_is_none_of_another() -> None:
    """The stream key signs capsules, checkpoints and envelopes: none can be passed off as another."""
    body = CHECKPOINT[:122]
    for label in (b"ckt1 capsule\x00", b"ckt1 envelope\x00", b"ckt1 commit\x00", b""):
        with pytest.raises(SignatureRejected):
            Checkpoint.verify(body + STREAM_KEY.sign(label + body), STREAM_KEY.public_bytes)


def test_a_checkpoint_that_names_another_slot_key_is_evidence() -> None:
    found = Checkpoint.decode(CHECKPOINT)
    lie = Checkpoint(
        found.sid, found.epoch, found.slot, found.first_seq, found.count, found.last_hash, hashed("another key")
    ).sign(STREAM_KEY)
    with pytest.raises(CheckpointRejected) as caught:
        READER.accept_checkpoint(lie)
    alarm = caught.value.alarm
    assert alarm is not None
    assert (type(alarm).__name__, getattr(alarm, "reason", ""), alarm.evidence) == ("Damaged", "slot key", (lie,))


def test_forks_of_commits_name_epoch_and_both_messages() -> None:
    """channels.md 6: fork (two commits with one predecessor) is reported with the evidence, on every way in."""
    world, other = World.start(0, readers=3), World.start(0, readers=3)
    _, reader = world.join(1)
    _, _ = other.join(1)
    for one in (world, other):
        one.commit(2)
    other.commit(3, removed=[1])
    world.commit(3, removed=[2])
    world.commit(4)
    reader.process_commit(world.commits[2], world.registry)
    with pytest.raises(CommitRejected) as broken:
        reader.catch_up([other.commits[3], world.commits[4]], world.registry)
    assert broken.value.alarm == Forked("commit", 4, (other.commits[3], world.commits[4]))
    reader.process_commit(world.commits[3], world.registry)
    with pytest.raises(CommitRejected) as second:
        reader.process_commit(other.commits[3], world.registry)
    assert second.value.alarm == Forked("commit", 4, (world.commits[3], other.commits[3]))
    with pytest.raises(CommitRejected) as repeated:
        reader.process_commit(world.commits[3], world.registry)
    assert repeated.value.alarm is None, "the same again is no fork"
    with pytest.raises(CommitRejected) as older:
        reader.process_commit(world.commits[2], world.registry)
    assert older.value.alarm is None, "what is older cannot be compared"


def _secrets(reader: Reader) -> tuple[list[bytes], int]:
    assert reader.follower is not None
    return list(reader.follower.path.keys), reader.follower.epoch


@pytest.mark.parametrize("removals", [[], [1], [1, 2], [2, 3, 1]])
def test_online_and_replay_and_resync_lead_to_the_same(removals: list[int]) -> None:
    """channels.md 6: offline then replay equals online equals resync; the same keys, the same readings."""
    world = World.start(0, readers=5)
    leaf, online = world.join(1)
    offline = world.welcome(leaf)
    batches: list[list[bytes]] = []
    for number, removed in enumerate(removals, 2):
        world.commit(number, removed=[removed])
        world.catch_up(online)
        batches.append(world.seal(number, b"slot %d" % number))
    world.catch_up(offline)
    resynced = Reader(world.writer.params, online.grant_id)
    key, request = SealingKey.from_bytes(hashed("fresh")), hashed("request")
    if removals:
        capsule = world.writer.resync(world.members[leaf], key.public_bytes, request, 2)
        resynced.receive_capsule(capsule, key, world.registry, request)
    else:
        resynced = world.welcome(leaf)
    envelopes = [envelope for batch in batches for envelope in batch]
    found: list[Progress] = [reader.open(envelopes) for reader in (online, offline, resynced)]
    assert found[0] == found[1] == found[2]
    assert [reading.plaintext for reading in found[0].readings] == [b"slot %d" % n for n in range(2, 2 + len(removals))]
    assert _secrets(online) == _secrets(offline) == _secrets(resynced)


def test_a_capsule_of_another_stream_slot_or_request_is_refused() -> None:
    """Threats 7 and 15: a capsule cannot be moved to another grant, key, request, stream or commit."""
    member, key = WORLD.members[LEAF], WORLD.keys[LEAF]
    resync = WORLD.writer.resync(member, key.public_bytes, hashed("request"), 0)
    another = SealingKey.from_bytes(hashed("another key"))
    takes: list[Callable[[Reader], object]] = [
        lambda reader: reader.receive_capsule(resync, key, WORLD.registry),
        lambda reader: reader.receive_capsule(resync, key, WORLD.registry, hashed("another request")),
        lambda reader: reader.receive_capsule(CAPSULE, key, WORLD.registry, hashed("request")),
        lambda reader: reader.receive_capsule(resync, another, WORLD.registry, hashed("request")),
    ]
    for take in takes:
        with pytest.raises(SignatureRejected):
            take(Reader(READER.params, READER.grant_id))
    with pytest.raises(SignatureRejected):
        Reader(READER.params, hashed("another grant")).receive_capsule(CAPSULE, key, WORLD.registry)
    Reader(READER.params, READER.grant_id).receive_capsule(resync, key, WORLD.registry, hashed("request"))
