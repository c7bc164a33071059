"""The broker inside a node under attack (operations.md F5, F6, tests 18, 20, 29, 30; channels.md 7)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from node.runtime.broker.embedded import EmbeddedBroker
from node.runtime.broker.errors import BrokerNotStarted, BrokerSettingsError
from node.runtime.broker.passwords import hash_for_mosquitto, hash_password
from node.runtime.broker.patterns import reader_rights, writer_rights
from node.runtime.broker.settings import BrokerLimits, BrokerSettings, BrokerUser
from tests.support.processes import PATIENCE
from tests.unit.runtime.broker.raw_mqtt import (
    RawClient,
    connect_packet,
    connected,
    packet,
    publish_packet,
    subscribe_packet,
    text,
    until,
)

pytestmark = pytest.mark.broker

SID, OTHER_SID, GRANT, GRANT2 = b"\x01" * 32, b"\x02" * 32, b"\x0a" * 32, b"\x0b" * 32
STREAM = f"wattpact/v1/{SID.hex()}"
DATA, COMMITS, ASK = f"{STREAM}/data", f"{STREAM}/commits", f"{STREAM}/ask"
CAPSULE, CAPSULE2 = f"{STREAM}/capsule/{GRANT.hex()}", f"{STREAM}/capsule/{GRANT2.hex()}"
LIMITS = BrokerLimits(connections=20, connections_per_address=16, subscriptions=20)


def user(name: str, rights: tuple[tuple[str, ...], tuple[str, ...]]) -> BrokerUser:
    return BrokerUser(name, hash_for_mosquitto(name[::-1]), *rights)


WRITER = user("writer", writer_rights(SID))
READER, OTHER = user("reader", reader_rights(SID, GRANT)), user("other", reader_rights(SID, GRANT2))
USERS = (WRITER, READER, OTHER)


@pytest_asyncio.fixture(autouse=True)
async def _clients_are_closed() -> AsyncIterator[None]:
    yield
    await RawClient.close_all()


@pytest_asyncio.fixture
async def broker() -> AsyncIterator[EmbeddedBroker]:
    running = EmbeddedBroker(BrokerSettings(port=0, users=USERS, limits=LIMITS))
    await running.start()
    yield running
    await running.stop()


async def refusal_of(broker: EmbeddedBroker, data: bytes) -> int:
    """The CONNACK code, or -1 when the broker hung up without a word."""
    client = await RawClient.open(broker.port)
    await client.send(data)
    kind, body = await client.receive()
    if kind:
        assert kind == 0x20
        assert body[1] == 0 or await client.hung_up()
    await client.close()
    return body[1] if kind else -1


@pytest.mark.parametrize("half", [b"", b"\x10", connect_packet("writer", "retirw", "writer")[:-3]])
async def test_half_a_connect_is_not_waited_for(half: bytes) -> None:
    """operations.md F5: amqtt alone holds it for ever."""
    limits = replace(LIMITS, connect_seconds=0.3)
    running = EmbeddedBroker(BrokerSettings(port=0, users=USERS, limits=limits))
    await running.start()
    client = await RawClient.open(running.port)
    await client.send(half)
    assert await client.hung_up()
    await until(lambda: running.connections == 0)
    await running.stop()


async def test_half_a_packet_is_not_waited_for() -> None:
    limits = replace(LIMITS, packet_seconds=0.3)
    running = EmbeddedBroker(BrokerSettings(port=0, users=USERS, limits=limits))
    await running.start()
    client = await connected(running, "writer")
    await client.send(publish_packet(DATA, b"x" * 1000)[:-1])
    assert await client.hung_up()
    await until(lambda: running.connections == 0)
    await running.stop()


async def test_a_packet_of_200_mb_is_refused_when_its_length_is_read(broker: EmbeddedBroker) -> None:
    """operations.md F5, test 30: not buffered first."""
    client = await connected(broker, "writer")
    process = psutil.Process()
    before = process.memory_info().rss
    size = 200 * 1024 * 1024
    await client.send(packet(0x32, text(DATA) + b"\x00\x01", announced=size))
    chunk = b"x" * 65536
    try:
        for _ in range(size // len(chunk)):
            await client.send(chunk)
    except ConnectionError:
        pass
    assert await client.hung_up()
    assert process.memory_info().rss - before < 16 * 1024 * 1024
    await (await connected(broker, "writer")).close()


@pytest.mark.parametrize(
    "first",
    [
        packet(0x10, b"x" * 100, announced=200 * 1024 * 1024),
        packet(0x10, b"\xff" * 5000),
        b"\x10\xff\xff\xff\xff\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        publish_packet(DATA, b"before connecting"),
        packet(0x10, text("MQIsdp") + b"\x03\xc2\x00\x3c" + text("writer") + text("writer") + text("retirw")),
        connect_packet("writer", "retirw", "writer").replace(b"writer", b"wr\xffter"),
    ],
)
async def test_a_first_packet_that_is_no_connect_ends_the_connection(broker: EmbeddedBroker, first: bytes) -> None:
    assert await refusal_of(broker, first) == -1


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (connect_packet("writer", "wrong", "writer"), 5),
        (connect_packet("writer", "", "writer"), 5),
        (connect_packet("nobody", "ydobon", "nobody"), 5),
        (connect_packet("", "", ""), 2),
        (packet(0x10, text("MQTT") + b"\x04\x02\x00\x3c" + text("anonymous")), 5),
        (packet(0x10, text("MQTT") + b"\x04\x82\x00\x3c" + text("writer") + text("writer")), 5),
        (packet(0x10, text("MQTT") + b"\x05\xc2\x00\x3c\x00" + text("writer") + text("writer") + text("retirw")), 1),
        (connect_packet("writer", "retirw", "writer", will=(DATA, "last words")), 5),
    ],
)
async def test_who_is_not_known_stays_outside(broker: EmbeddedBroker, data: bytes, code: int) -> None:
    assert await refusal_of(broker, data) == code


@pytest.mark.parametrize("client_id", ["writer", "writer:2", "readerx", "reade", "x:reader"])
async def test_a_client_id_of_another_user_is_refused(broker: EmbeddedBroker, client_id: str) -> None:
    """Attack: inherit the session of another user, with all that waits in it."""
    assert await refusal_of(broker, connect_packet("reader", "redaer", client_id)) == 2
    await (await connected(broker, "reader", "reader:2")).close()


async def test_a_wrong_password_under_a_live_client_id_changes_nothing(broker: EmbeddedBroker) -> None:
    """Attack: in amqtt the name of an unauthenticated CONNECT lands in the live session and lends it its rights."""
    reader = await connected(broker, "reader")
    assert await refusal_of(broker, connect_packet("writer", "wrong", "reader")) == 5
    assert await refusal_of(broker, connect_packet("reader", "wrong", "reader", clean=True)) == 5
    await reader.send(publish_packet(COMMITS, b"forged", retain=True))
    assert (await reader.receive())[0] == 0x40
    await reader.send(subscribe_packet(COMMITS))
    assert await reader.receive() == (0x90, b"\x00\x01\x01")
    assert await reader.silent(), "nothing was retained, and the connection is alive"


async def test_guessing_passwords_is_slowed_down(broker: EmbeddedBroker) -> None:
    for _ in range(LIMITS.failed_logins_per_minute):
        assert await refusal_of(broker, connect_packet("reader", "guess", "reader")) == 5
    assert await refusal_of(broker, connect_packet("reader", "redaer", "reader")) == 5, "even the right one now"
    assert broker.refused["too many wrong passwords"] == 1
    await (await connected(broker, "writer")).close()


async def test_connections_are_capped_per_address_and_in_all(broker: EmbeddedBroker) -> None:
    """operations.md test 29."""
    held = [await RawClient.open(broker.port) for _ in range(LIMITS.connections_per_address)]
    await until(lambda: broker.connections == LIMITS.connections_per_address)
    assert await (await RawClient.open(broker.port)).hung_up()
    await held.pop().close()
    await until(lambda: broker.connections == LIMITS.connections_per_address - 1)
    await (await connected(broker, "writer")).close()
    for client in held:
        await client.close()
    await until(lambda: broker.connections == 0)
    limits = replace(LIMITS, connections=2)
    small = EmbeddedBroker(BrokerSettings(port=0, users=USERS, limits=limits))
    await small.start()
    one, two = await connected(small, "writer"), await connected(small, "reader")
    assert await (await RawClient.open(small.port)).hung_up()
    await one.close()
    await two.close()
    await small.stop()


FORBIDDEN = [
    ("reader", "#"),
    ("reader", "+/+/+/data"),
    ("reader", f"{STREAM}/#"),
    ("reader", f"{STREAM}/+"),
    ("reader", f"{STREAM}/capsule/+"),
    ("reader", CAPSULE2),
    ("reader", ASK),
    ("reader", f"wattpact/v1/{OTHER_SID.hex()}/data"),
    ("reader", f"$share/group/{DATA}"),
    ("reader", "$SYS/#"),
    ("reader", f"{DATA}/"),
    ("reader", f"/{DATA}"),
    ("reader", DATA.upper()),
    ("reader", ""),
    ("writer", "#"),
    ("writer", f"{STREAM}/#"),
    ("writer", "wattpact/v1/+/ask"),
    ("writer", f"{STREAM}/capsule/+"),
]


@pytest.mark.parametrize(("name", "filter_"), FORBIDDEN)
async def test_a_subscription_beyond_the_rights_is_refused(broker: EmbeddedBroker, name: str, filter_: str) -> None:
    """channels.md 7: what is not allowed is forbidden; wildcards and shared subscriptions are no way around it."""
    client = await connected(broker, name)
    await client.send(subscribe_packet(filter_))
    assert await client.receive() == (0x90, b"\x00\x01\x80")


@pytest.mark.parametrize("topic", [DATA, COMMITS, f"{STREAM}/checkpoints", CAPSULE, CAPSULE2, "$SYS/x", "other", ""])
async def test_only_the_writer_writes_the_stream(broker: EmbeddedBroker, topic: str) -> None:
    writer, reader = await connected(broker, "writer"), await connected(broker, "reader")
    await writer.send(subscribe_packet(DATA, COMMITS, f"{STREAM}/checkpoints", ASK))
    await writer.receive()
    await reader.send(publish_packet(topic, b"forged", retain=True))
    await reader.receive()
    assert await writer.silent()
    late = await connected(broker, "other")
    await late.send(subscribe_packet(DATA, COMMITS, CAPSULE2))
    await late.receive()
    assert await late.silent()


async def test_retained_messages_go_only_to_who_asked_for_them(broker: EmbeddedBroker) -> None:
    """Attack: amqtt sends the retained messages of everybody's subscriptions to whoever connects."""
    writer = await connected(broker, "writer")
    await writer.send(publish_packet(CAPSULE, b"for the reader", retain=True))
    assert (await writer.receive())[0] == 0x40
    reader = await connected(broker, "reader")
    await reader.send(subscribe_packet(CAPSULE))
    assert (await reader.receive())[0] == 0x90
    kind, body = await reader.receive()
    assert (kind & 0xF1, body[-14:]) == (0x31, b"for the reader")
    other = await connected(broker, "other")
    assert await other.silent()
    again = await connected(broker, "other")
    assert await again.silent()


