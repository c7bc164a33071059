"""What the chain must not hold and the node must not forget: own decisions, other nodes' words, pairing facts.

Every such event and fact goes onto the node's private log (channels.md 7) before it goes into the database. When the
database is lost, the log is replayed into a new one; then the chain is read again. Replaying is harmless: reducers
refuse what is out of place, and effects that run again are known to whoever receives them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from channels.private_log import PrivateLog
from channels.stores.base import LogStore
from node.errors import CallerError
from node.projection.base import Event
from node.projection.codec import CODEC
from node.storage.database import Database
from node.storage.extras import Extra, SetFact
from node.storage.facts import Facts
from node.storage.journal import Applied, Journal

__all__ = ["Fact", "Memory"]

_log = structlog.get_logger(__name__)

Fact = tuple[str, str, Any]
"""Namespace, name, JSON value."""

_REPLAYED = ("memory", "replayed")


class Memory:
    """Facts, and the way by which events that are not the chain's reach the journal."""

    def __init__(self, log: PrivateLog, journal: Journal, facts: Facts) -> None:
        self.facts = facts
        self._log = log
        self._journal = journal
        self._order = asyncio.Lock()

    @classmethod
    async def open(cls, store: LogStore, key: bytes, journal: Journal, database: Database) -> Memory:
        """Opens the private log and replays what the database does not have yet.

        What the store lost of the log was fetched from a replica before.
        """
        memory = cls(await PrivateLog.open(store, key), journal, Facts(database))
        await memory._replay()
        return memory

    @property
    def log(self) -> PrivateLog:
        """The private log, to be copied to further stores."""
        return self._log

    async def keep(self, events: Iterable[Event], facts: Sequence[Fact] = (), extras: Sequence[Extra] = ()) -> Applied:
        """Log first, then one transaction. Raises what `Journal.apply` raises; the log then holds idle words."""
        told = tuple(events)
        entry = {"version": 1, "events": [CODEC.encode(event) for event in told], "facts": [list(f) for f in facts]}
        marks = [SetFact(*fact) for fact in facts]
        # One at a time: the mark says that everything before it is in the database.
        async with self._order:
            seq = await self._log.append(json.dumps(entry, separators=(",", ":")).encode())
            return await self._journal.apply(told, *extras, *marks, SetFact(*_REPLAYED, seq + 1))

    async def _replay(self) -> None:
        have = int(await self.facts.get(*_REPLAYED) or 0)
        replayed = 0
        async for seq, raw in self._log.entries(have):
            entry = json.loads(raw)
            marks = [SetFact(*fact) for fact in entry["facts"]]
            mark = SetFact(*_REPLAYED, seq + 1)
            try:
                await self._journal.apply([CODEC.decode(text, Event) for text in entry["events"]], *marks, mark)
            except CallerError as refused:
                # It was refused when it was first told, too.
                _log.info("replay_refused", reason=str(refused))
                await self._journal.apply([], mark)
            replayed += 1
        if replayed:
            _log.info("memory_replayed", entries=replayed)
