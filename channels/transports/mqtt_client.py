"""The one place that reaches through aiomqtt to paho.

What aiomqtt 2.5 does not do and a connection that comes back by itself needs: acknowledge by hand; notice that a broker
hung up before it answered; leave no socket behind when an attempt is given up, not even one that the connecting thread
opens afterwards; and never register a socket for writing that was closed meanwhile.
tests/assumptions/test_mqtt_client.py fails when a newer release moves the names used here.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable
from dataclasses import dataclass, field
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

    def __init__(self, settings: MqttSettings) -> None:
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
        self._abandoned = False
        self._loop_thread = threading.get_ident()

    def _hung_up(self, *details: Any) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("the broker hung up before it answered"))
        elif self._told is not None:
            self._told(*details)

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """Tell the broker that a QoS 1 message was worked through."""
        self._client.ack(message.mid, message.qos)

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
