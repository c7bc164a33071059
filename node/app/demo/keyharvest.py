"""Takes what a thief with access to a provider's disk could take, again and again while the story runs.

Each look copies the keystore's files and the channel store (SQLite's own backup, so that a copy is whole), opens both
with the passphrase, which a thief of the whole disk has as well, and keeps every secret that was ever seen. What a
node deletes is therefore only safe if it was deleted before a look, and nobody knows when the looks come.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from channels.errors import ChannelError, StoreKeyGone
from channels.reader_state import restore_reader
from channels.slots import StreamParams
from channels.stores.sealed import StoreSeal
from channels.stores.vault import KeystoreVault
from keys.errors import KeysError
from keys.identity import Identity
from keys.keystore import MNEMONIC, Keystore
from keys.messages import registry_domain
from node.app.demo.evidence import Harvest

__all__ = ["KeyHarvest", "reader_secrets"]

EVERY_S: Final = 0.7

_LABELS: Final = ("inbox",)
_SECRET_LABELS: Final = ("channel-store", "private-log")


def reader_secrets(sid: bytes, state: bytes) -> set[bytes]:
    """Every key in a reader's decrypted state: its path in the reader tree, epoch nodes and slot nodes."""
    anywhere = StreamParams(sid, 0, 60, registry_domain(1, bytes(20)), bytes(20), bytes(32))
    try:
        reader = restore_reader(anywhere, state)
    except ChannelError:
        return set()
    covers = reader.keyring.covers()
    found = {node.key for node in covers.epochs} | {node.key for _, nodes in covers.slots for node in nodes}
    if reader.follower is not None:
        found.update(reader.follower.path.keys)
    return found


@dataclass(slots=True)
class KeyHarvest:
    """One provider's disk. `copies` is where the copies go."""

    letter: str
    folder: Path
    passphrase: str
    copies: Path
    secrets: set[bytes] = field(default_factory=set)
    seeds: set[bytes] = field(default_factory=set)
    latest: dict[bytes, bytes] = field(default_factory=dict)
    pinned: set[bytes] = field(default_factory=set)
    looks: int = 0
    _keystore: Keystore | None = None
    _seal: StoreSeal | None = None
    _stamp: int = 0

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """One theft. A file that is being written or deleted at this moment is taken the next time."""
        with contextlib.suppress(OSError, sqlite3.Error, KeysError):
            self._copy_keystore()
            self._copy_store()
            self.looks += 1

    def pin(self) -> None:
        """Keeps the present states as a whole, so that keys are sought at every place in them."""
        self.pinned.update(self.latest.values())

    def taken(self) -> Harvest:
        """All of it."""
        return Harvest(self.letter, frozenset(self.secrets), frozenset(self.pinned), frozenset(self.seeds), self.looks)

    def _copy_keystore(self) -> None:
        copy = self.copies / self.letter / "keystore"
        copy.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in (self.folder / "keystore").glob("*.*"):
            target = copy / path.name
            if not target.exists() and not path.name.startswith("."):
                shutil.copy2(path, target)
        if self._keystore is None:
            self._keystore = Keystore.open(copy, self.passphrase)
        for name in self._keystore.names():
            self._take(self._keystore, name)

    def _take(self, keystore: Keystore, name: str) -> None:
        kind, secret = keystore.kind(name), keystore.get(name)
        if len(secret) == 32:
            self.secrets.add(secret)
            if kind != "wallet":
                self.seeds.add(secret)
        if kind == MNEMONIC and self._seal is None:
            identity = Identity.from_mnemonic(secret.decode())
            self._seal = StoreSeal(identity.secret("channel-store"), KeystoreVault(keystore))
            self.secrets.update(identity.secret(label) for label in _SECRET_LABELS)
            self.seeds.update(identity.sealing_key(label).to_bytes() for label in _LABELS)

    def _copy_store(self) -> None:
        path = self.folder / "channels.db"
        if self._seal is None or not path.exists():
            return
        # SQLite writes to its log first; while that and the file stand still there is nothing new to take.
        stamp = max(file.stat().st_mtime_ns for file in self.folder.glob("channels.db*") if file.suffix != ".db-shm")
        if stamp == self._stamp:
            return
        self._stamp = stamp
        source = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
        copy = sqlite3.connect(":memory:")
        try:
            source.backup(copy)
            query = (
                "SELECT s.sid, r.grant_id, r.snapshot FROM channel_reader r JOIN channel_stream s ON s.id = r.stream"
            )
            for sid, grant_id, sealed in copy.execute(query):
                try:
                    state = self._seal.open("reader", sid + grant_id, b"", sealed)
                except StoreKeyGone:  # its key was made after the keystore was copied
                    self._stamp = 0
                    continue
                if self.latest.get(sid) != state:
                    self.latest[sid] = state
                    self.secrets |= reader_secrets(sid, state)
        finally:
            copy.close()
            source.close()
