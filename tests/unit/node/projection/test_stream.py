"""contracts.md (ConsentRegistry), channels.md 4.2 and 4.6: what readers and the writer believe about the chain."""

from __future__ import annotations

import pytest

from node.projection import effects as f
from node.projection import events as e
from node.projection.base import ADDRESS_ZERO, Effect, Event
from node.projection.errors import ContradictingFact, HistoryTooShort
from node.projection.facts import KEPT_FINAL
from node.projection.stream import Stream, StreamStatus, index_stream, reduce_stream
from tests.unit.node.projection.kit import OWNER, STRANGER, address, block, commit, h32

S = h32("s")
WRITER = address("w")
REGISTERED = e.LoggedStreamRegistered(block(1), S, OWNER, WRITER, h32("n"), h32("k"), 1_000, 60)


def fold(*events: Event) -> tuple[Stream, list[Effect]]:
    stream = Stream(S)
    effects: list[Effect] = []
    for event in events:
        step = reduce_stream(stream, event)
        stream = step.state
        effects.extend(step.effects)
    return stream, effects


def test_registration_names_owner_and_writer() -> None:
    stream, effects = fold(REGISTERED)
    assert (stream.status, stream.owner, stream.writer, stream.epoch) == (StreamStatus.ACTIVE, OWNER, WRITER, 0)
    assert effects == [f.NotifyStreamRegistered(S, OWNER, WRITER)]


def test_commits_act_at_head_and_follow_each_other() -> None:
    stream, effects = fold(REGISTERED, commit(2, 1), commit(3, 2))
    assert (stream.epoch, stream.head and stream.head.block) == (2, block(3))
    assert [each.epoch for each in effects if isinstance(each, f.NotifyCommitted)] == [1, 2]
    found = stream.commit_at(1)
    assert found is not None
    assert found.commit_hash == commit(2, 1).commit_hash
    with pytest.raises(ContradictingFact, match="epoch 4 after epoch 2"):
        fold(REGISTERED, commit(2, 1), commit(3, 2), commit(4, 4))


def test_two_hashes_for_one_epoch_are_a_contradiction() -> None:
    with pytest.raises(ContradictingFact):
        fold(REGISTERED, commit(2, 1), commit(3, 1, "b"))


def test_two_blocks_of_one_height_are_a_contradiction() -> None:
    with pytest.raises(ContradictingFact, match="numbered 2"):
        fold(REGISTERED, commit(2, 1), commit(2, 2, "b"))


def test_a_reorg_takes_commits_away_and_brings_others() -> None:
    stream, effects = fold(REGISTERED, commit(2, 1), commit(4, 2), e.LoggedRolledBack(3), commit(4, 2, "b"))
    assert stream.head is not None
    assert stream.head.commit_hash == commit(4, 2, "b").commit_hash
    assert f.NotifyCommitUndone(S, 1) in effects


def test_told_twice_is_told_once() -> None:
    once = fold(REGISTERED, commit(2, 1), e.LoggedFinalized(2, 9), commit(3, 2))
    assert once == fold(
        REGISTERED,
        REGISTERED,
        commit(2, 1),
        commit(2, 1),
        e.LoggedFinalized(2, 9),
        REGISTERED,
        commit(3, 2),
        commit(3, 2),
    )


def test_unpairing_puts_the_writer_out_at_head() -> None:
    """permissions.md 2: an unpair by the owner alone puts a stolen gateway out at once."""
    out = e.LoggedWriterSet(block(5), S, ADDRESS_ZERO, h32("k"))
    stream, effects = fold(REGISTERED, out)
    assert (stream.status, stream.writer) == (StreamStatus.HALTED, ADDRESS_ZERO)
    assert effects[-1] == f.NotifyWriterChanged(S, ADDRESS_ZERO, h32("k"))
    back, effects = fold(REGISTERED, out, e.LoggedRolledBack(4))
    assert (back.status, effects[-1]) == (StreamStatus.ACTIVE, f.NotifyWriterChanged(S, WRITER, h32("k")))


def test_only_the_newest_final_commits_are_kept() -> None:
    """architecture.md, scale: a node's memory never grows with history."""
    events: list[Event] = [REGISTERED]
    for epoch in range(1, 101):
        events += [commit(epoch + 1, epoch), e.LoggedFinalized(epoch, epoch)]
    stream, _ = fold(*events)
    assert [fact.epoch for fact in stream.commits] == list(range(100 - KEPT_FINAL, 101))
    assert index_stream(stream).unsettled == 101
    again, _ = fold(*events, commit(50, 49))
    assert again == stream


def test_a_reorg_below_what_is_kept_needs_a_rebuild() -> None:
    events: list[Event] = [REGISTERED]
    for epoch in range(1, 101):
        events += [commit(epoch + 1, epoch), e.LoggedFinalized(epoch + 1, epoch)]
    with pytest.raises(HistoryTooShort):
        fold(*events, e.LoggedRolledBack(50))
    empty, _ = fold(*events, e.LoggedRolledBack(0))
    assert empty == Stream(S)
    assert fold(*events, e.LoggedRolledBack(0), *events)[0] == fold(*events)[0]


def test_a_transfer_names_the_new_owner() -> None:
    stream, effects = fold(REGISTERED, e.LoggedStreamTransferred(block(4), S, OWNER, STRANGER))
    assert (stream.owner, effects[-1]) == (STRANGER, f.NotifyStreamTransferred(S, STRANGER))
    back, effects = fold(REGISTERED, e.LoggedStreamTransferred(block(4), S, OWNER, STRANGER), e.LoggedRolledBack(3))
    assert (back.owner, effects[-1]) == (OWNER, f.NotifyStreamTransferred(S, OWNER))
