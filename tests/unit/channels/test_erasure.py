"""Erasure of a writer's own past, on raw key material (channels.md 4 rule 11)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from channels.commit import Commit
from channels.errors import EpochErased, FormatError, UsageError
from channels.ggm import LEAVES, CoverNode
from channels.masters import Masters
from channels.reader import Reader
from channels.rebuild import rebuild_writer
from channels.slots import OPEN_SLOT
from channels.writer import Join, Writer
from channels.writer_state import WriterState
from keys.sealing import SealingKey
from tests.support.raw_keys import evolved, opened_wraps, raw_open
from tests.unit.channels.world import STREAM_KEY, World, hashed, masters, params

SID = hashed("sid")


def filled() -> World:
    """Three epochs, [0, 3], [3, 6] and [6, ...), slots 0 to 8 with a reading each, a reader that left in between."""
    world = World.start(0, readers=1)
    for slot in range(3):
        world.seal(slot, b"reading %d" % slot)
    left = world.commit(3, joins=[Join(3, OPEN_SLOT)])[0]
    for slot in range(3, 6):
        world.seal(slot, b"reading %d" % slot)
    world.commit(6, removed=[left])
    for slot in range(6, 9):
        world.seal(slot, b"reading %d" % slot)
    return world


def all_nodes(kept: Masters) -> dict[int, list[CoverNode]]:
    """What is left of the masters as a thief would use it."""
    nodes = {-1: list(kept.epochs)}
    if kept.part is not None:
        nodes[kept.part.epoch] = list(kept.part.slots)
    return nodes


def tree_keys(writer: Writer) -> set[bytes]:
    """Every key of the writer's tree, by cutting its snapshot at every byte."""
    keys, _ = writer.state.tree.dump()
    return {level[at : at + 32] for level in keys for at in range(0, len(level), 32)}


def test_before_a_slot_destroys_exactly_what_is_before_it() -> None:
    """channels.md 4 rule 11, to the slot: of the epoch that the day falls into the later slots are left."""
    world = filled()
    for slot in range(10):
        epoch = world.writer.state.log.last_before(slot)
        kept = masters().erased(epoch, hashed("new T"), SID, slot)
        assert Masters.from_bytes(kept.to_bytes()) == kept
        path = evolved({kept.tree, *tree_keys(world.writer)})
        opened = [raw_open(path, all_nodes(kept), envelope) for envelope in world.envelopes]
        assert opened == [None if at < slot else b"reading %d" % at for at in range(9)]


def test_everything_up_to_an_epoch_and_again_further() -> None:
    """channels.md 4 rule 11: an erasure after an erasure leaves less, never more."""
    world = filled()
    once = masters().erased(2, hashed("new T"), SID, 4)
    assert once.part is not None
    assert once.part.epoch == 2
    again = once.erased(2, hashed("newer T"), SID, 5)
    assert [raw_open(set(), all_nodes(again), each) for each in world.envelopes[:6]] == [None] * 5 + [b"reading 5"]
    back = again.erased(1, hashed("newest T"), SID, LEAVES)
    assert (back.epochs, back.part) == (again.epochs, again.part)
    assert again.erased(1, hashed("newest T"), SID, 9).part == again.part, "an epoch that is gone has no later slots"
    whole = again.erased(2, hashed("newest T"))
    assert whole.part is None
    assert not any(raw_open(set(), all_nodes(whole), each) for each in world.envelopes[:6])
    assert len(whole.epochs) <= 32
    with pytest.raises(EpochErased):
        once.epoch_secret(2)
    with pytest.raises(EpochErased):
        whole.slots(SID, 2)
    damaged = bytearray(once.to_bytes())
    damaged[-37 * len(once.part.slots) - 1] = 0
    with pytest.raises(FormatError):
        Masters.from_bytes(bytes(damaged))


def test_what_is_left_of_the_tree_opens_no_commit_of_before() -> None:
    """channels.md 4 rule 11: the snapshot beside the new T opens nothing that it was made after; T of before did."""
    world = filled()
    present = evolved({*tree_keys(world.writer), hashed("new T")})
    assert not any(opened_wraps(present, Commit.decode(data)) for data in world.commits)
    early = World.start(0, readers=1)
    assert opened_wraps(tree_keys(early.writer), Commit.decode(world.commits[1])), "the attack opens what it can"


