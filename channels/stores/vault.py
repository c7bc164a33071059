"""The keys of single readers in the encrypted keystore: one file each, shredded when the reader's data is erased."""

from __future__ import annotations

import os
from hashlib import sha256

from channels.errors import StoreUnavailable
from keys.errors import EntryExists, EntryMissing, KeysError
from keys.keystore import Keystore

__all__ = ["KeystoreVault"]

_KIND = "store-key"


class KeystoreVault:
    """A `KeyVault`. The keystore is in no backup of the database, and a full backup that holds both counts as a copy of
    the keys: whoever makes one must make the next one after an erasure, and put the old one away."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    def find(self, name: bytes) -> bytes | None:
        """See KeyVault.find. Raises StoreUnavailable where the keystore cannot be read."""
        try:
            return self._keystore.get(_entry(name))
        except EntryMissing:
            return None
        except KeysError as error:
            raise StoreUnavailable(f"a key of the store cannot be read: {error}") from error

    def make(self, name: bytes) -> bytes:
        """See KeyVault.make."""
        fresh = os.urandom(32)
        try:
            self._keystore.put(_entry(name), _KIND, fresh)
        except EntryExists:
            return self._keystore.get(_entry(name))  # another thread of the store was faster
        except KeysError as error:
            raise StoreUnavailable(f"a key of the store cannot be kept: {error}") from error
        return fresh

    def destroy(self, name: bytes) -> None:
        """See KeyVault.destroy."""
        try:
            self._keystore.delete(_entry(name))
        except EntryMissing:
            return
        except KeysError as error:
            raise StoreUnavailable(f"a key of the store cannot be destroyed: {error}") from error


def _entry(name: bytes) -> str:
    return f"store-{sha256(name).hexdigest()[:40]}"
