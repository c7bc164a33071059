"""TLS at the broker inside a node and at Mosquitto, with an authority of our own (permissions.md 4)."""

from __future__ import annotations

import asyncio
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from channels.transports.base import LinkState
from channels.transports.mqtt import MqttTransport
from channels.transports.mqtt_client import MqttSettings
from channels.transports.topics import Kind, Topic
from node.runtime.broker.authority import (
    CertificateFiles,
    client_context,
    issue_client,
    issue_server,
    make_authority,
    server_context,
)
from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.errors import BrokerSettingsError, CertificateExists, CertificateInvalid
from node.runtime.broker.mosquitto import mosquitto_files
from node.runtime.broker.settings import BrokerLimits, BrokerSettings
from tests.conformance.brokers import PASSWORDS, SID, MosquittoHarness, users
from tests.support.processes import PATIENCE
from tests.unit.runtime.broker.raw_mqtt import RawClient, connect_packet, until

# A socket that nobody closed is found by what it says when it is thrown away.
pytestmark = [
    pytest.mark.broker,
    pytest.mark.filterwarnings("error::ResourceWarning", "error::pytest.PytestUnraisableExceptionWarning"),
]
NOW = datetime.now(UTC)
DATA = Topic(Kind.DATA, SID)


def transport(port: int, name: str, context: ssl.SSLContext) -> MqttTransport:
    settings = MqttSettings("127.0.0.1", port, name, name, PASSWORDS[name], context, timeout=60.0, backoff_first=0.05)
    return MqttTransport(settings)


async def test_nodes_talk_over_tls_and_plain_text_gets_no_answer(tmp_path: Path) -> None:
    authority = make_authority(tmp_path, "test", NOW)
    server = server_context(issue_server(tmp_path, authority, ["127.0.0.1"], NOW))
    limits = BrokerLimits(connect_seconds=5.0, connections=6)
    broker = EmbeddedBroker(BrokerSettings(port=0, users=users(), tls=server, limits=limits))
    await broker.start()
    trusting = client_context(authority.certificate)
    writer, reader = transport(broker.port, "writer", trusting), transport(broker.port, "reader", trusting)
    for one in (writer, reader):
        await one.start()
        await asyncio.wait_for(one.wait_connected(), PATIENCE)
    inbox = await asyncio.wait_for(reader.subscribe(Topic(Kind.DATA, SID)), PATIENCE)
    payload = bytes(range(256)) * 5000
    for i in range(10):
        await asyncio.wait_for(writer.publish(Topic(Kind.DATA, SID), bytes([i]) + payload), PATIENCE)
    for i in range(10):
        assert (await asyncio.wait_for(anext(inbox), PATIENCE)).payload == bytes([i]) + payload
    plain = await RawClient.open(broker.port)
    await plain.send(connect_packet("writer", PASSWORDS["writer"], "writer"))
    assert await plain.hung_up()
    # Attack: handshakes that never end count as connections and are cut.
    for _ in range(limits.connections - 2):
        await RawClient.open(broker.port)
    await until(lambda: broker.connections == limits.connections)
    assert await (await RawClient.open(broker.port)).hung_up()
    await until(lambda: broker.connections == 2)
    suspicious = transport(broker.port, "other", ssl.create_default_context())
    told: list[str] = []
    suspicious.on_state(lambda _, reason: told.append(reason))
    await suspicious.start()
    await until(lambda: any("certificate" in reason.lower() for reason in told))
    for one in (writer, reader, suspicious):
        await one.stop()
    await RawClient.close_all()
    await broker.stop()


async def _talks(port: int, context: ssl.SSLContext, other: ssl.SSLContext) -> None:
    writer, reader = transport(port, "writer", context), transport(port, "reader", other)
    for one in (writer, reader):
        await one.start()
        await asyncio.wait_for(one.wait_connected(), PATIENCE)
    inbox = await asyncio.wait_for(reader.subscribe(DATA), PATIENCE)
    await asyncio.wait_for(writer.publish(DATA, b"over TLS"), PATIENCE)
    assert (await asyncio.wait_for(anext(inbox), PATIENCE)).payload == b"over TLS"
    for one in (writer, reader):
        await one.stop()


async def _stays_out(port: int, context: ssl.SSLContext) -> None:
    told: list[str] = []
    outsider = transport(port, "other", context)
    outsider.on_state(lambda _, reason: told.append(reason))
    await outsider.start()
    await until(lambda: any(told))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outsider.wait_connected(), 0.5)
    await outsider.stop()


