"""The digital twin of a trade at one holder: sealed key, everybody's entries, who gets what is written (M-42, M-67)."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum

from node.projection.base import ADDRESS_ZERO, Event, Peer, State, StateIndex, Step
from node.projection.effects import NotifyTwinForked, NotifyTwinOpened, SendParcel
from node.projection.errors import RequestUnknown, WrongAggregate, WrongParty
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.machine import Machine
from node.projection.twin_events import (
    ReceivedTwin,
    ReceivedTwinAnchor,
    ReceivedTwinEntry,
    ReceivedTwinFork,
    RequestedTwin,
    RequestedTwinAnchor,
    RequestedTwinEntry,
    TwinAnchor,
)

__all__ = ["TWIN_LIFETIME", "TWIN_MACHINE", "Twin", "TwinStatus", "index_twin", "reduce_twin"]

TWIN_LIFETIME = 7 * 86_400
"""Seconds for which an entry is offered to a holder that cannot be reached."""


class TwinStatus(StrEnum):
    """`forked`: an author contradicted itself. What others write is taken in as before."""

    NONE = "none"
    OPEN = "open"
    FORKED = "forked"


_N, _O, _F = TwinStatus.NONE, TwinStatus.OPEN, TwinStatus.FORKED
TWIN_MACHINE = Machine(
    "twin",
    _N,
    {
        (_N, RequestedTwin): frozenset({_O}),
        (_N, ReceivedTwin): frozenset({_O}),
        (_O, ReceivedTwinFork): frozenset({_F}),
    },
)


@dataclass(frozen=True, slots=True)
class Twin(State):
    """`sealed_key` opens with this node's own key only. `entries` as they came; `fork`: the evidence;
    `own`: opened here."""

    contract_id: bytes
    status: TwinStatus = TwinStatus.NONE
    operator: bytes = ADDRESS_ZERO
    sealed_key: bytes = b""
    parties: tuple[bytes, ...] = ()
    peers: tuple[Peer, ...] = ()
    watchers: tuple[Peer, ...] = ()
    entries: tuple[bytes, ...] = ()
    fork: tuple[bytes, ...] = ()
    own: bool = False
    anchors: tuple[TwinAnchor, ...] = ()

    @property
    def anchored(self) -> int:
        """At its market: so many entries, from the first on, are under a root."""
        return sum(len(anchor.hashes) for anchor in self.anchors)


def _opened(twin: Twin, event: RequestedTwin | ReceivedTwin) -> Step[Twin]:
    if twin.status is not _N:
        if (twin.operator, twin.parties) != (event.operator, event.parties):
            raise WrongParty("another twin has this trade")
        return Step(twin)
    until = event.at + TWIN_LIFETIME
    fresh = replace(
        twin,
        status=TWIN_MACHINE.move(twin.status, event, _O),
        operator=event.operator,
        sealed_key=event.sealed_key,
        parties=event.parties,
        peers=event.peers,
        own=isinstance(event, RequestedTwin),
        watchers=event.watchers if isinstance(event, ReceivedTwin) else (),
    )
    effects = [SendParcel(each.peer, "twin.open", each.body, twin.contract_id, until) for each in event.invitations]
    return Step(fresh, (NotifyTwinOpened(twin.contract_id), *effects))


def _grown(twin: Twin, entry: bytes, peers: tuple[Peer, ...], at: int) -> Step[Twin]:
    if twin.status is _N:
        raise RequestUnknown("no twin of this trade was opened here")
    if entry in twin.entries:
        return Step(twin)
    body = json.dumps({"entry": "0x" + entry.hex(), "trade": "0x" + twin.contract_id.hex()}, separators=(",", ":"))
    sent = [SendParcel(peer, "twin.entry", body, twin.contract_id, at + TWIN_LIFETIME) for peer in peers]
    return Step(replace(twin, entries=(*twin.entries, entry)), tuple(sent))


def _anchored(twin: Twin, event: RequestedTwinAnchor | ReceivedTwinAnchor) -> Step[Twin]:
    if twin.status is _N:
        raise RequestUnknown("no twin of this trade was opened here")
    if event.anchor in twin.anchors:
        return Step(twin)
    anchor = event.anchor
    body = json.dumps(
        {
            "hashes": ["0x" + each.hex() for each in anchor.hashes],
            "height": anchor.height,
            "paths": ["0x" + each.hex() for each in anchor.paths],
            "root": "0x" + anchor.root.hex(),
            "trade": "0x" + twin.contract_id.hex(),
        },
        separators=(",", ":"),
    )
    # The market tells its partners, and these their households.
    peers = twin.peers if isinstance(event, RequestedTwinAnchor) else twin.watchers
    sent = [SendParcel(peer, "twin.anchor", body, twin.contract_id, event.at + TWIN_LIFETIME) for peer in peers]
    return Step(replace(twin, anchors=(*twin.anchors, anchor)), tuple(sent))


def reduce_twin(twin: Twin, event: Event) -> Step[Twin]:
    match event:
        case RequestedTwin() | ReceivedTwin():
            return _opened(twin, event)
        case RequestedTwinEntry():
            return _grown(twin, event.entry, (*twin.peers, *twin.watchers), event.at)
        case ReceivedTwinEntry():
            return _grown(twin, event.entry, twin.watchers, event.at)
        case RequestedTwinAnchor() | ReceivedTwinAnchor():
            return _anchored(twin, event)
        case ReceivedTwinFork():
            if twin.status is _F:
                return Step(twin)
            status = TWIN_MACHINE.move(twin.status, event, _F)
            return Step(
                replace(twin, status=status, fork=(event.first, event.second)), (NotifyTwinForked(twin.contract_id),)
            )
        case LoggedRolledBack() | LoggedFinalized():
            return Step(twin)  # entries tell of final facts only, and a twin holds what its authors wrote
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern a twin")


def index_twin(twin: Twin) -> StateIndex:
    waits = twin.own and twin.anchored < len(twin.entries)
    return StateIndex(twin.status.value, links=(("unanchored", b"\x01"),) if waits else ())
