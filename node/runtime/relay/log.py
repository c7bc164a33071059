"""The relay's log: a SQLite file with every message in order, what is retained, and how far each client has come.

Written from one thread. Everything in it is ciphertext or signed and public; it is kept from other users of the machine
all the same. A client's subscriptions outlive its connections: what comes meanwhile waits behind its cursor, for
`keep_seconds`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path

from channels.transports.http_wire import Entry
from node.runtime.broker.ownfile import OwnFile

__all__ = ["MAX_ANSWER", "RelayLog"]

_TABLES = """
CREATE TABLE entry (seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, at INTEGER NOT NULL,
                    payload BLOB NOT NULL);
CREATE INDEX entry_topic ON entry (topic, seq);
CREATE INDEX entry_at ON entry (at);
CREATE TABLE retained (topic TEXT PRIMARY KEY, seq INTEGER NOT NULL, payload BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE subscription (client TEXT, topic TEXT, cursor INTEGER NOT NULL, seen INTEGER NOT NULL,
                           PRIMARY KEY (client, topic)) WITHOUT ROWID;
"""
_NEWS = """
SELECT entry.seq, entry.topic, entry.payload FROM subscription JOIN entry ON entry.topic = subscription.topic
WHERE subscription.client = ? AND entry.seq > max(subscription.cursor, ?) ORDER BY entry.seq LIMIT ?
"""
_HEAD = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'entry'"
MAX_ANSWER = 4_000_000
"""Bytes of payload after which an answer ends; the last message may go beyond."""


class RelayLog:
    """The file; `open` it first. Times are seconds UTC and come from the caller."""

    def __init__(self, path: Path, keep_seconds: int = 7 * 86_400) -> None:
        self._keep = keep_seconds
        self._file = OwnFile(path, "the relay's log", _TABLES)

    async def open(self) -> None:
        """Open or create the file. Raises BrokerNotStarted."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file; what was begun is finished."""
        await self._file.close()

    async def publish(self, entries: Sequence[Entry], now: int) -> None:
        """Append in one transaction; on disk when it returns. A retained entry without payload clears its topic."""

        def work(database: sqlite3.Connection) -> None:
            for entry in entries:
                if entry.retained and not entry.payload:
                    database.execute("DELETE FROM retained WHERE topic = ?", (entry.topic,))
                    continue
                query = "INSERT INTO entry (topic, at, payload) VALUES (?, ?, ?)"
                seq = database.execute(query, (entry.topic, now, entry.payload)).lastrowid
                if entry.retained:
                    database.execute(
                        "INSERT OR REPLACE INTO retained VALUES (?, ?, ?)", (entry.topic, seq, entry.payload)
                    )

        await self._file.call(work)

    async def subscribe(self, client: str, topics: Sequence[str], now: int) -> list[Entry]:
        """Deliver these topics to the client from now on; returns what is retained. A known cursor stays."""

        def work(database: sqlite3.Connection) -> list[Entry]:
            head = database.execute(_HEAD).fetchone()[0]
            query = "INSERT INTO subscription VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seen = excluded.seen"
            database.executemany(query, [(client, topic, head, now) for topic in topics])
            found: list[Entry] = []
            for topic in topics:
                row = database.execute("SELECT seq, payload FROM retained WHERE topic = ?", (topic,)).fetchone()
                if row is not None:
                    found.append(Entry(row[0], topic, row[1], True))
            return found

        return await self._file.call(work)

    async def unsubscribe(self, client: str, topics: Sequence[str]) -> None:
        """Forget the subscriptions and their cursors."""
        rows = [(client, topic) for topic in topics]
        query = "DELETE FROM subscription WHERE client = ? AND topic = ?"
        await self._file.call(lambda database: database.executemany(query, rows))

    async def topics(self, client: str) -> list[str]:
        """What the client is subscribed to."""
        query = "SELECT topic FROM subscription WHERE client = ?"
        return [row[0] for row in await self._file.call(lambda database: database.execute(query, (client,)).fetchall())]

    async def news(self, client: str, after: int, limit: int) -> list[Entry]:
        """What the client has not acknowledged, behind `after`, in order."""
        return await self._file.call(lambda database: _cut(database.execute(_NEWS, (client, after, limit))))

    async def acknowledge(self, client: str, places: Sequence[tuple[str, int]], now: int) -> None:
        """Move cursors forward; they never go back."""
        query = "UPDATE subscription SET cursor = max(cursor, ?), seen = ? WHERE client = ? AND topic = ?"
        rows = [(seq, now, client, topic) for topic, seq in places]
        await self._file.call(lambda database: database.executemany(query, rows))

    async def entries(self, topic: str, after: int, limit: int) -> list[Entry]:
        """A range of one topic's log, whoever is subscribed."""
        query = "SELECT seq, topic, payload FROM entry WHERE topic = ? AND seq > ? ORDER BY seq LIMIT ?"
        return await self._file.call(lambda database: _cut(database.execute(query, (topic, after, limit))))

    async def sweep(self, now: int, present: Collection[str] = ()) -> int:
        """Forget entries and subscriptions that are older than the time they are kept; returns how many entries.

        Clients that are `present` keep theirs, however quiet the topics are.
        """
        before = now - self._keep

        def work(database: sqlite3.Connection) -> int:
            query = "UPDATE subscription SET seen = ? WHERE client = ?"
            database.executemany(query, [(now, client) for client in present])
            database.execute("DELETE FROM subscription WHERE seen < ?", (before,))
            return database.execute("DELETE FROM entry WHERE at < ?", (before,)).rowcount

        return await self._file.call(work)


def _cut(rows: sqlite3.Cursor) -> list[Entry]:
    found: list[Entry] = []
    size = 0
    for seq, topic, payload in rows:
        found.append(Entry(seq, topic, payload))
        size += len(payload)
        if size >= MAX_ANSWER:
            break
    return found
