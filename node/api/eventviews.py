"""Shapes of the event feed, its subscriptions and its webhooks."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, JsonValue

from node.api.values import Form, HashHex, UnixTime, View
from node.projection.aggregates import KINDS
from node.projection.feed import ANNOUNCED
from node.storage.feed import FeedEvent, FeedFilter, Subscription
from node.storage.webhooks import Webhook
from node.types import from_hex, to_hex

__all__ = [
    "EVENT_VERSION",
    "AckForm",
    "EventView",
    "EventsPage",
    "FilterForm",
    "NewWebhookView",
    "SubscriptionForm",
    "SubscriptionView",
    "WebhookForm",
    "WebhookTestView",
    "WebhookView",
    "event_view",
    "filter_of",
    "subscription_view",
    "webhook_view",
]

EVENT_VERSION: Final = 1
_AGGREGATE: Final = re.compile(r"([a-z]{1,16})/(0x(?:[0-9a-fA-F]{64}|[0-9a-fA-F]{16}))")


def _known_kind(kind: str) -> str:
    if kind not in ANNOUNCED:
        raise ValueError(f"there are no events {kind!r}; there are {', '.join(ANNOUNCED)}")
    return kind


def _known_aggregate(text: str) -> str:
    found = _AGGREGATE.fullmatch(text)
    if found is None or found[1] not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}, a slash and its id, consent/0x...")
    return text


Kind = Annotated[str, AfterValidator(_known_kind)]
Aggregate = Annotated[str, AfterValidator(_known_aggregate)]


class AggregateView(View):
    """What an event is about: a stream by sid, a consent by grant id, a device by device hash, and so on."""

    kind: str
    id: str = Field(pattern=r"^0x([0-9a-f]{64}|[0-9a-f]{16})$", description="32 bytes; 8 of a source")


class BlockView(View):
    """Where on the chain the fact stands."""

    number: int
    hash: HashHex


class EventView(View):
    """One numbered event, version 1. Numbers of one `feed` have no gaps and events never change.

    `type` undone: a reorganisation took back the event `undoes`, whose kind, aggregate, block and data are repeated.
    """

    version: Literal[1] = EVENT_VERSION
    feed: str = Field(description="changes when the node's database was rebuilt: then read from 0 again")
    seq: int = Field(ge=1)
    type: Literal["event", "undone"]
    kind: str = Field(json_schema_extra={"enum": list(ANNOUNCED)})
    aggregate: AggregateView
    recorded_at: UnixTime
    block: BlockView | None
    undoes: int | None = Field(description="number of the event that is taken back")
    data: dict[str, JsonValue]


class EventsPage(View):
    """Events in order. Go on with `after` = `next`; `last` is the newest number there is."""

    feed: str
    items: tuple[EventView, ...]
    next: int
    last: int


class FilterForm(Form):
    """Which events; by default all. An undone event passes where the one that it takes back does."""

    kinds: tuple[Kind, ...] = Field(default=(), max_length=len(ANNOUNCED))
    aggregate: Aggregate | None = Field(default=None, description="stream/0x..., consent/0x... and so on")

    @property
    def wanted(self) -> FeedFilter:
        return filter_of(self.kinds, self.aggregate)


class SubscriptionForm(FilterForm):
    """A named reader whose position the node keeps."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    after: int | None = Field(default=None, ge=0, description="begin behind this number; by default behind the newest")


class SubscriptionView(View):
    """A named reader."""

    name: str
    kinds: tuple[str, ...]
    aggregate: str | None
    acked: int = Field(description="everything up to this number was acknowledged")
    created_at: UnixTime
    acked_at: UnixTime | None


class AckForm(Form):
    """Everything up to `seq` was taken in for good."""

    seq: int = Field(ge=0, lt=2**62)


class WebhookForm(FilterForm):
    """An address that gets every event by POST, signed as Standard Webhooks say."""

    url: str = Field(min_length=8, max_length=2_000)
    after: int | None = Field(default=None, ge=0, description="begin behind this number; by default behind the newest")


class WebhookView(View):
    """A webhook and how it does. `state` disabled: it failed for too long and waits for `enable`."""

    id: str
    url: str
    kinds: tuple[str, ...]
    aggregate: str | None
    state: Literal["active", "failing", "disabled"]
    acked: int
    failures: int
    failing_since: UnixTime | None
    next_try_at: UnixTime | None
    detail: str
    created_at: UnixTime
    delivered_at: UnixTime | None


class NewWebhookView(WebhookView):
    """With the secret, shown this once."""

    secret: str = Field(description="whsec_ and Base64 of the HMAC-SHA256 key")


class WebhookTestView(View):
    """What one signed test message met."""

    ok: bool
    status: int | None
    detail: str


def filter_of(kinds: tuple[str, ...], aggregate: str | None) -> FeedFilter:
    """Checked texts as a filter."""
    if aggregate is None:
        return FeedFilter(kinds)
    kind, _, key = aggregate.partition("/")
    return FeedFilter(kinds, (kind, from_hex(key, (len(key) - 2) // 2)))


def event_view(feed: str, event: FeedEvent) -> EventView:
    block = None if event.block is None else BlockView(number=event.block[0], hash=event.block[1])
    return EventView(
        feed=feed,
        seq=event.seq,
        type="event" if event.undoes is None else "undone",
        kind=event.kind,
        aggregate=AggregateView(kind=event.aggregate, id=to_hex(event.key)),
        recorded_at=event.recorded_at,
        block=block,
        undoes=event.undoes,
        data=event.data,
    )


def _filter_fields(wanted: FeedFilter) -> dict[str, Any]:
    aggregate = None if wanted.aggregate is None else f"{wanted.aggregate[0]}/{to_hex(wanted.aggregate[1])}"
    return {"kinds": wanted.kinds, "aggregate": aggregate}


def subscription_view(found: Subscription) -> SubscriptionView:
    fields = _filter_fields(found.filter)
    return SubscriptionView(
        name=found.name, acked=found.acked, created_at=found.created_at, acked_at=found.acked_at, **fields
    )


def webhook_view(found: Webhook) -> WebhookView:
    failing: Literal["active", "failing"] = "failing" if found.failures else "active"
    return WebhookView(
        id=found.id,
        url=found.url,
        state="disabled" if found.status == "disabled" else failing,
        acked=found.acked,
        failures=found.failures,
        failing_since=found.failing_since,
        next_try_at=found.due_at if found.failures and found.status != "disabled" else None,
        detail=found.detail,
        created_at=found.created_at,
        delivered_at=found.delivered_at,
        **_filter_fields(found.filter),
    )
