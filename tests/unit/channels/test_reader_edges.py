"""A reader's answers to the letter: what is opened fast, what it says of what is wrong, what it keeps and gives up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from channels.alarms import Damaged, Forked, MissingCheckpoint, StaleEpoch
from channels.commit import Commit
from channels.envelope import MAX_PLAINTEXT, EnvelopeHeader, Lane, SlotCipher
from channels.errors import CommitRejected, ReaderRemoved
from channels.reader import Progress, Reader, Reading
from channels.reader_state import restore_reader, snapshot_reader
from channels.shared import Shared
from channels.slots import OPEN_SLOT
from channels.writer import Join
from tests.unit.channels.test_follower import other_world
from tests.unit.channels.world import World, at, hashed


def member(signed: bool = False) -> tuple[World, Reader]:
    world = World.start(0, readers=1, signed=signed)
    return world, world.welcome(1)


def restored(reader: Reader) -> Reader:
    return restore_reader(reader.params, snapshot_reader(reader), reader.shared)


@pytest.mark.parametrize("signed", [False, True])
def test_all_but_the_first_envelope_are_opened_the_fast_way(signed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    careful, fast = SlotCipher.open, SlotCipher.open_chain

    def one(self: SlotCipher, envelope: bytes, seq: int, signed: bool) -> bytes:
        calls["careful"] += 1
        return careful(self, envelope, seq, signed)

    def run(self: SlotCipher, envelopes: Sequence[bytes], *args: object) -> tuple[list[bytes], bytes]:
        found = fast(self, envelopes, *args)  # type: ignore[arg-type]
        calls["fast"] += len(found[0])
        return found

    monkeypatch.setattr(SlotCipher, "open", one)
    monkeypatch.setattr(SlotCipher, "open_chain", run)
    world, reader = member(signed)
    envelopes = world.seal(0, *(b"%d" % number for number in range(20)))
    assert len(reader.open(envelopes).readings) == 20
    assert calls == {"careful": 2, "fast": 19}, "the first one has no place yet: checked, then read"


@pytest.mark.parametrize("signed", [False, True])
def test_every_field_of_a_reading_is_given_either_way(signed: bool) -> None:
    world, reader = member(signed)
    longest = bytes(MAX_PLAINTEXT)
    envelopes = world.seal(3, longest, longest)
    [checkpoint] = world.writer.close_slot(3)
    assert reader.open(envelopes).readings == (Reading(1, 3, 1, longest, True), Reading(1, 3, 2, longest, True))
    assert reader.accept_checkpoint(checkpoint).final == ((1, 2),)


def test_only_what_a_checkpoint_covers_is_final_at_once() -> None:
    world, reader = member()
    first = world.seal(0, b"one", b"two")
    [checkpoint] = world.writer.shutdown()
    second = world.seal(0, b"three", b"four")
    reader.open(first[:1])
    reader.accept_checkpoint(checkpoint)
    progress = reader.open([first[1], *second])
    assert [(reading.seq, reading.provisional) for reading in progress.readings] == [(2, False), (3, True), (4, True)]
    assert progress.final == ((1, 2),)


def test_a_slot_is_covered_when_its_last_envelope_is() -> None:
    world, reader = member()
    first = world.seal(0, b"one", b"two", b"three", b"four")
    [checkpoint] = world.writer.shutdown()
    last = world.seal(0, b"five")
    reader.open([*first, *last])
    reader.accept_checkpoint(checkpoint)
    assert MissingCheckpoint(1, 0, ()) in restored(reader).check(at(1, 61)), "the fifth is in no checkpoint"
    [checkpoint] = world.writer.close_slot(0)
    reader.accept_checkpoint(checkpoint)
    assert reader.check(at(1, 61)) == restored(reader).check(at(1, 61)) == ()


def test_what_is_damaged_is_named_with_its_evidence() -> None:
    world, reader = member(signed=True)
    [first, second] = world.seal(0, b"one", b"two")
    reader.open([first])
    bent = second[:-1] + bytes([second[-1] ^ 1])
    assert reader.open([bent]).alarms == (Damaged("the envelope is not signed by the stream key", (bent,)),)
    foreign = second[:2] + bytes(32) + second[34:]
    assert reader.open([foreign]).alarms == (Damaged("the envelope belongs to another stream", (foreign,)),)
    assert reader.open([b"no envelope"]).alarms == (Damaged("the envelope is truncated", (b"no envelope",)),)
    plain, unsigned = member()
    [first, second] = plain.seal(0, b"one", b"two")
    unsigned.open([first])
    bent = second[:-1] + bytes([second[-1] ^ 1])
    assert unsigned.open([bent]).alarms == (Damaged("envelope 2 fails its tag", (bent,)),)


def test_what_a_member_forges_for_another_stream_is_not_taken_for_this_one() -> None:
    """Attack: the keys of this stream, its next place in the chain, and another stream's id in the header."""
    world, reader = member()
    [first] = world.seal(0, b"one")
    reader.open([first])
    lane = Lane(hashed("another stream"), 1, 0, EnvelopeHeader.decode(first).inst)
    forged, _ = reader.keyring.cipher(lane).seal_chain([b"two"], reader.chain.next_seq, reader.chain.tip)
    assert reader.open(forged) == Progress(alarms=(Damaged("the envelope belongs to another stream", tuple(forged)),))
    assert len(reader.open(world.seal(0, b"two")).readings) == 1


