"""Readings through a broker, and many streams in one process: with a real Mosquitto, a real database, marks on disk."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiomqtt

from channels.gate import Gate
from channels.highwater import HighWater
from channels.masters import Masters
from channels.readings import Measurement, encode_batch
from channels.slots import StreamParams
from channels.stores.records import PendingReading
from channels.stores.sql import SqlStore
from channels.transports.base import Transport
from channels.transports.topics import Kind, Topic
from channels.writer import Writer
from keys.messages import StreamCommit
from keys.sealing import SealingKey
from node.app.streams.gateway import AT_ONCE
from node.services.gateway.engine import Ports, StreamEngine
from node.services.gateway.members import ActingGrant
from node.services.gateway.ports import StreamFacts
from node.services.gateway.publisher import Publisher
from scripts.benchmarks.rows import Row, at_least, at_most, resident_mb
from tests.conformance.brokers import PASSWORDS, SID, MosquittoHarness
from tests.unit.channels.world import ADDRESS, DOMAIN, GENESIS, SLOT, STREAM_KEY, World, evidence, hashed, sign_commit

__all__ = ["measure"]

READING = bytes(24)
MESSAGES = 6_000
ROUNDS = 3
WAITING = 200
"""Messages between writer and reader: beyond a thousand the broker would drop some of a reader that lags."""
STREAMS = 1_000
EVERY_S = 10
BEATS = 3


def measure() -> list[Row]:
    """Both parts, each with its own files."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return [*asyncio.run(_through_mosquitto(Path(folder))), *asyncio.run(_many_streams(Path(folder)))]


async def _through_mosquitto(folder: Path) -> list[Row]:
    """In turn, and the best of each: what else the machine does must not decide."""
    broker = MosquittoHarness(folder)
    await broker.start()
    try:
        ours, bare = [], []
        for _ in range(ROUNDS):
            bare.append(await _bare(broker.port))
            ours.append(await _readings(broker))
    finally:
        await broker.stop()
    found, anchor = max(ours), max(bare)
    return [
        at_least("mqtt_e2e_ratio", found / anchor, "of bare aiomqtt", 0.8, f"bare: {anchor:,.0f} messages/s", digits=3),
        at_least("mqtt_e2e_per_s", found, "readings/s", None, "one reading an envelope, one envelope a message"),
    ]


async def _bare(port: int) -> float:
    """Bare aiomqtt: the same topic, size, quality of service and number of messages on the way."""
    topic = Topic(Kind.DATA, SID).name
    payload = bytes(142)

    def client(name: str) -> aiomqtt.Client:
        password = PASSWORDS[name]
        return aiomqtt.Client("127.0.0.1", port, username=name, password=password, max_inflight_messages=100)

    async with client("reader") as reader, client("writer") as writer:
        reader.pending_calls_threshold = writer.pending_calls_threshold = 10 * WAITING
        await reader.subscribe(topic, qos=1)
        gate = asyncio.Semaphore(WAITING)

        async def send() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(MESSAGES):
                    await gate.acquire()
                    group.create_task(writer.publish(topic, payload, qos=1))

        start = time.perf_counter()
        sending = asyncio.create_task(send())
        got = 0
        async for _ in reader.messages:
            got += 1
            gate.release()
            if got == MESSAGES:
                break
        spent = time.perf_counter() - start
        await sending
        return MESSAGES / spent


