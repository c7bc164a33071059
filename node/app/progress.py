"""How far the reading of the chain is: for the log, for status and for a bar on a terminal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.ledger.batch import ChainBatch
from node.projection.base import Event
from node.projection.events import ChainEvent, LoggedFinalized, LoggedRolledBack
from node.storage.extras import ChainUpdate

__all__ = ["FINAL", "Progress", "told"]

FINAL = "finalized"
"""Name of the cursor that keeps the newest final height."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Blocks from `first` to `head`, of which those up to `at` are read; times in monotonic seconds."""

    first: int
    at: int
    head: int
    events: int
    began: float
    now: float

    @classmethod
    def start(cls, first: int, now: float) -> Progress:
        return cls(first, first - 1, first - 1, 0, now, now)

    def after(self, batch: ChainBatch[ChainEvent], now: float) -> Progress:
        """Further by one batch; a roll-back takes the reading back."""
        at = batch.cursor.number if batch.cursor is not None else self.first - 1
        return replace(self, at=at, head=batch.head.number, events=self.events + len(batch.entries), now=now)

    @property
    def done(self) -> int:
        return max(0, self.at - self.first + 1)

    @property
    def total(self) -> int:
        return max(0, self.head - self.first + 1)

    @property
    def events_per_s(self) -> int:
        return round(self.events / max(self.now - self.began, 1e-3))

    @property
    def left_s(self) -> int | None:
        """Seconds to go at the present rate of blocks; None before there is one."""
        if not self.done or self.now <= self.began:
            return None
        return round((self.total - self.done) * (self.now - self.began) / self.done)


def told(batch: ChainBatch[ChainEvent]) -> tuple[list[Event], ChainUpdate]:
    """A batch as the events of one transaction and what is written beside them."""
    events: list[Event] = []
    if batch.rollback_to is not None:
        events.append(LoggedRolledBack(batch.rollback_to))
    events.extend(batch.events)
    cursor = None
    if batch.finalized is not None:
        events.append(LoggedFinalized(batch.finalized.number, batch.finalized.timestamp))
        cursor = (FINAL, batch.finalized.number, batch.finalized.hash)
    return events, ChainUpdate(batch.headers, batch.rollback_to, batch.keep_from, cursor)
