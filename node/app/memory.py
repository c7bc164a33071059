"""What the chain must not hold and the node must not forget: own decisions, other nodes' words, pairing facts.

Every such event and fact goes onto the node's private log (channels.md 7) before it goes into the database. When the
database is lost, the log is replayed into a new one; then the chain is read again. Replaying is harmless: reducers
refuse what is out of place, and effects that run again are known to whoever receives them.

Those who tell something at the same time share both writes: one append to the log, then one transaction of the journal.
While that one is written, the log goes on with those who came meanwhile. Where one is refused by the journal, each of
them is told to it by itself, so nobody is sunk by a neighbour.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson
import structlog

from channels.errors import ChannelError
from channels.private_log import PrivateLog
from channels.stores.base import LogStore
from node.errors import CallerError, NodeError
from node.projection.base import Event
from node.projection.codec import CODEC
from node.storage.database import Database
from node.storage.extras import Extra, SeenParcel, SeenParcels, SetFact
from node.storage.facts import Facts
from node.storage.group import GroupCommit
from node.storage.journal import Applied, Journal

__all__ = ["Fact", "Memory"]

_log = structlog.get_logger(__name__)

Fact = tuple[str, str, Any]
"""Namespace, name, JSON value."""

_REPLAYED = ("memory", "replayed")


@dataclass(frozen=True, slots=True)
class _Told:
    """What one caller wants kept: its entry for the log, and the same for the database."""

    entry: bytes
    events: tuple[Event, ...]
    texts: tuple[str, ...]
    extras: tuple[Extra, ...]


@dataclass(frozen=True, slots=True)
class _Logged:
    """The same once it is in the log, and under which number."""

    told: _Told
    seq: int


class Memory:
    """Facts, and the way by which events that are not the chain's reach the journal."""

    def __init__(self, log: PrivateLog, journal: Journal, facts: Facts) -> None:
        self.facts = facts
        self._log = log
        self._journal = journal
        # Two lines, one behind the other, each with one group at a time and in the order of the log: the mark says that
        # everything before it is in the database.
        self._logging: GroupCommit[_Told, asyncio.Future[Applied]] = GroupCommit("memory", self._append, ChannelError)
        self._applying: GroupCommit[_Logged, Applied] = GroupCommit("memory journal", self._commit)

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
        """Log first, then one transaction. Raises what `Journal.apply` raises; the log then holds idle words.

        Cancelled while it waits, it may or may not be kept.
        """
        told = tuple(events)
        texts = tuple(CODEC.encode(event) for event in told)
        entry = {"version": 1, "events": texts, "facts": [list(f) for f in facts]}
        marks = [SetFact(*fact) for fact in facts]
        # Only a fact can hold what the quick writer does not write, as integers beyond 64 bits.
        written = json.dumps(entry, separators=(",", ":")).encode() if facts else orjson.dumps(entry)
        applied = await self._logging.submit(_Told(written, told, texts, (*extras, *marks)))
        # What the log has goes into the journal, whether or not somebody still waits for it.
        return await asyncio.shield(applied)

    async def close(self) -> None:
        """Finish what is waiting, then refuse."""
        await self._logging.close()
        await self._applying.close()

    async def _append(self, calls: Sequence[_Told]) -> Sequence[asyncio.Future[Applied]]:
        first = await self._log.append_all([call.entry for call in calls])
        return [self._applying.enqueue(_Logged(call, seq)) for seq, call in enumerate(calls, first)]

    async def _commit(self, calls: Sequence[_Logged]) -> Sequence[Applied | Exception]:
        try:
            return await self._together(calls)
        except NodeError as refused:
            if len(calls) == 1:
                return [refused]
        # In the order of the log; the journal puts them into one transaction, each behind a savepoint.
        results: list[Applied | Exception] = []
        for found in await asyncio.gather(*(self._together([call]) for call in calls), return_exceptions=True):
            if isinstance(found, Exception):
                results.append(found)
            elif isinstance(found, BaseException):
                raise found
            else:
                results += found
        return results

    async def _together(self, calls: Sequence[_Logged]) -> list[Applied]:
        """All of the calls in one transaction, or none of them; to each what its own events did."""
        told = [call.told for call in calls]
        events = [event for each in told for event in each.events]
        texts = [text for each in told for text in each.texts]
        extras = [extra for each in told for extra in each.extras]
        seen = SeenParcels([extra for extra in extras if isinstance(extra, SeenParcel)])
        others = [extra for extra in extras if not isinstance(extra, SeenParcel)]
        mark = SetFact(*_REPLAYED, calls[-1].seq + 1)
        done = await self._journal.apply(events, seen, *others, mark, texts=texts)
        records = iter(done.records)
        return [Applied(tuple(islice(records, len(each.events)))) for each in told]

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
