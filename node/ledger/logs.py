"""Checks raw logs against the header chain before anything is decoded, and counts what this version does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from node.ledger.batch import Entry
from node.ledger.bloom import may_contain
from node.ledger.errors import LogRefused
from node.ledger.headers import Header
from node.ledger.ports import LogDecoder
from node.ledger.wire import Block, RawLog

__all__ = ["LogCheck", "Watched"]

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Watched:
    """The contracts that are read: their addresses (bytes20) and the block from which on they have logs."""

    addresses: tuple[bytes, ...]
    start_block: int = 0


class LogCheck(Generic[E]):
    """Checks and decodes the logs of the watched contracts; ``unknown`` counts those that were skipped."""

    def __init__(self, watched: Watched, decoder: LogDecoder[E]) -> None:
        self.unknown = 0
        self._watched = watched
        self._decoder = decoder

    def checked(self, logs: Iterable[RawLog], known: Mapping[int, Header]) -> tuple[RawLog, ...]:
        """Return the logs in chain order, with the times of their blocks.

        Raises LogRefused for a log of another contract, of a block that is not in ``known``, or told twice: such an
        answer is from a stale branch or made up, and none of it is used.
        """
        ordered = sorted(logs, key=lambda log: (log.block_number, log.index))
        seen: set[tuple[int, int]] = set()
        for log in ordered:
            header = known.get(log.block_number)
            if log.address not in self._watched.addresses:
                raise LogRefused("a log of a contract that was not asked for")
            if header is None or header.hash != log.block_hash:
                raise LogRefused(f"a log of block {log.block_number} whose hash is not in the header chain")
            if (log.block_number, log.index) in seen:
                raise LogRefused(f"log {log.index} of block {log.block_number} was told twice")
            seen.add((log.block_number, log.index))
        return tuple([replace(log, timestamp=known[log.block_number].timestamp) for log in ordered])

    def suspects(self, blocks: Iterable[Block], logs: Iterable[RawLog]) -> list[Block]:
        """Return the blocks that told no log although their bloom says that there may be one of ours."""
        told = {log.block_number for log in logs}
        return [b for b in blocks if b.bloom and b.header.number not in told and self._may_hold(b.bloom)]

    def _may_hold(self, bloom: bytes) -> bool:
        ours = any(may_contain(bloom, address) for address in self._watched.addresses)
        return ours and any(may_contain(bloom, topic) for topic in self._decoder.topics)

    def entries(self, logs: Sequence[RawLog]) -> tuple[Entry[E], ...]:
        """Decode checked logs; unknown ones are counted and left out."""
        found = []
        for log in logs:
            event = self._decoder.decode(log)
            if event is None:
                self.unknown += 1
            else:
                found.append(Entry(event, log.transaction_hash, log.index))
        return tuple(found)
