"""Homes and gateways that only call out: their parts for pairing and mail, each with a connection to a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiomqtt

from channels.transports.base import Transport
from channels.transports.mqtt import MqttTransport
from channels.transports.mqtt_client import MqttSettings
from keys.identity import Identity
from keys.messages import registry_domain
from keys.parcel import Parcel
from keys.phrase import generate_mnemonic
from node.api.forms import PairForm
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.mail import Mailbox
from node.app.parcels import Post
from node.app.streams.meeting import MeetingPoint
from node.app.streams.pairing import GatewayPairing, HomePairing
from node.clock import SystemClock
from node.config import Settings
from node.errors import NodeError
from node.observability import Metrics
from node.projection.base import Peer
from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.passwords import hash_for_mosquitto
from node.runtime.broker.patterns import mail_rights, meeting_rights
from node.runtime.broker.settings import BrokerSettings, BrokerUser
from node.runtime.supervisor import Lifecycle, Service
from node.storage.errors import DuplicateParcel
from tests.conformance.brokers import MosquittoHarness
from tests.support.processes import until

__all__ = ["Facts", "Side", "account", "heard", "meeting", "mqtt", "network", "real_broker", "side"]

REGISTRY = b"\x0c" * 20


class Facts:
    """What a node remembers, in memory: facts, events, and the ids of parcels that it took in."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Any] = {}
        self.events: list[object] = []
        self.seen: set[bytes] = set()
        self.facts = self

    async def get(self, namespace: str, name: str) -> Any:
        return self.rows.get((namespace, name))

    async def set(self, namespace: str, name: str, value: Any) -> None:
        self.rows[namespace, name] = value

    async def keep(self, events: Sequence[object], facts: Sequence[Any] = (), extras: Sequence[Any] = ()) -> None:
        for extra in extras:
            if extra.id in self.seen:
                raise DuplicateParcel("taken in before")
            self.seen.add(extra.id)
        self.events.extend(events)
        for namespace, name, value in facts:
            self.rows[namespace, name] = value


@dataclass
class Side:
    """One node, for as long as it runs."""

    name: str
    core: Core
    memory: Facts
    post: Post
    mailbox: Mailbox
    gateway: GatewayPairing
    home: HomePairing
    inbox: Inbox
    running: list[tuple[Lifecycle, asyncio.Future[None]]] = field(default_factory=list)

    @property
    def peer(self) -> Peer:
        return Peer(self.core.signer.address, self.core.public_url, self.core.keys.sealing.public_bytes)

    @property
    def taken(self) -> list[Parcel]:
        """What its inbox took in."""
        return [event for event in self.memory.events if isinstance(event, Parcel)]

    async def run(self, *services: Service) -> None:
        for service in services:
            life = Lifecycle()
            self.running.append((life, asyncio.ensure_future(service.run(life))))
            await asyncio.sleep(0)

    async def rest(self) -> None:
        """Ends what runs, as a process does that stops."""
        running, self.running = self.running, []
        for life, task in running:
            life.stop.set()
            await task

    async def listens(self) -> None:
        async def reads() -> bool:
            return bool(self.mailbox.reads)

        await self.run(self.mailbox.service())
        await until(f"{self.name} reads its mailbox", reads)

    async def pair(self, code: str) -> str:
        """The state afterwards, or the error's code and message."""
        try:
            return (await self.home.pair(PairForm(code=code))).state
        except NodeError as error:
            return f"{error.code}: {error.message} {error.remedy}"


def side(
    name: str,
    transport: Transport,
    memory: Facts | None = None,
    identity: Identity | None = None,
    reachable: bool = False,
) -> Side:
    """A node that is a home and a gateway at once, as far as pairing goes; what is not asked for does nothing."""
    role = "gateway" if name.startswith("gateway") else "home"
    memory, identity = memory or Facts(), identity or Identity.from_mnemonic(generate_mnemonic())
    settings = Settings.model_validate(
        {
            "node": {"name": name, "roles": (role,), "outbound_only": not reachable},
            "chain": {"registry": "0x" + REGISTRY.hex()},
        }
    )
    keys = SimpleNamespace(identity=identity, sealing=identity.sealing_key("inbox"), keystore=None)
    chain = SimpleNamespace(domain=registry_domain(settings.chain.chain_id, REGISTRY))

    async def page(*_: object, **__: object) -> list[object]:
        return []

    storage = SimpleNamespace(memory=memory, views=SimpleNamespace(page=page))
    parts: list[Any] = [settings, SystemClock(), Metrics(), keys, storage, chain, transport, None, 0]
    core = Core(*parts)
    inbox = Inbox(core)

    async def take(parcel: bytes) -> None:
        await inbox.take(parcel, "mailbox")

    async def nobody() -> None:
        return None

    core.mail = mailbox = Mailbox(core, take)
    owner = SimpleNamespace(owner=identity.wallet(), gateway=nobody)
    made = Side(
        name, core, memory, Post(core), mailbox, GatewayPairing(core), HomePairing(core, cast("Any", owner)), inbox
    )  # fmt: skip

    async def note(parcel: Any) -> Kept:
        return Kept((parcel,))

    inbox.on("note", note)
    inbox.on("other", note)
    return made


def account(name: str, identity: Identity) -> BrokerUser:
    """A broker's user for a node that pairs and takes parcels over the broker, with exactly the rights for that."""
    mail, meet = mail_rights(identity.sealing_key("inbox").key_hash()), meeting_rights()
    return BrokerUser(name, hash_for_mosquitto(name), (*mail[0], *meet[0]), (*mail[1], *meet[1]))


def mqtt(port: int, name: str) -> MqttTransport:
    return MqttTransport(MqttSettings("127.0.0.1", port, name, name, name, backoff_first=0.05, backoff_most=0.5))


@asynccontextmanager
async def network(port: int, identities: dict[str, Identity]) -> AsyncIterator[dict[str, Side]]:
    """Nodes that are connected to a broker, by name; nothing of theirs runs yet."""
    async with AsyncExitStack() as stack:
        found = {}
        for name, identity in identities.items():
            transport = mqtt(port, name)
            await transport.start()
            stack.push_async_callback(transport.stop)
            found[name] = side(name, transport, identity=identity)
            stack.push_async_callback(found[name].rest)
        yield found


def meeting(node: Side) -> Service:
    """The gateway's part that answers homes over the broker."""
    return MeetingPoint(node.core, node.gateway).service()


@asynccontextmanager
async def heard(port: int, name: str, *filters: str) -> AsyncIterator[tuple[aiomqtt.Client, list[aiomqtt.Message]]]:
    """A client of no node, for attacks; and all that it hears under its filters."""
    messages: list[aiomqtt.Message] = []
    async with aiomqtt.Client("127.0.0.1", port, username=name, password=name, identifier=name) as client:

        async def listen() -> None:
            async for message in client.messages:
                messages.append(message)

        for each in filters:
            await client.subscribe(each, 1)
        listening = asyncio.create_task(listen())
        try:
            yield client, messages
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@asynccontextmanager
async def real_broker(kind: str, folder: Path, users: tuple[BrokerUser, ...]) -> AsyncIterator[int]:
    """The port of the broker inside a node (`embedded`) or of a real Mosquitto, with these users."""
    if kind == "embedded":
        broker = EmbeddedBroker(BrokerSettings(port=0, users=users))
        await broker.start()
        try:
            yield broker.port
        finally:
            await broker.stop()
        return
    mosquitto = MosquittoHarness(folder)
    mosquitto.write(users)
    await mosquitto.start()
    try:
        yield mosquitto.port
    finally:
        await mosquitto.stop()
