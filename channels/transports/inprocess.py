"""A hub inside one process: the broker of a single node, of tests and of previews. Same promises as MQTT, no network.

`Hub.stop` and `Hub.start` take it away and bring it back as a broker restart would; what it holds for its clients
outlives that, as it does in a broker with persistence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from channels.errors import TransportClosed, TransportRefused
from channels.transports.base import Delivery, LinkState, StateCallback, check_payload, retains
from channels.transports.inbox import Inbox, Switchboard
from channels.transports.link import Link
from channels.transports.topics import Topic

__all__ = ["Hub", "InProcessTransport", "Rights"]

# (client id, "publish" or "subscribe", topic) -> allowed
Rights = Callable[[str, str, Topic], bool]


class _Session:
    """What the hub keeps for one client id: subscriptions and messages without acknowledgement."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.unacknowledged: dict[int, tuple[Topic, bytes]] = {}
        self.transport: InProcessTransport | None = None


class Hub:
    """The broker part. `rights` decides who may do what; without it everybody may do everything."""

    def __init__(self, rights: Rights | None = None) -> None:
        self._rights = rights
        self._sessions: dict[str, _Session] = {}
        self._retained: dict[str, tuple[Topic, bytes]] = {}
        self._number = 0
        self.running = True

    def start(self) -> None:
        """Come back after `stop`."""
        self.running = True
        for session in self._sessions.values():
            if session.transport is not None:
                self._connect(session, session.transport)

    def stop(self) -> None:
        """Go away; clients wait."""
        self.running = False
        for session in self._sessions.values():
            if session.transport is not None:
                session.transport.lost("the hub is stopped")

    def attach(self, client_id: str, transport: InProcessTransport) -> None:
        """Take a client in. A second one with the same id takes the place of the first, as in MQTT."""
        session = self._sessions.setdefault(client_id, _Session())
        if session.transport is not None and session.transport is not transport:
            session.transport.lost("another client has the same id")
        session.transport = transport
        if self.running:
            self._connect(session, transport)

    def detach(self, client_id: str, transport: InProcessTransport) -> None:
        """Let a client go; its session stays."""
        session = self._sessions[client_id]
        if session.transport is transport:
            session.transport = None

    def _connect(self, session: _Session, transport: InProcessTransport) -> None:
        transport.found()
        for number, (topic, payload) in tuple(session.unacknowledged.items()):
            self._hand_over(session, number, topic, payload, retained=False)

    def _hand_over(self, session: _Session, number: int, topic: Topic, payload: bytes, *, retained: bool) -> None:
        if session.transport is None or not self.running:
            return

        def acknowledge() -> None:
            session.unacknowledged.pop(number, None)

        session.transport.arrived(topic, payload, acknowledge, retained=retained)

    def publish(self, client_id: str, topic: Topic, payload: bytes, *, retain: bool) -> None:
        """Distribute; a publisher without the right is not told, as in MQTT 3.1.1."""
        if self._rights is not None and not self._rights(client_id, "publish", topic):
            return
        if retain and payload:
            self._retained[topic.name] = (topic, payload)
        elif retain:
            self._retained.pop(topic.name, None)
            return
        for session in self._sessions.values():
            if topic.name in session.names:
                self._number += 1
                session.unacknowledged[self._number] = (topic, payload)
                self._hand_over(session, self._number, topic, payload, retained=False)

    def subscribe(self, client_id: str, topics: tuple[Topic, ...]) -> None:
        """Subscribe and hand over what is retained. Raises TransportRefused."""
        for topic in topics:
            if self._rights is not None and not self._rights(client_id, "subscribe", topic):
                raise TransportRefused(f"the hub refuses a subscription to {topic.kind}")
        session = self._sessions[client_id]
        for topic in topics:
            session.names.add(topic.name)
            kept = self._retained.get(topic.name)
            if kept is not None:
                self._number += 1
                self._hand_over(session, self._number, *kept, retained=True)

    def unsubscribe(self, client_id: str, name: str) -> None:
        """Forget a subscription and what waits under it."""
        session = self._sessions[client_id]
        session.names.discard(name)
        for number, (topic, _) in tuple(session.unacknowledged.items()):
            if topic.name == name:
                del session.unacknowledged[number]


class InProcessTransport:
    """A Transport over a Hub."""

    def __init__(self, hub: Hub, client_id: str) -> None:
        self._hub = hub
        self._client_id = client_id
        self._link = Link()
        self._board = Switchboard()

    @property
    def state(self) -> LinkState:
        """See Transport.state."""
        return self._link.state

    def on_state(self, callback: StateCallback) -> Callable[[], None]:
        """See Transport.on_state."""
        return self._link.on_state(callback)

    async def start(self) -> None:
        """See Transport.start."""
        self._link.set(LinkState.CONNECTING)
        self._hub.attach(self._client_id, self)

    async def stop(self) -> None:
        """See Transport.stop."""
        if self._link.state is LinkState.STOPPED:
            return
        self._hub.detach(self._client_id, self)
        self._board.end(TransportClosed("the transport was stopped"))
        self._link.set(LinkState.STOPPED)

    def lost(self, reason: str) -> None:
        """The hub went away (hub side)."""
        self._board.lost()
        self._link.set(LinkState.CONNECTING, reason)

    def found(self) -> None:
        """The hub is there (hub side)."""
        self._link.set(LinkState.CONNECTED)

    def arrived(self, topic: Topic, payload: bytes, acknowledge: Callable[[], None], *, retained: bool) -> None:
        """A message for this client (hub side)."""
        self._board.arrived(topic.name, Delivery(topic.kind, topic.sid, topic.key, payload, retained), acknowledge)

    async def wait_connected(self) -> None:
        """See Transport.wait_connected."""
        await self._link.wait_connected()

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """See Transport.publish."""
        check_payload(payload)
        await self._link.wait_connected()
        self._hub.publish(self._client_id, topic, payload, retain=retains(topic))
        # As over a wire: whoever listens gets a turn before the publisher goes on.
        await asyncio.sleep(0)

    async def clear(self, topic: Topic) -> None:
        """See Transport.clear."""
        await self._link.wait_connected()
        self._hub.publish(self._client_id, topic, b"", retain=True)

    async def subscribe(self, *topics: Topic) -> Inbox:
        """See Transport.subscribe."""
        await self._link.wait_connected()
        inbox = self._board.open(topics, self._unsubscribe)
        try:
            self._hub.subscribe(self._client_id, topics)
        except TransportRefused:
            await inbox.aclose()
            raise
        return inbox

    async def _unsubscribe(self, inbox: Inbox) -> None:
        gone = inbox.names - self._board.names()
        for name in gone:
            self._hub.unsubscribe(self._client_id, name)
        self._board.drop(gone)
