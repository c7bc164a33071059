"""Every parser that meets foreign bytes, as a function of these bytes: only the errors that it declares come out.

One table for both ways of trying them: Hypothesis in `make test` (`test_targets.py`) and atheris (`scripts/fuzz`, long
runs guided by coverage). What a parser accepts it must also encode again to the same bytes, where it has an encoder:
a second spelling of a message would be a second hash of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from channels.asks import Ask
from channels.capsule import CapsuleHeader, CapsuleKind, _decode_plain, _encode_plain
from channels.checkpoint import Checkpoint
from channels.codec import ByteReader, ByteWriter
from channels.commit import Commit, Header
from channels.envelope import EnvelopeHeader
from channels.errors import ChannelError
from channels.history import Covers
from channels.masters import Masters
from channels.position import Position
from channels.reader import Reader
from channels.reader_state import restore_reader, snapshot_reader
from channels.readings import decode_batch, encode_batch
from channels.transports.topics import Topic
from channels.twin import TwinEntry
from channels.writer_state import WriterState
from keys.errors import KeysError, MessageError
from keys.files import make_folder
from keys.header import VERSION, _checksum, unlock_header
from keys.keystore import Keystore
from keys.messages import from_typed_data, typed_data
from keys.nesting import nesting
from keys.parcel import _parse, unpack
from keys.sealing import SealingKey
from node.errors import Refused
from node.services.meter.clock_rule import ClockPolicy, ClockView
from node.services.meter.counters import MeterCounters
from node.services.meter.crc import crc16
from node.services.meter.errors import TelegramRefused
from node.services.meter.framing import Candidate, Framer
from node.services.meter.pipeline import MeterPipeline
from node.services.meter.telegram import read_telegram
from node.services.provider.replay import split_replay
from node.wire.erasure import read_receipt
from node.wire.past import read_past
from tests.unit.channels.world import World

__all__ = ["CORPORA", "TARGETS", "Target", "begun_reader", "entry_of_a_fixed_keystore"]

CORPORA = Path(__file__).parent / "corpora"
NOW = 1_795_267_800
KEY = SealingKey(b"\x31" * 32)
_SMALL = 256  # KiB of Argon2id that a fuzzed header may ask for, so that the run is about parsing
_PATH = Path("keystore.json")


@dataclass(frozen=True, slots=True)
class Target:
    """`parse` returns whether the bytes were accepted, and raises for a defect only."""

    name: str
    parse: Callable[[bytes], bool]

    def corpus(self) -> list[bytes]:
        """The kept inputs: real messages, and what an earlier run found worth keeping."""
        return [path.read_bytes() for path in sorted((CORPORA / self.name).iterdir())]


def _declared(*errors: type[Exception]) -> Callable[[Callable[[bytes], None]], Callable[[bytes], bool]]:
    """Turns a parser into one that answers False where a declared error comes out; others pass."""

    def decorate(parse: Callable[[bytes], None]) -> Callable[[bytes], bool]:
        def run(data: bytes) -> bool:
            with contextlib.suppress(*errors):
                parse(data)
                return True
            return False

        return run

    return decorate


@cache
def begun_reader() -> tuple[World, Reader]:
    """A stream and a reader that has taken one envelope of it; the same in every process."""
    world = World.start(0, readers=1)
    _, reader = world.join(1)
    reader.open(world.seal(1, b"one"))
    return world, reader


@_declared(ChannelError)
def envelope(data: bytes) -> None:
    EnvelopeHeader.decode(data)


def open_envelope(data: bytes) -> bool:
    """The reader's whole way, from state that is stored to state that is stored: it never raises."""
    again = restore_reader(begun_reader()[1].params, _stored())
    progress = again.open([data])
    assert not (progress.readings and progress.alarms)
    return bool(progress.readings)


@cache
def _stored() -> bytes:
    return snapshot_reader(begun_reader()[1])


@_declared(ChannelError)
def commit(data: bytes) -> None:
    found = Commit.decode(data)
    again = found.header.encode() + found.body.encode() + found.epoch_wrap + found.confirm
    assert data.startswith(again)
    assert Header.decode(data) == found.header
    assert hashlib.sha256(again).digest() == found.commit_hash == Commit.hash_of(data)


@_declared(ChannelError)
def capsule(data: bytes) -> None:
    header = CapsuleHeader.decode(data)
    assert data.startswith(header.encode())


@_declared(ChannelError)
def welcome(data: bytes) -> None:
    """What is inside a capsule, once it is open: its sender is known then, and may still be malicious."""
    kind = CapsuleKind.HISTORY if data[:1] == b"\x00" else CapsuleKind.WELCOME
    body = data[1:]
    leaf, epoch = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:12], "big")
    membership, covers = _decode_plain(body, CapsuleHeader(kind, epoch, leaf))
    assert _encode_plain(membership, covers) == body


@_declared(ChannelError)
def covers(data: bytes) -> None:
    source = ByteReader(data)
    found = Covers.read(source)
    source.end()
    out = ByteWriter()
    found.write(out)
    assert out.done() == data


@_declared(ChannelError)
def checkpoint(data: bytes) -> None:
    found = Checkpoint.decode(data)
    assert found.last_seq >= 0
    with contextlib.suppress(ChannelError):
        Checkpoint.verify(data, bytes(32))


