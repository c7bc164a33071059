"""The inputs of the projection: `Logged` (the chain), `Received` (a party), `Requested` (the owner), `Due` (time).

Addresses are 20 bytes, hashes and ids 32, times seconds UTC, `body`/`message` canonical JSON text that the projection
does not look into. Every signature was verified before the event was made: the reducers check *rights*, not signatures.
`at` is the time at which the node learned it and comes from the node's clock, inside the event.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.projection.base import ChainEvent, Event, Peer
from node.projection.erasure_events import ERASURE_EVENTS
from node.projection.settlement_events import SETTLEMENT_EVENTS
from node.projection.twin_events import TWIN_EVENTS

__all__ = [
    "EVENTS",
    "ChainEvent",
    "DueAskingDeadline",
    "DueConsentEnd",
    "DueRequestDeadline",
    "DueSubmissionRetry",
    "LoggedCommitted",
    "LoggedDevicePaired",
    "LoggedDeviceUnpaired",
    "LoggedFinalized",
    "LoggedGranted",
    "LoggedKeyRegistered",
    "LoggedMessageIncluded",
    "LoggedMessageRejected",
    "LoggedRevoked",
    "LoggedRolledBack",
    "LoggedStreamRegistered",
    "LoggedStreamTransferred",
    "LoggedWriterSet",
    "ReceivedAnswerReceipt",
    "ReceivedConsentDenied",
    "ReceivedConsentGranted",
    "ReceivedConsentRequest",
    "ReceivedPairing",
    "ReceivedRevocation",
    "ReceivedSubmissionDropped",
    "ReceivedSubmissionRefused",
    "ReceivedSubmissionSent",
    "RequestedConsent",
    "RequestedConsentDenial",
    "RequestedConsentGrant",
    "RequestedConsentView",
    "RequestedSubmission",
]


# --- the chain itself -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoggedRolledBack(Event):
    """Blocks above `ancestor_height` are no longer part of the chain. Told before any log of the new branch."""

    ancestor_height: int


@dataclass(frozen=True, slots=True)
class LoggedFinalized(Event):
    """Block `height` with timestamp `time` is final, and every log up to it has been told.

    Told after each batch of logs, also when the height is the same as before.
    """

    height: int
    time: int


# --- streams ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoggedStreamRegistered(ChainEvent):
    sid: bytes
    owner: bytes
    writer: bytes
    name_hash: bytes
    stream_key_hash: bytes
    genesis: int
    slot_seconds: int


@dataclass(frozen=True, slots=True)
class LoggedWriterSet(ChainEvent):
    """`writer` is zero after an unpairing."""

    sid: bytes
    writer: bytes
    stream_key_hash: bytes


@dataclass(frozen=True, slots=True)
class LoggedCommitted(ChainEvent):
    sid: bytes
    epoch: int
    commit_hash: bytes


@dataclass(frozen=True, slots=True)
class LoggedStreamTransferred(ChainEvent):
    """The stream has a new owner; this ends every grant of the old one over it."""

    sid: bytes
    owner: bytes
    new_owner: bytes


# --- consents ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoggedGranted(ChainEvent):
    grant_id: bytes
    owner: bytes
    reader: bytes
    reader_key_hash: bytes
    sids: tuple[bytes, ...]
    start: int
    end: int
    purpose_tag: int
    text_hash: bytes


@dataclass(frozen=True, slots=True)
class LoggedRevoked(ChainEvent):
    """`sid` zero means every stream of the grant. `account` may be anybody: only owner and reader have the right."""

    grant_id: bytes
    account: bytes
    sid: bytes


@dataclass(frozen=True, slots=True)
class LoggedKeyRegistered(ChainEvent):
    grant_id: bytes
    reader_key_hash: bytes


@dataclass(frozen=True, slots=True)
class ReceivedRevocation(Event):
    """A signed Revoke in hand, its signature verified against `account`; it acts before the chain has it."""

    grant_id: bytes
    account: bytes
    sid: bytes
    at: int


@dataclass(frozen=True, slots=True)
class DueConsentEnd(Event):
    grant_id: bytes
    at: int


# --- devices ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoggedDevicePaired(ChainEvent):
    owner: bytes
    device_hash: bytes
    device: bytes


@dataclass(frozen=True, slots=True)
class LoggedDeviceUnpaired(ChainEvent):
    owner: bytes
    device_hash: bytes


@dataclass(frozen=True, slots=True)
class ReceivedPairing(Event):
    """The local pairing exchange ended well: what the chain must not hold (salt, address, name of the other side)."""

    device_hash: bytes
    owner: bytes
    device: bytes
    salt: bytes
    peer: Peer
    label: str
    at: int


# --- requests, at the home --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReceivedConsentRequest(Event):
    """A provider asks. Answers go to `peer`; after `deadline` the request has run out."""

    request_id: bytes
    peer: Peer
    body: str
    deadline: int
    at: int


@dataclass(frozen=True, slots=True)
class RequestedConsentView(Event):
    """A person was shown the request."""

    request_id: bytes
    at: int


@dataclass(frozen=True, slots=True)
class RequestedConsentGrant(Event):
    """The owner signed Grant `grant_id`; `answer` is the parcel body for the provider (terms, accepted text)."""

    request_id: bytes
    grant_id: bytes
    answer: str
    at: int


@dataclass(frozen=True, slots=True)
class RequestedConsentDenial(Event):
    request_id: bytes
    reason: str
    answer: str
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedAnswerReceipt(Event):
    """The provider acknowledged the answer."""

    request_id: bytes
    at: int


@dataclass(frozen=True, slots=True)
class DueRequestDeadline(Event):
    request_id: bytes
    at: int


# --- requests, at the provider ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestedConsent(Event):
    """We ask. `peer` is None when the request goes out as a link or code: then the first to answer is the party."""

    request_id: bytes
    peer: Peer | None
    body: str
    deadline: int
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedConsentGranted(Event):
    """The home's answer; it gives no right by itself: that comes with the final Grant on chain."""

    request_id: bytes
    sender: bytes
    grant_id: bytes
    body: str
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedConsentDenied(Event):
    request_id: bytes
    sender: bytes
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class DueAskingDeadline(Event):
    request_id: bytes
    at: int


