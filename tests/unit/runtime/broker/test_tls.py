"""TLS at the broker inside a node, with a certificate made for the test."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from channels.transports.mqtt import MqttTransport
from channels.transports.mqtt_client import MqttSettings
from channels.transports.topics import Kind, Topic
from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.settings import BrokerLimits, BrokerSettings
from tests.conformance.brokers import PASSWORDS, SID, users
from tests.unit.runtime.broker.raw_mqtt import RawClient, connect_packet, until

pytestmark = pytest.mark.broker


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker under test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    built = built.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    built = built.add_extension(address, critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signed = built.sign(key, hashes.SHA256())
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


def transport(port: int, name: str, context: ssl.SSLContext) -> MqttTransport:
    settings = MqttSettings("127.0.0.1", port, name, name, PASSWORDS[name], context, timeout=5.0, backoff_first=0.05)
    return MqttTransport(settings)


async def test_nodes_talk_over_tls_and_plain_text_gets_no_answer(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(chain, key)
    limits = BrokerLimits(connect_seconds=2.0, connections=6)
    broker = EmbeddedBroker(BrokerSettings(port=0, users=users(), tls=server, limits=limits))
    await broker.start()
    trusting = ssl.create_default_context(cafile=str(chain))
    writer, reader = transport(broker.port, "writer", trusting), transport(broker.port, "reader", trusting)
    for one in (writer, reader):
        await one.start()
        await asyncio.wait_for(one.wait_connected(), 20)
    inbox = await asyncio.wait_for(reader.subscribe(Topic(Kind.DATA, SID)), 20)
    payload = bytes(range(256)) * 5000
    for i in range(10):
        await asyncio.wait_for(writer.publish(Topic(Kind.DATA, SID), bytes([i]) + payload), 20)
    for i in range(10):
        assert (await asyncio.wait_for(anext(inbox), 20)).payload == bytes([i]) + payload
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
