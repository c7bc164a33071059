"""Values at rest, sealed with the key of the store.

Format: version u8 = 1 | nonce 12 | AES-256-GCM ciphertext and tag. Every (purpose, scope) pair has its own key,
HKDF-SHA256-Expand(store key, "wattpact store" || 0 || purpose || 0 || scope): random nonces may be drawn 2^32 times
per key (NIST SP 800-38D 8.3), which one reading a second reaches after 136 years per stream.

What a reader keeps is sealed under a key of its own where there is a vault for it: version u8 = 2 | first 4 bytes of
SHA-256(key) | nonce 12 | ciphertext and tag, the cipher key derived from the reader's key in the same way. The vault is
not in the database, so once the key is destroyed no copy and no backup of the database opens any more, not even for
who has the store key.

The row that a value belongs to is the AAD. Who can write the database file therefore cannot move a value to another
row, stream or purpose unnoticed. Putting a whole older database back is *not* noticed here: that is what the high-water
file is for (channels.md 4, rule 10).
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from channels.errors import StoreError, StoreKeyGone, StoreKeyWrong

__all__ = ["KeyVault", "StoreSeal"]

_VERSION = 1
_APART = 2
_KEY_ID = 4
_NONCE = 12
_TAG = 16
_CACHED = 4096


class KeyVault(Protocol):
    """Keys of single readers, kept outside the database and called from its threads. `name` is any byte string."""

    def find(self, name: bytes) -> bytes | None:
        """The key of 32 bytes, if there is one."""
        ...

    def make(self, name: bytes) -> bytes:
        """A new random key, on disk when it is returned; the present one where there is one."""
        ...

    def destroy(self, name: bytes) -> None:
        """Gone for good on return; nothing happens when there is none."""
        ...


class StoreSeal:
    """Seals and opens values under one 32-byte store key, those of `apart` purposes under the keys of the vault."""

    def __init__(self, key: bytes, vault: KeyVault | None = None, apart: frozenset[str] = frozenset()) -> None:
        if len(key) != 32:
            raise StoreError("a store key has 32 bytes")
        self._key = key
        self._vault = vault
        self._purposes = apart
        self._ciphers: dict[tuple[str, bytes, bool], AESGCM] = {}
        self._apart: dict[bytes, bytes] = {}

    def _cipher(self, purpose: str, scope: bytes, own: bytes | None = None) -> AESGCM:
        cipher = self._ciphers.get((purpose, scope, own is not None))
        if cipher is None:
            info = b"wattpact store\0" + purpose.encode() + b"\0" + scope
            cipher = AESGCM(HKDFExpand(algorithm=SHA256(), length=32, info=info).derive(own or self._key))
            if len(self._ciphers) >= _CACHED:
                self._ciphers.clear()
            self._ciphers[purpose, scope, own is not None] = cipher
        return cipher

    def _own(self, scope: bytes) -> bytes | None:
        """The scope's own key, if it has one by now."""
        if self._vault is not None and scope not in self._apart:
            found = self._vault.find(scope)
            if found is not None:
                self._apart[scope] = found
        return self._apart.get(scope)

    def begin(self, scope: bytes) -> bool:
        """Makes sure that the scope has a key of its own; True where a new one was made, which opens nothing older."""
        if self._vault is None or self._own(scope) is not None:
            return False
        self._apart[scope] = self._vault.make(scope)
        self._ciphers.clear()
        return True

    def destroy(self, scope: bytes) -> None:
        """The scope's own key goes for good. What it sealed raises StoreKeyGone from now on."""
        if self._vault is not None:
            self._vault.destroy(scope)
        self._apart.pop(scope, None)
        self._ciphers.clear()

    def seal(self, purpose: str, scope: bytes, row: bytes, value: bytes) -> bytes:
        """Seal `value` of one row; `row` is any byte string that names the row within (purpose, scope)."""
        nonce = os.urandom(_NONCE)
        if self._vault is None or purpose not in self._purposes:
            return bytes([_VERSION]) + nonce + self._cipher(purpose, scope).encrypt(nonce, value, row)
        self.begin(scope)
        own = self._apart[scope]
        return bytes([_APART]) + _key_id(own) + nonce + self._cipher(purpose, scope, own).encrypt(nonce, value, row)

    def open(self, purpose: str, scope: bytes, row: bytes, sealed: bytes) -> bytes:
        """Open what `seal` made for the same purpose, scope and row. Raises StoreKeyGone, StoreKeyWrong."""
        own, start = None, 1
        if sealed[:1] == bytes([_APART]) and len(sealed) >= 1 + _KEY_ID + _NONCE + _TAG:
            own, start = self._own(scope), 1 + _KEY_ID
            if own is None or _key_id(own) != sealed[1:start]:
                raise StoreKeyGone(f"the key of a sealed value ({purpose}) was destroyed")
        elif len(sealed) < 1 + _NONCE + _TAG or sealed[0] != _VERSION:
            raise StoreKeyWrong(f"a sealed value ({purpose}) has an unknown form")
        nonce, rest = sealed[start : start + _NONCE], sealed[start + _NONCE :]
        try:
            return self._cipher(purpose, scope, own).decrypt(nonce, rest, row)
        except InvalidTag:
            raise StoreKeyWrong(
                f"a sealed value ({purpose}) does not open: wrong store key, or it was altered"
            ) from None


def _key_id(key: bytes) -> bytes:
    return sha256(key).digest()[:_KEY_ID]