# --- signed messages on their way to the chain ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestedSubmission(Event):
    """A fully signed message is to be on chain. `digest` is its EIP-712 digest, `kind` its type name ("Grant").

    `message` is its stored form (`keys.messages.stored`) with what the call discloses beside it, `signatures` stand in
    the order of the contract call; `deadline` None for Revoke and StreamCommit.
    """

    digest: bytes
    kind: str
    message: str
    signatures: tuple[bytes, ...]
    deadline: int | None
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedSubmissionSent(Event):
    """A transaction carrying the message was handed to the chain or to a relay."""

    digest: bytes
    transaction: bytes
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedSubmissionDropped(Event):
    """The transaction that carried it is gone for good (replaced by another, evicted): it must be sent again."""

    digest: bytes
    at: int


@dataclass(frozen=True, slots=True)
class ReceivedSubmissionRefused(Event):
    """Simulation or relay says that it can never succeed; `reason` is the decoded contract error."""

    digest: bytes
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class DueSubmissionRetry(Event):
    digest: bytes
    at: int


@dataclass(frozen=True, slots=True)
class LoggedMessageIncluded(ChainEvent):
    """The message had its effect in this block."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class LoggedMessageRejected(ChainEvent):
    """The batch call emitted `Rejected(digest, code)` for it; `code` is the 4-byte selector of the contract error."""

    digest: bytes
    code: bytes


EVENTS: tuple[type[Event], ...] = (
    LoggedRolledBack,
    LoggedFinalized,
    LoggedStreamRegistered,
    LoggedWriterSet,
    LoggedCommitted,
    LoggedStreamTransferred,
    LoggedGranted,
    LoggedRevoked,
    LoggedKeyRegistered,
    ReceivedRevocation,
    DueConsentEnd,
    LoggedDevicePaired,
    LoggedDeviceUnpaired,
    ReceivedPairing,
    ReceivedConsentRequest,
    RequestedConsentView,
    RequestedConsentGrant,
    RequestedConsentDenial,
    ReceivedAnswerReceipt,
    DueRequestDeadline,
    RequestedConsent,
    ReceivedConsentGranted,
    ReceivedConsentDenied,
    DueAskingDeadline,
    RequestedSubmission,
    ReceivedSubmissionSent,
    ReceivedSubmissionDropped,
    ReceivedSubmissionRefused,
    DueSubmissionRetry,
    LoggedMessageIncluded,
    LoggedMessageRejected,
    *ERASURE_EVENTS,
    *SETTLEMENT_EVENTS,
    *TWIN_EVENTS,
)
