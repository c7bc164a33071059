"""What happens to the digital twin of a trade: it is opened, parties write entries, a fork is found.

Entries are sealed and were checked before they came here: the projection keeps and forwards them and opens none.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.projection.base import Event, Peer

__all__ = [
    "TWIN_EVENTS",
    "Invitation",
    "ReceivedTwin",
    "ReceivedTwinAnchor",
    "ReceivedTwinEntry",
    "ReceivedTwinFork",
    "RequestedTwin",
    "RequestedTwinAnchor",
    "RequestedTwinEntry",
    "TwinAnchor",
]


@dataclass(frozen=True, slots=True)
class Invitation:
    """The key of a twin, sealed to one peer: the body of the parcel that brings it there."""

    peer: Peer
    body: str


@dataclass(frozen=True, slots=True)
class TwinAnchor:
    """A root that the operator anchored in block `height`. For each hash of an entry its path: the siblings, joined."""

    root: bytes
    height: int
    hashes: tuple[bytes, ...]
    paths: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RequestedTwin(Event):
    """At the market: a twin of its own. `sealed_key` is sealed to this node; `peers` get every entry written here."""

    contract_id: bytes
    operator: bytes
    sealed_key: bytes
    parties: tuple[bytes, ...]
    peers: tuple[Peer, ...]
    invitations: tuple[Invitation, ...]
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedTwin(Event):
    """At a partner or its household: the market's twin, checked. `watchers` get every entry that comes here too."""

    contract_id: bytes
    operator: bytes
    sealed_key: bytes
    parties: tuple[bytes, ...]
    peers: tuple[Peer, ...]
    watchers: tuple[Peer, ...]
    invitations: tuple[Invitation, ...]
    at: int


@dataclass(frozen=True, slots=True)
class RequestedTwinEntry(Event):
    """An entry of this node's own, signed, to be sent to everybody who has the twin."""

    contract_id: bytes
    entry: bytes
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedTwinEntry(Event):
    """Another party's entry, checked against everything that is held."""

    contract_id: bytes
    entry: bytes
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedTwinFork(Event):
    """Two entries that one honest author never writes; both are signed, so they prove it to anybody."""

    contract_id: bytes
    first: bytes
    second: bytes
    at: int


@dataclass(frozen=True, slots=True)
class RequestedTwinAnchor(Event):
    """At the market: a root over entries of this twin is final; every holder gets the proof."""

    contract_id: bytes
    anchor: TwinAnchor
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedTwinAnchor(Event):
    """The market's proof. Nothing rests on it until it was compared with the chain, which a look at the twin does."""

    contract_id: bytes
    anchor: TwinAnchor
    at: int


TWIN_EVENTS: tuple[type[Event], ...] = (
    RequestedTwin,
    ReceivedTwin,
    RequestedTwinEntry,
    ReceivedTwinEntry,
    ReceivedTwinFork,
    RequestedTwinAnchor,
    ReceivedTwinAnchor,
)
