"""What writing a stream needs from the rest of the node, as narrow protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from channels.position import Position
from channels.stores.base import LogStore, WriterStore
from channels.stores.records import Capsule, Erased, Past
from keys.messages import StreamCommit
from node.clock import Clock
from node.services.gateway.members import ActingGrant

__all__ = [
    "ChainPort",
    "CommitPort",
    "ConsentPort",
    "EngineStatus",
    "ErasingPorts",
    "HighWaterPort",
    "PastStore",
    "Ports",
    "StreamFacts",
    "WriterLog",
]


class WriterLog(LogStore, WriterStore, Protocol):
    """The channel store as a writer sees it."""


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """The stream as the chain shows it at head: newest epoch and its commit hash (epoch 0: none), present writer."""

    epoch: int
    commit_hash: bytes
    writer: bytes


class ChainPort(Protocol):
    """The chain as this node has seen it."""

    async def stream(self, sid: bytes) -> StreamFacts | None:
        """None while the registration is not indexed."""
        ...

    def block(self) -> tuple[int, int]:
        """Number and time (seconds UTC) of the newest block whose events were applied; (0, 0) before the first."""
        ...


class ConsentPort(Protocol):
    """The consents that this node has seen."""

    async def acting(self, sid: bytes) -> Sequence[ActingGrant]:
        """Final, unrevoked grants of this stream whose time is not over."""
        ...

    async def ended(self, sid: bytes) -> Sequence[ActingGrant]:
        """Final, unrevoked grants of this stream that ran out at their own end."""
        ...

    async def reader_keys(self, sid: bytes) -> dict[bytes, bytes]:
        """Public sealing keys (1,216 bytes) of readers and owner, by their hash, as far as they arrived."""
        ...

    async def owner_key_hash(self, sid: bytes) -> bytes | None:
        """The hash of the household's own key; None until it has arrived."""
        ...

    async def owned_since(self, sid: bytes) -> int | None:
        """The first slot of the present owner's time, 0 for the stream's first owner; None from the first sight of a
        transfer until the time before it is closed: then no owner has a leaf."""
        ...


class CommitPort(Protocol):
    """The way of a commit to the chain."""

    async def sign(self, message: StreamCommit) -> bytes:
        """The stream's writer signs: 65 bytes for the channel and for the chain."""
        ...

    async def submit(self, message: StreamCommit, signature: bytes) -> None:
        """Brings it onto the chain until it is final. The same message again is left alone unless it was refused:
        then it came before its predecessor, and is tried once more."""
        ...


class HighWaterPort(Protocol):
    """The mark outside the database that says how far this writer has sealed (channels.md 4, rule 10)."""

    def advance(self, position: Position) -> None:
        """Durable when it returns; called, in a thread, before anything up to this position is published."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """The rest of the node, as far as a stream's writer needs it.

    `backlog_s`: seconds back from now from which a meter or logger may still deliver; the first epoch reaches that far.
    """

    store: WriterLog
    chain: ChainPort
    consents: ConsentPort
    commits: CommitPort
    high_water: HighWaterPort
    clock: Clock
    backlog_s: int = 0


class PastStore(Protocol):
    """The channel store as an erasure sees it."""

    async def capsules(self, sid: bytes) -> Sequence[Capsule]:
        """See LogStore.capsules."""
        ...

    async def erase_past(
        self, sid: bytes, past: Past, snapshot: bytes = b"", capsules: Sequence[Capsule] | None = None
    ) -> Erased:
        """See ChannelStore.erase_past."""
        ...


@dataclass(frozen=True, slots=True)
class ErasingPorts:
    """What an erasure needs beside the engine. `fresh` draws 32 random bytes."""

    store: PastStore
    fresh: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """How the writing goes; `fault` is one sentence, or empty."""

    epoch: int
    active_epoch: int
    members: int
    pending: int
    fault: str
    waiting_keys: tuple[bytes, ...]
