"""The writer: gate, backlog, crashes, rebuilding, another writer, erasure (channels.md 4)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.checkpoint import Checkpoint
from channels.envelope import EnvelopeHeader
from channels.errors import (
    ChainSilent,
    ChannelError,
    ClockSkew,
    EmptyInterval,
    EpochErased,
    EpochNotActive,
    GateRefused,
    LeafError,
    LeafExpired,
    LeafNotStarted,
    LeafRevoked,
    RebuildMismatch,
    SignatureRejected,
    SlotClosed,
    SnapshotInvalid,
    StalePrepared,
    UsageError,
)
from channels.gate import Evidence
from channels.masters import Masters
from channels.position import Position
from channels.reader import Reader
from channels.rebuild import rebuild_writer
from channels.slots import OPEN_END, OPEN_SLOT
from channels.stores.records import WriterRecord
from channels.writer import Changes, Join, Writer
from channels.writer_state import WriterState
from keys.sealing import SealingKey
from tests.unit.channels.world import GENESIS, STREAM_KEY, World, at, evidence, hashed, masters, params, sign_commit


def plain(
    world: World, slot: int, *, clock: int | None = None, block: int | None = None, meter: int | None = None
) -> None:
    """Seal one reading at the start of `slot`, with clocks that may disagree."""
    time = at(slot)
    taken = Evidence(time if clock is None else clock, time if block is None else block)
    world.writer.seal([(time if meter is None else meter, b"x")], taken)


def test_a_grant_in_seconds_becomes_whole_slots() -> None:
    """channels.md 1."""
    stream = params()
    assert stream.granted_slots(GENESIS + 1, GENESIS + 179) == (1, 2)
    assert stream.granted_slots(GENESIS + 60, GENESIS + 180) == (1, 3)
    assert stream.granted_slots(GENESIS - 500, OPEN_END) == (0, OPEN_SLOT)
    for start, end in [(1, 119), (0, 59), (60, 60), (120, 60)]:
        with pytest.raises(EmptyInterval):
            stream.granted_slots(GENESIS + start, GENESIS + end)


def test_nothing_is_sealed_before_the_first_commit_is_on_chain() -> None:
    writer = Writer(params(), masters(), STREAM_KEY, bytes(16))
    with pytest.raises(EpochNotActive):
        writer.seal([(at(0), b"x")], evidence(at(0)))
    prepared = writer.prepare(Changes(0, 0, added=(Join(0, OPEN_SLOT),)))
    writer.apply(prepared, sign_commit(prepared.message))
    with pytest.raises(EpochNotActive):
        writer.seal([(at(0), b"x")], evidence(at(0)))
    writer.activate(1)
    assert len(writer.seal([(at(0), b"x")], evidence(at(0))).envelopes) == 1


class TestGate:
    """channels.md 4 rule 3: the end against the latest clock, the start against the earliest."""

    def test_the_end_counts_by_the_latest_of_three_clocks(self) -> None:
        world = World.start(0)
        [leaf] = world.commit(0, joins=[Join(0, 3)])
        plain(world, 2)
        for late in ({"clock": at(3)}, {"block": at(3)}, {"meter": at(3)}):
            with pytest.raises(LeafExpired) as caught:
                plain(world, 2, **late)
            assert caught.value.leaf == leaf
        world.commit(3, removed=[leaf])
        plain(world, 3)

    def test_the_start_counts_by_the_earliest_of_three_clocks(self) -> None:
        world = World.start(0)
        [leaf] = world.commit(5, joins=[Join(5, OPEN_SLOT)])
        for early in ({"clock": at(4)}, {"block": at(4)}):
            with pytest.raises(LeafNotStarted) as caught:
                plain(world, 5, **early)
            assert caught.value.leaf == leaf
        plain(world, 5)
        plain(world, 200)

    def test_disagreeing_clocks_set_the_reading_aside(self) -> None:
        """Stuck, backward and 2099 clocks of meter, gateway and chain."""
        world = World.start(0)
        year_2099 = 4_070_908_800
        now = at(100)
        for wrong in (
            {"meter": at(0)},
            {"meter": year_2099},
            {"meter": now - 121},
            {"clock": at(0)},
            {"clock": now + 121},
            {"block": year_2099},
            {"block": now - 121},
            {"block": now + 121},
        ):
            with pytest.raises(ClockSkew):
                plain(world, 100, **wrong)
        with pytest.raises(GateRefused):
            plain(world, 100, clock=year_2099, meter=year_2099)
        plain(world, 100, meter=now - 120, clock=now, block=now)
        assert world.writer.position.seq == 1

    def test_a_silent_chain_publishes_nothing(self) -> None:
        """Rule 5."""
        world = World.start(0)
        with pytest.raises(ChainSilent):
            plain(world, 100, block=at(100) - 601)

    def test_a_known_revocation_stops_sealing_at_once_and_until_the_chain_has_the_commit(self) -> None:
        world = World.start(0, readers=2)
        world.writer.block_sealing([1])
        with pytest.raises(LeafRevoked) as caught:
            plain(world, 0)
        assert caught.value.leaf == 1
        with pytest.raises(UsageError):
            world.prepare(0, removed=[2])
        world.commit(0, removed=[1], active=False)
        with pytest.raises(LeafRevoked):
            plain(world, 0)
        world.writer.activate(2)
        plain(world, 0)
        with pytest.raises(LeafError):
            world.writer.block_sealing([1])

    def test_a_pending_join_closes_later_slots(self) -> None:
        world = World.start(0)
        world.commit(3, joins=[Join(3, OPEN_SLOT)], active=False)
        plain(world, 3)
        with pytest.raises(SlotClosed):
            plain(world, 4)
        world.writer.activate(2)
        plain(world, 4)

    def test_slots_before_the_epoch_are_closed(self) -> None:
        world = World.start(5)
        with pytest.raises(SlotClosed):
            plain(world, 4)

    def test_a_refused_batch_changes_nothing(self) -> None:
        world = World.start(0)
        world.commit(0, joins=[Join(0, 2)])
        before = world.writer.snapshot()
        with pytest.raises(LeafExpired):
            world.writer.seal([(at(1), b"a"), (at(2), b"b")], evidence(at(1, 30)))
        assert world.writer.snapshot() == before


def test_the_slot_of_a_reading_never_goes_back() -> None:
    """channels.md 1: max(last sealed slot, slot of its meter time)."""
    world = World.start(0)
    times = [at(3), at(1), at(2), at(4), at(3)]
    sealed = world.writer.seal([(time, b"x") for time in times], evidence(at(3)))
    assert [EnvelopeHeader.decode(envelope).slot for envelope in sealed.envelopes] == [3, 3, 3, 4, 4]
    assert [Checkpoint.decode(data).count for data in sealed.checkpoints] == [3]
    late = world.writer.seal([(at(3), b"late")], evidence(at(3)))
    assert EnvelopeHeader.decode(late.envelopes[0]).slot == 4


def test_checkpoints_cover_every_envelope_once() -> None:
    """Per slot, at every epoch change and at shutdown (channels.md 3)."""
    world = World.start(0)
    world.seal(0, b"a", b"b")
    world.seal(1, b"c")
    world.commit(1, joins=[Join(1, OPEN_SLOT)])
    world.seal(1, b"d")
    world.checkpoints.extend(world.writer.close_slot(1))
    world.checkpoints.extend(world.writer.close_slot(2))
    world.seal(3, b"e")
    world.checkpoints.extend(world.writer.shutdown())
    found = [Checkpoint.verify(data, STREAM_KEY.public_bytes) for data in world.checkpoints]
    assert [(c.epoch, c.slot, c.first_seq, c.count) for c in found] == [
        (1, 0, 1, 2),
        (1, 1, 3, 1),
        (2, 1, 4, 1),
        (2, 2, 5, 0),
        (2, 3, 5, 1),
    ]
    assert world.writer.shutdown() == ()


def test_a_crash_before_storing_makes_the_same_commit_again() -> None:
    """channels.md 6: a crash at every step resumes and never yields two commits for one epoch."""
    world = World.start(0, readers=5)
    before = world.writer.snapshot()
    changes = Changes(0, 77, removed=(2,), added=(Join(0, OPEN_SLOT), Join(0, 9)))
    prepared = world.writer.prepare(changes)
    assert world.writer.snapshot() == before
    data = world.writer.apply(prepared, sign_commit(prepared.message))
    crashed = Writer.restore(world.writer.params, masters(), STREAM_KEY, hashed("new")[:16], before)
    again = crashed.prepare(changes)
    assert (again.unsigned, again.leaves) == (prepared.unsigned, prepared.leaves)
    assert crashed.apply(again, sign_commit(again.message)) == data
    stored = Writer.restore(world.writer.params, masters(), STREAM_KEY, hashed("new")[:16], world.writer.snapshot())
    assert stored.head == prepared.commit_hash
    with pytest.raises(StalePrepared):
        stored.apply(prepared, sign_commit(prepared.message))


def test_another_commit_for_the_same_epoch_shares_no_fresh_secret() -> None:
    """channels.md 2: fresh secrets depend on predecessor, slot and changes."""
    world = World.start(0, readers=7)
    roots = set()
    leaves = set()
    for removed, slot in [((1,), 0), ((1,), 1), ((1, 2), 0), ((2,), 0)]:
        prepared = world.prepare(slot, removed=removed, joins=[Join(0, OPEN_SLOT, removed[0])])
        roots.add(prepared.delta.keys[prepared.delta.depth, 0])
        leaves.add(prepared.delta.keys[0, removed[0]])
    assert len(roots) == len(leaves) == 4


def test_a_foreign_signature_is_not_applied() -> None:
    world = World.start(0)
    prepared = world.prepare(0, joins=[Join(0, OPEN_SLOT)])
    with pytest.raises(SignatureRejected):
        world.writer.apply(prepared, bytes(64) + b"\x1b")
    with pytest.raises(ChannelError):
        world.writer.apply(prepared, b"short")
    assert world.writer.epoch == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["restart", "old backup", "copy", "seal", "slot", "back"]), min_size=2, max_size=14))
def test_no_key_and_nonce_is_used_twice(steps: list[str]) -> None:
    """channels.md 6: across restarts, clock steps, two running copies and restored old backups."""
    world = World.start(0)
    backup, slot, starts = world.writer.snapshot(), 0, 0
    running, lanes = [world.writer], []
    for step in [*steps, "seal"]:
        if step in ("restart", "old backup", "copy"):
            starts += 1
            source = backup if step == "old backup" else running[0].snapshot()
            inst = hashed("start", starts)[:16]
            started = Writer.restore(world.writer.params, masters(), STREAM_KEY, inst, source)
            running = [started, *(running if step == "copy" else [])]
        elif step == "slot":
            slot += 1
        elif step == "back":
            slot = max(0, slot - 1)
        else:
            for writer in running:
                lanes.extend(writer.seal([(at(slot), b"x"), (at(slot), b"y")], evidence(at(slot))).envelopes)
    used = [(h.epoch, h.slot, h.inst, h.seq) for h in map(EnvelopeHeader.decode, lanes)]
    assert len(set(used)) == len(used)


def test_the_high_water_mark_wins_over_an_older_snapshot() -> None:
    world = World.start(0)
    old = world.writer.snapshot()
    envelopes = world.seal(0, b"a", b"b")
    mark = Position.from_bytes(world.writer.position.to_bytes())
    writer = Writer.restore(world.writer.params, masters(), STREAM_KEY, hashed("new")[:16], old, mark)
    [following] = writer.seal([(at(0), b"c")], evidence(at(0))).envelopes
    header = EnvelopeHeader.decode(following)
    assert header.seq == 3
    [checkpoint] = writer.shutdown()
    assert (Checkpoint.decode(checkpoint).first_seq, Checkpoint.decode(checkpoint).count) == (1, 3)
    assert len(envelopes) == 2


def test_growth_from_one_leaf_and_back_to_nobody() -> None:
    """N = 1, growth, last reader removed, all removed, the same reader again."""
    world = World.start(0)
    assert world.writer.state.tree.depth == 0
    readers = [world.join(0)[1] for _ in range(5)]
    for reader in readers:
        world.catch_up(reader)
    envelopes = world.seal(0, b"all")
    assert all(reader.open(envelopes).readings for reader in readers)
    world.commit(0, removed=[1, 2, 3, 4, 5])
    assert world.writer.state.tree.n_live == 1
    world.commit(0, removed=[0])
    world.seal(0, b"nobody")
    assert world.writer.state.tree.n_live == 0
    _, again = world.join(0)
    assert again.open(world.seal(0, b"again")).readings
    with pytest.raises(ChannelError):
        world.catch_up(readers[0])


def test_commits_refuse_what_is_not_due() -> None:
    world = World.start(3)
    [leaf] = world.commit(3, joins=[Join(2, 6)])
    for slot, removed, joins in [
        (2, [], [Join(2, 9)]),
        (3, [], [Join(4, 9)]),
        (3, [], [Join(1, 3)]),
        (3, [7], []),
        (3, [leaf, leaf], []),
        (3, [], [Join(3, 9, leaf)]),
    ]:
        with pytest.raises(UsageError):
            world.prepare(slot, removed, joins)
    with pytest.raises(LeafExpired):
        world.prepare(6)
    world.seal(5, b"x")
    with pytest.raises(UsageError):
        world.prepare(4)


def test_rebuilding_needs_the_right_masters_log_and_records() -> None:
    world = World.start(0, readers=3)
    world.commit(0, removed=[2], joins=[Join(0, 5)])
    args = (world.writer.params, masters(), STREAM_KEY, bytes(16))
    members = list(world.members.values())
    rebuilt = rebuild_writer(*args, world.commits, members, 2, world.writer.position)
    assert rebuilt.snapshot() == world.writer.snapshot()
    for log, wrong_members, own in [
        (world.commits, members, masters("others")),
        (world.commits[1:], members, masters()),
        (world.commits, members[1:], masters()),
        ([*world.commits[:-1], world.commits[-1][:-1]], members, masters()),
    ]:
        with pytest.raises(RebuildMismatch):
            rebuild_writer(world.writer.params, own, STREAM_KEY, bytes(16), log, wrong_members, 2)


def test_a_new_writer_removes_and_adds_everybody_with_new_masters() -> None:
    """channels.md 4 rule 10: SetWriter. Covers never cross a writer change."""
    world = World.start(0, readers=3)
    old_writer = world.writer
    world.seal(0, b"old")
    state = WriterState.after_writer_change(
        old_writer.epoch, old_writer.head, old_writer.state.tree.depth, range(4), old_writer.position
    )
    world.writer = Writer(params(), masters("new"), STREAM_KEY, hashed("new")[:16], state)
    with pytest.raises(EpochNotActive):
        world.seal(1, b"x")
    with pytest.raises(UsageError):
        world.prepare(1, removed=[1], joins=[])
    leaves = world.commit(1, removed=range(4), joins=[Join(0, OPEN_SLOT, leaf) for leaf in range(4)])
    assert leaves == [0, 1, 2, 3]
    reader = world.welcome(1)
    assert reader.keyring.covers().epochs == ()
    after = world.seal(1, b"new")
    assert [r.plaintext for r in reader.open([*world.envelopes[:1], *after]).readings] == [b"new"]
    again = rebuild_writer(
        params(),
        masters("new"),
        STREAM_KEY,
        bytes(16),
        world.commits[1:],
        world.members.values(),
        2,
        base=WriterState.after_writer_change(
            1, old_writer.head, old_writer.state.tree.depth, range(4), old_writer.position
        ),
    )
    assert again.state.tree.dump() == world.writer.state.tree.dump()


def test_erasure_leaves_the_future_and_destroys_the_past() -> None:
    """channels.md 4 rule 11: M becomes the cover of [e + 1, 2**32), T is replaced beside a snapshot."""
    world = World.start(0)
    for slot in (1, 2, 3):
        world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
    kept = masters().erased(2, hashed("new T"))
    assert len(kept.epochs) <= 32
    assert Masters.from_bytes(kept.to_bytes()) == kept
    for epoch in (0, 1, 2):
        with pytest.raises(EpochErased):
            kept.epoch_secret(epoch)
    assert kept.epoch_secret(3) == masters().epoch_secret(3)
    writer = Writer.restore(params(), kept, STREAM_KEY, bytes(16), world.writer.snapshot())
    world.writer = writer
    key = SealingKey.from_bytes(hashed("late"))
    reader = Reader(params(), hashed("late grant"))
    reader.receive_capsule(writer.history(hashed("late grant"), key.public_bytes, (0, 4), 4), key, world.registry)
    assert not any(reader.keyring.holds(epoch, slot) for epoch in (1, 2) for slot in range(4))
    world.commit(4, joins=[Join(4, OPEN_SLOT)])
    with pytest.raises(UsageError):
        masters().erased(2, masters().tree)


def test_history_needs_a_grant_in_the_past() -> None:
    world = World.start(0)
    key = SealingKey.from_bytes(hashed("k"))
    with pytest.raises(UsageError):
        world.writer.history(hashed("g"), key.public_bytes, (0, 5), 4)
    with pytest.raises(UsageError):
        world.writer.history(hashed("g"), key.public_bytes, (3, 3), 4)


def test_snapshots_are_canonical_and_checked() -> None:
    world = World.start(0, readers=3)
    stored = world.writer.snapshot()
    args = (params(), masters(), STREAM_KEY, bytes(16))
    assert Writer.restore(*args, stored).snapshot() == stored
    for wrong in (stored[:-1], stored + b"\x00", b"\x00\x09" + stored[2:], b""):
        with pytest.raises(SnapshotInvalid):
            Writer.restore(*args, wrong)


def test_secrets_do_not_show_in_text() -> None:
    world = World.start(0, readers=2)
    prepared = world.prepare(0, removed=[1])
    for value in (masters(), prepared, masters().epochs[0]):
        text = repr(value)
        assert masters().tree.hex() not in text
        assert repr(masters().tree) not in text
        assert "delta=" not in text
        assert "key=" not in text


def test_snapshot_changes_and_progress_are_the_state_to_the_byte() -> None:
    """What is kept at every commit and seal leads to the very state that a snapshot would hold: growth, removals,
    a refresh, blocked leaves, slots and checkpoints included."""
    world = World.start(readers=3)
    snapshot, changes = world.writer.snapshot(), []
    for step in range(1, 12):
        world.seal(step, b"a", b"b")
        leaf = max(world.members)
        world.writer.block_sealing([leaf])
        joins = (*[Join(step, OPEN_SLOT)] * (step % 4), Join(step, OPEN_SLOT, leaf))
        prepared = world.prepare(step, [leaf], joins)
        world.writer.apply(prepared, sign_commit(prepared.message))
        changes.append(world.writer.change_of(prepared).to_bytes())
        for fresh in prepared.leaves:
            world.members[fresh] = world.members[leaf]
        record = WriterRecord(snapshot, tuple(changes), world.writer.progress())
        assert WriterState.from_record(record).to_bytes() == world.writer.snapshot()
        world.include(prepared)
        world.seal(step, b"c")
        record = WriterRecord(snapshot, tuple(changes), world.writer.progress())
        assert WriterState.from_record(record).to_bytes() == world.writer.snapshot()


def test_progress_and_changes_that_do_not_fit_are_refused() -> None:
    """A database that lost one of them, or was put together from two backups, must not be sealed on."""
    world = World.start(readers=1)
    snapshot, before = world.writer.snapshot(), world.writer.progress()
    prepared = world.prepare(1, (), (Join(1, OPEN_SLOT),))
    world.writer.apply(prepared, sign_commit(prepared.message))
    change, after = world.writer.change_of(prepared).to_bytes(), world.writer.progress()
    for changes, progress in (
        ((), after),
        ((change,), before),
        ((change, change), after),
        ((change[:-1],), after),
        ((change,), after + b"\0"),
    ):
        with pytest.raises(SnapshotInvalid):
            WriterState.from_record(WriterRecord(snapshot, changes, progress))
    assert WriterState.from_record(WriterRecord(snapshot, (change,), after)).epoch == 2


def test_what_a_seal_and_a_commit_keep_does_not_grow_with_the_readers() -> None:
    """channels.md 5: a stream with many readers costs no more at each reading."""
    sizes = []
    for readers in (10, 1_000):
        world = World.start(readers=readers)
        world.seal(1, b"a")
        progress = len(world.writer.progress())
        prepared = world.prepare(1, [3])
        sizes.append((progress, len(world.writer.change_of(prepared).to_bytes())))
    assert sizes[0][0] == sizes[1][0]
    assert sizes[1][1] < 4 * sizes[0][1]
