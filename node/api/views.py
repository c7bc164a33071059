"""What the node tells about itself. The facade returns these; their JSON schemas make the API description.

Energy is integer Wh, gas integer litres, power integer W, time integer seconds UTC.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import Field, JsonValue

from node.api.values import AddressHex, HashHex, UnixTime, View

__all__ = [
    "ActionView",
    "AlarmView",
    "BrokerView",
    "CatchingUpView",
    "ChainView",
    "CheckView",
    "ConsentStepView",
    "ConsentStreamView",
    "ConsentView",
    "ErasureView",
    "ExportView",
    "Items",
    "PairingCodeView",
    "PairingView",
    "PartyView",
    "PastErasureView",
    "ReadinessView",
    "ReadingView",
    "ReadingsPage",
    "RequestView",
    "RequestedStreamView",
    "ResyncView",
    "RetentionView",
    "StatusView",
    "StreamView",
    "TransactionView",
    "UnsignedView",
]

T = TypeVar("T")


class Items(View, Generic[T]):
    """A list."""

    items: tuple[T, ...]


class CheckView(View):
    """One fact that readiness or `doctor` looked at. `detail` must be free of secrets."""

    name: str
    ok: bool
    detail: str = ""
    remedy: str | None = None


class ReadinessView(View):
    """Ready if every check is."""

    checks: tuple[CheckView, ...]

    @property
    def ready(self) -> bool:
        return all(check.ok for check in self.checks)


class CatchingUpView(View):
    """How far the reading of the chain is, in blocks since it began."""

    blocks_done: int
    blocks_total: int
    events: int
    events_per_s: int
    left_s: int | None


class ChainView(View):
    """The chain as this node sees it. `head_age_s` is this clock minus the newest block's time."""

    chain_id: int
    registry: AddressHex
    head_block: int | None = None
    head_age_s: int | None = None
    final_block: int | None = None
    catching_up: CatchingUpView | None = Field(default=None, description="while a long way to the head is read")


class BrokerView(View):
    """The MQTT broker. `mailbox`: the topic on which this node takes messages, where they come that way."""

    connected: bool
    embedded: bool
    url: str
    mailbox: str | None = None


class RetentionView(View):
    """For how many days opened readings are kept, and how many went since this node started."""

    raw_days: int = Field(description="own values of every second")
    quarter_days: int = Field(description="own values of intervals")
    consent_days: int | None = Field(description="values read under consents; none: without limit")
    removed: int


class StatusView(View):
    """One screen: what runs and how it does."""

    name: str
    version: str
    roles: tuple[str, ...]
    owner: AddressHex | None = Field(default=None, description="wallet address of this node's person")
    device: AddressHex | None = Field(default=None, description="device address, on a gateway")
    sender: AddressHex | None = Field(default=None, description="account that pays for transactions")
    sender_balance_wei: int | None = None
    chain: ChainView
    broker: BrokerView
    pairing: str
    streams: int
    live_consents: int
    pending_requests: int
    energy_token: AddressHex | None = Field(default=None, description="the token whose sources this node follows")
    pending_sources: int = Field(default=0, description="sources of energy that wait for this node's person")
    outbox_pending: int
    open_alarms: int
    started_at: UnixTime
    now: UnixTime
    ready: bool
    retention: RetentionView


class ResyncView(View):
    """A reader that had lost its state and was let in again. The household itself has the grant id 0."""

    grant_id: HashHex
    at: UnixTime
    since_epoch: int = Field(description="it had followed the stream up to here")


class StreamView(View):
    """A stream on the registry that concerns this node."""

    sid: HashHex
    name: str | None = Field(
        default=None, description="electricity/1s and so on; readers of foreign streams may not know"
    )
    relation: Literal["owner", "writer", "reader"]
    owner: AddressHex
    writer: AddressHex | None
    genesis: UnixTime
    slot_seconds: int
    epoch: int
    live_readers: int | None = None
    last_reading_at: UnixTime | None = None
    first_reading_at: UnixTime | None = None
    readings: int | None = Field(default=None, description="readings held by this node")
    alarms: int = 0
    resyncs: tuple[ResyncView, ...] = Field(default=(), description="answered by the writer (owner, writer)")


class ReadingView(View):
    """One reading. `values` maps a register or quantity to an integer: import_1_wh, export_1_wh, power_w, gas_l."""

    time: UnixTime = Field(description="meter time")
    slot: int
    epoch: int
    seq: int
    values: dict[str, int]
    provisional: bool = Field(description="true until a signed checkpoint covers it")


class ReadingsPage(View):
    """Readings in order; pass `next` as cursor for more."""

    sid: HashHex
    items: tuple[ReadingView, ...]
    next: str | None = None


class PartyView(View):
    """Who somebody is, by their signed card."""

    name: str
    address: AddressHex
    domain: str | None = None
    domain_verified: bool = Field(default=False, description="the domain itself shows this party's signed card")
    domain_reason: str | None = Field(default=None, description="why it is not verified")
    domain_checked_at: UnixTime | None = None
    contact: str | None = None
    policy_url: str | None = None


class RequestedStreamView(View):
    """A stream that somebody asks for; `sid` is known once the owner's stream was matched."""

    name: str
    sid: HashHex | None = None


class RequestView(View):
    """A consent that was asked for: received by a home, sent by a provider."""

    id: str
    direction: Literal["received", "sent"]
    state: Literal["requested", "granted", "denied", "expired", "failed"]
    party: PartyView = Field(description="the other side")
    purpose: str
    purpose_tag: int
    streams: tuple[RequestedStreamView, ...]
    start: UnixTime
    end: UnixTime | None = Field(default=None, description="none: until revoked")
    created_at: UnixTime
    expires_at: UnixTime
    text_hash: HashHex | None = Field(
        default=None, description="SHA-256 or keccak of the canonical consent text, as in Grant"
    )
    grant_id: HashHex | None = None
    reason: str | None = None