class _Kit:
    """An authority with a broker's certificate and one for a user; and a stranger's authority."""

    def __init__(self, folder: Path) -> None:
        self.authority = make_authority(folder / "own", "own", NOW)
        self.server = issue_server(folder / "own", self.authority, ["localhost", "127.0.0.1"], NOW)
        self.client = issue_client(folder / "own", self.authority, "writer", NOW)
        self.stranger = make_authority(folder / "strange", "strange", NOW)
        self.forged = issue_client(folder / "strange", self.stranger, "writer", NOW)

    def context(self, own: CertificateFiles | None) -> ssl.SSLContext:
        return client_context(self.authority.certificate, own)


async def test_the_broker_asks_for_a_client_certificate_beside_the_password(tmp_path: Path) -> None:
    kit = _Kit(tmp_path)
    tls = server_context(kit.server, kit.authority.certificate)
    broker = EmbeddedBroker(BrokerSettings(port=0, users=users(), tls=tls))
    await broker.start()
    await _talks(broker.port, kit.context(kit.client), kit.context(kit.client))
    await _stays_out(broker.port, kit.context(None))
    await _stays_out(broker.port, kit.context(kit.forged))
    await broker.stop()


@pytest.mark.parametrize("with_clients", [False, True])
async def test_mosquitto_speaks_tls_with_our_certificates(tmp_path: Path, with_clients: bool) -> None:
    kit = _Kit(tmp_path)
    broker = MosquittoHarness(tmp_path / "broker")
    tls = (kit.server.certificate, kit.server.key)
    client_authority = kit.authority.certificate if with_clients else None
    files = mosquitto_files(users(), tmp_path / "broker", port=broker.port, tls=tls, client_authority=client_authority)
    broker.adopt(files)
    await broker.start()
    own = kit.client if with_clients else None
    await _talks(broker.port, kit.context(own), kit.context(own))
    await _stays_out(broker.port, client_context(kit.stranger.certificate, own))
    if with_clients:
        await _stays_out(broker.port, kit.context(None))
        await _stays_out(broker.port, kit.context(kit.forged))
    wrong = MqttTransport(MqttSettings("127.0.0.1", broker.port, "w", "writer", "wrong", kit.context(own)))
    await wrong.start()
    await until(lambda: wrong.state is LinkState.REFUSED)
    await wrong.stop()
    await broker.stop()


def test_keys_are_for_their_owner_and_nothing_is_overwritten(tmp_path: Path) -> None:
    kit = _Kit(tmp_path)
    for files in (kit.authority, kit.server, kit.client):
        assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
        assert files.key.parent == files.certificate.parent
    before = kit.authority.key.read_bytes()
    with pytest.raises(CertificateExists):
        make_authority(tmp_path / "own", "again", NOW)
    with pytest.raises(CertificateExists):
        issue_server(tmp_path / "own", kit.authority, ["broker.local"], NOW)
    with pytest.raises(CertificateExists):
        issue_client(tmp_path / "own", kit.authority, "writer", NOW)
    assert kit.authority.key.read_bytes() == before


def test_what_the_certificates_say(tmp_path: Path) -> None:
    """RFC 5280: the authority may sign and nothing else, a leaf is for its one purpose."""
    kit = _Kit(tmp_path)
    authority, server, client = [
        x509.load_pem_x509_certificate(files.certificate.read_bytes())
        for files in (kit.authority, kit.server, kit.client)
    ]
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["localhost", "127.0.0.1"]
    for leaf, purpose in ((server, "serverAuth"), (client, "clientAuth")):
        leaf.verify_directly_issued_by(authority)
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [use._name for use in uses] == [purpose]
        assert leaf.not_valid_after_utc - leaf.not_valid_before_utc < timedelta(days=398)
    late = NOW + timedelta(days=3_640)
    short = issue_client(tmp_path / "late", kit.authority, "late", late)
    assert x509.load_pem_x509_certificate(short.certificate.read_bytes()).not_valid_after_utc <= (
        authority.not_valid_after_utc
    )
    with pytest.raises(CertificateInvalid):
        issue_client(tmp_path / "late", kit.authority, "too-late", late + timedelta(days=20))


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    kit = _Kit(tmp_path)
    mixed = CertificateFiles(kit.authority.certificate, kit.server.key)
    with pytest.raises(CertificateInvalid):
        issue_server(tmp_path / "x", mixed, ["a"], NOW)
    with pytest.raises(CertificateInvalid):
        server_context(CertificateFiles(kit.server.certificate, kit.client.key))
    with pytest.raises(CertificateInvalid):
        client_context(tmp_path / "missing.pem")
    for bad in ([], ["not a name"], ["-x"], ["a..b"]):
        with pytest.raises(BrokerSettingsError):
            issue_server(tmp_path / "x", kit.authority, bad, NOW)
    with pytest.raises(BrokerSettingsError):
        issue_client(tmp_path / "x", kit.authority, "../escape", NOW)
    with pytest.raises(BrokerSettingsError):
        mosquitto_files(users(), tmp_path, client_authority=kit.authority.certificate)
