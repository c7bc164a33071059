"""Commits: one encoding, every byte counts, wrong ones are refused with the evidence (channels.md 3, 4 rule 6, 6)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.alarms import Forked, TooManyLeaves, WrongChainHash
from channels.commit import Body, Commit, Header, encode_confirmed, leaf_ranges
from channels.errors import (
    ChannelError,
    CommitGap,
    CommitNotOnChain,
    CommitRejected,
    CommitTooLarge,
    FormatError,
    ReaderRemoved,
    SignatureRejected,
    UnknownVersion,
)
from channels.kdf import sha256
from channels.reader import Reader
from channels.reader_state import restore_reader, snapshot_reader
from channels.slots import OPEN_SLOT
from channels.writer import Join
from keys.messages import StreamCommit
from tests.unit.channels.world import World, hashed, params, sign_commit


def world_with_reader() -> tuple[World, int]:
    world = World.start(0, readers=6)
    leaf, _ = world.join(0)
    return world, leaf


def test_a_commit_decodes_to_what_was_made() -> None:
    world, _ = world_with_reader()
    world.commit(0, removed=[1, 2, 4])
    commit = Commit.decode(world.commits[-1])
    assert commit.header.epoch == 3
    assert commit.body.removed == ((1, 2), (4, 1))
    assert commit.header.prev_commit_hash == Commit.decode(world.commits[-2]).commit_hash
    assert commit.header.n_live == 5


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_changed_bit_truncation_or_extension_is_refused(data: st.DataObject) -> None:
    world, reader, commit = _pending()
    kind = data.draw(st.sampled_from(["flip", "cut", "extend"]))
    if kind == "flip":
        bit = data.draw(st.integers(0, len(commit) * 8 - 1))
        changed = bytearray(commit)
        changed[bit // 8] ^= 1 << bit % 8
        wrong = bytes(changed)
    elif kind == "cut":
        wrong = commit[: data.draw(st.integers(0, len(commit) - 1))]
    else:
        wrong = commit + data.draw(st.binary(min_size=1, max_size=50))
    before = reader.follower
    with pytest.raises(ChannelError):
        reader.process_commit(wrong, world.registry)
    assert reader.follower == before
    reader.process_commit(commit, world.registry)


def _pending() -> tuple[World, Reader, bytes]:
    if not _CACHE:
        world, leaf = world_with_reader()
        world.commit(0, removed=[3, 5], joins=[])
        _CACHE.append((world, leaf))
    world, leaf = _CACHE[0]
    reader = _reader_before(world, leaf)
    return world, reader, world.commits[-1]


_CACHE: list[tuple[World, int]] = []


def _reader_before(world: World, leaf: int) -> Reader:
    """A fresh reader that stands right before the newest commit."""

    if leaf not in _SNAPSHOTS:
        fresh = World.start(0, readers=6)
        joined, reader = fresh.join(0)
        assert joined == leaf
        _SNAPSHOTS[leaf] = snapshot_reader(reader)
    return restore_reader(world.writer.params, _SNAPSHOTS[leaf])


_SNAPSHOTS: dict[int, bytes] = {}


def resigned(header: Header, body: Body, epoch_wrap: bytes, secret: bytes) -> bytes:
    """A commit with changed content that its writer signed all the same."""
    unsigned = encode_confirmed(header, body, epoch_wrap, secret)
    return unsigned + sign_commit(StreamCommit(header.sid, header.epoch, sha256(unsigned)))


def changed_header(header: Header, **fields: object) -> Header:

    return header._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"epoch": 4},
        {"sid": hashed("other")},
        {"prev_commit_hash": hashed("other")},
        {"depth": 4},
    ],
)
def test_fields_swapped_by_a_dishonest_writer_are_refused(fields: dict[str, object]) -> None:
    world, reader, data = _pending()
    commit = Commit.decode(data)
    secret = world.writer.masters.epoch_secret(commit.header.epoch)
    wrong = resigned(changed_header(commit.header, **fields), commit.body, commit.epoch_wrap, secret)
    world.registry.hashes[Header.decode(wrong).epoch] = Commit.hash_of(wrong)
    try:
        with pytest.raises(ChannelError):
            reader.process_commit(wrong, world.registry)
    finally:
        world.registry.hashes.pop(4, None)
        world.registry.hashes[3] = commit.commit_hash


def test_a_confirmation_of_another_secret_is_refused() -> None:
    """Key commitment: the signed commit fixes one S_e for all readers."""
    world, reader, data = _pending()
    commit = Commit.decode(data)
    wrong = resigned(commit.header, commit.body, commit.epoch_wrap, hashed("another secret"))
    world.registry.hashes[3] = Commit.hash_of(wrong)
    with pytest.raises(CommitRejected, match="confirm"):
        reader.process_commit(wrong, world.registry)
    world.registry.hashes[3] = commit.commit_hash


def test_the_signature_is_checked_before_the_arrays() -> None:
    """A foreign signature over unsorted arrays is told as such: nothing unsigned is parsed."""
    world, reader, data = _pending()
    changed = bytearray(data)
    changed[101:107], changed[107:113] = data[107:113], data[101:107]
    with pytest.raises(SignatureRejected):
        reader.process_commit(bytes(changed), world.registry)
    with pytest.raises(FormatError, match="sorted"):
        Commit.decode(bytes(changed))


def test_another_writers_signature_is_refused() -> None:
    world, reader, data = _pending()
    commit = Commit.decode(data)
    message = StreamCommit(commit.header.sid, commit.header.epoch, commit.commit_hash)
    with pytest.raises(SignatureRejected):
        reader.process_commit(data[:-65] + sign_commit(message, hashed("other writer")), world.registry)


def test_more_wraps_than_the_removals_can_cause_are_refused() -> None:
    _, _, data = _pending()
    commit = Commit.decode(data)
    extra = tuple(sorted({*commit.body.wraps, *((0, leaf, bytes(40)) for leaf in range(8))}))
    body = Body(commit.body.removed, commit.body.added, extra)
    header = changed_header(commit.header, n_wraps=len(extra))
    wrong = resigned(header, body, commit.epoch_wrap, hashed("secret"))
    with pytest.raises(FormatError, match="wraps"):
        Commit.decode(wrong)
    nobody = Body((), (), commit.body.wraps)
    header = changed_header(commit.header, n_rem=0, n_wraps=len(commit.body.wraps))
    with pytest.raises(FormatError, match="wraps"):
        Commit.decode(resigned(header, nobody, commit.epoch_wrap, hashed("secret")))


@pytest.mark.parametrize(
    ("removed", "added"),
    [
        (((2, 1), (1, 1)), ()),
        (((1, 2), (2, 1)), ()),
        (((1, 1), (2, 1)), ()),
        (((1, 0),), ()),
        (((7, 2),), ()),
        ((), (2, 1)),
        ((), (1, 1)),
        ((), (9,)),
    ],
)
def test_second_encodings_and_leaves_outside_are_refused(
    removed: tuple[tuple[int, int], ...], added: tuple[int, ...]
) -> None:
    header = Header(hashed("sid"), 1, bytes(32), 0, 3, 1, 0, len(removed), len(added), 0)
    with pytest.raises(FormatError):
        Commit.decode(resigned(header, Body(removed, added, ()), hashed("wrap") + bytes(8), hashed("secret")))


def test_an_unknown_version_is_refused_before_anything_else() -> None:
    _, _, data = _pending()
    with pytest.raises(UnknownVersion):
        Header.decode(b"\x00\x03" + data[2:])


def test_a_range_longer_than_its_counter_continues_in_the_next() -> None:
    assert leaf_ranges(range(70_000)) == ((0, 65_535), (65_535, 4_465))
    assert leaf_ranges([5, 3, 4, 9]) == ((3, 3), (9, 1))
    with pytest.raises(CommitTooLarge):
        Header(bytes(32), 1, bytes(32), 0, 20, 1, 0, 65_536, 0, 0).encode()


def test_a_fork_is_reported_with_both_commits() -> None:
    """channels.md 6: two commits with one predecessor."""
    one, two = World.start(0, readers=3), World.start(0, readers=3)
    _, reader = one.join(0)
    two.join(0)
    one.commit(0, removed=[1])
    two.commit(0, removed=[2])
    reader.process_commit(one.commits[-1], one.registry)
    with pytest.raises(CommitRejected) as caught:
        reader.process_commit(two.commits[-1], two.registry)
    alarm = caught.value.alarm
    assert isinstance(alarm, Forked)
    assert alarm.evidence == (one.commits[-1], two.commits[-1])
    two.commit(0, removed=[3])
    with pytest.raises(CommitRejected) as caught:
        reader.process_commit(two.commits[-1], two.registry)
    assert isinstance(caught.value.alarm, Forked)


def test_the_chain_is_asked_and_believed() -> None:
    world, reader, data = _pending()
    good = world.registry.hashes.pop(3)
    with pytest.raises(CommitNotOnChain):
        reader.process_commit(data, world.registry)
    world.registry.hashes[3] = hashed("another commit")
    with pytest.raises(CommitRejected) as caught:
        reader.process_commit(data, world.registry)
    assert caught.value.alarm == WrongChainHash(3, hashed("another commit"), (data,))
    world.registry.hashes[3] = good
    world.registry.grants = 3
    with pytest.raises(CommitRejected) as caught:
        reader.process_commit(data, world.registry)
    assert caught.value.alarm == TooManyLeaves(3, 6, 4, (data,))
    world.registry.grants = 5
    reader.process_commit(data, world.registry)


def test_gaps_wait_and_repeats_are_refused() -> None:
    world = World.start(0)
    _, reader = world.join(0)
    for _ in range(3):
        world.commit(0, joins=[])
    with pytest.raises(CommitGap):
        reader.process_commit(world.commits[-1], world.registry)
    reader.catch_up(world.commits[2:], world.registry)
    with pytest.raises(CommitRejected):
        reader.process_commit(world.commits[-1], world.registry)


def test_catching_up_equals_following_one_by_one() -> None:
    """channels.md 6: offline then replay equals online."""
    world = World.start(0, readers=8)
    leaf, online = world.join(0)
    offline = world.welcome(leaf)
    chance = random.Random(4)
    for _ in range(30):
        live = [other for other in world.writer.state.tree.live_leaves() if other not in (0, leaf)]
        removed = chance.sample(live, min(len(live) - 1, chance.randrange(3)))
        joins = chance.randrange(3)

        world.commit(0, removed=removed, joins=[Join(0, OPEN_SLOT)] * joins)
        online.process_commit(world.commits[-1], world.registry)
    offline.catch_up(world.commits[2:], world.registry)
    assert offline.follower is not None
    assert online.follower is not None
    assert offline.follower.path.keys == online.follower.path.keys
    assert offline.keyring.covers() == online.keyring.covers()


def test_catching_up_refuses_a_replaced_commit_in_the_middle() -> None:
    world = World.start(0, readers=4)
    _, reader = world.join(0)
    for leaf in (1, 2, 3):
        world.commit(0, removed=[leaf])
    log = world.commits[2:]
    forged = bytearray(log[1])
    forged[-66] ^= 1  # the confirmation of an older commit; its own signature is not looked at
    with pytest.raises(CommitRejected, match="chain"):
        reader.catch_up([log[0], bytes(forged), log[2]], world.registry)
    reader.catch_up(log, world.registry)


def test_a_removed_reader_keeps_the_past_and_follows_no_further() -> None:
    world = World.start(0, readers=2)
    leaf, reader = world.join(0)
    world.commit(0, removed=[1])
    before = world.seal(0, b"before")
    world.commit(0, removed=[leaf])
    after = world.seal(0, b"after")
    with pytest.raises(ReaderRemoved):
        reader.catch_up(world.commits[2:], world.registry)
    assert reader.removed_in == 4
    assert [r.plaintext for r in reader.open([*before, *after]).readings] == [b"before"]
    assert reader.follower is not None
    assert set(reader.follower.path.keys) == {bytes(32)}
    world.commit(0, removed=[2])
    with pytest.raises(ReaderRemoved):
        reader.catch_up(world.commits[-1:], world.registry)


def test_params_refuse_impossible_streams() -> None:
    with pytest.raises(ChannelError):
        params(sid=b"short")
