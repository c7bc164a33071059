"""What the broker keeps over a restart: retained messages at once, sessions when it is stopped in good order.

A small SQLite file of its own, written from one thread. Everything in it is ciphertext or signed and public; it is kept
from other users of the machine all the same. After a crash the sessions are gone: clients subscribe again when they
connect, and readers ask for what they missed.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from node.runtime.broker.outbox import Outgoing
from node.runtime.broker.ownfile import OwnFile

__all__ = ["KeptSession", "StateFile"]

_TABLES = """
CREATE TABLE retained (topic TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE session (client TEXT PRIMARY KEY, username TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE subscription (client TEXT, filter TEXT, qos INTEGER NOT NULL, PRIMARY KEY (client, filter)) WITHOUT ROWID;
CREATE TABLE message (number INTEGER PRIMARY KEY, client TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL,
                      qos INTEGER NOT NULL, retained INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class KeptSession:
    """One client's session as it is kept."""

    client_id: str
    username: str
    filters: tuple[tuple[str, int], ...]
    messages: tuple[Outgoing, ...]


class StateFile:
    """The file; `open` it first."""

    def __init__(self, path: Path) -> None:
        self._file = OwnFile(path, "the broker's state file", _TABLES)

    async def open(self) -> None:
        """Open or create the file. Raises BrokerNotStarted."""
        await self._file.open()

    async def close(self) -> None:
        """Close the file; what was begun is finished."""
        await self._file.close()

    async def keep_retained(self, topic: str, payload: bytes) -> None:
        """Write down a retained message, or forget it when the payload is empty."""

        def work(database: sqlite3.Connection) -> None:
            if payload:
                database.execute("INSERT OR REPLACE INTO retained VALUES (?, ?)", (topic, payload))
            else:
                database.execute("DELETE FROM retained WHERE topic = ?", (topic,))

        await self._file.call(work)

    async def retained(self) -> list[tuple[str, bytes]]:
        """All retained messages."""
        return await self._file.call(
            lambda database: database.execute("SELECT topic, payload FROM retained").fetchall()
        )

    async def keep_sessions(self, sessions: list[KeptSession]) -> None:
        """Write down all sessions."""

        def work(database: sqlite3.Connection) -> None:
            for session in sessions:
                client = session.client_id
                database.execute("INSERT INTO session VALUES (?, ?)", (client, session.username))
                filters = [(client, filter_, qos) for filter_, qos in session.filters]
                database.executemany("INSERT INTO subscription VALUES (?, ?, ?)", filters)
                rows = [(client, m.topic, m.payload, m.qos, m.retained) for m in session.messages]
                columns = "client, topic, payload, qos, retained"
                database.executemany(f"INSERT INTO message ({columns}) VALUES (?, ?, ?, ?, ?)", rows)  # noqa: S608

        await self._file.call(work)

    async def take_sessions(self) -> list[KeptSession]:
        """Read the sessions and forget them: a crash from here on must not bring old messages back."""

        def work(database: sqlite3.Connection) -> list[KeptSession]:
            found = []
            for client, username in database.execute("SELECT client, username FROM session").fetchall():
                filters = database.execute(
                    "SELECT filter, qos FROM subscription WHERE client = ?", (client,)
                ).fetchall()
                columns = "topic, payload, qos, retained"
                query = f"SELECT {columns} FROM message WHERE client = ? ORDER BY number"  # noqa: S608
                rows = database.execute(query, (client,)).fetchall()
                messages = tuple(Outgoing(topic, payload, qos, bool(kept)) for topic, payload, qos, kept in rows)
                found.append(KeptSession(client, username, tuple(filters), messages))
            for table in ("message", "subscription", "session"):
                database.execute(f"DELETE FROM {table}")  # noqa: S608
            return found

        return await self._file.call(work)
