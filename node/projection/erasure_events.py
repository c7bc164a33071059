"""Events of an erasure: a reader destroys a consent's data and signs a receipt (permissions.md 1)."""

from __future__ import annotations

from dataclasses import dataclass

from node.projection.base import Event, Peer

__all__ = [
    "ERASURE_EVENTS",
    "ReceivedErasureReceipt",
    "ReceivedErasureRequest",
    "RequestedErasure",
    "RequestedErasureReceipt",
]


@dataclass(frozen=True, slots=True)
class RequestedErasure(Event):
    """A person at this node wants the data of a consent that is over destroyed.

    `peer`: the reader that has it; None where this node is the reader. `body` is the parcel for the peer.
    """

    grant_id: bytes
    peer: Peer | None
    body: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedErasureRequest(Event):
    """At the reader: the owner's node asks for it; that the sender owns the grant was checked."""

    grant_id: bytes
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class RequestedErasureReceipt(Event):
    """At the reader: everything is destroyed, and `receipt` (signed, JSON text) goes to `peer`, if it is known."""

    grant_id: bytes
    receipt: str
    peer: Peer | None
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedErasureReceipt(Event):
    """At the owner: the reader's receipt, its signature verified. It may come without having been asked for."""

    grant_id: bytes
    receipt: str
    at: int


ERASURE_EVENTS: tuple[type[Event], ...] = (
    RequestedErasure,
    ReceivedErasureRequest,
    RequestedErasureReceipt,
    ReceivedErasureReceipt,
)
