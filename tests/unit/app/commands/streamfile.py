"""A stream that was really written: commits, envelopes and checkpoints of a writer, and the chain that took them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from channels.masters import Masters
from channels.slots import OPEN_SLOT, StreamParams
from channels.writer import Join, Writer
from keys.ids import stream_id
from keys.stream_key import StreamKey
from node.api.views import ExportView
from node.app.commands.export import build_export, events_of
from node.app.commands.exported import ChannelLog, ExportedStreamKey
from node.app.commands.verify import verify_export
from node.cli.factories import Finding, VerifyOptions
from node.projection.base import Block, Event
from node.projection.events import LoggedCommitted, LoggedRolledBack, LoggedStreamRegistered
from node.storage.extras import StoredHeader
from node.types import to_hex
from tests.unit.channels.world import ADDRESS, DOMAIN, GENESIS, SLOT, STREAM_KEY, World, hashed, params

OWNER = b"\x0b" * 20
NAME_HASH = hashed("name")
assert DOMAIN.verifying_contract is not None
assert DOMAIN.chain_id is not None
REGISTRY: bytes = DOMAIN.verifying_contract
CHAIN_ID: int = DOMAIN.chain_id
SID = stream_id(CHAIN_ID, REGISTRY, OWNER, NAME_HASH)
FIRST_BLOCK = 100


def block_hash(number: int, branch: str = "main") -> bytes:
    return sha256(f"{branch} {number}".encode()).digest()


def header(number: int) -> StoredHeader:
    return StoredHeader(number, block_hash(number), block_hash(number - 1), GENESIS + number)


@dataclass
class StreamFile:
    """The world, and the journal history of its stream. Every commit stands in a block of its own, ten apart."""

    world: World
    history: list[Event] = field(default_factory=list)
    height: int = FIRST_BLOCK

    @classmethod
    def start(cls, signed: bool = False, key: StreamKey = STREAM_KEY) -> StreamFile:
        stream = params(SID, signed, key)
        masters = Masters.from_keys(SID, hashed("M"), hashed("T"))
        made = cls(World(Writer(stream, masters, key, hashed("inst")[:16])))
        made.history.append(
            LoggedStreamRegistered(made.block(), SID, OWNER, ADDRESS, NAME_HASH, key.key_hash(), GENESIS, SLOT)
        )
        return made

    @property
    def params(self) -> StreamParams:
        return self.world.writer.params

    def block(self) -> Block:
        self.height += 10
        return Block(self.height, block_hash(self.height))

    def commit(self, slot: int, removed: tuple[int, ...] = (), joins: int = 0) -> None:
        self.world.commit(slot, removed, [Join(slot, OPEN_SLOT)] * joins)
        writer = self.world.writer
        self.history.append(LoggedCommitted(self.block(), SID, writer.epoch, writer.head))

    def seal(self, slot: int, count: int) -> None:
        self.world.seal(slot, *(f"slot {slot} reading {index}".encode() for index in range(count)))

    def close(self, slot: int) -> None:
        self.world.checkpoints.extend(self.world.writer.close_slot(slot))

    def log(self) -> ChannelLog:
        key = ExportedStreamKey(self.params.ed25519_public, self.params.ml_dsa_public, self.params.signed_envelopes)
        world = self.world
        return ChannelLog((key,), tuple(world.commits), tuple(world.envelopes), tuple(world.checkpoints))

    def export(self) -> ExportView:
        headers = [header(number) for number in range(FIRST_BLOCK, self.height + 5)]
        return build_export(self.params, headers, events_of(self.history), self.log())

    def document(self) -> dict[str, Any]:
        """As it comes over REST."""
        found: dict[str, Any] = json.loads(self.export().model_dump_json())
        return found


def story(signed: bool = False, key: StreamKey = STREAM_KEY) -> StreamFile:
    """Three epochs over five slots; a reader is revoked while a slot runs, and a reorganisation comes before that."""
    made = StreamFile.start(signed, key)
    made.commit(0, joins=3)
    made.seal(0, 3)
    made.close(0)
    # A commit's block is replaced: the journal tells of it twice, the chain has it once.
    taken_back = made.history[-1]
    assert isinstance(taken_back, LoggedCommitted)
    made.history[-1:] = [
        LoggedCommitted(Block(taken_back.block.number - 1, block_hash(1, "other")), SID, 1, taken_back.commit_hash),
        LoggedRolledBack(taken_back.block.number - 5),
        taken_back,
    ]
    made.seal(1, 2)
    made.commit(1, removed=(2,))
    made.seal(1, 4)
    made.close(1)
    made.close(2)
    made.commit(3, joins=1)
    made.seal(3, 3)
    made.close(3)
    made.seal(4, 2)
    return made


def judged(
    folder: Path, document: Any, registry: str | None = to_hex(REGISTRY), log: object = None
) -> dict[str, Finding]:
    """What `wattpact verify` finds, by name."""
    path, other = folder / "export.json", None
    path.write_text(json.dumps(document))
    if log is not None:
        other = folder / "log.json"
        other.write_text(json.dumps(log))
    return {finding.name: finding for finding in verify_export(VerifyOptions(path, other, registry))}


def first_of(document: dict[str, Any], kind: str, nth: int = 0) -> dict[str, Any]:
    """The nth log entry of a kind."""
    found: dict[str, Any] = [entry for entry in document["log"] if entry["kind"] == kind][nth]
    return found


def change(entry: dict[str, Any], name: str, edit: Callable[[bytearray], None]) -> None:
    """Edits the bytes behind a hex member."""
    data = bytearray.fromhex(entry[name][2:])
    edit(data)
    entry[name] = to_hex(bytes(data))
