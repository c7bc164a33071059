"""What every Transport promises (channels.md 7): one suite over the hub, the broker inside a node, Mosquitto, and
the relay over HTTP.

Time limits here only keep a broken transport from hanging the run; nothing is asserted about speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
import pytest_asyncio

from channels.errors import PayloadTooLarge, TransportClosed, TransportError, TransportRefused
from channels.transports.base import MAX_PAYLOAD, Delivery, LinkState, Subscription, Transport
from channels.transports.topics import Kind, Topic
from tests.conformance.brokers import (
    GRANT,
    GRANT2,
    SID,
    Broker,
    EmbeddedHarness,
    HubHarness,
    MosquittoHarness,
    RelayHarness,
)

T = TypeVar("T")

COMMITS, DATA, CHECKPOINTS = (Topic(kind, SID) for kind in (Kind.COMMITS, Kind.DATA, Kind.CHECKPOINTS))
ASK = Topic(Kind.ASK, SID)
CAPSULE, REPLAY = Topic(Kind.CAPSULE, SID, GRANT), Topic(Kind.REPLAY, SID, GRANT)

pytestmark = pytest.mark.broker


class World:
    """A running broker and the transports a test opened on it."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self._opened: list[Transport] = []

    async def open(self, name: str) -> Transport:
        transport = self.broker.transport(name)
        self._opened.append(transport)
        await transport.start()
        await soon(transport.wait_connected())
        return transport

    async def close(self) -> None:
        for transport in self._opened:
            await transport.stop()
        await self.broker.stop()


async def soon(work: Awaitable[T], seconds: float = 30) -> T:
    return await asyncio.wait_for(work, seconds)


async def take(subscription: Subscription, count: int) -> list[Delivery]:
    return [await soon(anext(subscription)) for _ in range(count)]


async def nothing_more(subscription: Subscription) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(subscription), 0.3)


