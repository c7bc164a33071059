"""A consumer of the indexer's batches as small as it can be, to compare with what the chain really holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.ledger.batch import ChainBatch
from node.ledger.memory import MemoryHeaders
from node.ledger.reader import ChainReader
from node.ledger.wire import RawLog

__all__ = ["Consumer", "Mark", "MarkDecoder", "truth"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One log of the emitter: topic and data, with the block it is in."""

    block: int
    block_hash: bytes
    topic: bytes
    data: bytes


class MarkDecoder:
    """Knows the topics that it was made with."""

    def __init__(self, *known: bytes) -> None:
        self._known = frozenset(known)

    @property
    def topics(self) -> frozenset[bytes]:
        return self._known

    def decode(self, log: RawLog) -> Mark | None:
        if log.topics[0] not in self._known:
            return None
        return Mark(log.block_number, log.block_hash, log.topics[0], log.data)


@dataclass
class Consumer:
    """Applies batches; ``marks`` is what it believes to be on the chain, ``final`` what it was told is final."""

    marks: list[Mark] = field(default_factory=list)
    headers: MemoryHeaders = field(default_factory=MemoryHeaders)
    final: int = -1
    alarms: int = 0
    rescans: int = 0
    rollbacks: list[int] = field(default_factory=list)

    def apply(self, batch: ChainBatch[Mark]) -> None:
        if batch.rollback_to is not None:
            self.rollbacks.append(batch.rollback_to)
            self.marks = [mark for mark in self.marks if mark.block <= batch.rollback_to]
        self.alarms += batch.undone_final
        self.rescans += batch.rescan
        self.headers.apply(batch)
        self.marks += batch.events
        if batch.finalized is not None:
            self.final = batch.finalized.number

    @property
    def words(self) -> list[bytes]:
        return [mark.data for mark in self.marks]


async def truth(reader: ChainReader, address: bytes, decoder: MarkDecoder) -> list[Mark]:
    """Ask the chain itself, in one go."""
    head = await reader.head()
    logs = sorted(await reader.logs([address], 0, head.number), key=lambda log: (log.block_number, log.index))
    return [mark for log in logs if (mark := decoder.decode(log)) is not None]
