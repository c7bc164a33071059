"""A consent request at the provider: asked, then granted, denied, or without an answer in time.

A "granted" from the home is a hint: rights come from the final Grant on chain alone. The first answer stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import Deadline, Event, Peer, State, StateIndex, Step
from node.projection.effects import NotifyRequestEnded, NotifyRequestGranted, SendParcel
from node.projection.errors import RequestEnded, RequestUnknown, WrongAggregate, WrongParty
from node.projection.events import (
    DueAskingDeadline,
    ReceivedConsentDenied,
    ReceivedConsentGranted,
    RequestedConsent,
)
from node.projection.machine import Machine

__all__ = [
    "ANSWER_GRACE",
    "ASKING_MACHINE",
    "Asking",
    "AskingStatus",
    "deadlines_asking",
    "index_asking",
    "reduce_asking",
]

ANSWER_GRACE = 3_600
"""Seconds after the deadline in which an answer given in time may still arrive."""


class AskingStatus(StrEnum):
    NONE = "none"
    ASKED = "asked"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"


_N, _A = AskingStatus.NONE, AskingStatus.ASKED
ASKING_MACHINE = Machine(
    "asking",
    _N,
    {
        (_N, RequestedConsent): frozenset({_A}),
        (_A, ReceivedConsentGranted): frozenset({AskingStatus.GRANTED}),
        (_A, ReceivedConsentDenied): frozenset({AskingStatus.DENIED}),
        (_A, DueAskingDeadline): frozenset({AskingStatus.EXPIRED}),
    },
)


@dataclass(frozen=True, slots=True)
class Asking(State):
    """`party` is the address whose answers count; None until somebody answers a request that went out as a code."""

    request_id: bytes
    status: AskingStatus = AskingStatus.NONE
    peer: Peer | None = None
    party: bytes | None = None
    body: str = ""
    answer: str = ""
    deadline: int = 0
    asked_at: int = 0
    answered_at: int | None = None
    grant_id: bytes | None = None
    reason: str = ""


def _asked(asking: Asking, event: RequestedConsent) -> Step[Asking]:
    if asking.status is not _N:
        if (asking.peer, asking.body, asking.deadline) != (event.peer, event.body, event.deadline):
            raise WrongParty("another request has this id")
        return Step(asking)
    fresh = replace(
        asking,
        status=ASKING_MACHINE.move(asking.status, event, _A),
        peer=event.peer,
        party=event.peer.address if event.peer else None,
        body=event.body,
        deadline=event.deadline,
        asked_at=event.at,
    )
    if event.peer is None:
        return Step(fresh)
    return Step(fresh, (SendParcel(event.peer, "consent.request", event.body, event.request_id, event.deadline),))


def _answerable(asking: Asking, sender: bytes) -> None:
    if asking.status is _N:
        raise RequestUnknown("no request has this id")
    if asking.party not in (None, sender):
        raise WrongParty("somebody else was asked")
    if asking.status is not _A:
        raise RequestEnded("the request was answered or has run out")


def _granted(asking: Asking, event: ReceivedConsentGranted) -> Step[Asking]:
    if (asking.party, asking.grant_id) == (event.sender, event.grant_id):
        return Step(asking)
    _answerable(asking, event.sender)
    after = replace(
        asking,
        status=ASKING_MACHINE.move(asking.status, event, AskingStatus.GRANTED),
        party=event.sender,
        answer=event.body,
        answered_at=event.at,
        grant_id=event.grant_id,
    )
    return Step(after, (NotifyRequestGranted(event.request_id, event.grant_id),))


def _denied(asking: Asking, event: ReceivedConsentDenied) -> Step[Asking]:
    if asking.status is AskingStatus.DENIED and asking.party == event.sender:
        return Step(asking)
    _answerable(asking, event.sender)
    status = ASKING_MACHINE.move(asking.status, event, AskingStatus.DENIED)
    after = replace(asking, status=status, party=event.sender, answered_at=event.at, reason=event.reason)
    return Step(after, (NotifyRequestEnded(event.request_id, status.value, event.reason),))


def _due(asking: Asking, event: DueAskingDeadline) -> Step[Asking]:
    if asking.status is not _A or event.at < asking.deadline:
        return Step(asking)
    status = ASKING_MACHINE.move(asking.status, event, AskingStatus.EXPIRED)
    return Step(replace(asking, status=status), (NotifyRequestEnded(event.request_id, status.value, ""),))


def reduce_asking(asking: Asking, event: Event) -> Step[Asking]:
    match event:
        case RequestedConsent():
            return _asked(asking, event)
        case ReceivedConsentGranted():
            return _granted(asking, event)
        case ReceivedConsentDenied():
            return _denied(asking, event)
        case DueAskingDeadline():
            return _due(asking, event)
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a request of ours")


def index_asking(asking: Asking) -> StateIndex:
    links: tuple[tuple[str, bytes], ...] = ()
    if asking.party is not None:
        links = (("peer", asking.party),)
    if asking.grant_id is not None:
        links = (*links, ("grant", asking.grant_id))
    return StateIndex(asking.status.value, links=links)


def deadlines_asking(asking: Asking) -> tuple[Deadline, ...]:
    return (Deadline("deadline", asking.deadline + ANSWER_GRACE),) if asking.status is _A else ()
