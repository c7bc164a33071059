"""Sealing and opening readings: chained, with all checks on, in memory, on disk, and with a signature each."""

from __future__ import annotations

import asyncio
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels.envelope import EnvelopeHeader
from channels.highwater import HighWater
from channels.reader_state import restore_reader, snapshot_reader
from channels.slots import OPEN_SLOT
from channels.stores.records import StoredEnvelope
from channels.stores.sql import SqlStore
from channels.writer import Writer
from scripts.benchmarks.channel_keys import grown
from scripts.benchmarks.rows import Row, at_least, at_most, best
from tests.unit.channels.world import SLOT, World, evidence, hashed, params

__all__ = ["durable_rows", "record_rows", "seal_rows", "signed_rows"]

READING = bytes(24)
AT_ONCE = 20_000
ROUND = 2_000
ROUNDS = 20
SIGNED = 3_000
SINGLE = 200
NOW = params().genesis + SLOT // 2


def seal_rows() -> list[Row]:
    """One call, 24-byte readings, the gate and the hash chain on."""
    world = World.start(readers=1)
    reader = world.welcome(1)
    readings = [(NOW, READING)] * AT_ONCE
    moment = evidence(NOW)
    sealing = best(lambda: world.writer.seal(readings, moment), 20)
    # The reader begins where the writer is; every round is the same envelopes to a reader in the same state.
    reader.open(world.writer.seal(readings[:1], moment).envelopes)
    state = snapshot_reader(reader)
    envelopes = world.writer.seal(readings, moment).envelopes
    fresh = [restore_reader(params(), state) for _ in range(20)]
    opened = [len(each.open(envelopes[:10]).readings) for each in fresh[:1]]
    if opened != [10]:
        raise AssertionError("the reader opens nothing")
    opening = best(lambda: fresh.pop().open(envelopes), len(fresh) - 1)
    bare = AT_ONCE / best(_primitives, 20)
    return [
        at_least("seal_per_s", AT_ONCE / sealing, "envelopes/s", 400_000, f"gate and chain on; bare: {bare:,.0f}/s"),
        at_least(
            "open_per_s", AT_ONCE / opening, "envelopes/s", 400_000, f"chain and tag checked; bare: {bare:,.0f}/s"
        ),
    ]


def _primitives() -> None:
    """One AES-256-GCM and one SHA-256 for each envelope and nothing else: what no implementation goes below."""
    encrypt = AESGCM(bytes(32)).encrypt
    header, nonce = bytes(102), bytes(12)
    for _ in range(AT_ONCE):
        sha256(header + encrypt(nonce, READING, header)).digest()


def durable_rows() -> list[Row]:
    """Sealed, recorded in SQLite with the writer's state, the mark on disk: what a gateway does before it publishes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        rate = asyncio.run(_durable(Path(folder)))
    return [at_least("seal_durable_per_s", rate, "envelopes/s", 20_000, f"{ROUND} a transaction, synchronous=FULL")]


async def _durable(folder: Path) -> float:
    world = World.start(readers=1)
    writer = world.writer
    store = await SqlStore.open(f"sqlite+aiosqlite:///{folder}/channels.db", hashed("store"))
    mark = HighWater(folder / "marks").open(writer.params.sid, fresh=True)
    readings = [(NOW, READING)] * ROUND
    moment = evidence(NOW)
    start = time.perf_counter()
    for _ in range(ROUNDS):
        sealed = writer.seal(readings, moment)
        stored = [_stored(writer, data) for data in sealed.envelopes]
        await store.record_seal(writer.params.sid, stored, (), writer.progress())
        mark.advance(writer.position)
    spent = time.perf_counter() - start
    await store.close()
    return ROUND * ROUNDS / spent


def _stored(writer: Writer, data: bytes) -> StoredEnvelope:
    header = EnvelopeHeader.decode(data, writer.params.signed_envelopes)
    return StoredEnvelope(header.epoch, header.slot, header.inst, header.seq, sha256(data).digest(), data)


def signed_rows() -> list[Row]:
    """A stream that signs each envelope, beside the bare signature of the same library on messages of the same size."""
    world = World.start(readers=1, signed=True)
    reader = world.welcome(1)
    moment = evidence(NOW)
    readings = [(NOW, READING)] * SIGNED
    sealing = best(lambda: world.writer.seal(readings, moment), 5)
    reader.open(world.writer.seal(readings[:1], moment).envelopes)
    state = snapshot_reader(reader)
    envelopes = world.writer.seal(readings, moment).envelopes
    fresh = [restore_reader(world.writer.params, state) for _ in range(5)]
    opening = best(lambda: fresh.pop().open(envelopes), len(fresh))
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    messages = [envelope[:-64] for envelope in envelopes]
    signing = best(lambda: [key.sign(message) for message in messages], 5)
    pairs = [(key.sign(message), message) for message in messages]
    verifying = best(lambda: [public.verify(signature, message) for signature, message in pairs], 5)
    return [
        at_least(
            "seal_signed_ratio", signing / sealing, "of bare sign", 0.8, f"bare: {SIGNED / signing:,.0f} a second"
        ),
        at_least(
            "open_signed_ratio",
            verifying / opening,
            "of bare verify",
            0.9,
            f"bare: {SIGNED / verifying:,.0f}/s",
            digits=3,
        ),
    ]


def record_rows() -> list[Row]:
    """What one reading costs at the store of a stream with ten readers and of one with 100,000."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        few = asyncio.run(_one_by_one(f"{folder}/few.db", 10))
        many = asyncio.run(_one_by_one(f"{folder}/many.db", 100_000))
    return [
        at_most("seal_record_ms_10", few[0] * 1000, "ms", None, f"{few[1]} bytes of state a seal, synchronous=FULL"),
        at_most("seal_record_ms_100k", many[0] * 1000, "ms", None, f"{many[1]} bytes of state a seal"),
        at_most("seal_record_growth", many[0] / few[0], "times", 2.0, "100,000 readers against 10"),
    ]


async def _one_by_one(file: str, readers: int) -> tuple[float, int]:
    """The best time to keep one sealed reading, and the bytes of the state that are written with it."""
    writer = grown([OPEN_SLOT] * readers)
    writer.activate(writer.epoch)
    store = await SqlStore.open(f"sqlite+aiosqlite:///{file}", hashed("store"))
    await store.save_writer(writer.params.sid, writer.snapshot())
    times = []
    for _ in range(SINGLE):
        (envelope,) = writer.seal([(NOW, READING)], evidence(NOW)).envelopes
        start = time.perf_counter()
        await store.record_seal(writer.params.sid, [_stored(writer, envelope)], (), writer.progress())
        times.append(time.perf_counter() - start)
    await store.close()
    return min(times), len(writer.progress())
