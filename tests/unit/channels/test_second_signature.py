"""channels.md 3: suite 2 of the stream key puts an ML-DSA-65 signature on commits and checkpoints."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.checkpoint import CHECKPOINT_BYTES, Checkpoint
from channels.commit import Commit, Header, encode_signed, second_message, signature_of, unsigned_part
from channels.errors import (
    ChannelError,
    CommitRejected,
    FormatError,
    RebuildMismatch,
    SignatureRejected,
    UnknownVersion,
)
from channels.reader import Reader
from channels.reader_state import snapshot_reader
from channels.rebuild import rebuild_writer
from channels.writer import Writer
from keys.stream_key import ML_DSA_65_SIGNATURE_SIZE, StreamKey
from tests.unit.channels.world import (
    STREAM_KEY,
    TWO_KEYS,
    World,
    hashed,
    masters,
    params,
    sign_commit,
)

OTHER = StreamKey.from_bytes(STREAM_KEY.to_bytes() + hashed("another ML-DSA key"))
SECOND = ML_DSA_65_SIGNATURE_SIZE


def two() -> tuple[World, Reader, bytes]:
    """A stream with two signatures, a reader of it, and a commit that the reader has not seen yet."""
    world = World.start(0, readers=1, two_signatures=True)
    _, reader = world.join(1)
    world.commit(2, removed=[1])
    return world, reader, world.commits[-1]


def flipped(message: bytes, bit: int) -> bytes:
    bent = bytearray(message)
    bent[bit // 8] ^= 1 << bit % 8
    return bytes(bent)


def test_a_stream_with_two_signatures_works_from_end_to_end() -> None:
    world, reader, commit = two()
    reader.process_commit(commit, world.registry)
    world.seal(2, b"first", b"second")
    world.checkpoints.extend(world.writer.shutdown())
    assert [reading.plaintext for reading in reader.open(world.envelopes).readings] == [b"first", b"second"]
    final = [reader.accept_checkpoint(data).final for data in world.checkpoints[-1:]]
    assert final == [((1, 2),)]
    again = rebuild_writer(
        world.writer.params,
        masters(),
        TWO_KEYS,
        bytes(16),
        world.commits,
        list(world.members.values()),
        3,
        world.writer.position,
    )
    assert again.state.tree.dump() == world.writer.state.tree.dump()


def test_both_messages_say_in_their_version_that_there_are_two_signatures() -> None:
    world, _, commit = two()
    world.seal(2, b"x")
    [checkpoint] = world.writer.shutdown()
    assert (commit[:2], checkpoint[:2]) == (b"\x00\x02", b"\x00\x02")
    assert len(checkpoint) == CHECKPOINT_BYTES + SECOND
    assert Header.decode(commit).version == 2
    found = Commit.decode(commit)
    assert found.signature == signature_of(commit)
    assert found.commit_hash == Commit.hash_of(commit) == world.registry.hashes[3]
    assert unsigned_part(commit) + found.signature + commit[-SECOND:] == commit
    single = World.start(0).commits[0]
    assert unsigned_part(single) + signature_of(single) == single


def test_a_missing_second_signature_is_refused() -> None:
    """Taken off, replaced by a message of version 1, or by noise: with suite 2 nothing goes without it."""
    world, reader, commit = two()
    with pytest.raises(FormatError):
        reader.process_commit(commit[:-SECOND], world.registry)
    downgraded = b"\x00\x01" + commit[2:-SECOND]
    with pytest.raises(SignatureRejected):
        reader.process_commit(downgraded, world.registry)
    with pytest.raises(SignatureRejected):
        reader.process_commit(commit[:-SECOND] + bytes(SECOND), world.registry)
    # A writer whose Ed25519 and secp256k1 keys were broken, but not the other: all of version 1 is signed rightly.
    single = Writer(params(), masters(), STREAM_KEY, bytes(16), world.writer.state)
    world.seal(2, b"x")
    [checkpoint] = single.shutdown()
    with pytest.raises(SignatureRejected):
        reader.accept_checkpoint(checkpoint)
    prepared = single.prepare(world.prepare(3, removed=[2]).changes)
    forged = single.apply(prepared, sign_commit(prepared.message))
    world.registry.hashes[4] = prepared.commit_hash
    reader.process_commit(commit, world.registry)
    with pytest.raises(SignatureRejected):
        reader.process_commit(forged, world.registry)


def test_a_second_signature_by_another_key_is_refused() -> None:
    world, reader, commit = two()
    forged = commit[:-SECOND] + OTHER.sign_ml_dsa(second_message(Commit.hash_of(commit)))
    with pytest.raises(SignatureRejected):
        reader.process_commit(forged, world.registry)
    world.seal(2, b"x")
    [good] = world.writer.shutdown()
    bad = Checkpoint.decode(good).sign(OTHER)
    assert bad[:-SECOND] == good[:-SECOND]
    reader.process_commit(commit, world.registry)
    with pytest.raises(SignatureRejected):
        reader.accept_checkpoint(bad)
    reader.accept_checkpoint(good)


def test_a_second_signature_on_another_message_is_refused() -> None:
    world, reader, commit = two()
    elsewhere = world.commits[0][-SECOND:]
    with pytest.raises(SignatureRejected):
        reader.process_commit(commit[:-SECOND] + elsewhere, world.registry)
    world.seal(2, b"x")
    [checkpoint] = world.writer.shutdown()
    with pytest.raises(SignatureRejected):
        reader.accept_checkpoint(checkpoint[:-SECOND] + elsewhere)


def test_the_first_signature_alone_must_hold_too() -> None:
    world, reader, commit = two()
    at = len(unsigned_part(commit))
    changed = commit[:at] + sign_commit(dataclasses.replace(world.prepare(3).message), hashed("x")) + commit[at + 65 :]
    with pytest.raises(SignatureRejected):
        reader.process_commit(changed, world.registry)
    world.seal(2, b"x")
    [checkpoint] = world.writer.shutdown()
    for place in (CHECKPOINT_BYTES - 64, CHECKPOINT_BYTES - 1):
        bent = bytearray(checkpoint)
        bent[place] ^= 1
        with pytest.raises(SignatureRejected):
            reader.accept_checkpoint(bytes(bent))


def test_any_changed_bit_is_refused() -> None:
    """channels.md 6: any flipped bit is rejected, in the second signature as everywhere else."""
    world, reader, commit = two()
    world.seal(2, b"x")
    [checkpoint] = world.writer.shutdown()
    before = snapshot_reader(reader)

    @settings(max_examples=80, deadline=None)
    @given(st.integers(0, 8 * len(commit) - 1), st.integers(0, 8 * len(checkpoint) - 1))
    def flip(in_commit: int, in_checkpoint: int) -> None:
        with pytest.raises(ChannelError):
            reader.process_commit(flipped(commit, in_commit), world.registry)
        with pytest.raises((FormatError, SignatureRejected)):
            reader.accept_checkpoint(flipped(checkpoint, in_checkpoint))

    flip()
    assert snapshot_reader(reader) == before


def test_a_stream_without_the_second_key_takes_no_second_signature() -> None:
    """No negotiation: version 2 on a stream of suite 1 is as wrong as version 1 on one of suite 2."""
    world, _, commit = two()
    reader = Reader(params(), world.members[2].grant_id)
    with pytest.raises(SignatureRejected):
        Checkpoint.verify(two()[0].writer.close_slot(2)[0], STREAM_KEY.public_bytes)
    plain = World.start(0, readers=1)
    _, reader = plain.join(1)
    plain.commit(2, removed=[1])
    with pytest.raises(SignatureRejected):
        reader.process_commit(commit, plain.registry)
    reader.process_commit(plain.commits[-1], plain.registry)


def test_catching_up_refuses_an_older_commit_of_the_other_version() -> None:
    world, reader, _ = two()
    world.commit(3)
    log = world.commits[2:]
    stripped = b"\x00\x01" + log[0][2:-SECOND]
    with pytest.raises((CommitRejected, SignatureRejected)):
        reader.catch_up([stripped, log[1]], world.registry)
    reader.catch_up(log, world.registry)
    assert reader.epoch == 4


def test_a_fork_is_evidence_with_both_second_signatures_only() -> None:
    """channels.md 6: two commits with one predecessor. One that the second key did not sign proves nothing."""
    world, reader, commit = two()
    reader.process_commit(commit, world.registry)
    fork = World.start(0, readers=1, two_signatures=True)
    fork.join(1)
    fork.commit(2, removed=[0])
    other = fork.commits[-1]
    with pytest.raises(CommitRejected) as found:
        reader.process_commit(other, world.registry)
    assert found.value.alarm is not None
    assert found.value.alarm.evidence == (commit, other)
    with pytest.raises(SignatureRejected):
        reader.process_commit(other[:-SECOND] + bytes(SECOND), world.registry)


def test_a_log_of_the_other_suite_does_not_rebuild() -> None:
    world, _, _ = two()
    args = (masters(), STREAM_KEY, bytes(16), world.commits, list(world.members.values()), 3)
    with pytest.raises(RebuildMismatch):
        rebuild_writer(params(), *args)


def test_signatures_of_the_wrong_length_are_never_encoded() -> None:
    world, _, commit = two()
    with pytest.raises(FormatError):
        encode_signed(unsigned_part(commit), signature_of(commit), b"")
    plain = World.start(0).commits[0]
    with pytest.raises(FormatError):
        encode_signed(unsigned_part(plain), signature_of(plain), bytes(SECOND))
    with pytest.raises(FormatError):
        encode_signed(unsigned_part(plain), signature_of(plain)[:64], b"")
    with pytest.raises(UnknownVersion):
        Header.decode(b"\x00\x03" + commit[2:])
    with pytest.raises(UnknownVersion):
        Checkpoint.decode(b"\x00\x03" + world.writer.close_slot(2)[0][2:])
    with pytest.raises(FormatError):
        Checkpoint.decode(world.writer.close_slot(2)[0] + b"\x00")
