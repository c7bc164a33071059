"""The files for a Mosquitto beside the node (operations.md F7), read by a real Mosquitto."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from channels.transports.base import LinkState
from channels.transports.topics import Kind, Topic
from node.runtime.broker.errors import BrokerSettingsError
from node.runtime.broker.mosquitto import mosquitto_files
from node.runtime.broker.passwords import hash_for_mosquitto, hash_password
from node.runtime.broker.settings import BrokerLimits, BrokerUser
from tests.conformance.brokers import SID, MosquittoHarness, users
from tests.support.processes import PATIENCE
from tests.unit.runtime.broker.raw_mqtt import RawClient, connect_packet, packet, publish_packet, subscribe_packet, text

DATA = Topic(Kind.DATA, SID)


@pytest_asyncio.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[MosquittoHarness]:
    harness = MosquittoHarness(tmp_path)
    await harness.start()
    yield harness
    await RawClient.close_all()
    await harness.stop()


def test_every_limit_is_written_out(tmp_path: Path) -> None:
    """Debian's Mosquitto 2.0.11 takes packets of 256 MB by default."""
    limits = BrokerLimits(connections=77, packet_bytes=1234, inflight=9, queued_messages=55)
    config = mosquitto_files(users(), tmp_path, port=1234, limits=limits).config.splitlines()
    for line in (
        "listener 1234 127.0.0.1",
        "max_connections 77",
        "max_packet_size 1234",
        "max_inflight_messages 9",
        "max_queued_messages 55",
        "allow_anonymous false",
        "persistence true",
    ):
        assert line in config


def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    path = mosquitto_files(users(), tmp_path).write(tmp_path)
    mosquitto_files(users()[:1], tmp_path).write(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["acl", "mosquitto.conf", "passwords"]
    for name in os.listdir(tmp_path):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600
    assert path == tmp_path / "mosquitto.conf"
    assert "reader" not in (tmp_path / "acl").read_text()


def test_rights_are_written_as_they_are_and_nothing_more(tmp_path: Path) -> None:
    one = BrokerUser("one", hash_for_mosquitto("x"), ("a/b",), ("c/+", "d"))
    two = BrokerUser("two", hash_for_mosquitto("y"))
    files = mosquitto_files((one, two), tmp_path)
    assert files.acl == "user one\ntopic write a/b\ntopic read c/+\ntopic read d\n\nuser two\n\n"
    assert files.passwords.splitlines() == [f"one:{one.password_hash}", f"two:{two.password_hash}"]


def test_what_mosquitto_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokerSettingsError):
        mosquitto_files((BrokerUser("one", hash_password("x")),), tmp_path)
    for bad in ("127.0.0.1\nallow_anonymous true", "", " "):
        with pytest.raises(BrokerSettingsError):
            mosquitto_files(users(), tmp_path, host=bad)
    with pytest.raises(BrokerSettingsError):
        mosquitto_files(users(), tmp_path / "a\nuser root")


@pytest.mark.broker
async def test_a_user_that_is_taken_off_is_cut_off_on_sighup(mosquitto: MosquittoHarness) -> None:
    """operations.md test 19: revocation ends the connection, not only the next login."""
    reader, writer = mosquitto.transport("reader"), mosquitto.transport("writer")
    for transport in (reader, writer):
        await transport.start()
        await asyncio.wait_for(transport.wait_connected(), PATIENCE)
    refused = asyncio.Event()
    reader.on_state(lambda state, _: refused.set() if state is LinkState.REFUSED else None)
    mosquitto.write(tuple(user for user in users() if user.name != "reader"))
    mosquitto.process.send_signal(1)
    await asyncio.wait_for(refused.wait(), PATIENCE)
    assert writer.state is LinkState.CONNECTED
    await asyncio.wait_for(writer.publish(DATA, b"goes on"), PATIENCE)
    mosquitto.write(users())
    mosquitto.process.send_signal(1)
    await asyncio.wait_for(reader.wait_connected(), PATIENCE)
    for transport in (reader, writer):
        await transport.stop()


async def raw(mosquitto: MosquittoHarness, user: str, password: str, client_id: str) -> tuple[RawClient, int]:
    client = await RawClient.open(mosquitto.port)
    await client.send(connect_packet(user, password, client_id))
    kind, body = await client.receive()
    return client, body[1] if kind else -1


@pytest.mark.broker
async def test_an_attacker_gets_as_little_as_from_the_broker_inside(mosquitto: MosquittoHarness) -> None:
    assert (await raw(mosquitto, "reader", "wrong", "reader"))[1] == 5
    assert (await raw(mosquitto, "nobody", "x", "nobody"))[1] == 5
    anonymous = await RawClient.open(mosquitto.port)
    await anonymous.send(packet(0x10, text("MQTT") + b"\x04\x02\x00\x3c" + text("anonymous")))
    assert (await anonymous.receive())[1][1:] in (b"\x05", b"")
    reader, code = await raw(mosquitto, "reader", "r-secret", "writer")
    assert code == 0, "the client id is taken from the user name, whatever was sent"
    writer, code = await raw(mosquitto, "writer", "w-secret", "writer")
    assert code == 0
    await reader.send(subscribe_packet("#", "$SYS/#", "$share/g/#"))
    assert (await reader.receive())[0] == 0x90
    await reader.send(publish_packet(DATA.name, b"forged", retain=True))
    await reader.receive()
    await writer.send(publish_packet(Topic(Kind.CAPSULE, SID, b"\x0b" * 32).name, b"for another", retain=True))
    assert (await writer.receive())[0] == 0x40
    assert await reader.silent(), "the connection is alive and hears nothing foreign"
    await writer.send(packet(0x32, text(DATA.name) + b"\x00\x01" + bytes(65536), announced=200 * 1024 * 1024))
    assert await writer.hung_up()
