"""A signed message on its way to the chain, by its digest, until it is final.

`failed` is decided by the chain's own time: a final block is past the deadline and the message is in none of the blocks
up to it, so it can never count. The node's clock has no say, and a node that was off does not give up on a message that
was included meanwhile. A Revoke has no deadline and is never given up: refused or dropped, it is sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import Block, Deadline, Event, State, StateIndex, Step
from node.projection.effects import NotifySubmissionFailed, NotifySubmissionFinal, SendParcel, SubmitMessage
from node.projection.errors import ContradictingFact, WrongAggregate, WrongParty
from node.projection.events import (
    DueSubmissionRetry,
    LoggedFinalized,
    LoggedMessageIncluded,
    LoggedMessageRejected,
    LoggedRolledBack,
    ReceivedSubmissionDropped,
    ReceivedSubmissionRefused,
    ReceivedSubmissionSent,
    RequestedSubmission,
)
from node.projection.machine import Machine
from node.projection.settlement_events import RequestedRefusal

__all__ = [
    "RETRY_SECONDS",
    "SUBMISSION_MACHINE",
    "Submission",
    "SubmissionStatus",
    "deadlines_submission",
    "index_submission",
    "reduce_submission",
]

RETRY_SECONDS = 30
"""After a refusal of a message that is never given up."""


class SubmissionStatus(StrEnum):
    """`rejected`: said to be impossible, but it may still succeed until its deadline. `failed`: it never can."""

    NONE = "none"
    QUEUED = "queued"
    SENT = "sent"
    INCLUDED = "included"
    FINAL = "final"
    REJECTED = "rejected"
    FAILED = "failed"


_N, _Q, _S = SubmissionStatus.NONE, SubmissionStatus.QUEUED, SubmissionStatus.SENT
_I, _F, _R = SubmissionStatus.INCLUDED, SubmissionStatus.FINAL, SubmissionStatus.REJECTED
_QUEUED, _INCLUDED, _REJECTED = frozenset({_Q}), frozenset({_I}), frozenset({_R})
_FAILED = frozenset({SubmissionStatus.FAILED})
SUBMISSION_MACHINE = Machine(
    "submission",
    _N,
    {
        (_N, RequestedSubmission): _QUEUED,
        (_Q, ReceivedSubmissionSent): frozenset({_S}),
        (_Q, ReceivedSubmissionRefused): _REJECTED,
        (_Q, LoggedMessageIncluded): _INCLUDED,
        (_Q, LoggedMessageRejected): _REJECTED,
        (_Q, LoggedFinalized): _FAILED,
        (_S, ReceivedSubmissionDropped): _QUEUED,
        (_S, ReceivedSubmissionRefused): frozenset({_R, _Q}),
        (_S, LoggedMessageIncluded): _INCLUDED,
        (_S, LoggedMessageRejected): frozenset({_R, _Q}),
        (_S, LoggedFinalized): _FAILED,
        (_R, RequestedSubmission): _QUEUED,
        (_R, LoggedMessageIncluded): _INCLUDED,
        (_R, LoggedRolledBack): _QUEUED,
        (_R, LoggedFinalized): _FAILED,
        (_I, LoggedFinalized): frozenset({_F}),
        (_I, LoggedRolledBack): _QUEUED,
        (_F, LoggedRolledBack): _QUEUED,
        # Only a reorg below finality brings this about; the chain is right even then.
        (SubmissionStatus.FAILED, LoggedMessageIncluded): _INCLUDED,
    },
)


@dataclass(frozen=True, slots=True)
class Submission(State):
    """`transaction` carried it last; `block` holds its inclusion, or its rejection; `reason` why it did not work."""

    digest: bytes
    status: SubmissionStatus = SubmissionStatus.NONE
    kind: str = ""
    message: str = ""
    signatures: tuple[bytes, ...] = ()
    deadline: int | None = None
    requested_at: int = 0
    transaction: bytes | None = None
    block: Block | None = None
    reason: str = ""
    retry_at: int | None = None

    @property
    def persistent(self) -> bool:
        """Never given up: the will to revoke stands until it is final."""
        return self.kind == "Revoke"


def _submit(submission: Submission) -> SubmitMessage:
    return SubmitMessage(submission.digest, submission.kind)


def _queue(submission: Submission, event: Event) -> Step[Submission]:
    status = SUBMISSION_MACHINE.move(submission.status, event, _Q)
    queued = replace(submission, status=status, transaction=None, block=None, reason="", retry_at=None)
    return Step(queued, (_submit(queued),))


def _requested(submission: Submission, event: RequestedSubmission) -> Step[Submission]:
    if submission.status is _N:
        fresh = replace(
            submission,
            kind=event.kind,
            message=event.message,
            signatures=event.signatures,
            deadline=event.deadline,
            requested_at=event.at,
        )
        return _queue(fresh, event)
    if (submission.kind, submission.message) != (event.kind, event.message):
        raise WrongParty("one digest names two messages")
    return _queue(submission, event) if submission.status is _R else Step(submission)


def _refused(
    submission: Submission, event: Event, reason: str, at: int | None, block: Block | None
) -> Step[Submission]:
    if submission.status not in (_Q, _S):
        return Step(submission)
    if submission.persistent:
        status = SUBMISSION_MACHINE.move(submission.status, event, _Q)
        waiting = replace(submission, status=status, transaction=None, reason=reason)
        if at is not None:
            return Step(replace(waiting, retry_at=at + RETRY_SECONDS))
        return Step(waiting, (_submit(waiting),))
    status = SUBMISSION_MACHINE.move(submission.status, event, _R)
    refused = replace(submission, status=status, block=block, reason=reason)
    return Step(refused, (NotifySubmissionFailed(submission.digest, submission.kind, reason),))


def _included(submission: Submission, event: LoggedMessageIncluded) -> Step[Submission]:
    if submission.status in (_I, _F):
        if submission.block != event.block:
            raise ContradictingFact("one message is included twice")
        return Step(submission)
    # Somebody else may have relayed it while our own attempt was refused: what the chain holds counts.
    status = SUBMISSION_MACHINE.move(submission.status, event, _I)
    return Step(replace(submission, status=status, block=event.block, reason="", retry_at=None))


def _finalized(submission: Submission, event: LoggedFinalized) -> Step[Submission]:
    if submission.status is _I and submission.block is not None and submission.block.number <= event.height:
        final = replace(submission, status=SUBMISSION_MACHINE.move(submission.status, event, _F))
        return Step(final, (NotifySubmissionFinal(submission.digest, submission.kind),))
    late = submission.deadline is not None and event.time > submission.deadline
    if late and submission.status in (_Q, _S, _R):
        reason = submission.reason or "the deadline passed before it was included"
        status = SUBMISSION_MACHINE.move(submission.status, event, SubmissionStatus.FAILED)
        failed = replace(submission, status=status, reason=reason, block=None, retry_at=None)
        return Step(failed, (NotifySubmissionFailed(submission.digest, submission.kind, reason),))
    return Step(submission)


def reduce_submission(submission: Submission, event: Event) -> Step[Submission]:
    if submission.status is _N and not isinstance(event, RequestedSubmission):
        return Step(submission)  # a message of somebody else
    match event:
        case RequestedRefusal():
            parcel = SendParcel(event.peer, "market.refusal", event.body, event.digest, event.until)
            return Step(submission, (parcel,))
        case RequestedSubmission():
            return _requested(submission, event)
        case ReceivedSubmissionSent():
            if submission.status not in (_Q, _S):
                return Step(submission)
            status = SUBMISSION_MACHINE.move(submission.status, event, _S)
            return Step(replace(submission, status=status, transaction=event.transaction, retry_at=None))
        case ReceivedSubmissionDropped():
            return _queue(submission, event) if submission.status is _S else Step(submission)
        case ReceivedSubmissionRefused():
            return _refused(submission, event, event.reason, event.at, None)
        case DueSubmissionRetry():
            if submission.status is not _Q or submission.retry_at is None or event.at < submission.retry_at:
                return Step(submission)
            return _queue(submission, event)
        case LoggedMessageRejected():
            return _refused(submission, event, f"0x{event.code.hex()}", None, event.block)
        case LoggedMessageIncluded():
            return _included(submission, event)
        case LoggedRolledBack():
            gone = submission.block is not None and submission.block.number > event.ancestor_height
            return _queue(submission, event) if gone else Step(submission)
        case LoggedFinalized():
            return _finalized(submission, event)
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a submission")


def index_submission(submission: Submission) -> StateIndex:
    block = submission.block.number if submission.block else None
    trying = submission.status in (_Q, _S, _R)
    return StateIndex(
        submission.status.value,
        block,
        block if submission.status is _I else None,
        submission.deadline if trying else None,
    )


def deadlines_submission(submission: Submission) -> tuple[Deadline, ...]:
    return (Deadline("retry", submission.retry_at),) if submission.retry_at is not None else ()
