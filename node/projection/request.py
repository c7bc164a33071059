"""A consent request at the home: a provider asked, a person sees it, the owner answers, the answer goes back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import Deadline, Effect, Event, Peer, State, StateIndex, Step
from node.projection.effects import NotifyRequestEnded, NotifyRequestReceived, SendParcel
from node.projection.errors import RequestEnded, RequestUnknown, WrongAggregate, WrongParty
from node.projection.events import (
    DueRequestDeadline,
    ReceivedAnswerReceipt,
    ReceivedConsentRequest,
    RequestedConsentDenial,
    RequestedConsentGrant,
    RequestedConsentView,
)
from node.projection.machine import Machine

__all__ = [
    "ANSWER_LIFETIME",
    "REQUEST_MACHINE",
    "Request",
    "RequestStatus",
    "deadlines_request",
    "index_request",
    "reduce_request",
]

ANSWER_LIFETIME = 7 * 86_400
"""Seconds for which an answer is offered to a provider that cannot be reached."""


class RequestStatus(StrEnum):
    """`answered`: the provider acknowledged; what the answer was stands in `Request.outcome`."""

    NONE = "none"
    RECEIVED = "received"
    SHOWN = "shown"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    ANSWERED = "answered"


_N, _R, _S = RequestStatus.NONE, RequestStatus.RECEIVED, RequestStatus.SHOWN
_G, _D, _E = RequestStatus.GRANTED, RequestStatus.DENIED, RequestStatus.EXPIRED
_ANSWERED = frozenset({RequestStatus.ANSWERED})
REQUEST_MACHINE = Machine(
    "request",
    _N,
    {
        (_N, ReceivedConsentRequest): frozenset({_R}),
        (_R, RequestedConsentView): frozenset({_S}),
        (_R, RequestedConsentGrant): frozenset({_G}),
        (_R, RequestedConsentDenial): frozenset({_D}),
        (_R, DueRequestDeadline): frozenset({_E}),
        (_S, RequestedConsentGrant): frozenset({_G}),
        (_S, RequestedConsentDenial): frozenset({_D}),
        (_S, DueRequestDeadline): frozenset({_E}),
        (_G, ReceivedAnswerReceipt): _ANSWERED,
        (_D, ReceivedAnswerReceipt): _ANSWERED,
        (_E, ReceivedAnswerReceipt): _ANSWERED,
    },
)


@dataclass(frozen=True, slots=True)
class Request(State):
    """`body` is the request as the provider signed it; `reason` why it was denied."""

    request_id: bytes
    status: RequestStatus = RequestStatus.NONE
    peer: Peer | None = None
    body: str = ""
    deadline: int = 0
    received_at: int = 0
    shown_at: int | None = None
    decided_at: int | None = None
    outcome: RequestStatus | None = None
    grant_id: bytes | None = None
    reason: str = ""


def _open(request: Request, at: int) -> Peer:
    if request.peer is None:
        raise RequestUnknown("no request has this id")
    if request.status not in (_R, _S) or at >= request.deadline:
        raise RequestEnded("the request was answered or has run out")
    return request.peer


def _received(request: Request, event: ReceivedConsentRequest) -> Step[Request]:
    if request.status is _N:
        if event.at >= event.deadline:
            raise RequestEnded("the request had run out when it arrived")
        fresh = replace(
            request,
            status=REQUEST_MACHINE.move(request.status, event, _R),
            peer=event.peer,
            body=event.body,
            deadline=event.deadline,
            received_at=event.at,
        )
        return Step(fresh, (NotifyRequestReceived(event.request_id),))
    if (request.peer, request.body, request.deadline) != (event.peer, event.body, event.deadline):
        raise WrongParty("another request has this id")
    if request.status not in (_R, _S):
        raise RequestEnded("the request was answered or has run out")
    return Step(request)


def _decide(
    request: Request, event: RequestedConsentGrant | RequestedConsentDenial | DueRequestDeadline, answer: str
) -> tuple[Request, SendParcel]:
    target, kind = {
        RequestedConsentGrant: (_G, "consent.granted"),
        RequestedConsentDenial: (_D, "consent.denied"),
        DueRequestDeadline: (_E, "consent.expired"),
    }[type(event)]
    if request.peer is None:
        raise RequestUnknown("no request has this id")
    status = REQUEST_MACHINE.move(request.status, event, target)
    decided = replace(request, status=status, outcome=status, decided_at=event.at)
    return decided, SendParcel(request.peer, kind, answer, request.request_id, event.at + ANSWER_LIFETIME)


def _granted(request: Request, event: RequestedConsentGrant) -> Step[Request]:
    if request.grant_id == event.grant_id:
        return Step(request)
    _open(request, event.at)
    decided, parcel = _decide(request, event, event.answer)
    return Step(replace(decided, grant_id=event.grant_id), (parcel,))


def _denied(request: Request, event: RequestedConsentDenial) -> Step[Request]:
    _open(request, event.at)
    decided, parcel = _decide(request, event, event.answer)
    return Step(replace(decided, reason=event.reason), (parcel,))


def _due(request: Request, event: DueRequestDeadline) -> Step[Request]:
    if request.status not in (_R, _S) or event.at < request.deadline:
        return Step(request)
    decided, parcel = _decide(request, event, "{}")
    effects: tuple[Effect, ...] = (parcel, NotifyRequestEnded(request.request_id, decided.status.value, ""))
    return Step(decided, effects)


def _receipt(request: Request, event: ReceivedAnswerReceipt) -> Step[Request]:
    if request.status is _N:
        raise RequestUnknown("no request has this id")
    return Step(replace(request, status=REQUEST_MACHINE.move(request.status, event, RequestStatus.ANSWERED)))


def reduce_request(request: Request, event: Event) -> Step[Request]:
    match event:
        case ReceivedConsentRequest():
            return _received(request, event)
        case RequestedConsentView():
            _open(request, event.at)
            status = REQUEST_MACHINE.move(request.status, event, _S)
            return Step(replace(request, status=status, shown_at=request.shown_at or event.at))
        case RequestedConsentGrant():
            return _granted(request, event)
        case RequestedConsentDenial():
            return _denied(request, event)
        case DueRequestDeadline():
            return _due(request, event)
        case ReceivedAnswerReceipt():
            return _receipt(request, event)
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a request")


def index_request(request: Request) -> StateIndex:
    links: tuple[tuple[str, bytes], ...] = ()
    if request.peer is not None:
        links = (("peer", request.peer.address),)
    if request.grant_id is not None:
        links = (*links, ("grant", request.grant_id))
    return StateIndex(request.status.value, links=links)


def deadlines_request(request: Request) -> tuple[Deadline, ...]:
    return (Deadline("deadline", request.deadline),) if request.status in (_R, _S) else ()