@_declared(ChannelError)
def readings(data: bytes) -> None:
    assert encode_batch(decode_batch(data)) == data


@_declared(ChannelError)
def ask(data: bytes) -> None:
    found, signature = Ask.decode(data)
    assert found.encode(signature) == data


@_declared(ChannelError)
def twin_entry(data: bytes) -> None:
    assert TwinEntry.decode(data).encode() == data


@_declared(ChannelError)
def replay(data: bytes) -> None:
    kind, message = split_replay(data)
    assert bytes([kind]) + message == data


@_declared(ChannelError)
def topic(data: bytes) -> None:
    name = data.decode("latin-1")
    assert Topic.parse(name).name == name


@_declared(ChannelError)
def stored_state(data: bytes) -> None:
    """What stores hand back: sealed, so nobody should get here, but a crash would be a crash at every start."""
    decoders: list[Callable[[bytes], bytes]] = [
        lambda raw: Position.from_bytes(raw).to_bytes(),
        lambda raw: Masters.from_bytes(raw).to_bytes(),
        lambda raw: WriterState.from_bytes(raw).to_bytes(),
        lambda raw: snapshot_reader(restore_reader(begun_reader()[1].params, raw)),
    ]
    decoders[data[0] % len(decoders) if data else 0](data[1:])


def p1(data: bytes) -> bool:
    """The port of the meter: nothing raises, nothing waits without bound, nothing invented is accepted."""
    counters = MeterCounters()
    meter = MeterPipeline(ClockPolicy(max_backlog=10**9), counters)
    accepted = meter.receive(data, ClockView(NOW, NOW))
    framer = Framer(MeterCounters(), 8192)
    list(framer.feed(data))
    assert framer.pending <= 8192 + 7
    return bool(accepted)


@_declared(TelegramRefused)
def telegram(data: bytes) -> None:
    """Content under a right checksum: a forger has no trouble with a CRC."""
    found = read_telegram(Candidate(data, crc16(data)))
    assert all(type(value) is int and 0 <= value < 10**12 for value in found.registers.values())


@_declared(KeysError)
def keystore_header(data: bytes) -> None:
    """With the checksum put right and the memory kept small, so that the fields are reached."""
    if nesting(data) <= 64:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            document = json.loads(data)
            if isinstance(document, dict) and document.get("version") == VERSION:
                kdf = document.get("kdf")
                if isinstance(kdf, dict) and isinstance(kdf.get("memory_kib"), int):
                    kdf["memory_kib"] = min(kdf["memory_kib"], _SMALL)
                    kdf["time_cost"] = min(kdf["time_cost"], 1)
                document["sum"] = _checksum(document)
                data = json.dumps(document).encode()
    unlock_header(_PATH, data, "x")


@cache
def entry_of_a_fixed_keystore() -> tuple[Keystore, Path]:
    """A keystore whose key every process knows, so that a kept entry opens in all of them."""
    memory = Path("/dev/shm")  # a file system in memory, where there is one: this is about parsing
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None)) / "keys"
    make_folder(folder)
    keystore = Keystore(folder, bytes(16), bytes(32))
    keystore.put("a", "secret", b"value")
    return keystore, folder / "a.key"


@_declared(KeysError)
def keystore_entry(data: bytes) -> None:
    keystore, path = entry_of_a_fixed_keystore()
    path.write_bytes(data)
    assert keystore.get("a") == b"value"


@_declared(KeysError)
def parcel(data: bytes) -> None:
    """The outside of a sealed parcel, or the inside without the seal."""
    if data[2:3] == b"{":
        _parse(data[2:])
    else:
        unpack(KEY, data, chain_id=1, now=NOW)


@_declared(Refused)
def receipt(data: bytes) -> None:
    """The receipt of an erasure, as a stranger shows it: read, it has one spelling that is signed."""
    found = read_receipt(data.decode(errors="replace"))
    assert type(found).model_validate(found.to_json()) == found


@_declared(Refused)
def past_receipt(data: bytes) -> None:
    """The receipt of a stream's erasure, likewise."""
    found = read_past(data.decode(errors="replace"))
    assert type(found).model_validate(found.to_json()) == found


@_declared(KeysError)
def eip712(data: bytes) -> None:
    if nesting(data) > 64:
        raise MessageError("too deep for the product too")
    try:
        document = json.loads(data)
    except ValueError as error:
        raise MessageError("not JSON") from error
    message, domain = from_typed_data(document)
    assert from_typed_data(typed_data(message, domain)) == (message, domain)


TARGETS = {
    target.name: target
    for target in (
        Target("ask", ask),
        Target("capsule", capsule),
        Target("checkpoint", checkpoint),
        Target("commit", commit),
        Target("covers", covers),
        Target("eip712", eip712),
        Target("envelope", envelope),
        Target("keystore_entry", keystore_entry),
        Target("keystore_header", keystore_header),
        Target("open_envelope", open_envelope),
        Target("p1", p1),
        Target("parcel", parcel),
        Target("past_receipt", past_receipt),
        Target("readings", readings),
        Target("receipt", receipt),
        Target("replay", replay),
        Target("stored_state", stored_state),
        Target("telegram", telegram),
        Target("topic", topic),
        Target("twin_entry", twin_entry),
        Target("welcome", welcome),
    )
}