async def test_a_right_that_is_taken_away_ends_now(broker: EmbeddedBroker) -> None:
    """operations.md F6, test 19: also for what waits already."""
    writer, reader = await connected(broker, "writer"), await connected(broker, "reader")
    await reader.send(subscribe_packet(DATA, CAPSULE))
    await reader.receive()
    await broker.set_users((WRITER, replace(READER, subscribe=(CAPSULE,)), OTHER))
    await writer.send(publish_packet(DATA, b"too late"))
    await writer.receive()
    assert await reader.silent()
    await reader.send(subscribe_packet(DATA, number=2))
    assert await reader.receive() == (0x90, b"\x00\x02\x80")
    await broker.set_users(USERS)
    await writer.send(publish_packet(DATA, b"subscribed no more", 2))
    await writer.receive()
    assert await reader.silent(), "rights that come back do not bring subscriptions back"


async def test_what_waits_for_a_client_that_is_away_is_not_sent_after_its_right_ended(broker: EmbeddedBroker) -> None:
    writer, reader = await connected(broker, "writer"), await connected(broker, "reader")
    await reader.send(subscribe_packet(DATA))
    await reader.receive()
    await reader.close()
    await until(lambda: broker.connections == 1)
    await writer.send(publish_packet(DATA, b"waits"))
    await writer.receive()
    await broker.set_users((WRITER, replace(READER, subscribe=()), OTHER))
    again = await connected(broker, "reader")
    assert await again.silent()


