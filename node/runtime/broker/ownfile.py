"""A small SQLite file of a service's own, written from one thread: on disk when a call returns.

Everything in such a file is ciphertext or signed and public; it is kept from other users of the machine all the same.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from node.runtime.broker.errors import BrokerNotStarted

__all__ = ["OwnFile"]

_R = TypeVar("_R")


class OwnFile:
    """The file at `path`; `open` it first, and once. `what` names it in errors, `tables` makes its first version."""

    def __init__(self, path: Path, what: str, tables: str) -> None:
        self._path = path
        self._what = what
        self._tables = tables
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._database: sqlite3.Connection | None = None

    async def call(self, work: Callable[[sqlite3.Connection], _R]) -> _R:
        """Do this in one transaction. Raises BrokerNotStarted before `open` and after `close`, sqlite3.Error."""

        def run() -> _R:
            with self._opened() as database:
                return work(database)

        self._opened()  # a file that was closed has no thread any more
        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise BrokerNotStarted(f"{self._what} is closed")
        return self._database

    async def open(self) -> None:
        """Open or create the file. Raises BrokerNotStarted."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except (OSError, sqlite3.Error) as error:
            raise BrokerNotStarted(f"{self._what} cannot be opened: {error}") from error

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._database = sqlite3.connect(self._path)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > 1:
            raise BrokerNotStarted(f"{self._what} was written by a newer program")
        if version == 0:
            self._database.executescript(f"BEGIN; {self._tables} PRAGMA user_version=1; COMMIT;")

    async def close(self) -> None:
        """Close the file; what was begun is finished."""

        def close() -> None:
            if self._database is not None:
                self._database.close()
                self._database = None

        await asyncio.get_running_loop().run_in_executor(self._thread, close)
        self._thread.shutdown()
