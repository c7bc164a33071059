"""The keystore's header: how the passphrase becomes the master key, and how a wrong one is told from a damaged file.

JSON with version, id, Argon2id parameters, a sealed check and a checksum. The parameters are bounded before they are
used: a hostile header must not be able to exhaust memory or time. Source: RFC 9106 (the default is its second
recommended option).
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785
from argon2.exceptions import HashingError
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keys.errors import KeystoreDamaged, KeystoreError, UnknownVersion, WrongPassphrase
from keys.nesting import nesting

__all__ = ["VERSION", "KdfCost", "create_header", "entry_key", "parse_document", "unhex", "unlock_header"]

VERSION = 1
_CHECK = b"wattpact keystore check"
_MAX_DEPTH = 4
_FIELDS = {"version", "id", "kdf", "check", "sum"}
_BOUNDS = {"time_cost": (1, 16), "memory_kib": (64, 1024 * 1024), "lanes": (1, 16)}


@dataclass(frozen=True, slots=True)
class KdfCost:
    """Argon2id: passes over the memory, memory in KiB, lanes. KeystoreError if a value is out of bounds."""

    time_cost: int = 3
    memory_kib: int = 64 * 1024
    lanes: int = 4

    def __post_init__(self) -> None:
        for name, (low, high) in _BOUNDS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise KeystoreError(f"Argon2id {name} must be an integer between {low} and {high}")
        if self.memory_kib < 8 * self.lanes:
            raise KeystoreError("Argon2id memory_kib must be at least 8 per lane")


def parse_document(path: Path, data: bytes, fields: set[str]) -> dict[str, Any]:
    """A JSON object of this version with exactly these fields; UnknownVersion or KeystoreDamaged name the file."""
    if nesting(data) > _MAX_DEPTH:
        raise KeystoreDamaged(f"{path}: is nested too deep to be ours; restore it from a backup")
    try:
        document = json.loads(data)
    except ValueError as error:
        # The parser's own text could quote the file; its class says enough.
        raise KeystoreDamaged(f"{path}: is not JSON ({type(error).__name__}); restore it from a backup") from None
    if not isinstance(document, dict) or type(document.get("version")) is not int:
        raise KeystoreDamaged(f"{path}: has no version; restore it from a backup")
    if document["version"] != VERSION:
        raise UnknownVersion(
            f"{path}: has version {str(document['version'])[:20]}, not {VERSION}; use the program that wrote it"
        )
    if set(document) != fields:
        raise KeystoreDamaged(f"{path}: fields are missing or unknown; restore it from a backup")
    return document


def unhex(path: Path, name: str, value: object, size: int | None = None) -> bytes:
    """Bytes of a lower-case hex field; KeystoreDamaged names file and field."""
    if isinstance(value, str) and value == value.lower():
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            raw = None
        if raw is not None and raw.hex() == value and size in (None, len(raw)):
            return raw
    raise KeystoreDamaged(f"{path}: {name} is not what was written; restore it from a backup")


def _derive(passphrase: str, salt: bytes, cost: KdfCost) -> bytes:
    try:
        # One passphrase typed on two systems may arrive composed or decomposed.
        secret = unicodedata.normalize("NFKC", passphrase).encode("utf-8")
    except UnicodeEncodeError:
        raise WrongPassphrase("the passphrase is not valid Unicode text") from None
    if not secret:
        raise WrongPassphrase("the passphrase is empty")
    try:
        return bytes(hash_secret_raw(secret, salt, cost.time_cost, cost.memory_kib, cost.lanes, 32, Type.ID))
    except (HashingError, MemoryError) as error:
        raise KeystoreError(f"Argon2id needs {cost.memory_kib} KiB of free memory: {error}") from None


def entry_key(master: bytes, salt: bytes, purpose: bytes) -> bytes:
    """The 32-byte key of one sealed text, by HKDF-SHA256 (RFC 5869) over the master key and a random salt."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"wattpact keystore v1 " + purpose).derive(master)


def _checksum(document: dict[str, Any]) -> str:
    return hashlib.sha256(rfc8785.dumps({k: v for k, v in document.items() if k != "sum"})).hexdigest()


def _bound(document: dict[str, Any]) -> bytes:
    return bytes(rfc8785.dumps({name: document[name] for name in ("version", "id", "kdf")}))


def create_header(passphrase: str, cost: KdfCost) -> tuple[bytes, bytes, bytes]:
    """A new header file, the keystore's id (16 bytes) and its master key (32 bytes)."""
    keystore_id, salt, nonce = os.urandom(16), os.urandom(32), os.urandom(12)
    master = _derive(passphrase, salt, cost)
    document: dict[str, Any] = {
        "version": VERSION,
        "id": keystore_id.hex(),
        "kdf": {"name": "argon2id", "salt": salt.hex(), **{name: getattr(cost, name) for name in _BOUNDS}},
    }
    sealed = ChaCha20Poly1305(entry_key(master, salt, b"check")).encrypt(nonce, _CHECK, _bound(document))
    document["check"] = {"nonce": nonce.hex(), "sealed": sealed.hex()}
    document["sum"] = _checksum(document)
    return json.dumps(document, indent=1).encode() + b"\n", keystore_id, master


def unlock_header(path: Path, data: bytes, passphrase: str) -> tuple[bytes, bytes]:
    """The keystore's id and master key; WrongPassphrase, KeystoreDamaged or UnknownVersion."""
    document = parse_document(path, data, _FIELDS)
    kdf, check = document["kdf"], document["check"]
    try:
        intact = document["sum"] == _checksum(document)
    except ValueError:
        intact = False
    if not intact:
        raise KeystoreDamaged(f"{path}: the checksum is wrong; restore it from a backup")
    if not isinstance(kdf, dict) or set(kdf) != {"name", "salt", *_BOUNDS} or kdf["name"] != "argon2id":
        raise KeystoreDamaged(f"{path}: kdf is not Argon2id as we write it; restore it from a backup")
    if not isinstance(check, dict) or set(check) != {"nonce", "sealed"}:
        raise KeystoreDamaged(f"{path}: check is not what was written; restore it from a backup")
    keystore_id, salt = unhex(path, "id", document["id"], 16), unhex(path, "kdf.salt", kdf["salt"], 32)
    nonce, sealed = unhex(path, "check.nonce", check["nonce"], 12), unhex(path, "check.sealed", check["sealed"])
    try:
        cost = KdfCost(**{name: kdf[name] for name in _BOUNDS})
    except KeystoreError as error:
        raise KeystoreDamaged(f"{path}: {error}; restore it from a backup") from None
    master = _derive(passphrase, salt, cost)
    try:
        plain = ChaCha20Poly1305(entry_key(master, salt, b"check")).decrypt(nonce, sealed, _bound(document))
    except InvalidTag:
        raise WrongPassphrase(f"{path}: the passphrase does not open this keystore; try again") from None
    if plain != _CHECK:
        raise KeystoreDamaged(f"{path}: check is not what was written; restore it from a backup")
    return keystore_id, master
