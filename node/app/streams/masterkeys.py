"""M and T of the streams that this gateway writes, in the keystore, and their exchange when the past is erased.

An entry is never changed: an erasure keeps a new one under the next number and destroys the others, those of former
writers of the stream as well, which nobody needs any more. From a new T the tree of before cannot be made again, so a
snapshot of it lies beside, in a file that only this T opens (channels.md 4, rule 11).
"""

from __future__ import annotations

import re
from pathlib import Path

from channels.errors import StoreError
from channels.kdf import kdf
from channels.masters import Masters
from channels.stores.sealed import StoreSeal
from keys.errors import EntryExists, KeysError
from keys.files import create_file, make_folder, read_file, shred_file
from node.app.core import Core
from node.app.datadir import DataDir
from node.app.streams.streamspec import StreamSpec
from node.errors import NeedsPerson

__all__ = ["MasterKeys"]

KIND = "masters"
LARGEST = 1 << 28
"""Bytes of a snapshot's file; a tree of 2**20 leaves has a third of that."""


class MasterKeys:
    """Those of one writer's time. A writer's time has masters of its own: who writes a stream again after another one,
    or after its keys were replaced, must not open or make anything with those of its former time (rule 10)."""

    def __init__(self, core: Core, spec: StreamSpec) -> None:
        self._keystore = core.keys.keystore
        self._folder = DataDir.of(core.settings).trees
        self._sid = spec.sid
        self._stream = f"masters-{spec.sid.hex()}"
        self._name = f"{self._stream}-{spec.writer.address.hex()}" if spec.taken else self._stream

    def _numbers(self) -> list[int]:
        """Those of the exchanges that have an entry, 0 for the first one."""
        mine = re.compile(rf"{re.escape(self._name)}(?:\.(\d+))?\Z")
        found = [mine.match(name) for name in self._keystore.names()]
        return sorted(int(match.group(1) or 0) for match in found if match is not None)

    def _entry(self, number: int) -> str:
        return f"{self._name}.{number}" if number else self._name

    def _file(self, number: int) -> Path:
        return self._folder / f"{self._entry(number)}.sealed"

    def load(self, fresh: bytes) -> Masters:
        """What is left of M, and T; `fresh` (64 random bytes) becomes them at the first call."""
        numbers = self._numbers()
        if not numbers:
            made = Masters.from_keys(self._sid, fresh[:32], fresh[32:])
            self._keystore.put(self._entry(0), KIND, made.to_bytes())
            return made
        return Masters.from_bytes(self._keystore.get(self._entry(numbers[-1])))

    def snapshot(self) -> bytes | None:
        """The writer's state at the last exchange; None before the first. Raises NeedsPerson where it is damaged."""
        numbers = self._numbers()
        if not numbers or not numbers[-1]:
            return None
        path = self._file(numbers[-1])
        try:
            sealed = read_file(path, LARGEST)
            return self._seal(self.load(b"")).open(KIND, self._sid, b"", sealed)
        except (OSError, KeysError, StoreError) as error:
            raise NeedsPerson(f"{path} cannot be opened: {error}.", remedy="Restore the newest backup.") from error

    def entries(self) -> tuple[str, ...]:
        """The names of all masters of the stream, those of former writers here among them."""
        return tuple(name for name in self._keystore.names() if name.startswith(self._stream))

    def exchange(self, masters: Masters, snapshot: bytes) -> None:
        """Keeps `masters` with a snapshot beside, and destroys every other entry of the stream.

        Called again with the same masters it destroys what an interruption left.
        """
        numbers = self._numbers()
        last = numbers[-1] if numbers else 0
        if not numbers or self.load(b"") != masters:
            last += 1
            self._keep(last, self._seal(masters).seal(KIND, self._sid, b"", snapshot))
            self._keystore.put(self._entry(last), KIND, masters.to_bytes())
        for name in self.entries():
            if name != self._entry(last):
                self._keystore.delete(name)
        if self._folder.exists():
            for path in self._folder.glob(f"{self._stream}*"):
                if path != self._file(last):
                    shred_file(path)

    def _keep(self, number: int, sealed: bytes) -> None:
        make_folder(self._folder)
        try:
            create_file(self._file(number), sealed)
        except EntryExists:  # of a run that was killed before its T was kept: nothing opens it
            shred_file(self._file(number))
            create_file(self._file(number), sealed)

    def _seal(self, masters: Masters) -> StoreSeal:
        return StoreSeal(kdf(masters.tree, b"tree-snapshot", self._sid))
