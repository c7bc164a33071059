"""What the REST interface needs of the event feed and its webhooks. Errors as in `node.api.facade`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from node.api.eventviews import (
    EventsPage,
    NewWebhookView,
    SubscriptionForm,
    SubscriptionView,
    WebhookForm,
    WebhookTestView,
    WebhookView,
)
from node.storage.feed import FeedFilter

__all__ = ["FeedFacade", "WebhookFacade"]


class FeedFacade(Protocol):
    """Numbered events and named readers. `id` names the numbering."""

    @property
    def id(self) -> str: ...

    async def events(self, after: int | None, limit: int, wanted: FeedFilter) -> EventsPage:
        """Events behind `after` (None: behind the newest). Raises Gone for pruned ones, InvalidInput for none yet."""
        ...

    def watch(self) -> Callable[[], Awaitable[None]]:
        """To be called and awaited: done once something happened after this call, events or acknowledgements."""
        ...

    async def subscribe(self, form: SubscriptionForm) -> SubscriptionView: ...

    async def subscriptions(self) -> tuple[SubscriptionView, ...]: ...

    async def subscription(self, name: str) -> SubscriptionView: ...

    def filter_of(self, subscription: SubscriptionView) -> FeedFilter: ...

    async def acknowledge(self, name: str, seq: int) -> SubscriptionView: ...

    async def unsubscribe(self, name: str) -> None: ...


class WebhookFacade(Protocol):
    """Addresses that are told of events."""

    async def webhooks(self) -> tuple[WebhookView, ...]: ...

    async def webhook(self, webhook_id: str) -> WebhookView: ...

    async def add_webhook(self, form: WebhookForm) -> NewWebhookView:
        """Raises InvalidInput for an address that is not allowed."""
        ...

    async def enable_webhook(self, webhook_id: str) -> WebhookView: ...

    async def remove_webhook(self, webhook_id: str) -> None: ...

    async def test_webhook(self, webhook_id: str) -> WebhookTestView: ...