@pytest_asyncio.fixture(params=["hub", "embedded", "mosquitto", "http"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    broker: Broker
    if request.param == "hub":
        broker = HubHarness()
    elif request.param == "embedded":
        broker = EmbeddedHarness(tmp_path)
    elif request.param == "mosquitto":
        broker = MosquittoHarness(tmp_path)
    else:
        broker = RelayHarness(tmp_path)
    await broker.start()
    world = World(broker)
    yield world
    await world.close()


@pytest.mark.parametrize("topic", [COMMITS, DATA, CHECKPOINTS, CAPSULE, REPLAY])
async def test_what_the_writer_sends_arrives_at_the_reader(world: World, topic: Topic) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(reader.subscribe(topic))
    await soon(writer.publish(topic, b"\x00payload\xff"))
    (delivery,) = await take(inbox, 1)
    assert delivery == Delivery(topic.kind, SID, topic.key, b"\x00payload\xff", retained=False)


async def test_requests_go_the_other_way(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(writer.subscribe(ASK))
    await soon(reader.publish(ASK, b"please"))
    (delivery,) = await take(inbox, 1)
    assert (delivery.kind, delivery.payload) == (Kind.ASK, b"please")


async def test_the_last_commit_and_checkpoint_are_retained(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    for topic in (COMMITS, CHECKPOINTS, DATA):
        await soon(writer.publish(topic, b"old"))
        await soon(writer.publish(topic, b"new"))
    inbox = await soon(reader.subscribe(COMMITS, CHECKPOINTS, DATA))
    found = await take(inbox, 2)
    assert {(row.kind, row.payload, row.retained) for row in found} == {
        (Kind.COMMITS, b"new", True),
        (Kind.CHECKPOINTS, b"new", True),
    }
    await nothing_more(inbox)


async def test_a_capsule_is_retained_until_it_is_cleared(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    await soon(writer.publish(CAPSULE, b"welcome"))
    inbox = await soon(reader.subscribe(CAPSULE))
    (delivery,) = await take(inbox, 1)
    assert (delivery.key, delivery.payload, delivery.retained) == (GRANT, b"welcome", True)
    await soon(writer.clear(CAPSULE))
    await inbox.unsubscribe()
    again = await soon(reader.subscribe(CAPSULE))
    await nothing_more(again)


async def test_order_within_a_topic_is_kept(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(reader.subscribe(DATA))
    sending = asyncio.gather(*(writer.publish(DATA, b"%d" % i) for i in range(500)))
    found = await take(inbox, 500)
    await soon(sending)
    assert [int(row.payload) for row in found] == list(range(500))


async def test_two_subscribers_in_one_node_both_get_everything(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    await soon(writer.publish(COMMITS, b"kept"))
    one = await soon(reader.subscribe(COMMITS))
    await take(one, 1)
    two = await soon(reader.subscribe(COMMITS))
    assert (await take(two, 1))[0].payload == b"kept"
    await soon(writer.publish(COMMITS, b"news"))
    await one.unsubscribe()
    assert (await take(two, 1))[0].payload == b"news", "one leaves, the other stays subscribed"


async def test_payloads_up_to_the_limit_travel_and_larger_ones_do_not_leave(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(reader.subscribe(DATA))
    largest = bytes(range(256)) * (MAX_PAYLOAD // 256)
    largest += b"\x01" * (MAX_PAYLOAD - len(largest))
    await soon(writer.publish(DATA, largest))
    assert (await take(inbox, 1))[0].payload == largest
    with pytest.raises(PayloadTooLarge):
        await writer.publish(DATA, largest + b"\x01")
    with pytest.raises(TransportError):
        await writer.publish(DATA, b"")


async def test_a_forbidden_subscription_delivers_nothing(world: World) -> None:
    """channels.md 7: a reader reads its own capsule topic, nobody else's, and not what others ask."""
    writer, reader = await world.open("writer"), await world.open("reader")
    foreign = Topic(Kind.CAPSULE, SID, GRANT2)
    await soon(writer.publish(foreign, b"for the other one"))
    for topic in (foreign, ASK):
        if world.broker.tells:
            with pytest.raises(TransportRefused):
                await soon(reader.subscribe(topic))
            continue
        inbox = await soon(reader.subscribe(topic))
        await soon(writer.publish(foreign, b"for the other one again"))
        other = await world.open("other")
        await soon(other.publish(ASK, b"please"))
        await nothing_more(inbox)
    inbox = await soon(reader.subscribe(DATA))
    await soon(writer.publish(DATA, b"still works"))
    await take(inbox, 1)


async def test_a_forbidden_message_goes_nowhere(world: World) -> None:
    """channels.md 7: only the writer's user writes the stream."""
    writer, reader, other = [await world.open(name) for name in ("writer", "reader", "other")]
    inbox = await soon(other.subscribe(COMMITS, DATA, CHECKPOINTS))
    for topic in (COMMITS, DATA, CHECKPOINTS):
        with suppress(TransportRefused):  # MQTT has no way to say it, HTTP has
            await soon(reader.publish(topic, b"forged"))
    await soon(writer.publish(DATA, b"genuine"))
    assert (await take(inbox, 1))[0].payload == b"genuine"
    await nothing_more(inbox)
    late = await soon(writer.subscribe(COMMITS, CHECKPOINTS))
    await nothing_more(late)


async def test_the_broker_may_go_away_and_come_back(world: World) -> None:
    """Nothing acknowledged is lost; publishers wait and go on; states are told."""
    writer, reader = await world.open("writer"), await world.open("reader")
    states: list[LinkState] = []
    writer.on_state(lambda state, _: states.append(state))
    inbox = await soon(reader.subscribe(DATA))
    await soon(writer.publish(DATA, b"before"))
    assert (await take(inbox, 1))[0].payload == b"before"
    await world.broker.stop()
    waiting = [asyncio.create_task(writer.publish(DATA, b"%d" % i)) for i in range(20)]
    await asyncio.sleep(0.3)
    assert not any(task.done() for task in waiting), "nobody can have acknowledged"
    assert writer.state is not LinkState.CONNECTED
    await world.broker.start()
    await soon(asyncio.gather(*waiting))
    found: list[bytes] = []
    while len(set(found) - {b"before"}) < 20:
        found.append((await take(inbox, 1))[0].payload)
    # "before" may come again: the broker went before its acknowledgement did.
    assert list(dict.fromkeys(row for row in found if row != b"before")) == [b"%d" % i for i in range(20)]
    await soon(writer.wait_connected())
    assert LinkState.CONNECTING in states
    assert states[-1] is LinkState.CONNECTED


async def test_the_broker_restarts_while_messages_flow(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(reader.subscribe(DATA))
    acknowledged: set[int] = set()

    async def publish(number: int) -> None:
        await writer.publish(DATA, b"%d" % number)
        acknowledged.add(number)

    async def restart() -> None:
        for _ in range(3):
            await asyncio.sleep(0.2)
            await world.broker.stop()
            await world.broker.start()

    restarting = asyncio.create_task(restart())
    number = 0
    while not restarting.done():
        batch = [asyncio.create_task(publish(number + i)) for i in range(20)]
        number += 20
        await soon(asyncio.gather(*batch))
        await asyncio.sleep(0.01)
    await restarting
    assert acknowledged == set(range(number))
    found: set[int] = set()
    while found != acknowledged:
        found.add(int((await take(inbox, 1))[0].payload))


async def test_retained_messages_outlive_a_restart_of_the_broker(world: World) -> None:
    writer = await world.open("writer")
    await soon(writer.publish(COMMITS, b"commit 7"))
    await soon(writer.publish(CAPSULE, b"welcome"))
    await soon(writer.clear(CAPSULE))
    await world.broker.stop()
    await world.broker.start()
    reader = await world.open("reader")
    inbox = await soon(reader.subscribe(COMMITS, CAPSULE))
    assert (await take(inbox, 1))[0] == Delivery(Kind.COMMITS, SID, b"", b"commit 7", retained=True)
    await nothing_more(inbox)


async def test_a_reader_that_was_away_gets_what_came_meanwhile(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(reader.subscribe(DATA))
    await soon(writer.publish(DATA, b"1"))
    await take(inbox, 1)
    await soon(writer.publish(DATA, b"2"))
    await take(inbox, 1)  # asking for 2 acknowledged 1
    await reader.stop()
    with pytest.raises(TransportClosed):
        await anext(inbox)
    for i in range(3, 30):
        await soon(writer.publish(DATA, b"%d" % i))
    again = await world.open("reader")
    later = await soon(again.subscribe(DATA))
    found: list[int] = []
    while 29 not in found:
        found.append(int((await take(later, 1))[0].payload))
    assert list(dict.fromkeys(found)) == list(range(2, 30)), "2 was worked on when the reader went: it comes again"


async def test_what_a_reader_did_not_finish_comes_again(world: World) -> None:
    """architecture.md: kill -9 at any point loses nothing."""
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(reader.subscribe(DATA))
    for i in range(5):
        await soon(writer.publish(DATA, b"%d" % i))
    assert [row.payload for row in await take(inbox, 3)] == [b"0", b"1", b"2"]
    await reader.stop()
    again = await world.open("reader")
    later = await soon(again.subscribe(DATA))
    assert [row.payload for row in await take(later, 3)] == [b"2", b"3", b"4"]


async def test_leaving_a_subscription_hands_on_what_was_not_finished(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    async with await soon(reader.subscribe(DATA)) as inbox:
        for i in range(4):
            await soon(writer.publish(DATA, b"%d" % i))
        await take(inbox, 2)
    with pytest.raises(StopAsyncIteration):
        await anext(inbox)
    later = await soon(reader.subscribe(DATA))
    assert [row.payload for row in await take(later, 3)] == [b"1", b"2", b"3"]


async def test_after_unsubscribing_nothing_comes(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(reader.subscribe(DATA))
    await inbox.unsubscribe()
    await inbox.unsubscribe()
    await soon(writer.publish(DATA, b"missed"))
    later = await soon(reader.subscribe(DATA))
    await soon(writer.publish(DATA, b"news"))
    assert [row.payload for row in await take(later, 1)] == [b"news"]


async def test_a_publisher_may_give_up(world: World) -> None:
    writer, reader = await world.open("writer"), await world.open("reader")
    inbox = await soon(reader.subscribe(DATA))
    await world.broker.stop()
    tired = asyncio.create_task(writer.publish(DATA, b"given up"))
    patient = asyncio.create_task(writer.publish(DATA, b"wanted"))
    await asyncio.sleep(0.1)
    tired.cancel()
    await world.broker.start()
    await soon(patient)
    assert (await take(inbox, 1))[0].payload == b"wanted"


async def test_a_stopped_transport_says_so(world: World) -> None:
    writer = await world.open("writer")
    inbox = await soon(writer.subscribe(ASK))
    await world.broker.stop()
    waiting = asyncio.create_task(writer.publish(DATA, b"x"))
    await asyncio.sleep(0.05)
    await writer.stop()
    await writer.stop()
    for work in (waiting, anext(inbox), writer.publish(DATA, b"x"), writer.subscribe(ASK), writer.wait_connected()):
        with pytest.raises(TransportClosed):
            await soon(work)
    assert writer.state is LinkState.STOPPED
    await world.broker.start()
