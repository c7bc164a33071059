"""The outputs of the projection: `Send` (to a party), `Submit` (to the chain), `Notify` (to a service of this node).

An effect is carried out at least once; its handler must be idempotent. A `Notify` tells *that* something changed:
a handler that needs the whole picture reads the aggregate's present state, which may already be further on.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.projection.base import Block, Effect, Peer

__all__ = [
    "EFFECTS",
    "NotifyCommitUndone",
    "NotifyCommitted",
    "NotifyConsentEnded",
    "NotifyDevicePaired",
    "NotifyDeviceUnpaired",
    "NotifyErased",
    "NotifyGrantFinal",
    "NotifyGrantSeen",
    "NotifyGrantUndone",
    "NotifyGrantVoided",
    "NotifyKeyFinal",
    "NotifyOrderChanged",
    "NotifyPairingUndone",
    "NotifyRequestEnded",
    "NotifyRequestGranted",
    "NotifyRequestReceived",
    "NotifyRevoked",
    "NotifySourceChanged",
    "NotifyStreamRegistered",
    "NotifyStreamTransferred",
    "NotifyStreamUndone",
    "NotifySubmissionFailed",
    "NotifySubmissionFinal",
    "NotifyTradeDue",
    "NotifyTradeFinal",
    "NotifyTradeMoved",
    "NotifyTradeProgress",
    "NotifyTwinForked",
    "NotifyTwinOpened",
    "NotifyWriterChanged",
    "SendParcel",
    "SubmitMessage",
]


@dataclass(frozen=True, slots=True)
class SendParcel(Effect):
    """Seal and sign `body` (JSON text) as a parcel of `kind` and deliver it to `peer` until `until` (seconds UTC).

    `about` is the id of the request it belongs to; the receipt comes back as `ReceivedAnswerReceipt`.
    """

    peer: Peer
    kind: str
    body: str
    about: bytes
    until: int


@dataclass(frozen=True, slots=True)
class SubmitMessage(Effect):
    """Bring a signed message onto the chain; what it says and who signed it is in its submission's state. Idempotent by
    `digest`: one that is already on its way is left alone."""

    digest: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class NotifyStreamRegistered(Effect):
    sid: bytes
    owner: bytes
    writer: bytes


@dataclass(frozen=True, slots=True)
class NotifyStreamUndone(Effect):
    """A reorg removed the registration."""

    sid: bytes


@dataclass(frozen=True, slots=True)
class NotifyWriterChanged(Effect):
    """At first sight. `writer` zero: nobody may write."""

    sid: bytes
    writer: bytes
    stream_key_hash: bytes


@dataclass(frozen=True, slots=True)
class NotifyCommitted(Effect):
    """The commit is included at head: the epoch may be used."""

    sid: bytes
    epoch: int
    commit_hash: bytes
    block: Block


@dataclass(frozen=True, slots=True)
class NotifyCommitUndone(Effect):
    """A reorg removed the commits above `epoch`, which is the head now (0: none)."""

    sid: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class NotifyStreamTransferred(Effect):
    sid: bytes
    new_owner: bytes


@dataclass(frozen=True, slots=True)
class NotifyGrantSeen(Effect):
    """The grant is on chain but not final: it may be shown, it gives no right."""

    grant_id: bytes


@dataclass(frozen=True, slots=True)
class NotifyGrantFinal(Effect):
    """The grant acts from now on."""

    grant_id: bytes


@dataclass(frozen=True, slots=True)
class NotifyGrantUndone(Effect):
    """A reorg removed the grant. `was_final`: it had acted, so what the reader could have opened must be reported."""

    grant_id: bytes
    was_final: bool


@dataclass(frozen=True, slots=True)
class NotifyGrantVoided(Effect):
    """The grant came after its own revocation and never acts."""

    grant_id: bytes


@dataclass(frozen=True, slots=True)
class NotifyRevoked(Effect):
    """At first sight: `sids` are no longer covered. `account` revoked them."""

    grant_id: bytes
    account: bytes
    sids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NotifyKeyFinal(Effect):
    """The reader's refreshed key acts."""

    grant_id: bytes
    reader_key_hash: bytes


