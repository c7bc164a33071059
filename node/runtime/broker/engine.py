"""amqtt, held to what we promise.

Behind the gate (gate.py), which lets only authenticated clients with their own client ids through, amqtt 0.12 reads and
writes packets and keeps sessions and subscriptions. Replaced here, each because of what the library does otherwise:

* rights are asked for every publish, subscribe and delivery, from the live user table and without its plugins;
* retained messages are sent to who subscribed and may read them; amqtt sends those of *all* subscriptions of everybody
  to every client that connects;
* a publisher is acknowledged after its message was distributed and, if retained, written down; amqtt does it before;
* messages for a client wait in an Outbox that outlives its connections; amqtt forgets them after five seconds;
* QoS 2 is not spoken: such a publish ends the connection, subscriptions are granted QoS 1.

tests/assumptions/test_amqtt.py pins the names of amqtt that are used here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from amqtt.adapters import WriterAdapter
from amqtt.broker import Broker, RetainedApplicationMessage
from amqtt.contexts import Action, BrokerConfig, ListenerConfig, ListenerType
from amqtt.errors import ProtocolHandlerError
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.session import IncomingApplicationMessage, Session

from node.runtime.broker.outbox import Outbox, Outgoing
from node.runtime.broker.patterns import matches
from node.runtime.broker.settings import BrokerLimits
from node.runtime.broker.state import KeptSession
from node.runtime.broker.users import UserTable
from node.runtime.broker.wire import FrameReader

__all__ = ["LISTENER", "Engine", "outbox_of"]

LISTENER = "default"
# Session attributes of ours.
_OUTBOX = "wattpact.outbox"
_FILTERS = "wattpact.filters"
_CONNECTING = "wattpact.connecting"
_HANDLED_AT_ONCE = 64
_REFUSED = 0x80
# Keeps a retained message: (topic, payload), an empty payload clears it.
Keeper = Callable[[str, bytes], Awaitable[None]]


def outbox_of(session: Session) -> Outbox:
    """The outbox of a session."""
    outbox: Outbox = session.attributes[_OUTBOX]
    return outbox


class _Handler(BrokerProtocolHandler):  # type: ignore[misc]
    """One connection: what comes in is answered when it was distributed, what goes out comes from the outbox."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sending: asyncio.Task[None] | None = None
        self._handling = 0

    async def start(self) -> None:
        """Begin to read. A peer that hung up meanwhile ends the connection at once; amqtt would wait for ever."""
        await super().start()
        if self._reader_stopped.is_set():
            await self.handle_connection_closed()

    async def handle_publish(self, publish_packet: PublishPacket) -> None:
        """Queue for distribution and acknowledge when that is done."""
        if publish_packet.qos not in (0, 1) or self.session is None:
            await self.handle_connection_closed()
            return
        variable = publish_packet.variable_header
        packet_id = variable.packet_id if variable is not None else None
        data = publish_packet.data or b""
        message = _Distributed(
            packet_id, publish_packet.topic_name, publish_packet.qos, data, publish_packet.retain_flag
        )
        message.publish_packet = publish_packet
        self._handling += 1
        if self._handling >= _HANDLED_AT_ONCE and isinstance(self.reader, FrameReader):
            self.reader.hold()
        try:
            self.session.delivered_message_queue.put_nowait(message)
            await message.done.wait()
            if publish_packet.qos == 1 and packet_id is not None:
                await self._send_packet(PubackPacket.build(packet_id))
        except ProtocolHandlerError:
            # amqtt's name for a cancellation: the connection ended, the client will send this again.
            return
        finally:
            self._handling -= 1
            if isinstance(self.reader, FrameReader):
                self.reader.release()

    async def handle_puback(self, puback: PubackPacket) -> None:
        """Take the message out of the outbox."""
        if self.session is not None and puback.variable_header is not None:
            outbox_of(self.session).acknowledged(puback.variable_header.packet_id)

    def begin_sending(self, may_read: Callable[[str], bool]) -> None:
        """Send what waits and what comes, as long as this connection lasts."""
        if self.session is not None:
            self._sending = asyncio.create_task(self._send_all(outbox_of(self.session), may_read))

    async def _send_all(self, outbox: Outbox, may_read: Callable[[str], bool]) -> None:
        while True:
            packet_id, message = await outbox.next()
            if not may_read(message.topic):
                # The right was taken away while the message waited.
                outbox.acknowledged(packet_id)
                continue
            number = packet_id or None
            packet = PublishPacket.build(message.topic, message.payload, number, False, message.qos, message.retained)
            await self._send_packet(packet)

    async def stop(self) -> None:
        """End this connection; what was not acknowledged goes back in line."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
            self._sending = None
            if self.session is not None:
                outbox_of(self.session).connection_ended()
        await super().stop()


class _Distributed(IncomingApplicationMessage):  # type: ignore[misc]
    """An incoming message that can say when it was distributed."""

    __slots__ = ("done",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.done = asyncio.Event()


class Engine(Broker):  # type: ignore[misc]
    """The broker library with our rules; connections come from the gate."""

    def __init__(self, users: UserTable, limits: BrokerLimits, keep: Keeper) -> None:
        listeners = {LISTENER: ListenerConfig(type=ListenerType.EXTERNAL, bind="external")}
        expiry = limits.session_seconds
        super().__init__(BrokerConfig(listeners=listeners, plugins={}, session_expiry_interval=expiry))
        self._users = users
        self._limits = limits
        self._keep = keep

    def open_session(self, client_id: str, username: str) -> Session:
        """The kept session of a client id, or a new one. The gate has made sure that it belongs to this user."""
        kept = self._sessions.get(client_id)
        session = kept[0] if kept is not None else Session()
        session.client_id = client_id
        session.username = username
        session.parent = 1 if kept is not None else 0
        if _OUTBOX not in session.attributes:
            session.attributes[_OUTBOX] = Outbox(self._limits.queued_messages, self._limits.inflight)
            session.attributes[_FILTERS] = set()
        return session

    async def _initialize_client_session(
        self, reader: FrameReader, writer: WriterAdapter, remote_address: str, remote_port: int
    ) -> tuple[_Handler, Session]:
        handler, asked = await _Handler.init_from_connect(reader, writer, self.plugins_manager)
        if asked.clean_session:
            await self._delete_session(asked.client_id)
        session = self.open_session(asked.client_id, asked.username)
        session.clean_session = asked.clean_session
        session.remote_address, session.remote_port = remote_address, remote_port
        # The frame reader watches over silence; amqtt's own timer does nothing when it goes off.
        session.keep_alive = 0
        session.attributes[_CONNECTING] = True
        return handler, session

    async def _client_message_loop(self, client_session: Session, handler: _Handler) -> None:
        client_session.attributes[_CONNECTING] = False
        await super()._client_message_loop(client_session, handler)

    async def _authenticate(self, session: Session, _: ListenerConfig) -> bool:
        # The gate did; but the user may have been taken off since.
        return self._users.get(session.username) is not None

    async def _topic_filtering(self, session: Session, topic: str, action: Action) -> bool:
        if action is Action.PUBLISH:
            return self._users.may_publish(session.username, topic)
        return self._users.may_subscribe(session.username, topic)

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        """Subscribe a session; returns the granted QoS or 0x80."""
        filter_, qos = subscription
        filters: set[str] = session.attributes[_FILTERS]
        if filter_ not in filters and len(filters) >= self._limits.subscriptions:
            return _REFUSED
        granted: int = await super().add_subscription((filter_, min(qos, 1)), session)
        if granted != _REFUSED:
            filters.add(filter_)
        return granted

    def _del_subscription(self, a_filter: str, session: Session) -> int:
        session.attributes[_FILTERS].discard(a_filter)
        gone: int = super()._del_subscription(a_filter, session)
        return gone

    async def _handle_message_delivery(self, session: Session, handler: _Handler, waiter: asyncio.Future[Any]) -> bool:
        message = waiter.result()
        try:
            go_on: bool = await super()._handle_message_delivery(session, handler, waiter)
        finally:
            if isinstance(message, _Distributed):
                message.done.set()
        return go_on

    async def _broadcast_message(
        self, session: Session | None, topic: str | None, data: bytes | None, force_qos: int | None = None
    ) -> None:
        if topic is None or not data:
            return
        for filter_, entries in self._subscriptions.items():
            if filter_ == topic or matches(filter_, topic):
                for target, qos in entries:
                    if self._users.may_subscribe(target.username, topic):
                        outbox_of(target).offer(Outgoing(topic, bytes(data), qos, retained=False))

    async def retain_message(
        self, source_session: Session | None, topic_name: str | None, data: bytes | None, qos: int | None = None
    ) -> None:
        """Keep or clear a retained message, in memory and on disk."""
        await super().retain_message(source_session, topic_name, data, qos)
        if topic_name is not None:
            await self._keep(topic_name, bytes(data or b""))

    def restore_retained(self, topic: str, payload: bytes) -> None:
        """Put back what was on disk."""
        self._retained_messages[topic] = RetainedApplicationMessage(None, topic, payload, 1)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        if session.attributes[_CONNECTING]:
            # amqtt passes the subscriptions of everybody here; retained messages belong to a SUBSCRIBE alone.
            return
        filter_, qos = subscription
        if "+" in filter_ or "#" in filter_:
            topics = [topic for topic in self._retained_messages if matches(filter_, topic)]
        else:
            topics = [filter_] if filter_ in self._retained_messages else []
        for topic in topics:
            if self._users.may_subscribe(session.username, topic):
                payload = bytes(self._retained_messages[topic].data)
                outbox_of(session).offer(Outgoing(topic, payload, min(qos, 1), retained=True))

    async def _publish_session_retained_messages(self, session: Session) -> None:
        handler = self._get_handler(session)
        if isinstance(handler, _Handler):
            handler.begin_sending(lambda topic: self._users.may_subscribe(session.username, topic))

    def kept_sessions(self) -> list[KeptSession]:
        """The sessions that outlive a restart, with everything that their clients have not acknowledged."""
        return [
            KeptSession(
                client_id,
                session.username,
                tuple((filter_, 1) for filter_ in sorted(session.attributes[_FILTERS])),
                tuple(outbox_of(session).messages()),
            )
            for client_id, (session, _) in self._sessions.items()
            if not session.clean_session
        ]

    async def restore_session(self, kept: KeptSession) -> None:
        """Put back a session; its client is away."""
        session = self.open_session(kept.client_id, kept.username)
        session.clean_session = False
        handler = _Handler(self.plugins_manager, session)
        session.transitions.disconnect()
        self._sessions[kept.client_id] = (session, handler)
        for subscription in kept.filters:
            await self.add_subscription(subscription, session)
        for message in kept.messages:
            outbox_of(session).offer(message)

    async def forget_users(self, names: set[str]) -> None:
        """End the sessions of users for good."""
        for client_id in [id_ for id_, (session, _) in self._sessions.items() if session.username in names]:
            await self._cleanup_session(client_id)

    def trim_subscriptions(self) -> None:
        """Take off subscriptions that the rights of their user no longer cover."""
        for filter_ in list(self._subscriptions):
            for session, _ in tuple(self._subscriptions[filter_]):
                if not self._users.may_subscribe(session.username, filter_):
                    self._del_subscription(filter_, session)
            if not self._subscriptions[filter_]:
                del self._subscriptions[filter_]
