"""A broker that drops, repeats, reorders, forges, forks and withholds, with a real Mosquitto between writer and reader.

channels.md 7: the relay, the broker and the store are untrusted. What can be healed is healed by asking the writer;
what cannot is reported with the bytes that prove it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from channels.envelope import EnvelopeHeader
from channels.readings import Measurement, encode_batch
from channels.slots import OPEN_SLOT
from channels.stores.memory import MemoryStore
from channels.stores.records import Alarm, OpenedReading
from channels.transports.base import Delivery, Subscription, Transport
from channels.transports.topics import Kind, Topic
from channels.writer import Join
from keys.sealing import SealingKey
from node.services.provider.membership import Membership, Ports
from node.services.provider.replay import ReplayKind
from tests.conformance.brokers import GRANT, SID, MosquittoHarness
from tests.support.processes import PATIENCE
from tests.unit.channels.world import GENESIS, SLOT, Registry, World, at

pytestmark = pytest.mark.broker
READINGS = 120
Message = tuple[Kind, bytes]
Attack = Callable[[list[Message]], list[Message]]


@dataclass
class Home:
    """The rest of a provider's node: what the chain says, the reader's key, the clock, and a way to ask the writer.

    The writer answers what it is asked from its own log, through the same broker, on the topic of answers.
    """

    world: World
    outlet: Transport
    time: int
    asked: list[str] = field(default_factory=list)
    answering: bool = True

    @property
    def lasting(self) -> bool:
        return True

    def now(self) -> int:
        return self.time

    def monotonic(self) -> float:
        return float(self.time)

    async def facts(self, sid: bytes, first_epoch: int) -> Registry:
        return self.world.registry

    def key(self, *, resync: bool) -> tuple[SealingKey, bytes] | None:
        return None if resync else (self.world.keys[1], bytes(32))

    def renew(self) -> tuple[bytes, bytes]:
        raise AssertionError("no state was lost")

    async def delete(self) -> None:
        return None

    async def receipt(self, epoch: int) -> None:
        self.asked.append("receipt")

    async def resync(self, since_epoch: int, request_id: bytes, public: bytes) -> None:
        raise AssertionError("no state was lost")

    async def envelopes(self, first_seq: int, last_seq: int) -> None:
        self.asked.append("envelopes")
        found = [raw for raw in self.world.envelopes if first_seq <= EnvelopeHeader.decode(raw).seq <= last_seq]
        await self._answer(ReplayKind.ENVELOPE, found)

    async def history(self, first_slot: int) -> None:
        await self._answer(ReplayKind.ENVELOPE, self.world.envelopes[:1])

    async def commits(self, first_epoch: int, last_epoch: int) -> None:
        self.asked.append("commits")
        await self._answer(ReplayKind.COMMIT, self.world.commits[first_epoch - 1 : last_epoch])

    async def _answer(self, kind: ReplayKind, messages: Sequence[bytes]) -> None:
        if self.answering:
            for message in messages:
                await self.outlet.publish(Topic(Kind.REPLAY, SID, GRANT), bytes([kind]) + message)


class Line:
    """Writer, malicious middle, Mosquitto, reader."""

    def __init__(self, broker: MosquittoHarness, writing: Transport, reading: Transport, inbox: Subscription) -> None:
        self.world = World.start(readers=1)
        self.home = Home(self.world, writing, at(3, 30))
        self.store = MemoryStore()
        self._broker, self._writing, self._reading, self._inbox = broker, writing, reading, inbox
        self.member = self.world.members[1]
        ports = Ports(self.store, self.home, self.home, self.home, self.home)
        slots = (0, OPEN_SLOT)
        self.membership = Membership(self.world.writer.params, self.member.grant_id, slots, ports)

    @classmethod
    async def open(cls, folder: Path) -> Line:
        broker = MosquittoHarness(folder)
        await broker.start()
        writing, reading = broker.transport("writer"), broker.transport("reader")
        for one in (writing, reading):
            await one.start()
            await asyncio.wait_for(one.wait_connected(), PATIENCE)
        topics = [Topic(kind, SID) for kind in (Kind.COMMITS, Kind.DATA, Kind.CHECKPOINTS)]
        topics += [Topic(kind, SID, GRANT) for kind in (Kind.CAPSULE, Kind.REPLAY)]
        return cls(broker, writing, reading, await reading.subscribe(*topics))

    async def close(self) -> None:
        for one in (self._writing, self._reading):
            await one.stop()
        await self._broker.stop()

    async def welcome(self) -> None:
        public = self.world.keys[1].public_bytes
        await self._writing.publish(Topic(Kind.CAPSULE, SID, GRANT), self.world.writer.welcome(self.member, public))

    def produce(self) -> list[Message]:
        """Three slots of readings; in the second a new reader joins, so that a commit is on the way as well."""
        messages: list[Message] = []
        for number in range(READINGS):
            slot, second = divmod(number, READINGS // 3)
            if number == READINGS // 2:
                self.world.commit(slot, joins=[Join(slot, OPEN_SLOT)])
                messages.append((Kind.COMMITS, self.world.commits[-1]))
            time = at(slot, second)
            before = len(self.world.checkpoints)
            payload = encode_batch([Measurement(time, time, 0, {"1-0:1.7.0": number})])
            (envelope,) = self.world.seal(slot, payload, second=second)
            messages += [(Kind.CHECKPOINTS, raw) for raw in self.world.checkpoints[before:]]
            messages.append((Kind.DATA, envelope))
        last = self.world.writer.close_slot(2)
        self.world.checkpoints.extend(last)
        return [*messages, *((Kind.CHECKPOINTS, raw) for raw in last)]

    async def carry(self, messages: Sequence[Message]) -> None:
        for kind, payload in messages:
            await self._writing.publish(Topic(kind, SID), payload)

    async def read_until(self, enough: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Take what comes and tick, as the node does; False when it is not enough in time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        coming: asyncio.Future[Delivery] | None = None
        while loop.time() < until:
            coming = coming or asyncio.ensure_future(anext(self._inbox))
            done, _ = await asyncio.wait((coming,), timeout=0.2)
            if done:
                await self.membership.take([coming.result()])
                coming = None
            else:
                await self.membership.tick()
                if await self._satisfied(enough):
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
                    return True
        return False

    async def _satisfied(self, enough: Callable[[], bool]) -> bool:
        self.readings = await self.store.readings(self.world.writer.params.sid, self.member.grant_id, 0, 2**40)
        self.alarms = await self.store.alarms(self.world.writer.params.sid)
        return enough()

    readings: tuple[OpenedReading, ...] = ()
    alarms: tuple[Alarm, ...] = ()

    def whole(self) -> bool:
        """Every reading once, each covered by a checkpoint."""
        return len(self.readings) == READINGS and not any(reading.provisional for reading in self.readings)

    def evidence(self) -> set[bytes]:
        return {part for alarm in self.alarms for part in alarm.evidence}


@pytest_asyncio.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    opened = await Line.open(tmp_path)
    await opened.welcome()
    yield opened
    await opened.close()


def dropping(messages: list[Message]) -> list[Message]:
    return [message for number, message in enumerate(messages) if message[0] is not Kind.DATA or number % 25]


def repeating(messages: list[Message]) -> list[Message]:
    return [each for number, message in enumerate(messages) for each in (message, message, messages[number // 2])]


def reordering(messages: list[Message]) -> list[Message]:
    chance, found = random.Random(4), []
    for start in range(0, len(messages), 12):
        part = messages[start : start + 12]
        chance.shuffle(part)
        found += part
    return found


def without_commits(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message[0] is not Kind.COMMITS]


@pytest.mark.parametrize("attack", [dropping, repeating, reordering, without_commits])
async def test_what_can_be_healed_is_healed(line: Line, attack: Attack) -> None:
    await line.carry(attack(line.produce()))
    assert await line.read_until(line.whole), (len(line.readings), line.alarms)
    values = [reading.meter_time for reading in line.readings]
    assert values == [at(*divmod(number, READINGS // 3)) for number in range(READINGS)]
    if attack is dropping:
        assert "envelopes" in line.home.asked
    if attack is without_commits:
        assert "commits" in line.home.asked


async def test_forged_envelopes_are_reported_with_their_bytes_and_replaced(line: Line) -> None:
    forged: list[bytes] = []
    sent: list[Message] = []
    for number, (kind, payload) in enumerate(line.produce()):
        if kind is Kind.DATA and number % 20 == 5:
            forged.append(payload[:-1] + bytes([payload[-1] ^ 1]))
            sent.append((kind, forged[-1]))
        else:
            sent.append((kind, payload))
    await line.carry(sent)
    assert await line.read_until(line.whole), (len(line.readings), line.alarms)
    assert set(forged) <= line.evidence()
    assert {alarm.kind for alarm in line.alarms} >= {"Damaged"}


async def test_what_is_withheld_for_good_is_asked_for_and_stays_provisional(line: Line) -> None:
    """The broker swallows the checkpoints and the answers: nothing is billed on its word."""
    line.home.answering = False
    kept = [message for message in line.produce() if message[0] is not Kind.CHECKPOINTS]
    await line.carry(kept)
    await line.read_until(lambda: len(line.readings) == READINGS)
    assert len(line.readings) == READINGS
    assert all(reading.provisional for reading in line.readings)
    assert "receipt" in line.home.asked, "the writer was asked, and nothing came back"


async def test_forged_commits_and_checkpoints_change_nothing_and_are_kept_as_evidence(line: Line) -> None:
    messages = line.produce()
    commits = [raw for kind, raw in messages if kind is Kind.COMMITS]
    checkpoints = [raw for kind, raw in messages if kind is Kind.CHECKPOINTS]
    bad_commit = commits[0][:-65] + bytes(64) + b"\x1b"
    bad_checkpoint = checkpoints[0][:-1] + bytes([checkpoints[0][-1] ^ 1])
    forged: list[Message] = [
        (Kind.COMMITS, bad_commit),
        (Kind.CHECKPOINTS, bad_checkpoint),
        (Kind.DATA, b"no envelope"),
    ]
    middle = next(number for number, (kind, _) in enumerate(messages) if kind is Kind.COMMITS)
    await line.carry([*messages[: middle - 5], *forged, *messages[middle - 5 :]])
    assert await line.read_until(line.whole), (len(line.readings), line.alarms)
    assert {bad_checkpoint, b"no envelope"} <= line.evidence()
    assert bad_commit in line.evidence()


async def test_a_second_writer_is_a_fork_with_both_envelopes(line: Line) -> None:
    """A copy of the gateway seals under the same numbers: the checkpoint decides, the alarm keeps both."""
    messages = line.produce()
    await line.carry(messages[:20])
    assert await line.read_until(lambda: len(line.readings) == 20)
    world = World.start(readers=1)
    payload = encode_batch([Measurement(at(0, 5), at(0, 5), 0, {"1-0:1.7.0": 9_999})])
    twin = [world.seal(0, payload, second=5)[0] for _ in range(21)][-1]
    await line.carry([(Kind.DATA, twin), *messages[20:]])
    assert await line.read_until(line.whole), (len(line.readings), line.alarms)
    assert "Forked" in {alarm.kind for alarm in line.alarms}
    assert twin in line.evidence()


def test_the_world_has_the_slots_that_the_tests_count_on() -> None:
    assert (at(1) - GENESIS, SLOT) == (SLOT, 60)