class ConsentStreamView(View):
    """One stream of a consent. First and last slot are what the rounded interval opens."""

    sid: HashHex
    name: str | None = None
    state: Literal["pending", "live", "revoked", "expired"]
    first_slot: int | None = None
    end_slot: int | None = None
    slot_seconds: int | None = None
    genesis: UnixTime | None = Field(default=None, description="when slot 0 began")
    revoked_at: UnixTime | None = Field(default=None, description="in the view of one consent, on the owner's node")
    readings: int | None = Field(
        default=None,
        description="in the view of one consent: what its reader can open of the readings that this node keeps",
    )
    first_reading_at: UnixTime | None = None
    last_reading_at: UnixTime | None = None


class ConsentView(View):
    """A grant on the registry, given by this node's person or to this node."""

    grant_id: HashHex
    direction: Literal["given", "received"]
    state: Literal["pending", "live", "revoked", "expired"]
    final: bool = Field(description="whether the grant's block is final; until then it opens nothing")
    owner: AddressHex
    reader: AddressHex
    party: PartyView | None = Field(
        default=None,
        description="the other side; a household by the name on its card when it was asked last, and its address",
    )
    request_id: str | None = None
    purpose: str | None = None
    purpose_tag: int
    streams: tuple[ConsentStreamView, ...]
    start: UnixTime
    end: UnixTime | None = None
    granted_at: UnixTime | None = None
    text: str | None = Field(default=None, description="the accepted text, canonical JSON")
    text_hash: HashHex


class ConsentStepView(View):
    """One step of a consent's life, by this node's clock; after a rebuild of its database the chain's part has the time
    of the rebuild. `live`: the grant is final, and from now on it opens."""

    at: UnixTime
    step: Literal[
        "asked", "shown", "granted", "on_chain", "live", "key_renewed", "revoked", "voided", "ended", "undone"
    ]
    sid: HashHex | None = Field(default=None, description="the stream, where it concerns one alone")


class ErasureView(View):
    """How far an erasure is. The receipt says what was destroyed, when and by whom, and which commitments stay."""

    grant_id: HashHex
    state: Literal["asked", "due", "done"] = Field(description="asked: of the reader's node; due: this node erases")
    requested_by: Literal["owner", "reader"]
    reason: str
    asked_at: UnixTime | None
    done_at: UnixTime | None
    receipt: dict[str, Any] | None = Field(description="the receipt and its signature, for `wattpact verify-receipt`")


class PastErasureView(View):
    """How far the erasure of a stream's past is. Readers keep what they have read: that is erased by their consent."""

    sid: HashHex
    state: Literal["asked", "erasing", "done", "told"] = Field(
        description="asked: of the gateway; erasing: the gateway has, this household's own copy goes; "
        "done; told: another household erased, and this node reads its stream"
    )
    before: UnixTime | None = Field(description="null: everything that was sealed when it was asked for")
    reason: str
    asked_at: UnixTime
    done_at: UnixTime | None
    receipt: dict[str, Any] | None = Field(description="the receipt and its signature, for `wattpact verify-receipt`")


class MoveView(View):
    """A stream on its way to another gateway."""

    sid: HashHex
    name: str
    state: str = Field(description="what it waits for, or: moved")


class TransferView(View):
    """A stream that one household gives away to another."""

    sid: HashHex
    name: str
    owner: AddressHex
    new_owner: AddressHex
    deadline: UnixTime = Field(description="the transfer has to be on chain by then, or it does not hold")
    state: str = Field(description="what it waits for, or: final, expired")


class ActionView(View):
    """What became of a signed message: `digest` identifies it on the chain; for a grant it is the grant id."""

    state: Literal["queued", "sent", "done"]
    digest: HashHex | None = None
    transaction: str | None = Field(default=None, description="id below /transactions")


class UnsignedView(View):
    """EIP-712 JSON that any wallet signs with eth_signTypedData_v4. Its digest is the grant id of a grant."""

    typed_data: dict[str, Any]
    digest: HashHex
    expires_at: UnixTime


class PairingView(View):
    """How this node stands to its gateway or home."""

    state: Literal["unpaired", "waiting", "pairing", "paired"]
    peer: AddressHex | None = None
    device_hash: HashHex | None = None
    since: UnixTime | None = None
    tries_left: int | None = None
    code_expires_at: UnixTime | None = None
    streams: tuple[HashHex, ...] = ()


class PairingCodeView(View):
    """A new one-time code; `qr` is the text of the QR code, `picture` the code as SVG, in a data URL."""

    code: str
    url: str
    qr: str
    picture: str = ""
    expires_at: UnixTime


class TransactionView(View):
    """A transaction of this node's sender."""

    id: str
    kind: str
    state: Literal["queued", "sent", "included", "final", "failed"]
    hash: HashHex | None = None
    nonce: int | None = None
    block: int | None = None
    gas_used: int | None = None
    error: str | None = None
    created_at: UnixTime


class AlarmView(View):
    """Something a person should know. It stays listed after it ended."""

    id: str
    kind: str
    message: str
    remedy: str
    sid: HashHex | None = None
    raised_at: UnixTime
    cleared_at: UnixTime | None = None


class ExportView(View):
    """Headers and events that `wattpact verify` compares a channel log with, offline."""

    version: Literal[1] = 1
    chain_id: int
    registry: AddressHex
    sid: HashHex
    headers: tuple[dict[str, JsonValue], ...]
    events: tuple[dict[str, JsonValue], ...]
    log: tuple[dict[str, JsonValue], ...] = ()
