"""A stream whose writer was replaced (channels.md 4, rule 10): what each writer signed counts in its own time only."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from coincurve import PrivateKey
from eth_account import Account

from channels.alarms import Damaged
from channels.commit import Commit
from channels.errors import ForeignWriter, SignatureRejected
from channels.guard import OwnTopicWatch
from channels.reader import Reader
from channels.slots import OPEN_SLOT, FormerWriter, StreamParams
from channels.writer import Join, Writer
from channels.writer_state import WriterState
from keys.messages import StreamCommit, digest
from keys.stream_key import StreamKey
from tests.unit.channels.world import ADDRESS, DOMAIN, STREAM_KEY, World, hashed, masters, params

HEIR = hashlib.sha256(b"the new writer").digest()
HEIR_KEY = StreamKey.from_bytes(hashlib.sha256(b"the new stream key").digest())


def _sign(message: object) -> bytes:
    raw: bytes = PrivateKey(HEIR).sign_recoverable(digest(message, DOMAIN), hasher=None)  # type: ignore[arg-type]
    return raw[:64] + bytes([raw[64] + 27])


def _changed(last_epoch: int) -> StreamParams:
    """What a reader of both knows: the new writer, and the old one up to its last epoch."""
    heir = bytes.fromhex(Account.from_key(HEIR).address[2:])
    former = (FormerWriter(ADDRESS, STREAM_KEY.public_bytes, last_epoch),)
    return replace(params(), writer=heir, stream_public=HEIR_KEY.public_bytes, former=former)


def _moved() -> tuple[World, Reader, Writer]:
    """An old writer with readers, one reader, and the new writer after its first commit."""
    world = World.start(0, readers=3)
    reader = world.welcome(1)
    world.seal(0, b"of the old writer")
    old = world.writer
    live = old.state.tree.live_leaves()
    state = WriterState.after_writer_change(old.epoch, old.head, old.state.tree.depth, live, old.position)
    new = Writer(replace(_changed(1), former=()), masters("new"), HEIR_KEY, hashed("new")[:16], state)
    return world, reader, new


def test_a_reader_follows_both_writers_each_in_its_time() -> None:
    world, reader, new = _moved()
    [last] = world.writer.shutdown()
    reader.params = _changed(1)
    assert [r.plaintext for r in reader.open(world.envelopes).readings] == [b"of the old writer"]
    assert reader.accept_checkpoint(last).final == ((1, 1),)
    world.writer = new
    prepared = world.prepare(1, removed=range(4), joins=[Join(0, OPEN_SLOT, leaf) for leaf in range(4)])
    new.apply(prepared, _sign(prepared.message))
    world.include(prepared)
    member = replace(world.members[1], joined_epoch=2)
    capsule = new.welcome(member, world.keys[1].public_bytes)
    reader.receive_capsule(capsule, world.keys[1], world.registry)
    after = world.seal(1, b"of the new writer")
    assert [r.plaintext for r in reader.open(after).readings] == [b"of the new writer"]
    assert reader.epoch == 2


def test_what_the_old_writer_signs_after_its_end_is_refused() -> None:
    """Attack: the stolen gateway goes on. Its commit, checkpoint and capsule of a later epoch are nobody's."""
    world, reader, _ = _moved()
    reader.params = _changed(1)
    [leaf] = world.commit(1, joins=[Join(1, OPEN_SLOT)])
    with pytest.raises(SignatureRejected):
        reader.process_commit(world.commits[1], world.registry)
    world.seal(1, b"still here")
    [late] = world.writer.shutdown()
    with pytest.raises(SignatureRejected):
        reader.accept_checkpoint(late)
    stranger = Reader(_changed(1), world.members[leaf].grant_id)
    capsule = world.writer.welcome(world.members[leaf], world.keys[leaf].public_bytes)
    with pytest.raises(SignatureRejected):
        stranger.receive_capsule(capsule, world.keys[leaf], world.registry)


def test_the_new_writer_cannot_sign_for_the_old_ones_time() -> None:
    world, reader, _ = _moved()
    reader.params = _changed(5)
    world.commit(1, joins=[Join(1, OPEN_SLOT)])
    forged = world.commits[1][:-65] + _sign(StreamCommit(params().sid, 2, Commit.hash_of(world.commits[1])))
    with pytest.raises(SignatureRejected):
        reader.process_commit(forged, world.registry)
    assert reader.process_commit(world.commits[1], world.registry).alarms == ()


def test_a_stolen_writer_that_goes_on_does_not_stop_its_successor() -> None:
    """What it seals under its own epochs is no second writer of the new one; under a new epoch it is."""
    world, _, new = _moved()
    late = world.seal(0, b"still here")[0]
    watch = OwnTopicWatch(params().sid, hashed("new")[:16], former_epoch=1)
    watch.look(late, new.position.seq)
    with pytest.raises(ForeignWriter):
        OwnTopicWatch(params().sid, hashed("new")[:16]).look(late, new.position.seq)


def test_a_signed_envelope_counts_only_with_the_key_of_its_epochs_writer() -> None:
    """Attack: the stolen stream key of the former writer signs envelopes of an epoch that is its successor's."""
    world = World.start(0, signed=True)
    _, reader = world.join(0)
    first, *late = world.seal(0, b"before", b"stolen", b"stolen too")
    assert len(reader.open([first]).readings) == 1
    epoch = reader.epoch
    former = (FormerWriter(ADDRESS, STREAM_KEY.public_bytes, epoch - 1),)
    reader.params = replace(reader.params, stream_public=HEIR_KEY.public_bytes, former=former)
    progress = reader.open(late)
    assert progress.readings == ()
    assert [type(alarm) for alarm in progress.alarms] == [Damaged] * 2