def test_the_writer_goes_on_and_a_lost_state_is_made_again_from_the_snapshot() -> None:
    """channels.md 4 rule 11: T by a new one beside one snapshot of the tree, from which the log is re-made."""
    world = filled()
    _, reader = world.join(8)
    world.commit(9)  # changes nobody: it only ends the epoch that is erased
    snapshot = world.writer.snapshot()
    kept = masters().erased(4, hashed("new T"))
    world.writer.erase(kept)
    world.catch_up(reader)
    world.commit(10, joins=[Join(10, OPEN_SLOT)])
    world.catch_up(reader)
    assert [r.plaintext for r in reader.open(world.seal(10, b"after")).readings] == [b"after"]
    base = WriterState.from_bytes(snapshot)
    log, members = world.commits[base.epoch :], world.members.values()
    again = rebuild_writer(params(), kept, STREAM_KEY, bytes(16), log, members, 6, world.writer.position, base)
    assert again.state.tree.dump() == world.writer.state.tree.dump()
    assert again.head == world.writer.head


def test_nothing_is_erased_that_is_still_in_use() -> None:
    """channels.md 4 rule 11: the present epoch is ended by a commit first, and that commit is on the chain."""
    world = filled()
    with pytest.raises(UsageError, match="not over"):
        world.writer.erase(masters().erased(3, hashed("new T")))
    world.commit(9, active=False)
    with pytest.raises(UsageError, match="waits for the chain"):
        world.writer.erase(masters().erased(3, hashed("new T")))


def test_masters_without_the_first_epoch_are_refused_before_it() -> None:
    """channels.md 4 rule 11: a writer that has not begun needs the secret of the epoch that it begins with."""
    world = World.start(0)
    new = Writer(params(), masters(), STREAM_KEY, bytes(16))
    for writer, first in ((world.writer, 2), (new, 1)):
        with pytest.raises(UsageError):
            writer.erase(masters().erased(first, hashed("new T")))
    new.erase(masters().erased(0, hashed("new T")))


def test_a_history_of_what_was_erased_is_refused_and_of_the_rest_given() -> None:
    """channels.md 4 rule 11: no capsule re-opens what was erased; a grant yields what is left."""
    world = filled()
    world.commit(9)
    world.writer.erase(masters().erased(2, hashed("new T"), SID, 5))
    key = SealingKey.from_bytes(hashed("late"))
    with pytest.raises(EpochErased, match="destroyed"):
        world.writer.history(hashed("g"), key.public_bytes, (0, 3), 9)
    reader = Reader(params(), hashed("g"))
    reader.receive_capsule(world.writer.history(hashed("g"), key.public_bytes, (0, 9), 9), key, world.registry)
    assert [r.slot for r in reader.open(world.envelopes).readings] == [5, 6, 7, 8]


def test_a_resync_gives_only_what_is_left() -> None:
    """channels.md 4 rules 8 and 11: a member that lost its state gets the present, and of the past what is left."""
    world = filled()
    world.commit(9)
    world.writer.erase(masters().erased(2, hashed("new T"), SID, 5))
    fresh, member = SealingKey.generate(), world.members[1]
    reader = Reader(params(), member.grant_id)
    capsule = world.writer.resync(member, fresh.public_bytes, hashed("request"), 0)
    reader.receive_capsule(capsule, fresh, world.registry, hashed("request"))
    world.seal(9, b"reading 9")
    assert [r.slot for r in reader.open(world.envelopes).readings] == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("slot", [0, 2, 4, 6, LEAVES])
def test_a_reader_of_the_household_forgets_the_same(slot: int) -> None:
    """channels.md 4 rule 11, every copy that counts: the household's own keys go to the slot as well."""
    world = filled()
    reader = world.welcome(0)
    late = Reader(params(), world.members[0].grant_id)
    key = world.keys[0]
    late.receive_capsule(world.writer.welcome(world.members[0], key.public_bytes), key, world.registry)
    through = 2 if slot == LEAVES else world.writer.state.log.last_before(slot)
    for each in (reader, late):
        each.erase(through, slot)
        covers = each.keyring.covers()
        nodes = {-1: list(covers.epochs), **{epoch: list(held) for epoch, held in covers.slots}}
        path = set() if each.follower is None else evolved(each.follower.path.keys)
        opened = [raw_open(path, nodes, envelope) is not None for envelope in world.envelopes]
        first = 6 if slot == LEAVES else slot
        assert opened == [False] * first + [True] * (9 - first)
        assert all(a <= b for a, b in pairwise(opened))