async def _readings(broker: MosquittoHarness) -> float:
    """Sealed, published, received, opened; the reader's process and the writer's are this one, as above."""
    world = World.start(readers=1)
    reader = world.welcome(1)
    writing, reading = broker.transport("writer"), broker.transport("reader")
    topic = Topic(Kind.DATA, SID)
    for one in (writing, reading):
        await one.start()
        await one.wait_connected()
    inbox = await reading.subscribe(topic)
    moment = evidence(GENESIS + SLOT // 2)
    gate = asyncio.Semaphore(WAITING)
    sealing = asyncio.create_task(_seal_and_publish(world, writing, topic, gate))
    start = time.perf_counter()
    got = 0
    async for delivery in inbox:
        got += len(reader.open((delivery.payload,), moment.gateway_clock).readings)
        gate.release()
        if got == MESSAGES:
            break
    spent = time.perf_counter() - start
    await sealing
    await inbox.unsubscribe()
    for one in (writing, reading):
        await one.stop()
    return MESSAGES / spent


async def _seal_and_publish(world: World, transport: Transport, topic: Topic, gate: asyncio.Semaphore) -> None:
    at = GENESIS + SLOT // 2
    moment = evidence(at)
    async with asyncio.TaskGroup() as group:
        for _ in range(MESSAGES):
            await gate.acquire()
            (envelope,) = world.writer.seal([(at, READING)], moment).envelopes
            group.create_task(transport.publish(topic, envelope))


@dataclass
class _Node:
    """The rest of a node for many streams: chain, consents and clock that answer at once."""

    time: int
    grants: Sequence[ActingGrant]
    keys: dict[bytes, bytes]
    heads: dict[bytes, StreamFacts]

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return float(self.time)

    def block(self) -> tuple[int, int]:
        return 1, self.time

    async def stream(self, sid: bytes) -> StreamFacts | None:
        return self.heads.get(sid, StreamFacts(0, bytes(32), ADDRESS))

    async def acting(self, sid: bytes) -> Sequence[ActingGrant]:
        return self.grants

    async def ended(self, sid: bytes) -> Sequence[ActingGrant]:
        return ()

    async def reader_keys(self, sid: bytes) -> dict[bytes, bytes]:
        return self.keys

    async def owner_key_hash(self, sid: bytes) -> bytes | None:
        return None

    async def owned_since(self, sid: bytes) -> int | None:
        return 0

    async def sign(self, message: StreamCommit) -> bytes:
        return sign_commit(message)

    async def submit(self, message: StreamCommit, signature: bytes) -> None:
        self.heads[message.sid] = StreamFacts(message.epoch, message.commit_hash, ADDRESS)

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """The broker's part is measured beside this one."""


def _node() -> _Node:
    key = SealingKey.from_bytes(hashed("reader"))
    grant = ActingGrant(hashed("grant"), key.key_hash(), 0, 2**31)
    return _Node(GENESIS + 10, [grant], {key.key_hash(): key.public_bytes}, {})


async def _engine(number: int, node: _Node, store: SqlStore, marks: HighWater) -> StreamEngine:
    sid = hashed("stream", number)
    params = StreamParams(sid, GENESIS, SLOT, DOMAIN, ADDRESS, STREAM_KEY.public_bytes)
    gate = Gate()
    masters = Masters.from_keys(sid, hashed("M", number), hashed("T", number))
    writer = Writer(params, masters, STREAM_KEY, bytes(16), gate=gate)
    ports = Ports(store, node, node, node, marks.open(sid, fresh=True), node)
    engine = StreamEngine(writer, bytes(16), ports, gate)
    await engine.load()
    while await engine.step() or not engine.active_epoch:
        continue
    return engine


async def _many_streams(folder: Path) -> list[Row]:
    """A thousand streams whose readings of ten seconds are kept, sealed, recorded, marked and handed to the broker."""
    node = _node()
    store = await SqlStore.open(f"sqlite+aiosqlite:///{folder}/channels.db", hashed("store"))
    marks = HighWater(folder / "marks")
    engines = await asyncio.gather(*(_engine(number, node, store, marks) for number in range(STREAMS)))
    publishers = [Publisher(engine.sid, store, node) for engine in engines]
    for engine, publisher in zip(engines, publishers, strict=True):
        await publisher.drain(engine.active_epoch, engine.marked_seq)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(engine: StreamEngine, publisher: Publisher) -> None:
        async with at_once:
            await engine.step()
        await publisher.drain(engine.active_epoch, engine.marked_seq)

    cpu, wall, counter = time.process_time(), time.perf_counter(), 0
    for _ in range(BEATS):
        first, node.time = node.time, node.time + EVERY_S
        for second in range(first, node.time):
            # One transaction per second of the world, as the intake keeps what its port delivered.
            row = PendingReading(second, second, 0, encode_batch([Measurement(second, second, 0, {"1-0:1.7.0": 230})]))
            await store.take_in({engine.sid: [row] for engine in engines}, b"")
            counter += len(engines)
        await asyncio.gather(*(one(*pair) for pair in zip(engines, publishers, strict=True)))
    spent, cpu = time.perf_counter() - wall, time.process_time() - cpu
    sealed = sum(engine.writer.position.seq for engine in engines)
    await store.close()
    return [
        at_least("gateway_streams_1hz", counter / spent, "streams", 1_000, f"{counter} readings, {sealed} envelopes"),
        at_least("gateway_streams_1hz_cpu", counter / cpu, "streams", 1_000, "by the time on the processor alone"),
        at_most("gateway_streams_mb", resident_mb(), "MB", None, f"{STREAMS} writers in one process"),
    ]
