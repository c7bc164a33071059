"""The node's connection to its broker, from its settings."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

from channels.transports.base import Transport
from channels.transports.http import HttpSettings, HttpTransport
from channels.transports.mqtt import MqttTransport
from channels.transports.mqtt_client import MqttSettings
from keys.identity import Identity
from node.config import Settings
from node.config.secret_files import read_secret
from node.errors import ConfigError
from node.runtime.broker.authority import CertificateFiles, client_context

__all__ = ["broker_password", "broker_tls", "open_transport"]


def broker_password(settings: Settings) -> str | None:
    """From the environment, else from the named file, else none."""
    broker = settings.broker
    if broker.password is not None:
        return broker.password.get_secret_value()
    if broker.password_file is not None:
        return read_secret(broker.password_file).get_secret_value()
    return None


def broker_tls(settings: Settings) -> ssl.SSLContext | None:
    """How to verify the broker, and our own certificate where it wants one. Raises ConfigError."""
    broker = settings.broker
    if urlsplit(str(broker.url)).scheme not in ("mqtts", "https"):
        return None
    own = CertificateFiles(broker.cert_file, broker.key_file) if broker.cert_file and broker.key_file else None
    return client_context(broker.ca_file, own)


def open_transport(settings: Settings, identity: Identity) -> Transport:
    """MQTT or HTTP to the configured broker; over TLS it is verified against the named authority or the system's.

    Raises ConfigError.
    """
    broker = settings.broker
    parts = urlsplit(str(broker.url))
    tls = broker_tls(settings)
    # The broker keeps undelivered messages under this name, so it stays the same for as long as the identity does.
    # Our broker lets a user connect under names that begin with the user's own.
    client_id = f"{broker.username or 'wattpact'}:{identity.device().address.hex()[:16]}"
    if parts.scheme in ("http", "https"):
        if broker.username is None:
            raise ConfigError("A broker over HTTP needs broker.username.", remedy="Ask its operator for a user.")
        password = broker_password(settings) or ""
        return HttpTransport(HttpSettings(str(broker.url), client_id, broker.username, password, tls, backoff_most=5.0))
    return MqttTransport(
        MqttSettings(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or (8883 if tls else 1883),
            client_id=client_id,
            username=broker.username,
            password=broker_password(settings),
            tls=tls,
            backoff_most=5.0,
        )
    )
