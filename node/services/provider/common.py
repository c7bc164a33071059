"""What the readers of one stream have in common: the same bytes checked once, and written into the log once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import structlog

from channels.errors import StoreConflict
from channels.shared import Shared
from channels.stores.base import ReaderStore
from channels.stores.records import OpenRecord

__all__ = ["Common"]

_log = structlog.get_logger(__name__)

COMMITS = 512
"""Commits that are remembered for several readers, and checkpoints and envelopes in proportion."""

LOGGED = 8192
"""Messages that are known to be in the log; of an older one the store finds out by itself."""


@dataclass(slots=True)
class Common:
    """One for each stream, in all its readers' ports. Nothing is kept in memory for a single reader."""

    shared: Shared = field(default_factory=lambda: Shared(0))
    readers: int = 0
    _logged: dict[bytes, None] = field(default_factory=dict)

    def enter(self) -> Shared:
        """One more reader of the stream."""
        self.readers += 1
        if self.readers > 1:
            self.shared.keep(COMMITS)
        return self.shared

    def news(self, record: OpenRecord) -> OpenRecord:
        """The record without the commits and envelopes that another reader has written."""
        commits = tuple(each for each in record.commits if each.hash not in self._logged)
        return replace(
            record, commits=commits, envelopes=tuple(e for e in record.envelopes if e.hash not in self._logged)
        )

    async def keep(self, store: ReaderStore, sid: bytes, grant_id: bytes, record: OpenRecord) -> None:
        """One transaction of one reader."""
        record = self.news(record)
        try:
            await store.record_open(sid, grant_id, record)
        except StoreConflict as fork:
            # The log holds what a member forged, or what another grant's reader took on another branch. The alarm has
            # the evidence of the fork; the log keeps what it has, and reading goes on.
            _log.warning("log_forked", sid=sid.hex(), conflict=str(fork))
            await store.record_open(sid, grant_id, replace(record, envelopes=()))
        else:
            self.written(record)

    def written(self, record: OpenRecord) -> None:
        """The transaction with this record is on disk."""
        if self.readers < 2:
            return
        self._logged.update((commit.hash, None) for commit in record.commits)
        self._logged.update((envelope.hash, None) for envelope in record.envelopes)
        while len(self._logged) > LOGGED:
            del self._logged[next(iter(self._logged))]
