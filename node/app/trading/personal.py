"""What a person wrote about a device (its name, place, description), so that it can be forgotten for good.

It is sealed by a key that is drawn for this device and lies in the keystore alone. Facts, private log and replicas have
the sealed text: when the key is deleted, none of them says anything any more, and nothing that was signed or anchored
about the device's contracts changes.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from keys.errors import EntryMissing
from keys.keystore import Keystore

__all__ = ["Personal"]

_NONCE = 12


class Personal:
    """Words by field name, sealed for one subject: whatever names the device here, of a-z and 0-9."""

    def __init__(self, keystore: Keystore) -> None:
        self._keystore = keystore

    def seal(self, subject: str, words: Mapping[str, str]) -> str:
        """The words as Base64 that only this node opens; the key is made with the first ones."""
        try:
            key = self._keystore.get(_entry(subject))
        except EntryMissing:
            key = os.urandom(32)
            self._keystore.put(_entry(subject), "personal", key)
        nonce = os.urandom(_NONCE)
        plain = json.dumps(dict(words), ensure_ascii=False, sort_keys=True).encode()
        return base64.b64encode(nonce + ChaCha20Poly1305(key).encrypt(nonce, plain, subject.encode())).decode()

    def open(self, subject: str, sealed: str) -> dict[str, str]:
        """What was sealed; nothing once it was erased. Raises InvalidTag for what was changed."""
        if not sealed:
            return {}
        try:
            key = self._keystore.get(_entry(subject))
        except EntryMissing:
            return {}
        raw = base64.b64decode(sealed, validate=True)
        plain = ChaCha20Poly1305(key).decrypt(raw[:_NONCE], raw[_NONCE:], subject.encode())
        words: dict[str, str] = json.loads(plain)
        return words

    def erase(self, subject: str) -> None:
        """Deletes the key: whatever was sealed by it, wherever it lies, stays closed. Again is fine."""
        try:
            self._keystore.delete(_entry(subject))
        except EntryMissing:
            return


def _entry(subject: str) -> str:
    return f"personal-{subject}"
