"""What the indexer hands to its consumer: one batch is one storage transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from node.ledger.headers import Header

__all__ = ["ChainBatch", "Entry"]

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Entry(Generic[E]):
    """One decoded log with its transaction hash (bytes32) and index in the block; the event itself names the block."""

    event: E
    transaction: bytes
    index: int


@dataclass(frozen=True, slots=True)
class ChainBatch(Generic[E]):
    """What one step found. The consumer applies all of it in ONE storage transaction, in this order:

    1. ``rollback_to`` (if not None): forget headers and undo events of blocks above this height. ``rescan`` says that
       no common ancestor was known: everything from the start block on is read again in later batches.
    2. store ``headers``; forget those below ``keep_from``.
    3. apply ``entries`` in order; they act at first sight (head).
    4. ``finalized`` (None: nothing yet): every log up to this header has now been told.

    ``cursor`` is the last block whose logs were told (None: nothing yet); ``head`` is the chain's newest block, which
    is ahead of the cursor while catching up. ``undone_final``: blocks reported as final are gone (alarm, contracts.md).
    """

    entries: tuple[Entry[E], ...]
    headers: tuple[Header, ...]
    cursor: Header | None
    head: Header
    finalized: Header | None
    keep_from: int = 0
    rollback_to: int | None = None
    rescan: bool = False
    undone_final: bool = False

    @property
    def events(self) -> tuple[E, ...]:
        """The decoded events in chain order."""
        return tuple(entry.event for entry in self.entries)
