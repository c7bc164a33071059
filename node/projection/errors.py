"""Errors of the projection; each also stands in one branch of the node's tree.

```
NodeError
└── ProjectionError
    ├── IllegalMove (Conflict)               the state machine has no such move
    ├── RequestRefused                       a request, or an answer to one, that may not act
    │   ├── RequestUnknown (NotFound)        nobody asked this
    │   ├── RequestEnded (Gone)              it was answered, denied or has run out
    │   └── WrongParty (Refused)             somebody else answers, or one id carries two bodies
    ├── ContradictingFact (RecoverableError) the chain reader told two things for one place without rolling back
    ├── HistoryTooShort (NeedsPerson)        a reorg reaches below what is kept: rebuild from the chain
    ├── WrongAggregate (FatalError)          an event was reduced on a state that it does not concern
    └── CodecError (FatalError)              bytes that are no state, event or effect of a known version
```
"""

from __future__ import annotations

from node.errors import Conflict, FatalError, Gone, NeedsPerson, NodeError, NotFound, RecoverableError, Refused

__all__ = [
    "CodecError",
    "ContradictingFact",
    "HistoryTooShort",
    "IllegalMove",
    "ProjectionError",
    "RequestEnded",
    "RequestRefused",
    "RequestUnknown",
    "WrongAggregate",
    "WrongParty",
]


class ProjectionError(NodeError):
    """Root of what the pure core refuses."""


class IllegalMove(ProjectionError, Conflict):
    """The machine's table has no move from this status to that one by this event."""


class RequestRefused(ProjectionError):
    """A request, or an answer to one, may not act."""


class RequestUnknown(RequestRefused, NotFound):
    """No request has this id."""


class RequestEnded(RequestRefused, Gone):
    """The request was already answered, denied, or its deadline has passed."""


class WrongParty(RequestRefused, Refused):
    """Somebody other than the party that was asked, or a second body under an id in use."""


class ContradictingFact(ProjectionError, RecoverableError):
    """The chain reader told two different things for one place without rolling back in between."""


class HistoryTooShort(ProjectionError, NeedsPerson):
    """A reorg reaches below the final facts that are kept; the state must be rebuilt from the chain."""

    default_remedy = "Stop the node, move its database away and start it again: it rebuilds its state from the chain."


class WrongAggregate(ProjectionError, FatalError):
    """The event does not concern the aggregate that it was reduced on."""


class CodecError(ProjectionError, FatalError):
    """Stored bytes are not a known type, version or shape."""
