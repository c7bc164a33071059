"""architecture.md, contracts.md (finality and relay): a signed message is on chain once, or its failure is known."""

from __future__ import annotations

import pytest

from node.projection import effects as f
from node.projection import events as e
from node.projection.base import Effect, Event
from node.projection.errors import ContradictingFact, WrongParty
from node.projection.submission import (
    RETRY_SECONDS,
    Submission,
    SubmissionStatus,
    deadlines_submission,
    index_submission,
    reduce_submission,
)
from tests.unit.node.projection.kit import block, h32

D = h32("d")
SIGNATURES = (b"\x07" * 65,)


def asked(kind: str = "Grant", deadline: int | None = 100) -> e.RequestedSubmission:
    return e.RequestedSubmission(D, kind, '{"a":1}', SIGNATURES, deadline, 1)


SENT = e.ReceivedSubmissionSent(D, h32("x"), 2)
INCLUDED = e.LoggedMessageIncluded(block(5), D)


def fold(*events: Event) -> tuple[Submission, list[Effect]]:
    submission = Submission(D)
    effects: list[Effect] = []
    for event in events:
        step = reduce_submission(submission, event)
        submission = step.state
        effects.extend(step.effects)
    return submission, effects


def submits(effects: list[Effect]) -> int:
    return sum(isinstance(effect, f.SubmitMessage) for effect in effects)


def test_from_the_request_to_finality() -> None:
    final, effects = fold(asked(), SENT, INCLUDED, e.LoggedFinalized(5, 50))
    assert final.status is SubmissionStatus.FINAL
    assert effects == [
        f.SubmitMessage(D, "Grant"),
        f.NotifySubmissionFinal(D, "Grant"),
    ]


def test_asked_twice_is_sent_once() -> None:
    _, effects = fold(asked(), asked(), SENT, asked(), INCLUDED, asked(), e.LoggedFinalized(5, 50), asked())
    assert submits(effects) == 1
    other = e.RequestedSubmission(D, "Grant", '{"a":2}', SIGNATURES, 100, 1)
    with pytest.raises(WrongParty):
        fold(asked(), other)


def test_a_reorg_puts_it_back_in_the_queue() -> None:
    queued, effects = fold(asked(), SENT, INCLUDED, e.LoggedRolledBack(4))
    assert (queued.status, queued.block, submits(effects)) == (SubmissionStatus.QUEUED, None, 2)
    stays, effects = fold(asked(), SENT, INCLUDED, e.LoggedRolledBack(5))
    assert (stays.status, submits(effects)) == (SubmissionStatus.INCLUDED, 1)
    deep, effects = fold(asked(), SENT, INCLUDED, e.LoggedFinalized(9, 50), e.LoggedRolledBack(4))
    assert (deep.status, submits(effects)) == (SubmissionStatus.QUEUED, 2)


def test_a_dropped_transaction_is_sent_again() -> None:
    queued, effects = fold(asked(), SENT, e.ReceivedSubmissionDropped(D, 3))
    assert (queued.status, submits(effects)) == (SubmissionStatus.QUEUED, 2)


def test_the_deadline_is_judged_by_final_blocks_only() -> None:
    """A node that was off must not give up on what was included meanwhile, whatever its own clock says."""
    waiting, _ = fold(asked(), SENT, e.LoggedFinalized(4, 100))
    assert waiting.status is SubmissionStatus.SENT
    assert index_submission(waiting).chain_deadline == 100
    assert deadlines_submission(waiting) == ()
    failed, effects = fold(asked(), SENT, e.LoggedFinalized(4, 101))
    assert failed.status is SubmissionStatus.FAILED
    assert effects[-1] == f.NotifySubmissionFailed(D, "Grant", "the deadline passed before it was included")
    caught_up, _ = fold(asked(), INCLUDED, e.LoggedFinalized(9, 10_000))
    assert caught_up.status is SubmissionStatus.FINAL


def test_a_refusal_is_told_and_what_the_chain_holds_counts_all_the_same() -> None:
    refused = e.ReceivedSubmissionRefused(D, "NonceUsed()", 3)
    rejected, effects = fold(asked(), refused)
    assert (rejected.status, rejected.reason) == (SubmissionStatus.REJECTED, "NonceUsed()")
    assert effects[-1] == f.NotifySubmissionFailed(D, "Grant", "NonceUsed()")
    relayed, _ = fold(asked(), refused, INCLUDED, e.LoggedFinalized(5, 50))
    assert (relayed.status, relayed.reason) == (SubmissionStatus.FINAL, "")


def test_a_rejected_item_burns_nothing_and_may_be_asked_for_again() -> None:
    on_chain = e.LoggedMessageRejected(block(5), D, b"\xaa\xbb\xcc\xdd")
    rejected, _ = fold(asked(), SENT, on_chain)
    assert (rejected.status, rejected.reason) == (SubmissionStatus.REJECTED, "0xaabbccdd")
    assert submits(fold(asked(), SENT, on_chain, asked())[1]) == 2
    assert fold(asked(), SENT, on_chain, e.LoggedRolledBack(4))[0].status is SubmissionStatus.QUEUED
    assert fold(asked(), SENT, on_chain, e.LoggedFinalized(6, 101))[0].status is SubmissionStatus.FAILED


def test_a_revoke_is_never_given_up() -> None:
    """contracts.md: a signed Revoke is kept and re-sent until final."""
    refused = e.ReceivedSubmissionRefused(D, "unfunded", 10)
    life = (asked("Revoke", None), SENT, refused)
    waiting, effects = fold(*life, e.LoggedFinalized(99, 10**12))
    assert (waiting.status, waiting.reason) == (SubmissionStatus.QUEUED, "unfunded")
    assert [(each.name, each.at) for each in deadlines_submission(waiting)] == [("retry", 10 + RETRY_SECONDS)]
    assert not any(isinstance(effect, f.NotifySubmissionFailed) for effect in effects)
    _, effects = fold(*life, e.DueSubmissionRetry(D, 10 + RETRY_SECONDS), e.DueSubmissionRetry(D, 99))
    assert submits(effects) == 2
    on_chain = e.LoggedMessageRejected(block(5), D, b"\xaa\xbb\xcc\xdd")
    again, effects = fold(asked("Revoke", None), SENT, on_chain)
    assert (again.status, submits(effects)) == (SubmissionStatus.QUEUED, 2)


def test_included_twice_is_a_contradiction() -> None:
    with pytest.raises(ContradictingFact):
        fold(asked(), INCLUDED, e.LoggedMessageIncluded(block(6), D))


def test_messages_of_others_leave_no_trace() -> None:
    assert fold(INCLUDED, SENT, e.LoggedMessageRejected(block(5), D, b"\x00" * 4))[0] == Submission(D)
