"""What capsules give away, to the slot and to the epoch: never more than the grant, whatever is closed or sealed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from channels.capsule import Recipient, open_capsule
from channels.codec import ByteReader, ByteWriter
from channels.errors import UsageError
from channels.ggm import LEAVES, Cover, CoverNode
from channels.history import Covers, EpochLog, Span, _epoch_nodes, covers_of
from channels.issuer import Member
from channels.keyring import Keyring
from channels.masters import Masters, slot_root
from channels.slots import OPEN_SLOT
from channels.writer import Join, Writer
from channels.writer_state import WriterState
from tests.unit.channels.world import World, hashed, masters, params

SID = hashed("sid")
LOG = EpochLog(1, [0, 10, 20, 30])  # epoch 4 is the newest


def given(covers: Covers) -> tuple[list[int], dict[int, list[int]]]:
    """Epochs below 20 that are given whole, and slots below 120 that are given beside them."""
    whole = Cover(covers.epochs)
    parts = {epoch: Cover(nodes) for epoch, nodes in covers.slots}
    return [epoch for epoch in range(20) if epoch in whole], {
        epoch: [slot for slot in range(120) if slot in part] for epoch, part in parts.items()
    }


def covers(span: Span, sealed: tuple[int, int], of: Masters | None = None) -> tuple[list[int], dict[int, list[int]]]:
    return given(covers_of(of or masters(), SID, LOG, span, sealed))


def test_closed_epochs_are_given_whole_and_the_newest_by_its_slots() -> None:
    assert covers(Span(0, 100, range(1, 5)), (4, 35)) == ([1, 2, 3], {4: list(range(30, 100))})


def test_a_grant_of_a_part_gets_the_slots_of_the_part_only() -> None:
    assert covers(Span(0, 5, range(1, 5)), (4, 35)) == ([], {1: [0, 1, 2, 3, 4]})
    assert covers(Span(5, 11, range(1, 5)), (4, 35)) == ([], {1: [5, 6, 7, 8, 9, 10], 2: [10]})
    assert covers(Span(0, 11, range(1, 5)), (4, 35)) == ([1], {2: [10]})
    assert covers(Span(0, 10, range(1, 5)), (4, 35)) == ([], {1: list(range(10))})


def test_an_epoch_that_is_still_sealed_under_is_not_over_at_its_last_slot() -> None:
    """Commits were prepared that the chain does not show: the active epoch goes on up to the first slot of the next."""
    assert covers(Span(0, 13, range(1, 5)), (2, 12)) == ([1], {2: [10, 11, 12]})


def test_an_epoch_in_which_nothing_was_sealed_is_given_to_nobody_but_its_members() -> None:
    assert covers(Span(0, 100, range(1, 4)), (3, 9)) == ([1, 3], {})
    assert covers(Span(0, 100, range(1, 4)), (3, -1)) == ([3], {})
    assert covers(Span(0, 100, range(1, 4), member_from=1), (3, -1)) == ([1, 2, 3], {})


def test_a_member_gets_the_closed_epochs_of_its_time_whole() -> None:
    assert covers(Span(3, 8, range(1, 4), member_from=1), (4, 35)) == ([1, 2, 3], {})
    assert covers(Span(3, 8, range(1, 4), member_from=2), (4, 35)) == ([2, 3], {1: [3, 4, 5, 6, 7]})


def test_epochs_that_were_erased_are_left_out_and_the_others_given() -> None:
    left = masters().erased(2, hashed("new T"))
    assert covers(Span(0, 100, range(1, 5)), (4, 35), left) == ([3], {4: list(range(30, 100))})


def test_of_an_epoch_that_was_erased_in_part_a_member_gets_what_is_left_and_others_their_slots() -> None:
    """channels.md 4 rule 11: covers stay exact behind the slot up to which an epoch was erased."""
    left = masters().erased(2, hashed("new T"), SID, 15)
    assert covers(Span(16, 18, range(1, 5)), (4, 35), left) == ([], {2: [16, 17]})
    assert covers(Span(16, 18, range(1, 5), member_from=1), (4, 35), left) == ([3], {2: list(range(15, 21))})


def test_runs_of_epochs_are_covered_exactly() -> None:
    source = masters().cover()
    for whole in ([1, 2, 4, 5, 6, 9], [3], [2, 4, 6], [7, 8], []):
        found = Cover(_epoch_nodes(source, whole))
        assert [epoch for epoch in range(20) if epoch in found] == whole
        assert all(found.leaf(epoch) == source.leaf(epoch) for epoch in whole)
    assert _epoch_nodes(source, [2, 3]) == source.interval(2, 4), "with the fewest nodes"


def test_the_epochs_of_an_interval() -> None:
    assert EpochLog(1).epochs_with(0, 5) == range(0)
    assert EpochLog(1, [7, OPEN_SLOT - 1]).first_slots() == (7, OPEN_SLOT - 1), "up to the last slot there is"
    log = EpochLog(5, [0, 10, 20])
    found = {span: list(log.epochs_with(*span)) for span in ((0, 1), (5, 10), (10, 11), (11, 20), (15, 25), (21, 90))}
    assert found == {
        (0, 1): [5],
        (5, 10): [5],
        (10, 11): [5, 6],
        (11, 20): [6],
        (15, 25): [6, 7],
        (21, 90): [7],
    }


def resynced(world: World, writer: Writer, member: Member, since: int) -> tuple[list[int], dict[int, list[int]]]:
    """What a Resync to a fresh key gives."""
    key, request = world.reader_key(77), hashed("request")
    fresh = replace(member, reader_key_hash=key.key_hash())
    data = writer.resync(fresh, key.public_bytes, request, since)
    recipient = Recipient(writer.params.domain, SID, member.grant_id, key.key_hash(), request)
    _, membership, found = open_capsule(data, recipient, key, writer.head, writer.params.stream_public)
    assert membership is not None
    return given(found)


def test_a_resync_gives_the_epochs_after_the_last_known_one() -> None:
    world = World.start(0, readers=2)
    for slot in range(1, 6):
        world.seal(slot, b"reading")
        world.commit(slot)
    member = world.members[1]
    assert resynced(world, world.writer, member, 3) == ([4, 5], {})
    assert resynced(world, world.writer, member, 5) == ([], {})
    assert resynced(world, world.writer, member, 0) == ([1, 2, 3, 4, 5], {})


def test_a_resync_gives_a_member_its_epochs_whether_anything_was_sealed_or_not() -> None:
    world = World.start(0, readers=2)
    for _ in range(3):
        world.commit(1)
    assert resynced(world, world.writer, world.members[1], 0) == ([1, 2, 3], {})


def test_a_resync_by_a_new_writer_gives_nothing_of_the_one_before() -> None:
    world = World.start(0, readers=2)
    world.seal(0, b"of the old writer")
    world.commit(1)
    old = world.writer
    live = old.state.tree.live_leaves()
    state = WriterState.after_writer_change(old.epoch, old.head, old.state.tree.depth, live, old.position)
    world.writer = Writer(params(), masters("new"), old._stream_key, hashed("new")[:16], state)
    world.commit(1, removed=live, joins=[Join(0, OPEN_SLOT, leaf) for leaf in live])
    world.commit(2)
    member = replace(world.members[1], joined_epoch=1)
    assert resynced(world, world.writer, member, 0) == ([3], {})


def test_a_request_is_named_by_32_bytes_that_are_not_zero() -> None:
    world = World.start(0, readers=1)
    for wrong in (bytes(32), hashed("request")[:31], b""):
        with pytest.raises(UsageError, match="request id"):
            world.writer.resync(world.members[1], world.keys[1].public_bytes, wrong, 0)


def welcomed(world: World, leaf: int) -> tuple[list[int], dict[int, list[int]]]:
    member = world.members[leaf]
    data = world.writer.welcome(member, world.keys[leaf].public_bytes)
    recipient = Recipient(params().domain, SID, member.grant_id, member.reader_key_hash, bytes(32))
    return given(open_capsule(data, recipient, world.keys[leaf], world.writer.head, params().stream_public)[2])


def test_a_welcome_gives_what_was_sealed_and_nothing_where_nothing_was() -> None:
    silent, busy = World.start(0), World.start(0)
    busy.seal(0, b"reading")
    for world, past in ((silent, []), (busy, [1])):
        [leaf] = world.commit(0, joins=[Join(0, OPEN_SLOT)])
        assert welcomed(world, leaf) == (past, {})


def test_a_keyring_joins_what_two_capsules_give_of_one_epoch() -> None:
    tree = Cover.whole(slot_root(hashed("secret"), SID, 3))
    ring = Keyring(SID)
    for start, end in ((0, 4), (8, 12)):
        ring.add_covers(Covers((), ((3, tree.interval(start, end)),)))
    assert [slot for slot in range(20) if ring.holds(3, slot)] == [*range(4), *range(8, 12)]
    assert ring.slot_key(3, 1) == tree.leaf(1)


def test_an_epoch_given_by_a_part_and_then_whole_opens_beyond_the_part() -> None:
    epochs = Cover.whole(hashed("epoch tree"))
    tree = Cover.whole(slot_root(epochs.leaf(3), SID, 3))
    ring = Keyring(SID)
    ring.add_covers(Covers(epochs.interval(3, 4), ((3, tree.interval(0, 4)),)))
    before = ring.covers()
    assert ring.slot_key(3, 2) == tree.leaf(2)
    assert ring.covers() == before, "what the part opens leaves the epoch's secret alone"
    assert ring.slot_key(3, 9) == tree.leaf(9)
    assert ring.covers() == Covers((), ((3, tree.nodes),))


def test_the_secret_of_an_epoch_takes_the_place_of_its_parts() -> None:
    tree = Cover.whole(slot_root(hashed("secret"), SID, 3))
    ring = Keyring(SID)
    ring.add_covers(Covers((), ((3, tree.interval(0, 4)),)))
    ring.add_epoch(3, hashed("secret"))
    assert ring.covers() == Covers((), ((3, tree.nodes),))
    out = ByteWriter()
    ring.write(out)
    assert Keyring.read(SID, ByteReader(out.done())).slot_key(3, 9) == tree.leaf(9)


def test_no_slot_beyond_the_last_is_held() -> None:
    epochs = Cover.whole(hashed("epoch tree"))
    ring = Keyring(SID)
    ring.add_covers(Covers(epochs.nodes, ()))
    assert [ring.holds(1, slot) for slot in (-1, 0, LEAVES - 1, LEAVES)] == [False, True, True, False]
    assert [ring.holds(epoch, 0) for epoch in (-1, 0, LEAVES - 1, LEAVES)] == [False, True, True, False]


def test_what_is_joined_fills_what_was_not_held_and_leaves_the_rest() -> None:
    ours, theirs = Cover.whole(hashed("ours")), Cover.whole(hashed("theirs"))
    held = Cover((*ours.interval(4, 6), *ours.interval(9, 10), *ours.interval(40, 44)))
    [wide] = theirs.interval(0, 16)
    found = held.joined((wide,))
    for slot in range(64):
        own = slot in (4, 5, 9, *range(40, 44))
        if slot < 16 or own:
            assert found.leaf(slot) == (ours if own else theirs).leaf(slot)
        else:
            assert slot not in found
    assert held.joined([CoverNode(0, 4, hashed("another"))]).nodes == held.nodes
