"""Who may connect to the broker, to what, and how much of everything."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from node.runtime.broker.errors import BrokerSettingsError
from node.runtime.broker.patterns import check_pattern

__all__ = ["BrokerLimits", "BrokerSettings", "BrokerUser"]

# No separator of ours, no wildcard, nothing that a password or ACL file would read as something else.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """One user. `publish` and `subscribe` are topic patterns with MQTT's `+` and `#`; nothing else is permitted.

    A client id is the user's name, or the name, a colon and anything: sessions hang on client ids, and without this
    bond one user could take over the session of another, with all that waits in it.
    """

    name: str
    password_hash: str = field(repr=False)
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise BrokerSettingsError("a broker user's name has 1 to 64 letters, digits, dots, dashes or underscores")
        for pattern in self.publish + self.subscribe:
            check_pattern(pattern)

    def owns(self, client_id: str) -> bool:
        """Whether this user may connect under `client_id`."""
        return client_id == self.name or client_id.startswith(self.name + ":")


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """What one client, one address and all together may use.

    `connect_seconds` ends a connection whose CONNECT is not complete by then, `packet_seconds` one that sends a packet
    too slowly, `idle_seconds` one without keepalive that says nothing. `queued_messages` waits per client that is away
    or slow; what comes on top is dropped and the reader asks for it.
    """

    connect_seconds: float = 10.0
    connect_bytes: int = 4096
    packet_seconds: float = 30.0
    packet_bytes: int = 2 * 1024 * 1024
    idle_seconds: float = 600.0
    connections: int = 512
    connections_per_address: int = 128
    inflight: int = 100
    queued_messages: int = 1000
    subscriptions: int = 10_000
    session_seconds: int = 7 * 86_400
    failed_logins_per_minute: int = 10


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where to listen and for whom. Port 0 takes a free one; `state_file` keeps retained messages over restarts."""

    host: str = "127.0.0.1"
    port: int = 1883
    users: tuple[BrokerUser, ...] = ()
    state_file: Path | None = None
    tls: ssl.SSLContext | None = None
    limits: BrokerLimits = BrokerLimits()
