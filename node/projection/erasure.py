"""The erasure of a consent's data, on both sides: asked for, carried out at the reader, proven by a signed receipt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import Event, Peer, State, StateIndex, Step
from node.projection.effects import NotifyErased, SendParcel
from node.projection.erasure_events import (
    ReceivedErasureReceipt,
    ReceivedErasureRequest,
    RequestedErasure,
    RequestedErasureReceipt,
)
from node.projection.errors import WrongAggregate
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.machine import Machine

__all__ = ["ERASURE_LIFETIME", "ERASURE_MACHINE", "Erasure", "ErasureStatus", "index_erasure", "reduce_erasure"]

ERASURE_LIFETIME = 30 * 86_400
"""Seconds for which request and receipt are offered to a node that cannot be reached."""


class ErasureStatus(StrEnum):
    """`asked`: the other side has to do it. `due`: this node has to. `done`: a receipt is here."""

    NONE = "none"
    ASKED = "asked"
    DUE = "due"
    DONE = "done"


_N, _A, _D = ErasureStatus.NONE, ErasureStatus.ASKED, ErasureStatus.DUE
_DONE = frozenset({ErasureStatus.DONE})
ERASURE_MACHINE = Machine(
    "erasure",
    _N,
    {
        (_N, RequestedErasure): frozenset({_A, _D}),
        (_N, ReceivedErasureRequest): frozenset({_D}),
        (_N, ReceivedErasureReceipt): _DONE,
        (_A, ReceivedErasureReceipt): _DONE,
        (_D, RequestedErasureReceipt): _DONE,
    },
)


@dataclass(frozen=True, slots=True)
class Erasure(State):
    """One for a grant, for good. `by_owner`: the owner of the data asked for it, not the reader."""

    grant_id: bytes
    status: ErasureStatus = ErasureStatus.NONE
    by_owner: bool = False
    reason: str = ""
    asked_at: int = 0
    done_at: int | None = None
    receipt: str = ""


def _requested(erasure: Erasure, event: RequestedErasure) -> Step[Erasure]:
    effects: tuple[SendParcel, ...] = ()
    if event.peer is not None:
        effects = (_parcel(event.peer, "consent.erase", event.body, event.grant_id, event.at),)
    if erasure.status is _A:
        return Step(erasure, effects)  # whoever insists asks once more
    if erasure.status is not _N:
        return Step(erasure)
    status = ERASURE_MACHINE.move(erasure.status, event, _D if event.peer is None else _A)
    by_owner = event.peer is not None
    after = replace(erasure, status=status, by_owner=by_owner, reason=event.reason, asked_at=event.at)
    return Step(after, effects)


def _received(erasure: Erasure, event: ReceivedErasureRequest) -> Step[Erasure]:
    if erasure.status is not _N:
        return Step(erasure)
    status = ERASURE_MACHINE.move(erasure.status, event, _D)
    after = replace(erasure, status=status, by_owner=True, reason=event.reason, asked_at=event.at)
    return Step(after)


def _done(erasure: Erasure, event: RequestedErasureReceipt | ReceivedErasureReceipt) -> Step[Erasure]:
    if erasure.status is ErasureStatus.DONE:
        return Step(erasure)  # the first receipt stands
    status = ERASURE_MACHINE.move(erasure.status, event, ErasureStatus.DONE)
    after = replace(erasure, status=status, done_at=event.at, receipt=event.receipt)
    told = NotifyErased(event.grant_id)
    if isinstance(event, RequestedErasureReceipt) and event.peer is not None:
        return Step(after, (told, _parcel(event.peer, "consent.erased", event.receipt, event.grant_id, event.at)))
    return Step(after, (told,))


def _parcel(peer: Peer, kind: str, body: str, grant_id: bytes, at: int) -> SendParcel:
    return SendParcel(peer, kind, body, grant_id, at + ERASURE_LIFETIME)


def reduce_erasure(erasure: Erasure, event: Event) -> Step[Erasure]:
    match event:
        case RequestedErasure():
            return _requested(erasure, event)
        case ReceivedErasureRequest():
            return _received(erasure, event)
        case RequestedErasureReceipt() | ReceivedErasureReceipt():
            return _done(erasure, event)
        case LoggedRolledBack() | LoggedFinalized():
            return Step(erasure)  # what is destroyed stays so, whatever the chain says
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern an erasure")


def index_erasure(erasure: Erasure) -> StateIndex:
    return StateIndex(erasure.status.value)
