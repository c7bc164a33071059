"""The one place that reaches through aiomqtt to paho.

What aiomqtt 2.5 does not do and a connection that comes back by itself needs: acknowledge by hand; notice that a broker
hung up before it answered; leave no socket behind when an attempt is given up, not even one that the connecting thread
opens afterwards; and never register a socket for writing that was closed meanwhile. Messages go out and come in without
a task and a queue for each, which halves what a message costs.
tests/assumptions/test_mqtt_client.py fails when a newer release moves the names used here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import aiomqtt
import paho.mqtt.client as paho

__all__ = ["Client", "MqttSettings"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Where the broker is and who we are there.

    `client_id` must stay the same over restarts: the broker keeps our subscriptions and undelivered messages under it.
    `inflight` bounds the messages without acknowledgement in each direction; `keepalive` and the times are in seconds.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = None
    keepalive: int = 30
    inflight: int = 100
    timeout: float = 10.0
    backoff_first: float = 0.5
    backoff_most: float = 30.0


class Client(aiomqtt.Client):
    """One attempt to be connected; not used again after it ended."""

    def __init__(
        self, settings: MqttSettings, deliver: Callable[[Client, paho.MQTTMessage], None] | None = None
    ) -> None:
        """`deliver` takes every message, in the loop's thread; it must not raise."""
        super().__init__(
            settings.host,
            settings.port,
            username=settings.username,
            password=settings.password,
            identifier=settings.client_id,
            clean_session=False,
            keepalive=settings.keepalive,
            timeout=settings.timeout,
            tls_context=settings.tls,
            max_inflight_messages=settings.inflight,
        )
        self.pending_calls_threshold = settings.inflight * 2
        self._client.manual_ack_set(True)
        self._told = self._client.on_disconnect
        self._client.on_disconnect = self._hung_up
        self._deliver = deliver
        self._outgoing: dict[int, tuple[float, Callable[[], None]]] = {}
        self._abandoned = False
        if settings.tls is not None and settings.tls.check_hostname:
            self._client._ssl_wrap_socket = partial(_secured, settings.tls, settings)  # type: ignore[method-assign]
        self._loop_thread = threading.get_ident()

    def _hung_up(self, *details: Any) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("the broker hung up before it answered"))
        elif self._told is not None:
            self._told(*details)

    def acknowledge(self, message: paho.MQTTMessage) -> None:
        """Tell the broker that a QoS 1 message was worked through."""
        self._client.ack(message.mid, message.qos)

    def send(self, topic: str, payload: bytes, retain: bool, acknowledged: Callable[[], None]) -> None:
        """Publish with QoS 1; `acknowledged` is called when the broker took it. MqttError without a connection."""
        info = self._client.publish(topic, payload, 1, retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise aiomqtt.MqttCodeError(info.rc, "could not publish")
        self._outgoing[info.mid] = (self._loop.time(), acknowledged)

    def unanswered_for(self) -> float:
        """Seconds since the oldest message went out that the broker has not acknowledged; 0.0 when there is none."""
        oldest = next(iter(self._outgoing.values()), None)
        return 0.0 if oldest is None else self._loop.time() - oldest[0]

    def _on_publish(self, client: paho.Client, userdata: Any, mid: int, *details: Any) -> None:
        found = self._outgoing.pop(mid, None)
        if found is not None:
            found[1]()

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        if self._deliver is not None:
            self._deliver(self, message)

    async def until_disconnected(self) -> None:
        """Return or raise MqttError when the connection ends."""
        await asyncio.shield(self._disconnected)

    async def while_connected(self, work: Awaitable[T]) -> T:
        """Await something that needs the connection; raises MqttError as soon as that ends instead of waiting on."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._disconnected), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done():
            return task.result()
        task.cancel()
        raise aiomqtt.MqttError("the connection ended")

    def abandon(self) -> None:
        """Close the socket whatever state the handshake is in. Harmless when it is closed."""
        self._abandoned = True
        # Behind whatever the connecting thread asked of the loop, or that would find a closed socket.
        self._loop.call_soon(self._client._sock_close)

    def _client_connect(self) -> None:
        super()._client_connect()
        if self._abandoned:
            # In the connecting thread: the attempt was given up while it blocked.
            self._loop.call_soon_threadsafe(self._client._sock_close)

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        if threading.get_ident() != self._loop_thread:
            super()._on_socket_register_write(client, userdata, sock)
            return

        def write() -> None:
            try:
                client.loop_write()
            except OSError as error:
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)

        # At once: put off to the next turn, as aiomqtt does, it may meet a closed socket.
        self._loop.add_writer(sock.fileno(), write)


def _secured(tls: ssl.SSLContext, settings: MqttSettings, plain: socket.socket) -> ssl.SSLSocket:
    """Handshake in the connecting thread, as paho does it, but a socket whose handshake fails is closed."""
    found = tls.wrap_socket(plain, server_hostname=settings.host, do_handshake_on_connect=False)
    try:
        found.settimeout(settings.timeout)
        found.do_handshake()
    except OSError:
        found.close()
        raise
    return found
