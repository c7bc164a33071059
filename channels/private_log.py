"""A node's private log (channels.md 7): one reader, sealed, hash-chained, replicated to any store.

::

    entry = ver u16 | seq u64 | prev_hash 32 | salt 16 | AES-256-GCM(ct | tag 16)     AAD = everything before
    key of an entry = KDF(log key, "private-log entry", salt)                          nonce = u96 seq

Key and log id come from 32 secret bytes of the identity, so a store learns neither content nor owner; it sees how many
entries there are, how long each is and when it came. The salt is drawn for every entry: after an old backup was put
back, or a write that failed and was given up, a second entry with the same number is sealed, and under one key and
nonce the two would open each other. Such a second entry is a fork, which stores refuse with both as evidence.

A store can hold back the newest entries; the chain cannot show that. A `Tip` from elsewhere can (another store, the
emergency kit): `open` and `mirror` compare with it.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels.codec import ByteReader, ByteWriter
from channels.errors import FormatError, RejectedError, UnknownVersion
from channels.kdf import kdf, sha256
from channels.stores.base import LogStore
from channels.stores.records import LogEntry

__all__ = ["PrivateLog", "Tip"]

_VERSION = 1
_SALT = 16
_HEAD = struct.Struct(">HQ32s16s")
_TAG = 16
_PAGE = 500
_START = bytes(32)


@dataclass(frozen=True, slots=True)
class Tip:
    """How far a log goes: number of entries and hash of the last one (32 zero bytes for none)."""

    count: int
    hash: bytes

    def to_bytes(self) -> bytes:
        """42 bytes, for the emergency kit."""
        return ByteWriter().u16(_VERSION).u64(self.count).raw(self.hash).done()

    @classmethod
    def from_bytes(cls, data: bytes) -> Tip:
        """FormatError for anything but what `to_bytes` makes."""
        reader = ByteReader(data)
        reader.version(_VERSION)
        found = cls(reader.u64(), reader.raw(32))
        reader.end()
        return found


class PrivateLog:
    """Appends and reads; one process at a time, which the node's folder lock sees to."""

    def __init__(self, store: LogStore, key: bytes) -> None:
        self._store = store
        self._key = kdf(key, b"private-log key")
        self._id = kdf(key, b"private-log id")
        self._tip = Tip(0, _START)
        self._order = asyncio.Lock()

    @classmethod
    async def open(cls, store: LogStore, key: bytes, at_least: Tip | None = None) -> PrivateLog:
        """Checks the whole chain.

        RejectedError where an entry does not open or does not follow its predecessor, and where the log ends before
        `at_least` or goes through another entry there.
        """
        log = cls(store, key)
        wanted = at_least if at_least is not None else Tip(0, _START)
        async for entry, _ in log._walk(store):
            log._tip = Tip(entry.seq + 1, entry.hash)
            if log._tip.count == wanted.count and log._tip.hash != wanted.hash:
                raise RejectedError(f"entry {entry.seq} of the private log is another one than was noted before")
        if log._tip.count < wanted.count:
            raise RejectedError(f"the private log has {log._tip.count} entries, and {wanted.count} were noted before")
        return log

    @property
    def tip(self) -> Tip:
        """How far the log goes."""
        return self._tip

    async def append(self, data: bytes) -> int:
        """Durable when it returns; returns the entry's number."""
        return await self.append_all([data])

    async def append_all(self, contents: Sequence[bytes]) -> int:
        """One entry for each content, in order and in one write: all or none. Returns the first one's number."""
        async with self._order:
            first = tip = self._tip
            entries: list[LogEntry] = []
            for data in contents:
                head = _HEAD.pack(_VERSION, tip.count, tip.hash, os.urandom(_SALT))
                sealed = head + self._cipher(head).encrypt(tip.count.to_bytes(12, "big"), data, head)
                entries.append(LogEntry(tip.count, sha256(sealed), sealed))
                tip = Tip(tip.count + 1, entries[-1].hash)
            await self._store.append_log(self._id, entries)
            self._tip = tip
            return first.count

    async def entries(self, first: int = 0) -> AsyncIterator[tuple[int, bytes]]:
        """(number, content) from `first` on; the chain before it is checked as well."""
        async for entry, content in self._walk(self._store):
            if entry.seq >= first:
                yield entry.seq, content

    @classmethod
    async def is_empty(cls, store: LogStore, key: bytes) -> bool:
        """Whether a store has nothing of the log of this key."""
        return not await store.read_log(cls(store, key)._id, 0, 1)

    @classmethod
    async def recover(cls, store: LogStore, key: bytes, other: LogStore) -> int:
        """Fetch from another store what this one lacks, before `open`; returns how many entries that was.

        Every entry is opened and must follow the one before, so a store can hold entries back and nothing else.
        RejectedError for a chain that breaks; StoreConflict where the two stores hold different entries.
        """
        log = cls(store, key)
        held = 0
        while page := list(await store.read_log(log._id, held, _PAGE)):
            held += len(page)
        if not await other.read_log(log._id, held, 1):
            return 0
        fetched = 0
        async for entry, _ in log._walk(other):
            # The last one that both hold is offered again: another one there is a fork.
            if entry.seq + 1 < held:
                continue
            page.append(entry)
            if len(page) == _PAGE:
                fetched, page = fetched + await store.append_log(log._id, page), []
        return fetched + (await store.append_log(log._id, page) if page else 0)

    async def mirror(self, other: LogStore, known: int = 0) -> int:
        """Copy to another store what it lacks; returns how many entries that was.

        `known`: so many entries are known to be there, from an earlier call; with 0 the whole chain there is checked.

        StoreConflict where it holds another entry under a number of ours (both are in the error). RejectedError when it
        holds more than we have: then ours is the one that was cut or restored, and nothing may be appended to it.
        """
        async with self._order:
            if not known:
                await self._compare(other)
            copied, first = 0, known
            while page := await self._store.read_log(self._id, first, _PAGE):
                copied += await other.append_log(self._id, page)
                first = page[-1].seq + 1
            return copied

    async def _compare(self, other: LogStore) -> None:
        async for entry, _ in self._walk(other):
            if entry.seq >= self._tip.count:
                raise RejectedError(f"another store has more than our {self._tip.count} entries of the private log")

    async def _walk(self, store: LogStore) -> AsyncIterator[tuple[LogEntry, bytes]]:
        following, tip = 0, _START
        while page := await store.read_log(self._id, following, _PAGE):
            for entry in page:
                content = self._open(entry, following, tip)
                following, tip = following + 1, entry.hash
                yield entry, content

    def _cipher(self, head: bytes) -> AESGCM:
        return AESGCM(kdf(self._key, b"private-log entry", head[-_SALT:]))

    def _open(self, entry: LogEntry, expected: int, tip: bytes) -> bytes:
        if len(entry.data) < _HEAD.size + _TAG:
            raise FormatError("an entry of the private log is truncated")
        version, seq, previous, _ = _HEAD.unpack_from(entry.data)
        if version != _VERSION:
            raise UnknownVersion(f"private log version {version}")
        if seq != expected or entry.seq != expected or previous != tip or sha256(entry.data) != entry.hash:
            raise RejectedError(f"entry {expected} of the private log does not follow the one before")
        head, sealed = entry.data[: _HEAD.size], entry.data[_HEAD.size :]
        try:
            return self._cipher(head).decrypt(seq.to_bytes(12, "big"), sealed, head)
        except InvalidTag as error:
            raise RejectedError(f"entry {expected} of the private log does not open") from error
