"""A node's private log (channels.md 7): one reader, sealed, hash-chained, replicated to any store.

::

    entry = ver u16 | seq u64 | prev_hash 32 | AES-256-GCM(ct | tag 16)       nonce = u96 seq, AAD = everything before

Key and log id come from 32 secret bytes of the identity, so a store learns neither content nor owner. Each entry is
sealed once under its own number; a second one with that number is a fork, which the store refuses with both as evidence.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from channels.errors import FormatError, RejectedError, UnknownVersion
from channels.kdf import H, kdf
from channels.stores.base import LogStore
from channels.stores.records import LogEntry

__all__ = ["PrivateLog"]

_VERSION = 1
_HEAD = struct.Struct(">HQ32s")
_PAGE = 500


class PrivateLog:
    """Appends and reads; one process at a time, which the node's folder lock sees to."""

    def __init__(self, store: LogStore, key: bytes) -> None:
        self._store = store
        self._aead = AESGCM(kdf(key, b"private-log key"))
        self._id = kdf(key, b"private-log id")
        self._seq = 0
        self._tip = bytes(32)

    @classmethod
    async def open(cls, store: LogStore, key: bytes) -> PrivateLog:
        """Checks the whole chain. RejectedError where an entry does not open or does not follow its predecessor."""
        log = cls(store, key)
        async for seq, _ in log.entries():
            log._seq = seq + 1
        return log

    async def append(self, data: bytes) -> int:
        """Durable when it returns; returns the entry's number."""
        seq = self._seq
        head = _HEAD.pack(_VERSION, seq, self._tip)
        sealed = head + self._aead.encrypt(seq.to_bytes(12, "big"), data, head)
        digest = H(sealed)
        await self._store.append_log(self._id, [LogEntry(seq, digest, sealed)])
        self._seq, self._tip = seq + 1, digest
        return seq

    async def entries(self, first: int = 0) -> AsyncIterator[tuple[int, bytes]]:
        """(number, content) from `first` on; the chain before it is checked as well."""
        following, tip = 0, bytes(32)
        while True:
            page = await self._store.read_log(self._id, following, _PAGE)
            for entry in page:
                content = self._open(entry, following, tip)
                following, tip = following + 1, entry.hash
                if entry.seq >= first:
                    yield entry.seq, content
            if len(page) < _PAGE:
                self._tip = tip
                return

    def _open(self, entry: LogEntry, expected: int, tip: bytes) -> bytes:
        if len(entry.data) < _HEAD.size + 16:
            raise FormatError("an entry of the private log is truncated")
        version, seq, previous = _HEAD.unpack_from(entry.data)
        if version != _VERSION:
            raise UnknownVersion(f"private log version {version}")
        if seq != expected or entry.seq != expected or previous != tip or H(entry.data) != entry.hash:
            raise RejectedError(f"entry {expected} of the private log does not follow the one before")
        head, sealed = entry.data[: _HEAD.size], entry.data[_HEAD.size :]
        try:
            return self._aead.decrypt(seq.to_bytes(12, "big"), sealed, head)
        except InvalidTag as error:
            raise RejectedError(f"entry {expected} of the private log does not open") from error