@dataclass(frozen=True, slots=True)
class NotifyConsentEnded(Effect):
    """The grant ran out at its own end."""

    grant_id: bytes


@dataclass(frozen=True, slots=True)
class NotifyDevicePaired(Effect):
    """The pairing is final."""

    device_hash: bytes
    owner: bytes
    device: bytes


@dataclass(frozen=True, slots=True)
class NotifyDeviceUnpaired(Effect):
    """At first sight."""

    device_hash: bytes
    owner: bytes


@dataclass(frozen=True, slots=True)
class NotifyPairingUndone(Effect):
    device_hash: bytes


@dataclass(frozen=True, slots=True)
class NotifyRequestReceived(Effect):
    request_id: bytes


@dataclass(frozen=True, slots=True)
class NotifyRequestGranted(Effect):
    """At the provider: the home says it granted; wait for `grant_id` to be final."""

    request_id: bytes
    grant_id: bytes


@dataclass(frozen=True, slots=True)
class NotifyRequestEnded(Effect):
    """Denied or run out; `reason` as told by the other side."""

    request_id: bytes
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotifyErased(Effect):
    """There is a signed receipt: the data of a consent was destroyed."""

    grant_id: bytes


@dataclass(frozen=True, slots=True)
class NotifySubmissionFinal(Effect):
    digest: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class NotifySubmissionFailed(Effect):
    digest: bytes
    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class NotifyOrderChanged(Effect):
    """`left`: Wh of the order that may still be matched; `reason`: why its market refused it, empty otherwise."""

    order_id: bytes
    status: str
    left: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NotifyTwinOpened(Effect):
    """This node holds the digital twin of a contract from now on."""

    contract_id: bytes


@dataclass(frozen=True, slots=True)
class NotifyTwinForked(Effect):
    """A party of a trade told two parties different things; both entries stand in the twin."""

    contract_id: bytes


@dataclass(frozen=True, slots=True)
class NotifyTradeProgress(Effect):
    """`wh` of a contract were counted by the own meter so far, of the side `account`."""

    contract_id: bytes
    account: bytes
    wh: int


@dataclass(frozen=True, slots=True)
class NotifyTradeMoved(Effect):
    """A step of a contract at first sight, a reminder included; a reorg may lead back."""

    contract_id: bytes
    status: str


@dataclass(frozen=True, slots=True)
class NotifyTradeFinal(Effect):
    """All that is known of the contract is final: receipts count from here on."""

    contract_id: bytes
    status: str


@dataclass(frozen=True, slots=True)
class NotifyTradeDue(Effect):
    """Something of a contract fell due; `step` is one of `TradeDue`. Told again while it is not done."""

    contract_id: bytes
    step: str


@dataclass(frozen=True, slots=True)
class NotifySourceChanged(Effect):
    """Registered, reset, paused, or a reading was taken: `minted` mWh in all, up to the reading `index`."""

    source: bytes
    index: int
    minted: int


EFFECTS: tuple[type[Effect], ...] = (
    SendParcel,
    SubmitMessage,
    NotifyStreamRegistered,
    NotifyStreamUndone,
    NotifyWriterChanged,
    NotifyCommitted,
    NotifyCommitUndone,
    NotifyStreamTransferred,
    NotifyGrantSeen,
    NotifyGrantFinal,
    NotifyGrantUndone,
    NotifyGrantVoided,
    NotifyRevoked,
    NotifyKeyFinal,
    NotifyConsentEnded,
    NotifyDevicePaired,
    NotifyDeviceUnpaired,
    NotifyPairingUndone,
    NotifyRequestReceived,
    NotifyRequestGranted,
    NotifyRequestEnded,
    NotifyErased,
    NotifySubmissionFinal,
    NotifySubmissionFailed,
    NotifyOrderChanged,
    NotifyTradeMoved,
    NotifyTwinForked,
    NotifyTwinOpened,
    NotifyTradeFinal,
    NotifyTradeDue,
    NotifyTradeProgress,
    NotifySourceChanged,
)
