"""The operations of the event feed: pages, streams, named readers, webhooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ValidationError

from node.api.eventviews import (
    AckForm,
    EventsPage,
    EventView,
    FilterForm,
    NewWebhookView,
    SubscriptionForm,
    SubscriptionView,
    WebhookForm,
    WebhookTestView,
    WebhookView,
)
from node.api.feedfacade import FeedFacade, WebhookFacade
from node.api.operations import Answer, Call, EventStream, Operation, Parameter, Streaming
from node.api.problems import InvalidForm
from node.api.streaming import Followers, Wish
from node.api.views import Items
from node.errors import NotFound
from node.storage.feed import FeedFilter

__all__ = ["FEED_OPERATIONS", "FeedParts"]

_DEFAULT_PAGE: Final = 100
_MAX_PAGE: Final = 1_000


@dataclass(slots=True)
class FeedParts:
    """The feed, its webhooks, and who follows it through this server."""

    feed: FeedFacade
    webhooks: WebhookFacade
    followers: Followers = field(init=False)

    def __post_init__(self) -> None:
        self.followers = Followers(self.feed)


def _parts(call: Call) -> FeedParts:
    if not isinstance(call.feed, FeedParts):
        raise NotFound("This node keeps no event feed.")
    return call.feed


def _wanted(call: Call) -> FeedFilter:
    kinds = call.values.get("kinds")
    try:
        form = FilterForm(kinds=kinds.split(",") if kinds else (), aggregate=call.values.get("aggregate"))
    except ValidationError as error:
        raise InvalidForm(error) from None
    return form.wanted


async def _events(call: Call) -> EventsPage:
    limit = min(call.values.get("limit", _DEFAULT_PAGE), _MAX_PAGE)
    return await _parts(call).feed.events(call.values.get("after", 0), limit, _wanted(call))


def _wish(call: Call) -> Wish:
    v = call.values
    return Wish(v.get("after"), v.get("feed"), v.get("subscription"), _wanted(call))


async def _sse(call: Call) -> Answer:
    followers, wish = _parts(call).followers, _wish(call)

    async def serve(request: web.Request, check: Callable[[], Awaitable[None]]) -> web.StreamResponse:
        return await followers.sse(request, wish, check)

    return Answer(Streaming(serve))


async def _websocket(call: Call) -> Answer:
    followers, wish = _parts(call).followers, _wish(call)

    async def serve(request: web.Request, check: Callable[[], Awaitable[None]]) -> web.StreamResponse:
        return await followers.websocket(request, wish, check)

    return Answer(Streaming(serve))


def _items(found: tuple[BaseModel, ...]) -> Answer:
    return Answer({"items": [item.model_dump(mode="json") for item in found]})


async def _subscribe(call: Call) -> SubscriptionView:
    return await _parts(call).feed.subscribe(call.form(SubscriptionForm))


async def _subscriptions(call: Call) -> Answer:
    return _items(await _parts(call).feed.subscriptions())


async def _ack(call: Call) -> SubscriptionView:
    return await _parts(call).feed.acknowledge(call.values["name"], call.form(AckForm).seq)


async def _unsubscribe(call: Call) -> Answer:
    await _parts(call).feed.unsubscribe(call.values["name"])
    return Answer(None)


async def _webhooks(call: Call) -> Answer:
    return _items(await _parts(call).webhooks.webhooks())


async def _webhook(call: Call) -> WebhookView:
    return await _parts(call).webhooks.webhook(call.values["webhook_id"])


async def _add_webhook(call: Call) -> NewWebhookView:
    return await _parts(call).webhooks.add_webhook(call.form(WebhookForm))


async def _enable_webhook(call: Call) -> WebhookView:
    return await _parts(call).webhooks.enable_webhook(call.values["webhook_id"])


async def _test_webhook(call: Call) -> WebhookTestView:
    return await _parts(call).webhooks.test_webhook(call.values["webhook_id"])


async def _remove_webhook(call: Call) -> Answer:
    await _parts(call).webhooks.remove_webhook(call.values["webhook_id"])
    return Answer(None)


_NAME = Parameter("name", "text", "name of the subscription", "path")
_HOOK = Parameter("webhook_id", "text", "webhook id", "path")
_FILTER = (
    Parameter("kinds", "text", "kinds of events, separated by commas; all by default"),
    Parameter("aggregate", "text", "only events about this: consent/0x..., stream/0x... and so on"),
)
_AFTER = Parameter("after", "number", "number of the event to begin behind")
_FOLLOW = (
    _AFTER,
    *_FILTER,
    Parameter("subscription", "text", "name of a subscription: begins behind what it acknowledged"),
    Parameter("feed", "text", "the feed that `after` is a number of; 410 if the node was rebuilt since"),
)
_API = "/api/v1"

# fmt: off
FEED_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", f"{_API}/events", "listEvents", "events:read", "Events in order, from the oldest that is kept",
              _events, EventsPage, tag="events",
              parameters=(_AFTER, Parameter("limit", "count", "at most 1000; 100 by default"), *_FILTER)),
    Operation("GET", f"{_API}/events/stream", "streamEvents", "events:read",
              "Events as they come, as Server-Sent Events; Last-Event-ID resumes", _sse, EventStream(EventView),
              tag="events", parameters=_FOLLOW),
    Operation("GET", f"{_API}/events/ws", "followEvents", "events:read",
              "Events as they come, over WebSocket; acknowledge with {\"type\":\"ack\",\"seq\":number}", _websocket,
              EventStream(EventView, websocket=True), status=101, tag="events", parameters=_FOLLOW),
    Operation("GET", f"{_API}/subscriptions", "listSubscriptions", "events:read", "Named readers and how far they are",
              _subscriptions, Items[SubscriptionView], tag="events"),
    Operation("POST", f"{_API}/subscriptions", "subscribe", "events:read", "A named reader; the same again is found",
              _subscribe, SubscriptionView, SubscriptionForm, 201, tag="events"),
    Operation("POST", f"{_API}/subscriptions/{{name}}/ack", "acknowledge", "events:read",
              "Everything up to this number was taken in", _ack, SubscriptionView, AckForm, tag="events",
              parameters=(_NAME,)),
    Operation("DELETE", f"{_API}/subscriptions/{{name}}", "unsubscribe", "events:read", "Forget a named reader",
              _unsubscribe, None, status=204, tag="events", parameters=(_NAME,)),
    Operation("GET", f"{_API}/webhooks", "listWebhooks", "webhooks:manage", "Webhooks and how they do", _webhooks,
              Items[WebhookView], tag="events"),
    Operation("GET", f"{_API}/webhooks/{{webhook_id}}", "getWebhook", "webhooks:manage", "One webhook", _webhook,
              WebhookView, tag="events", parameters=(_HOOK,)),
    Operation("POST", f"{_API}/webhooks", "addWebhook", "webhooks:manage", "A new webhook; its secret is shown once",
              _add_webhook, NewWebhookView, WebhookForm, 201, tag="events"),
    Operation("POST", f"{_API}/webhooks/{{webhook_id}}/enable", "enableWebhook", "webhooks:manage",
              "Try again, from where it stopped", _enable_webhook, WebhookView, tag="events", parameters=(_HOOK,)),
    Operation("POST", f"{_API}/webhooks/{{webhook_id}}/test", "testWebhook", "webhooks:manage",
              "Send one signed test message now", _test_webhook, WebhookTestView, tag="events", parameters=(_HOOK,)),
    Operation("DELETE", f"{_API}/webhooks/{{webhook_id}}", "removeWebhook", "webhooks:manage", "Remove a webhook",
              _remove_webhook, None, status=204, tag="events", parameters=(_HOOK,)),
)
# fmt: on