async def test_a_user_that_is_taken_off_is_cut_off(broker: EmbeddedBroker) -> None:
    reader = await connected(broker, "reader")
    await reader.send(subscribe_packet(DATA))
    await reader.receive()
    await broker.set_users((WRITER, OTHER))
    assert await reader.hung_up()
    assert await refusal_of(broker, connect_packet("reader", "redaer", "reader")) == 5
    await broker.set_users((WRITER, replace(OTHER, password_hash=hash_password("new"))))
    assert await refusal_of(broker, connect_packet("other", "rehto", "other")) == 5
    assert await refusal_of(broker, connect_packet("other", "new", "other")) == 0


async def test_qos_2_and_reserved_packets_end_the_connection_and_nothing_else(broker: EmbeddedBroker) -> None:
    quiet = await connected(broker, "other")
    for data in (
        publish_packet(DATA, b"x", qos=2),
        b"\xf0\x00",
        b"\x00\x00",
        connect_packet("writer", "retirw", "writer"),
    ):
        client = await connected(broker, "writer")
        await client.send(data)
        assert await client.hung_up()
    await quiet.send(b"\xc0\x00")
    assert (await quiet.receive())[0] == 0xD0


async def test_a_lying_topic_length_does_not_read_into_the_next_packet(broker: EmbeddedBroker) -> None:
    client = await connected(broker, "writer")
    await client.send(packet(0x32, b"\xff\xff" + b"x" * 10) + publish_packet(DATA, b"y"))
    assert await client.hung_up()