def test_stale_data_is_shown_by_its_last_envelope_and_by_when_it_came() -> None:
    world, reader = member()
    envelopes = world.seal(0, b"one", b"two", b"three")
    reader.revocation_seen(block=5_000, at=at(0, 10))
    assert restored(reader).open(envelopes, received_at=at(0, 130)).alarms == ()
    assert restored(reader).open(envelopes, received_at=at(0, 131)).alarms == (
        StaleEpoch(1, 0, at(0, 10), (envelopes[-1],)),
    )


def test_the_places_of_stale_data_that_were_told_are_remembered_up_to_a_bound() -> None:
    """A hostile writer makes as many places as it likes; the oldest is forgotten, and told again at most."""
    world, reader = member()
    reader.revocation_seen(block=5_000, at=at(0, 10))
    reader._told = {(0, place): None for place in range(1023)}
    alarms = reader.open(world.seal(0, b"one"), received_at=at(0, 131)).alarms
    assert [type(alarm) for alarm in alarms] == [StaleEpoch]
    assert (len(reader._told), (0, 0) in reader._told) == (1024, True)
    reader.open(world.seal(1, b"two"), received_at=at(1, 131))
    assert (len(reader._told), (0, 0) in reader._told, (1, 1) in reader._told) == (1024, False, True)


def test_what_lost_its_key_while_it_waited_for_its_place_hides_nothing_behind_it() -> None:
    world, reader = member()
    envelopes = [world.seal(slot, b"%d" % slot)[0] for slot in range(5)]
    reader.open([envelopes[0], envelopes[4], envelopes[1], envelopes[2]])
    reader.forget(2)
    progress = reader.open([envelopes[3]])
    assert [(reading.slot, reading.plaintext) for reading in progress.readings] == [(2, b"2"), (3, b"3")]
    assert progress.taken == tuple(envelopes[1:4])


def test_so_many_wait_for_a_commit_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("channels.reader._WAITING", 3)
    world, reader = member()
    reader.open(world.seal(0, b"now"))
    world.commit(0, joins=[Join(0, OPEN_SLOT)])
    early = world.seal(0, *(b"%d" % number for number in range(5)))
    assert reader.open(early) == Progress()
    progress = reader.process_commit(world.commits[-1], world.registry)
    assert [reading.plaintext for reading in progress.readings] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("signed", [False, True])
def test_a_reader_that_left_reads_what_waited_to_the_longest_and_leaves_once(signed: bool) -> None:
    world, reader = member(signed)
    longest = bytes(MAX_PLAINTEXT)
    world.commit(1)
    early = world.seal(1, longest)
    world.commit(1, removed=[1])
    late = world.seal(1, b"after")
    reader.open([*early, *late])
    for _ in range(2):
        with pytest.raises(ReaderRemoved) as gone:
            reader.catch_up(world.commits[1:], world.registry)
        assert (gone.value.epoch, reader.removed_in, reader.epoch) == (3, 3, 2)
    assert restored(reader).watch.end_epoch == 3, "it waits for no checkpoint of a later slot"
    assert [reading.plaintext for reading in reader.open(()).readings] == [longest]
    assert reader.open(late).readings == ()
    assert EnvelopeHeader.decode(late[0], signed).epoch == 3


def test_a_run_that_begins_with_another_commit_of_the_present_epoch_shows_both() -> None:
    world, other = World.start(0, readers=1), other_world()
    reader = world.welcome(1)
    world.commit(1, joins=[Join(1, OPEN_SLOT)])
    reader.process_commit(world.commits[1], world.registry)
    world.registry.hashes[3] = Commit.hash_of(other.commits[2])
    with pytest.raises(CommitRejected) as found:
        reader.catch_up(other.commits[1:3], world.registry)
    assert found.value.alarm == Forked("commit", 2, (world.commits[1], other.commits[1]))


def test_a_restored_reader_shares_and_watches_as_before() -> None:
    world, reader = member()
    reader.open(world.seal(0, b"one"))
    shared = Shared()
    again = restore_reader(reader.params, snapshot_reader(reader), shared)
    assert again.shared is shared
    assert again.check(at(1, 61)) == reader.check(at(1, 61)) == (MissingCheckpoint(1, 0, ()),)


def test_commits_are_followed_through_what_is_shared() -> None:
    world, reader = member()
    reader.shared = Shared()
    for slot in (1, 2, 3):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    reader.process_commit(world.commits[1], world.registry)
    reader.catch_up(world.commits[2:], world.registry)
    assert list(reader.shared._commits) == world.commits[1:]
