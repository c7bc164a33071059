"""Values at rest, sealed with the key of the store.

Format: version u8 = 1 | nonce 12 | AES-256-GCM ciphertext and tag. Every (purpose, scope) pair has its own key,
HKDF-SHA256-Expand(store key, "wattpact store" || 0 || purpose || 0 || scope): random nonces may be drawn 2^32 times
per key (NIST SP 800-38D 8.3), which one reading a second reaches after 136 years per stream.

The row that a value belongs to is the AAD. Who can write the database file therefore cannot move a value to another
row, stream or purpose unnoticed. Putting a whole older database back is *not* noticed here: that is what the high-water
file is for (channels.md 4, rule 10).
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from channels.errors import StoreError, StoreKeyWrong

__all__ = ["StoreSeal"]

_VERSION = 1
_NONCE = 12
_TAG = 16
_CACHED = 4096


class StoreSeal:
    """Seals and opens values under one 32-byte store key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise StoreError("a store key has 32 bytes")
        self._key = key
        self._ciphers: dict[tuple[str, bytes], AESGCM] = {}

    def _cipher(self, purpose: str, scope: bytes) -> AESGCM:
        cipher = self._ciphers.get((purpose, scope))
        if cipher is None:
            info = b"wattpact store\0" + purpose.encode() + b"\0" + scope
            cipher = AESGCM(HKDFExpand(algorithm=SHA256(), length=32, info=info).derive(self._key))
            if len(self._ciphers) >= _CACHED:
                self._ciphers.clear()
            self._ciphers[purpose, scope] = cipher
        return cipher

    def seal(self, purpose: str, scope: bytes, row: bytes, value: bytes) -> bytes:
        """Seal `value` of one row; `row` is any byte string that names the row within (purpose, scope)."""
        nonce = os.urandom(_NONCE)
        return bytes([_VERSION]) + nonce + self._cipher(purpose, scope).encrypt(nonce, value, row)

    def open(self, purpose: str, scope: bytes, row: bytes, sealed: bytes) -> bytes:
        """Open what `seal` made for the same purpose, scope and row. Raises StoreKeyWrong."""
        if len(sealed) < 1 + _NONCE + _TAG or sealed[0] != _VERSION:
            raise StoreKeyWrong(f"a sealed value ({purpose}) has an unknown form")
        try:
            return self._cipher(purpose, scope).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], row)
        except InvalidTag:
            raise StoreKeyWrong(
                f"a sealed value ({purpose}) does not open: wrong store key, or it was altered"
            ) from None