async def test_subscriptions_of_one_client_are_bounded(broker: EmbeddedBroker) -> None:
    wide = user("wide", ((), tuple(f"{STREAM}/{i}" for i in range(50))))
    await broker.set_users((*USERS, wide))
    client = await connected(broker, "wide")
    await client.send(subscribe_packet(*(f"{STREAM}/{i}" for i in range(50))))
    _, body = await client.receive()
    assert body[2:].count(0x01) == LIMITS.subscriptions
    assert body[2:].count(0x80) == 50 - LIMITS.subscriptions


async def test_what_waits_for_one_client_is_bounded() -> None:
    limits = replace(LIMITS, queued_messages=10, inflight=5)
    running = EmbeddedBroker(BrokerSettings(port=0, users=USERS, limits=limits))
    await running.start()
    reader = await connected(running, "reader")
    await reader.send(subscribe_packet(DATA))
    await reader.receive()
    await reader.close()
    await until(lambda: running.connections == 0)
    writer = await connected(running, "writer")
    for i in range(100):
        await writer.send(publish_packet(DATA, b"%d" % i, i + 1))
        await writer.receive()
    again = await connected(running, "reader")
    found: list[bytes] = []
    while len(found) < 10:
        kind, body = await again.receive()
        assert kind & 0xF0 == 0x30
        number = body[2 + len(DATA) : 4 + len(DATA)]
        await again.send(packet(0x40, number))
        found.append(body[4 + len(DATA) :])
    assert found == [b"%d" % i for i in range(10)]
    assert await again.silent()
    await running.stop()


async def test_a_client_that_never_reads_does_not_stop_the_others(broker: EmbeddedBroker) -> None:
    stuck, writer, reader = [await connected(broker, name) for name in ("other", "writer", "reader")]
    for client in (stuck, reader):
        await client.send(subscribe_packet(DATA))
        await client.receive()
    stuck.reader._transport.pause_reading()  # type: ignore[attr-defined]
    payload = b"x" * 500_000
    for i in range(60):
        await writer.send(publish_packet(DATA, payload, i + 1))
        assert (await writer.receive())[0] == 0x40
        kind, body = await reader.receive()
        assert kind & 0xF0 == 0x30
        await reader.send(packet(0x40, body[2 + len(DATA) : 4 + len(DATA)]))
    await asyncio.wait_for(broker.stop(), PATIENCE)


async def test_a_second_connection_of_one_client_ends_the_first(broker: EmbeddedBroker) -> None:
    one = await connected(broker, "reader")
    await one.send(subscribe_packet(DATA))
    await one.receive()
    two = await connected(broker, "reader")
    assert await one.hung_up()
    writer = await connected(broker, "writer")
    await writer.send(publish_packet(DATA, b"to the second"))
    assert (await two.receive())[1].endswith(b"to the second")


async def test_many_reconnects_leave_nothing_behind(broker: EmbeddedBroker) -> None:
    tasks = len(asyncio.all_tasks())
    for i in range(60):
        client = await RawClient.open(broker.port)
        await client.send(connect_packet("reader", "redaer", "reader"))
        if i % 3:
            await client.receive()
        if i % 2:
            client.writer.transport.abort()
        await client.close()
    await until(lambda: broker.connections == 0)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)


async def test_a_taken_port_and_a_bad_state_file_are_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = EmbeddedBroker(BrokerSettings(port=taken.getsockname()[1], users=USERS))
        with pytest.raises(BrokerNotStarted):
            await running.start()
        assert not running.running
    (tmp_path / "state").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(BrokerNotStarted):
        await EmbeddedBroker(BrokerSettings(port=0, users=USERS, state_file=tmp_path / "state")).start()
    with pytest.raises(BrokerNotStarted):
        _ = EmbeddedBroker(BrokerSettings(port=0)).port
    with pytest.raises(BrokerSettingsError):
        EmbeddedBroker(BrokerSettings(port=0, users=(WRITER, WRITER)))


async def test_the_state_file_does_not_bring_removed_users_back(tmp_path: Path) -> None:
    settings = BrokerSettings(port=0, users=USERS, limits=LIMITS, state_file=tmp_path / "state")
    first = EmbeddedBroker(settings)
    await first.start()
    writer, reader = await connected(first, "writer"), await connected(first, "reader")
    await reader.send(subscribe_packet(DATA))
    await reader.receive()
    await reader.close()
    await until(lambda: first.connections == 1)
    await writer.send(publish_packet(DATA, b"waits over the restart"))
    await writer.receive()
    await first.stop()
    second = EmbeddedBroker(replace(settings, users=(WRITER, OTHER)))
    await second.start()
    await second.set_users(USERS)
    again = await connected(second, "reader")
    assert await again.silent()
    await second.stop()
