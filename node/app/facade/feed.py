"""The event feed and its webhooks as the REST interface shows them."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.api.eventviews import (
    EventsPage,
    NewWebhookView,
    SubscriptionForm,
    SubscriptionView,
    WebhookForm,
    WebhookTestView,
    WebhookView,
    event_view,
    filter_of,
    subscription_view,
    webhook_view,
)
from node.app.wakes import Wakes
from node.clock import Clock
from node.errors import Conflict, NeedsPerson
from node.runtime.outbound import Outbound
from node.runtime.supervisor import Lifecycle, Service
from node.runtime.webhooks import HookOptions, HookWays, WebhookPost, new_secret, secret_text
from node.storage.database import Database
from node.storage.feed import Feed, FeedEvent, FeedFilter, Subscriptions
from node.storage.journal import Applied, Journal
from node.storage.webhooks import Webhook, Webhooks

__all__ = ["FeedPart", "Ground", "WebhookPart"]

_NONCE = 12
_MAX_READERS = 1_000
_MAX_WEBHOOKS = 100
_PRUNE_EVERY_S = 3_600


@dataclass(frozen=True, slots=True)
class Ground:
    """What both parts stand on."""

    database: Database
    journal: Journal
    clock: Clock


class FeedPart:
    """Implements `node.api.feedfacade.FeedFacade`; `service` forgets what is old."""

    def __init__(self, feed: Feed, ground: Ground, keep_days: int) -> None:
        self._feed = feed
        self._ground = ground
        self._keep = keep_days * 86_400
        self._rows = Subscriptions(ground.database)
        self._changed = asyncio.Event()
        ground.journal.subscribe(self._committed)

    @property
    def id(self) -> str:
        return self._feed.id

    def _committed(self, _applied: Applied) -> None:
        self.notify()

    def notify(self) -> None:
        """Everybody who waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def watch(self) -> Callable[[], Awaitable[None]]:
        """See FeedFacade.watch. What another process on the same database does is noticed within a second."""
        return partial(self._wait, self._changed)

    async def _wait(self, changed: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(1.0 if self._ground.database.concurrent else None):
                await changed.wait()
        except TimeoutError:
            return

    async def events(self, after: int | None, limit: int, wanted: FeedFilter) -> EventsPage:
        if after is None:
            _, after = await self._feed.bounds()
        page = await self._feed.read(after, limit, wanted)
        items = tuple(event_view(self._feed.id, event) for event in page.events)
        return EventsPage(feed=self._feed.id, items=items, next=page.upto, last=page.last)

    async def subscribe(self, form: SubscriptionForm) -> SubscriptionView:
        first, last = await self._feed.bounds()
        if len(await self._rows.all()) >= _MAX_READERS:
            raise Conflict(f"There are {_MAX_READERS} subscriptions.", remedy="Remove those that nobody uses.")
        after = last if form.after is None else max(form.after, first - 1)
        await self._feed.read(after, 1, FeedFilter())
        return subscription_view(await self._rows.create(form.name, form.wanted, after, self._ground.clock.now()))

    async def subscriptions(self) -> tuple[SubscriptionView, ...]:
        return tuple(subscription_view(each) for each in await self._rows.all())

    async def subscription(self, name: str) -> SubscriptionView:
        return subscription_view(await self._rows.get(name))

    def filter_of(self, subscription: SubscriptionView) -> FeedFilter:
        return filter_of(subscription.kinds, subscription.aggregate)

    async def acknowledge(self, name: str, seq: int) -> SubscriptionView:
        found = await self._rows.ack(name, seq, self._ground.clock.now())
        self.notify()
        return subscription_view(found)

    async def unsubscribe(self, name: str) -> None:
        await self._rows.remove(name)
        self.notify()

    def service(self) -> Service:
        return Service("feed", self._prune)

    async def _prune(self, life: Lifecycle) -> None:
        life.ready()
        while not life.stop.is_set():
            now = self._ground.clock.now()
            await self._feed.prune(now - self._keep, now - 2 * self._keep)
            await life.pause(_PRUNE_EVERY_S)


class WebhookPart:
    """Implements `node.api.feedfacade.WebhookFacade`; `service` delivers. Secrets are sealed under the identity."""

    def __init__(
        self, feed: Feed, ground: Ground, key: bytes, allow: Sequence[str] = (), options: HookOptions | None = None
    ) -> None:
        self._feed = feed
        self._clock = ground.clock
        self._rows = Webhooks(ground.database)
        self._cipher = AESGCM(key)
        self._outbound = Outbound(allow)
        ways = HookWays(self._outbound, self._body, self._unseal)
        self._wakes = Wakes()
        self._post = WebhookPost(feed, self._rows, ways, ground.clock, options or HookOptions(), self._wakes.new())
        ground.journal.subscribe(self._committed)

    def _committed(self, _applied: Applied) -> None:
        self._wakes.tell()

    def _body(self, event: FeedEvent) -> bytes:
        return event_view(self._feed.id, event).model_dump_json().encode()

    def _unseal(self, hook: Webhook) -> bytes:
        try:
            return self._cipher.decrypt(hook.secret[:_NONCE], hook.secret[_NONCE:], hook.id.encode())
        except InvalidTag:
            raise NeedsPerson(
                f"The secret of webhook {hook.id} belongs to another identity.", remedy="Remove the webhook."
            ) from None

    def service(self) -> Service:
        return Service("webhooks", self._run)

    async def _run(self, life: Lifecycle) -> None:
        await self._post.run(life)

    async def close(self) -> None:
        await self._outbound.close()

    async def webhooks(self) -> tuple[WebhookView, ...]:
        return tuple(webhook_view(hook) for hook in await self._rows.all())

    async def webhook(self, webhook_id: str) -> WebhookView:
        return webhook_view(await self._rows.get(webhook_id))

    async def add_webhook(self, form: WebhookForm) -> NewWebhookView:
        self._outbound.check(form.url)
        if await self._rows.count() >= _MAX_WEBHOOKS:
            raise Conflict(f"There are {_MAX_WEBHOOKS} webhooks.", remedy="Remove those that nobody uses.")
        first, last = await self._feed.bounds()
        after = last if form.after is None else max(form.after, first - 1)
        await self._feed.read(after, 1, FeedFilter())
        secret, webhook_id, nonce = new_secret(), secrets.token_hex(6), os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, secret, webhook_id.encode())
        new = Webhook(webhook_id, form.url, sealed, form.wanted, after, self._clock.now())
        await self._rows.add(new)
        self._post.wake.set()
        return NewWebhookView(**webhook_view(new).model_dump(), secret=secret_text(secret))

    async def enable_webhook(self, webhook_id: str) -> WebhookView:
        await self._rows.enable(webhook_id)
        self._post.wake.set()
        return await self.webhook(webhook_id)

    async def remove_webhook(self, webhook_id: str) -> None:
        await self._rows.remove(webhook_id)

    async def test_webhook(self, webhook_id: str) -> WebhookTestView:
        hook = await self._rows.get(webhook_id)
        body = json.dumps({"version": 1, "feed": self._feed.id, "type": "test"}, separators=(",", ":")).encode()
        status, detail = await self._post.attempt(hook, f"test_{secrets.token_hex(8)}", body)
        return WebhookTestView(ok=status is not None and 200 <= status < 300, status=status, detail=detail)
