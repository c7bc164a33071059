"""One process per data folder, and an eye on the stream's own topic (channels.md 4, rule 10)."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from channels.envelope import EnvelopeHeader
from channels.errors import FolderLocked, ForeignWriter, FormatError

__all__ = ["FolderLock", "OwnTopicWatch"]

_NAME = "lock"


class FolderLock:
    """An exclusive flock on a folder; a context manager. The kernel frees it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Raises FolderLocked with the other process's id."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Appending keeps the holder's process id readable until the lock is ours.
        file = self._path.open("a+", encoding="latin-1")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            text = file.read(20).strip()
            pid = int(text) if text.isdecimal() else 0
            file.close()
            raise FolderLocked(f"{self._path.parent} is in use by process {pid}", pid) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class OwnTopicWatch:
    """Knows the instances of one writer; another one on the topic means that two writers run.

    What it reports is evidence, not proof: the broker is untrusted and can make up an envelope that nobody with the
    keys ever sealed. A forged one stops the writer, which a broker can do in simpler ways; a genuine one must.
    """

    def __init__(
        self, sid: bytes, instance: bytes, known: frozenset[bytes] = frozenset(), former_epoch: int = 0
    ) -> None:
        """`known` are the ids of this writer's earlier runs, as far as its store still has their envelopes.

        `former_epoch`: the last one of the writer that this one has replaced. What that one still says, because it is
        late or was stolen, stops nobody: readers take no envelope of an epoch that is over for its writer.
        """
        self._sid = sid
        self._former = former_epoch
        self._instances = known | {instance}

    def look(self, envelope: bytes, newest_own_seq: int, own_at_seq: bytes | None = None) -> None:
        """Raises ForeignWriter for an envelope of an instance that is not ours.

        Beyond what we sealed there can be no envelope but a foreign one. Up to there an envelope of a run that `known`
        has forgotten may come again from a broker, so it counts only against `own_at_seq`, our own envelope with its
        number: two with one number are a fork. Bytes that are no envelope of this stream prove nothing.
        """
        try:
            header = EnvelopeHeader.decode(envelope)
        except FormatError:
            return
        if header.sid != self._sid or header.inst in self._instances or header.epoch <= self._former:
            return
        forked = own_at_seq is not None and own_at_seq != envelope
        if header.seq > newest_own_seq or forked:
            raise ForeignWriter("another writer seals this stream", header.inst, envelope)
