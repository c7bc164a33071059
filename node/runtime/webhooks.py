"""Tells webhooks what is in the event feed: in order, at least once, signed, again and again until it is taken.

One task per webhook reads the feed behind what the webhook has acknowledged by an answer of 2xx. A failure is tried
again after a pause that doubles, with chance in it; after three days of nothing but failures, or on 410 Gone, the
webhook is disabled and waits for a person. One that does not answer holds up nobody else.

Signatures are those of Standard Webhooks: HMAC-SHA256 over id, timestamp and body. The id of an event never changes, so
a receiver that got it twice can tell; the timestamp is that of the try, so an old call cannot be played again.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import structlog

from node.clock import Clock
from node.errors import Gone, NeedsPerson, NodeError, NotFound
from node.runtime.backoff import Backoff
from node.runtime.outbound import Outbound
from node.runtime.supervisor import Lifecycle
from node.storage.feed import Feed, FeedEvent
from node.storage.webhooks import Webhook, Webhooks

__all__ = ["HookOptions", "HookWays", "WebhookPost", "new_secret", "secret_text", "signature", "signed_headers"]

_log = structlog.get_logger(__name__)
_SECRET_BYTES: Final = 32
_PREFIX: Final = "whsec_"


def new_secret() -> bytes:
    """A key for HMAC-SHA256."""
    return secrets.token_bytes(_SECRET_BYTES)


def secret_text(secret: bytes) -> str:
    """How the receiver is given it."""
    return _PREFIX + base64.b64encode(secret).decode()


def signature(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, sha256)).decode()


def signed_headers(secret: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "wattpact",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }


@dataclass(frozen=True, slots=True)
class HookOptions:
    """Seconds: `patience` of nothing but failures before a webhook is disabled; `poll` the longest sleep."""

    backoff: Backoff = field(default_factory=lambda: Backoff(2.0, 3_600.0))
    patience: int = 3 * 86_400
    poll: float = 2.0
    page: int = 50


@dataclass(frozen=True, slots=True)
class HookWays:
    """`body_of` makes the JSON of an event; `unseal` opens the secret of a webhook."""

    outbound: Outbound
    body_of: Callable[[FeedEvent], bytes]
    unseal: Callable[[Webhook], bytes]


@dataclass(frozen=True, slots=True)
class WebhookPost:
    """`run` is a service; `wake` it when there is something new."""

    feed: Feed
    rows: Webhooks
    ways: HookWays
    clock: Clock
    options: HookOptions = field(default_factory=HookOptions)
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, life: Lifecycle) -> None:
        """One task for each webhook that is enabled; looks for new and changed ones whenever something happened."""
        tasks: dict[str, asyncio.Task[None]] = {}
        life.ready()
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(self._wake_at(life.stop))
            while not life.stop.is_set():
                self.wake.clear()
                now = self.clock.now()
                for hook in await self.rows.all():
                    task = tasks.get(hook.id)
                    if hook.status == "active" and hook.due_at <= now and (task is None or task.done()):
                        tasks[hook.id] = group.create_task(self._serve(hook.id, life))
                tasks = {name: task for name, task in tasks.items() if not task.done()}
                await _first(self.wake.wait(), self.options.poll)
            stopping.cancel()
            for task in tasks.values():
                task.cancel()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake.set()

    async def _serve(self, webhook_id: str, life: Lifecycle) -> None:
        """Tell one webhook everything that is there; ends at its first failure, or when it is up to date."""
        try:
            while not life.stop.is_set():
                hook = await self.rows.get(webhook_id)
                if hook.status != "active" or hook.due_at > self.clock.now():
                    return
                page = await self.feed.read(hook.acked, self.options.page, hook.filter)
                for event in page.events:
                    if not await self._deliver(hook, event):
                        return
                if page.upto > hook.acked and (not page.events or page.events[-1].seq < page.upto):
                    await self.rows.delivered(webhook_id, page.upto, None)
                if page.upto >= page.last:
                    return
        except NotFound:
            return  # removed while it was served
        except (Gone, NeedsPerson) as error:
            # One that cannot go on, also for a secret that this node cannot read, is no reason to stop the others.
            await self.rows.failed(webhook_id, self.clock.now(), 0, error.message, disable=True)
            _log.error("webhook_disabled", webhook_id=webhook_id, reason=error.message)

    async def _deliver(self, hook: Webhook, event: FeedEvent) -> bool:
        """Tell one event; what came of it is on disk when this returns."""
        status, detail = await self.attempt(hook, f"evt_{self.feed.id}_{event.seq}", self.ways.body_of(event))
        now = self.clock.now()
        if status is not None and 200 <= status < 300:
            await self.rows.delivered(hook.id, event.seq, now)
            return True
        current = await self.rows.get(hook.id)
        since = current.failing_since if current.failing_since is not None else now
        disable = status == 410 or now - since >= self.options.patience
        pause = max(1, round(self.options.backoff.delay(current.failures + 1)))
        await self.rows.failed(hook.id, now, now + pause, detail, disable=disable)
        if disable:
            _log.error("webhook_disabled", webhook_id=hook.id, reason=detail)
        elif not current.failures:
            _log.warning("webhook_failing", webhook_id=hook.id, reason=detail)
        return False

    async def attempt(self, hook: Webhook, message_id: str, body: bytes) -> tuple[int | None, str]:
        """One signed call: the status of the answer (None without one) and a sentence about it."""
        headers = signed_headers(self.ways.unseal(hook), message_id, self.clock.now(), body)
        try:
            status = await self.ways.outbound.post(hook.url, body, headers)
        except NodeError as error:
            return None, error.message
        if 300 <= status < 400:
            return status, f"The receiver answers {status}: redirects are not followed."
        return status, f"The receiver answers {status}."


async def _first(waiting: Awaitable[object], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        return
