"""A Transport over MQTT 3.1.1: any broker that speaks it, ours (node/runtime/broker), Mosquitto or EMQX.

Every connection is a new client object, so nothing of an old one leaks into the next; what must outlive connections
lives here: publishers that wait, first in first out, and subscriptions. Publishers that wait for the same topic keep
their order over a reconnect, so a retained commit is never followed by an older one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import lru_cache, partial

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTTMessage

from channels.errors import TransportClosed, TransportError, TransportRefused
from channels.transports.base import MAX_PAYLOAD, Delivery, LinkState, StateCallback, check_payload, retains
from channels.transports.inbox import Inbox, Switchboard
from channels.transports.link import Backoff, Link
from channels.transports.mqtt_client import Client, MqttSettings
from channels.transports.outgoing import Outgoing, Waiting
from channels.transports.topics import Topic

__all__ = ["MqttTransport"]

_QOS = 1
_REFUSED_BY_SUBACK = 0x80
# MQTT 3.1.1 table 3.1: bad user name or password, not authorized.
_REFUSED_BY_CONNACK = frozenset({4, 5, 134, 135})
_GRACE = 60.0
_SWEEP = 5.0
# Keeps a SUBSCRIBE packet far below the packet limit however many streams a provider reads.
_SUBSCRIBE_AT_ONCE = 500


class MqttTransport:
    """One connection to one broker that comes back by itself."""

    def __init__(self, settings: MqttSettings) -> None:
        self._settings = settings
        self._link = Link()
        self._board = Switchboard()
        self._waiting = Waiting()
        self._client: Client | None = None
        self._running: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def state(self) -> LinkState:
        """See Transport.state."""
        return self._link.state

    def on_state(self, callback: StateCallback) -> Callable[[], None]:
        """See Transport.on_state."""
        return self._link.on_state(callback)

    async def start(self) -> None:
        """See Transport.start."""
        if self._running is None:
            self._stopping = False
            self._link.set(LinkState.CONNECTING)
            self._running = asyncio.create_task(self._stay_connected(), name=f"mqtt {self._settings.client_id}")

    async def stop(self) -> None:
        """See Transport.stop."""
        if self._running is None:
            return
        self._stopping = True
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        self._running = None
        closed = TransportClosed("the transport was stopped")
        self._waiting.end(closed)
        self._board.end(closed)
        self._link.set(LinkState.STOPPED)

    async def wait_connected(self) -> None:
        """See Transport.wait_connected."""
        await self._link.wait_connected()

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """See Transport.publish."""
        check_payload(payload)
        await self._send(topic.name, payload, retains(topic))

    async def clear(self, topic: Topic) -> None:
        """See Transport.clear."""
        await self._send(topic.name, b"", True)

    async def _send(self, name: str, payload: bytes, retain: bool) -> None:
        if self._running is None:
            raise TransportClosed("the transport is not running")
        message = Outgoing(name, payload, retain)
        self._waiting.put(message)
        # A publisher that is cancelled leaves a cancelled future; its message may be out already or is left out.
        await message.acknowledged

    async def subscribe(self, *topics: Topic) -> Inbox:
        """See Transport.subscribe."""
        if self._running is None:
            raise TransportClosed("the transport is not running")
        inbox = self._board.open(topics, self._unsubscribe)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(inbox.aclose)
            refused = None
            while refused is None:
                await self._link.wait_connected()
                refused = await self._subscribe_now(inbox.names)
            if refused:
                raise TransportRefused(f"the broker refuses a subscription to {min(refused)}")
            undo.pop_all()
        return inbox

    async def _subscribe_now(self, names: Iterable[str]) -> set[str] | None:
        """Ask the broker; returns the refused names, or None when the connection went away meanwhile."""
        client, wanted = self._client, sorted(names)
        refused: set[str] = set()
        if client is None:
            return None
        try:
            for start in range(0, len(wanted), _SUBSCRIBE_AT_ONCE):
                some = wanted[start : start + _SUBSCRIBE_AT_ONCE]
                answers = await client.while_connected(client.subscribe([(name, _QOS) for name in some]))
                refused |= {
                    name for name, answer in zip(some, answers, strict=False) if _code(answer) >= _REFUSED_BY_SUBACK
                }
        except aiomqtt.MqttError:
            # Either the connection is gone, then _connect_once knows; or the broker does not answer, then we end it.
            client.abandon()
            await asyncio.sleep(0)
            return None
        return refused

    async def _unsubscribe(self, inbox: Inbox) -> None:
        gone = inbox.names - self._board.names()
        self._board.drop(gone)
        await self._unsubscribe_now(gone)

    async def _unsubscribe_now(self, names: Iterable[str]) -> None:
        wanted = sorted(names)
        if self._client is not None and wanted:
            # Without a connection the broker goes on; what still comes is acknowledged unread by _sweep.
            with suppress(aiomqtt.MqttError):
                await self._client.while_connected(self._client.unsubscribe(wanted))

    async def _stay_connected(self) -> None:
        backoff = Backoff(self._settings.backoff_first, self._settings.backoff_most)
        # The flag, because closing a dead connection may raise in the place of a cancellation.
        while not self._stopping:
            reason, refused = await self._connect_once(backoff)
            self._link.set(LinkState.REFUSED if refused else LinkState.CONNECTING, reason)
            await asyncio.sleep(backoff.next())

    async def _connect_once(self, backoff: Backoff) -> tuple[str, bool]:
        """Connect and work until the connection ends; returns (reason, refused)."""
        client = Client(self._settings, self._received)
        try:
            async with client:
                backoff.reset()
                await self._work(client)
        except MqttConnectError as error:
            return str(error), _code(error.rc) in _REFUSED_BY_CONNACK
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            return str(error) or type(error).__name__, False
        finally:
            client.abandon()
            self._client = None
            self._board.lost()
            self._waiting.lost()
        return "the connection ended", False

    async def _work(self, client: Client) -> None:
        self._client = client
        tasks = [
            asyncio.create_task(work) for work in (client.until_disconnected(), self._pump(client), self._sweep(client))
        ]
        try:
            await self._subscribe_again()
            self._link.set(LinkState.CONNECTED)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _subscribe_again(self) -> None:
        """Renew every subscription. An inbox with a topic that is refused now ends; the others go on."""
        refused = await self._subscribe_now(self._board.names())
        if refused is None:
            raise aiomqtt.MqttError("the connection ended while subscribing")
        for inbox in tuple(self._board.inboxes):
            if inbox.names & refused:
                await inbox.aclose()
                inbox.fail(TransportRefused(f"the broker refuses a subscription to {min(inbox.names & refused)}"))

    def _received(self, client: Client, message: MQTTMessage) -> None:
        try:
            topic = _topic(message.topic)
            if len(message.payload) > MAX_PAYLOAD:
                raise TransportError("larger than a message of ours")
        except (TransportError, UnicodeError):
            # Not a topic of ours or too big: whatever a broker sends, it does not stop us.
            client.acknowledge(message)
            return
        delivery = Delivery(topic.kind, topic.sid, topic.key, bytes(message.payload), message.retain)
        self._board.arrived(message.topic, delivery, partial(client.acknowledge, message))

    async def _pump(self, client: Client) -> None:
        """Keep up to `inflight` messages on the way, in the order they were given."""
        waiting = self._waiting
        while True:
            waiting.more.clear()
            while waiting.under_way < self._settings.inflight:
                message = waiting.take()
                if message is None:
                    break
                client.send(message.topic, message.payload, message.retain, partial(waiting.done, message))
            await waiting.more.wait()

    async def _sweep(self, client: Client) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            if client.unanswered_for() > self._settings.timeout:
                raise aiomqtt.MqttError("the broker does not acknowledge")
            stale = self._board.give_up(_GRACE)
            await self._unsubscribe_now(set(stale) - self._board.names())


@lru_cache(maxsize=4096)
def _topic(name: str) -> Topic:
    return Topic.parse(name)


def _code(answer: object) -> int:
    value = getattr(answer, "value", answer)
    return value if isinstance(value, int) else 0
