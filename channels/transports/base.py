"""What carries commits, envelopes, checkpoints, capsules and requests between nodes.

A transport is untrusted: it may drop, repeat, reorder, invent and show to others whatever it carries, and CKT-1 finds
that out (channels.md 4, rule 6). What it promises to honest users, and what tests/conformance/test_transports.py holds
every implementation to:

* `publish` returns after the broker took responsibility (MQTT QoS 1). While there is no connection it waits; when the
  connection comes back everything that waits goes out first in, first out per transport.
* Delivery is at least once. A delivery is acknowledged to the broker when the subscriber asks for the next one, so what
  a subscriber was working on when its process died is delivered again after the restart.
* Subscriptions and undelivered messages outlive connections: the broker keeps them for the client id.
* Within one topic the order of publishing is kept as long as neither side reconnects.

MQTT 3.1.1 has no way to say "not permitted" to a publisher: a broker acknowledges and drops. That `publish` returned
therefore proves that the broker has it, not that it hands it on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from channels.errors import PayloadTooLarge, TransportError
from channels.transports.topics import RETAINED, Kind, Topic

__all__ = [
    "MAX_PAYLOAD",
    "Delivery",
    "LinkState",
    "StateCallback",
    "Subscription",
    "Transport",
    "check_payload",
    "retains",
]

# Broker limits that we generate are 2 MiB per packet; this leaves room for the topic and the header.
MAX_PAYLOAD = 2_000_000


class LinkState(StrEnum):
    """Whether the broker is there, for readiness and for people."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    REFUSED = "refused"


StateCallback = Callable[[LinkState, str], None]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it arrived. `retained`: it was kept by the broker and is the newest of its topic, not news."""

    kind: Kind
    sid: bytes
    key: bytes
    payload: bytes
    retained: bool


class Subscription(Protocol):
    """The deliveries of some topics, in the order they came. One task iterates it.

    Leaving it (aclose, or the end of `async with`) is local, so that a node that shuts down finds at its next start
    what came meanwhile. `unsubscribe` also ends it at the broker.
    """

    def __aiter__(self) -> AsyncIterator[Delivery]: ...

    async def __anext__(self) -> Delivery: ...

    async def aclose(self) -> None:
        """Stop taking deliveries. The one being worked on and those that wait stay unacknowledged."""
        ...

    async def unsubscribe(self) -> None:
        """Close and end the subscription at the broker, unless another one here has the same topics."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Transport(Protocol):
    """One connection of one node to one broker."""

    @property
    def state(self) -> LinkState:
        """The present state."""
        ...

    def on_state(self, callback: StateCallback) -> Callable[[], None]:
        """Call back with (state, reason) at every change; returns what takes the callback off again."""
        ...

    async def start(self) -> None:
        """Begin to connect, and go on until `stop`. Returns at once."""
        ...

    async def stop(self) -> None:
        """Disconnect. Waiting publishers get TransportClosed; the broker keeps the subscriptions of this client."""
        ...

    async def wait_connected(self) -> None:
        """Return as soon as the state is CONNECTED. Raises TransportClosed when stopped."""
        ...

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """Send and wait for the acknowledgement. The kinds in RETAINED are kept by the broker.

        Raises PayloadTooLarge, TransportClosed; waits while there is no connection.
        """
        ...

    async def clear(self, topic: Topic) -> None:
        """Take a retained message off its topic (the reader has its capsule)."""
        ...

    async def subscribe(self, *topics: Topic) -> Subscription:
        """Subscribe and wait for the acknowledgement. Raises TransportRefused when the broker says no.

        Not every broker says it: Mosquitto with an ACL file takes any subscription and delivers nothing forbidden.
        """
        ...


def check_payload(payload: bytes) -> None:
    """Raise for a payload that no message of ours has: an empty one means "clear" in MQTT."""
    if not payload:
        raise TransportError("an empty payload clears a topic; use clear()")
    if len(payload) > MAX_PAYLOAD:
        raise PayloadTooLarge(f"{len(payload)} bytes are more than the {MAX_PAYLOAD} of one message")


def retains(topic: Topic) -> bool:
    """Whether the broker keeps the newest message of this topic."""
    return topic.kind in RETAINED
