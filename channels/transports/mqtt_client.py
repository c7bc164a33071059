"""The one place that reaches through aiomqtt to paho.

aiomqtt 2.5 has no way to acknowledge by hand and leaves its socket open when a broker accepts a connection and never
answers. Both are one call away on the paho client below it; tests/assumptions/test_mqtt_client.py fails when a newer
release moves them.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

import aiomqtt

__all__ = ["Client", "MqttSettings"]


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

    def acknowledge(self, message: aiomqtt.Message) -> None:
        """Tell the broker that a QoS 1 message was worked through."""
        self._client.ack(message.mid, message.qos)

    def abandon(self) -> None:
        """Close the socket whatever state the handshake is in. Harmless when it is closed."""
        self._client._sock_close()
