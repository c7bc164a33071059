"""A writer's whole life on a store that fails at a chosen write, and what must be true whatever it was.

The world (chain, broker, the key and number of everything that was ever sealed) is a file of lines, written at once: it
outlives a `kill -9` of the process that writes the stream, as the real one does.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from channels.commit import Commit, Header
from channels.envelope import EnvelopeHeader
from channels.errors import StoreUnavailable
from channels.gate import Evidence, Gate
from channels.highwater import HighWater, Mark
from channels.position import Position
from channels.private_log import PrivateLog
from channels.reader import Reader
from channels.readings import Measurement, decode_batch, encode_batch
from channels.rebuild import rebuild_writer
from channels.sealer import Sealed
from channels.slots import StreamParams
from channels.stores.records import PendingReading, WriterRecord
from channels.stores.sealed import StoreSeal
from channels.stores.sql import SqlStore
from channels.stores.sql_engine import Database
from channels.transports.topics import Kind, Topic
from channels.writer import Writer
from channels.writer_state import WriterState
from keys.messages import StreamCommit
from keys.sealing import SealingKey
from node.clock import ManualClock
from node.services.gateway.engine import Ports, StreamEngine
from node.services.gateway.members import OWNER, ActingGrant, by_grant
from node.services.gateway.ports import StreamFacts
from node.services.gateway.publisher import Publisher
from tests.unit.channels.world import (
    ADDRESS,
    GENESIS,
    SLOT,
    STREAM_KEY,
    Registry,
    hashed,
    masters,
    params,
    sign_commit,
)

__all__ = ["LOG_KEY", "PHASES", "READER_KEYS", "STORE_KEY", "Fault", "Life", "check", "live"]

_R = TypeVar("_R")

STORE_KEY = hashed("store key")
PHASES = ("before", "inside", "after")
"""A write fails before anything happened, with everything written but not committed, or once it is on disk."""

READER_KEYS = {name: SealingKey.from_bytes(hashed(name)) for name in ("owner", "one", "two", "three")}
LOG_KEY = hashed("private log")


class Fault:
    """Counts writes; the `at`-th one fails in `phase`, once, by an error or by the end of the process."""

    def __init__(self, at: int, phase: str, *, kill: bool = False) -> None:
        self.count = 0
        self.at = at
        self.phase = phase
        self.kill = kill
        self.happened = False

    def step(self) -> int:
        """The number of the write that begins."""
        self.count += 1
        return self.count

    def strike(self, number: int, phase: str, error: Exception) -> None:
        """Fails if this is the moment."""
        if number == self.at and phase == self.phase and not self.happened:
            self.happened = True
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise error


class FaultyDatabase(Database):
    """A real database whose writes may fail."""

    def __init__(self, url: str, fault: Fault) -> None:
        super().__init__(url)
        self._fault = fault

    async def write(self, work: Callable[[Connection], _R]) -> _R:
        number = self._fault.step()

        def whole(connection: Connection) -> _R:
            found = work(connection)
            self._fault.strike(number, "inside", OperationalError("COMMIT", None, OSError("disk I/O error")))
            return found

        self._fault.strike(number, "before", StoreUnavailable("the disk is full"))
        done = await super().write(whole)
        self._fault.strike(number, "after", StoreUnavailable("the connection was lost"))
        return done


class FaultyMark:
    """A real high-water mark whose writes may fail."""

    def __init__(self, mark: Mark, fault: Fault) -> None:
        self._mark = mark
        self._fault = fault

    def advance(self, position: Position) -> None:
        number = self._fault.step()
        self._fault.strike(number, "before", OSError("no space left on device"))
        self._mark.advance(position)
        self._fault.strike(number, "after", OSError("I/O error"))


class _WitnessedWriter(Writer):
    """Tells the world of every envelope at the moment it is sealed, recorded or not."""

    tell: Callable[[str, str], None]

    def seal(self, readings: Sequence[tuple[int, bytes]], evidence: Evidence) -> Sealed:
        found = super().seal(readings, evidence)
        for data in found.envelopes:
            self.tell("sealed", data.hex())
        return found

    @classmethod
    def resume(
        cls, of: StreamParams, instance: bytes, record: WriterRecord, position: Position, gate: Gate
    ) -> _WitnessedWriter:
        made = Writer.restore(of, masters(), STREAM_KEY, instance, record, position, gate)
        return cls(of, masters(), STREAM_KEY, instance, made.state, gate)


@dataclass
class Life:
    """The world around one stream, and the answers that a writer asks of it."""

    folder: Path
    url: str
    clock: ManualClock = field(default_factory=lambda: ManualClock(GENESIS + 10))
    lines: list[tuple[str, Any]] = field(default_factory=list)
    acts: tuple[str, ...] = ("owner", "one")

    def __post_init__(self) -> None:
        self._path = self.folder / "world.jsonl"
        if self._path.exists():
            self.lines = [tuple(json.loads(line)) for line in self._path.read_text().splitlines()]
        self._out = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def close(self) -> None:
        os.close(self._out)

    def tell(self, what: str, value: Any) -> None:
        os.write(self._out, (json.dumps([what, value]) + "\n").encode())
        self.lines.append((what, value))

    def told(self, what: str) -> list[Any]:
        return [value for name, value in self.lines if name == what]

    @property
    def params(self) -> StreamParams:
        return params()

    # What the engine asks

    def block(self) -> tuple[int, int]:
        return 1, self.clock.now()

    async def stream(self, sid: bytes) -> StreamFacts | None:
        commits = self.told("commit")
        epoch, commit_hash = commits[-1] if commits else (0, bytes(32).hex())
        return StreamFacts(epoch, bytes.fromhex(commit_hash), ADDRESS)

    def _grant(self, name: str) -> ActingGrant:
        return ActingGrant(hashed("grant", name), READER_KEYS[name].key_hash(), 0, 2**31)

    async def acting(self, sid: bytes) -> list[ActingGrant]:
        return [self._grant(name) for name in self.acts if name != "owner"]

    async def ended(self, sid: bytes) -> list[ActingGrant]:
        return []

    async def reader_keys(self, sid: bytes) -> dict[bytes, bytes]:
        return {key.key_hash(): key.public_bytes for key in READER_KEYS.values()}

    async def owner_key_hash(self, sid: bytes) -> bytes | None:
        return READER_KEYS["owner"].key_hash()

    async def owned_since(self, sid: bytes) -> int | None:
        return 0

    async def sign(self, message: StreamCommit) -> bytes:
        return sign_commit(message)

    async def submit(self, message: StreamCommit, signature: bytes) -> None:
        epoch = len(self.told("commit")) + 1
        if message.epoch == epoch:  # the registry takes each epoch once, in order
            self.tell("commit", [epoch, message.commit_hash.hex()])

    async def publish(self, topic: Topic, payload: bytes) -> None:
        key = f"/{topic.key.hex()}" if topic.kind is Kind.CAPSULE else ""
        self.tell(topic.kind.value + key, payload.hex())


async def live(life: Life, fault: Fault) -> None:
    """The scenario up to its end; what fails is opened anew from the store, as a gateway does it."""
    await (await SqlStore.open(life.url, STORE_KEY)).close()
    store = SqlStore(FaultyDatabase(life.url, fault), StoreSeal(STORE_KEY))
    try:
        for number in range(max(life.told("phase"), default=0), 4):
            life.tell("phase", number)
            life.acts = (("owner", "one"), ("owner", "one", "two"), ("owner", "two"), ("owner", "two", "three"))[number]
            life.clock.set(GENESIS + number * SLOT + 20)
            await _until_done(life, store, fault, number)
        await _again(lambda: _private(store))
    finally:
        await store.close()


async def _again(work: Callable[[], Any]) -> None:
    try:
        await work()
    except StoreUnavailable:
        await work()


async def _private(store: SqlStore) -> None:
    log = await PrivateLog.open(store, LOG_KEY)
    while log.tip.count < 3:
        await log.append(b"entry %d" % log.tip.count)


async def _until_done(life: Life, store: SqlStore, fault: Fault, number: int) -> None:
    """One fault is got over at the second try; what fails again and again is raised."""
    for _ in range(3):
        with suppress(StoreUnavailable, OSError):
            return await _phase(life, store, fault, number)
    return await _phase(life, store, fault, number)


async def _phase(life: Life, store: SqlStore, fault: Fault, number: int) -> None:
    """One slot: readings come, readers change, all is sealed and published."""
    engine = await _open(life, store, fault)
    publisher = Publisher(engine.sid, store, life)
    note = await store.intake_note()
    for second in range(int(note or b"0"), number * 5 + 5):
        at = GENESIS + second // 5 * SLOT + second % 5
        payload = encode_batch([Measurement(at, at, 0, {"1-0:1.7.0": second})])
        row = PendingReading(at, at, (at - GENESIS) // SLOT, payload)
        await store.take_in({engine.sid: [row]}, b"%d" % (second + 1))
    for _ in range(30):
        again = await engine.step()
        await publisher.drain(engine.active_epoch, engine.marked_seq)
        settled = engine.writer.epoch == engine.active_epoch and not await store.pending_count(engine.sid)
        if not again and settled and len(await store.leaves(engine.sid)) == len(life.acts):
            break
    else:
        raise AssertionError(f"phase {number} does not end: {engine.fault}")
    if engine.writer.position.seq > engine.writer.position.covered_seq:
        await engine.shutdown()
        await publisher.drain(engine.active_epoch, engine.marked_seq)


async def _open(life: Life, store: SqlStore, fault: Fault) -> StreamEngine:
    """As GatewayRole opens a writer: from the record, never behind the mark, with an instance of its own."""
    mark = HighWater(life.folder / "marks").open(life.params.sid, fresh=not life.told("open"))
    instance = hashed("instance", len(life.told("open")))[:16]
    life.tell("open", instance.hex())
    record = await store.writer_record(life.params.sid)
    gate = Gate()
    writer: _WitnessedWriter
    if record is None:
        writer = _WitnessedWriter(life.params, masters(), STREAM_KEY, instance, gate=gate)
    else:
        writer = _WitnessedWriter.resume(life.params, instance, record, mark.position, gate)
    writer.tell = life.tell
    mark.advance(writer.position)
    ports = Ports(store, life, life, life, FaultyMark(mark, fault), life.clock)
    engine = StreamEngine(writer, instance, ports, gate)
    await engine.load()
    return engine


async def check(life: Life) -> None:
    """Nothing lost or twice, one commit an epoch, no key with one number twice, the state as the log has it."""
    store = await SqlStore.open(life.url, STORE_KEY)
    try:
        _check_sealed(life)
        await _check_store(life, store)
        _check_reader(life, "owner", set(range(20)))
        _check_reader(life, "two", set(range(5, 20)))
        log = await PrivateLog.open(store, LOG_KEY)
        assert log.tip.count == 3
        assert [data async for _, data in log.entries()] == [b"entry %d" % i for i in range(3)]
    finally:
        await store.close()


def _check_sealed(life: Life) -> None:
    used: dict[tuple[bytes, int, int, int], str] = {}
    for text in life.told("sealed"):
        header = EnvelopeHeader.decode(bytes.fromhex(text))
        place = (header.inst, header.epoch, header.slot, header.seq)
        assert used.setdefault(place, text) == text, "a key and a number were used twice"
    by_seq: dict[int, str] = {}
    for text in life.told("data"):
        seq = EnvelopeHeader.decode(bytes.fromhex(text)).seq
        assert by_seq.setdefault(seq, text) == text, "two envelopes with one number were published"
    assert sorted(by_seq) == list(range(1, len(by_seq) + 1)), "a published number is missing"


async def _check_store(life: Life, store: SqlStore) -> None:
    sid = life.params.sid
    kept = [(row.epoch, row.hash.hex()) for row in await store.commits(sid)]
    assert kept == [tuple(commit) for commit in life.told("commit")], "the store lost a published commit"
    heard = list(dict.fromkeys(life.told("commits")))
    assert [Commit.hash_of(bytes.fromhex(text)).hex() for text in heard] == [commit for _, commit in kept]
    assert await store.pending_count(sid) == 0
    assert await store.unpublished(sid) == ()
    record = await store.writer_record(sid)
    assert record is not None
    state = WriterState.from_record(record)
    log = [row.data for row in await store.commits(sid)]
    members = by_grant(await store.leaves(sid)).values()
    rebuilt = rebuild_writer(params(), masters(), STREAM_KEY, bytes(16), log, members, len(log), state.position)
    state.starts = rebuilt.state.starts
    assert rebuilt.state.to_bytes() == state.to_bytes(), "the kept state is not the one of the log"
    last = await store.last_envelope(sid)
    assert last is not None
    assert (last.seq, last.hash) == (state.position.seq, state.position.last_hash)
    mark = HighWater(life.folder / "marks").open(sid, fresh=False)
    assert mark.position == state.position


def _check_reader(life: Life, name: str, wanted: set[int]) -> None:
    """A reader that heard everything in the order in which it was published, once."""
    grant = OWNER if name == "owner" else hashed("grant", name)
    registry = Registry({epoch: bytes.fromhex(h) for epoch, h in life.told("commit")})
    reader = Reader(life.params, grant)
    seen: list[int] = []
    done: set[str] = set()
    own = f"capsule/{grant.hex()}"
    for what, text in life.lines:
        if what not in ("commits", "data", "checkpoints", own) or text in done:
            continue
        done.add(text)
        payload = bytes.fromhex(text)
        if what == own:
            if not reader.epoch:
                reader.receive_capsule(payload, READER_KEYS[name], registry)
        elif not reader.epoch:
            continue
        elif what == "commits" and Header.decode(payload).epoch > reader.epoch:
            reader.process_commit(payload, registry)
        elif what == "data":
            progress = reader.open([payload])
            assert progress.alarms == (), progress.alarms
            seen += [m.values["1-0:1.7.0"] for r in progress.readings for m in decode_batch(r.plaintext)]
        elif what == "checkpoints":
            assert reader.accept_checkpoint(payload).alarms == ()
    assert len(seen) == len(set(seen)), "a reading came twice"
    assert set(seen) == wanted, f"{name}: {sorted(wanted ^ set(seen))}"
