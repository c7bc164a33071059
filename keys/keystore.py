"""The encrypted keystore: a folder with a header and one file per secret.

The header carries the Argon2id parameters (RFC 9106) that turn the passphrase into the master key. Each entry is
sealed by ChaCha20-Poly1305 under a key of its own (HKDF over the master key and the entry's salt), with version,
keystore id, name and kind as additional data, so that entries cannot be renamed, retyped or moved between keystores.
Entries are written once and never replaced: a key that changes gets a new name, and the old one is deleted when
nothing needs it any more.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, NoReturn, final

import rfc8785
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from keys.errors import (
    EntryExists,
    EntryMissing,
    EntryName,
    KeystoreClosed,
    KeystoreDamaged,
    KeystoreExists,
    KeystoreMissing,
    SecretLeak,
)
from keys.files import check_folder, create_file, make_folder, read_file, shred_file, sweep_folder
from keys.header import VERSION, KdfCost, create_header, entry_key, parse_document, unhex, unlock_header
from keys.signers import LocalSigner

__all__ = ["MAX_SECRET", "MNEMONIC", "WALLET", "KdfCost", "Keystore"]

WALLET = "wallet"  # the kind whose entries are 32-byte secp256k1 keys
MNEMONIC = "mnemonic"  # the kind whose entries are BIP-39 phrases
MAX_SECRET = 64 * 1024

_HEADER = "keystore.json"
_SUFFIX = ".key"
_MAX_FILE = 4 * MAX_SECRET
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,126}\Z")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_FIELDS = {"version", "name", "kind", "salt", "nonce", "sealed"}


@final
class Keystore:
    """An unlocked keystore. Its text form and pickling never show a secret. Calls block on the disk for a moment."""

    __slots__ = ("_folder", "_id", "_master")

    def __init__(self, folder: Path, keystore_id: bytes, master: bytes) -> None:
        self._folder = folder
        self._id = keystore_id
        self._master: bytes | None = master

    @classmethod
    def create(cls, folder: Path | str, passphrase: str, cost: KdfCost | None = None) -> Keystore:
        """A new keystore in a folder of its own (made with mode 0700); KeystoreExists where there is one."""
        folder = Path(folder)
        path = folder / _HEADER
        make_folder(folder)
        if path.exists() or any(folder.glob(f"*{_SUFFIX}")):
            # Entries without a header are somebody's keys after an accident: a new header would bury them.
            raise KeystoreExists(f"{folder}: holds a keystore; open it, or choose another folder")
        data, keystore_id, master = create_header(passphrase, cost or KdfCost())
        try:
            create_file(path, data)
        except EntryExists as error:
            raise KeystoreExists(f"{folder}: holds a keystore; open it, or choose another folder") from error
        return cls(folder, keystore_id, master)

    @classmethod
    def open(cls, folder: Path | str, passphrase: str) -> Keystore:
        """Unlock; KeystoreMissing, WrongPassphrase, UnsafePermissions, UnknownVersion or KeystoreDamaged otherwise."""
        folder = Path(folder)
        path = folder / _HEADER
        if not folder.exists():
            raise KeystoreMissing(f"{folder}: there is no keystore; create one with: wattpact init")
        check_folder(folder)
        try:
            data = read_file(path, _MAX_FILE)
        except FileNotFoundError:
            raise KeystoreMissing(f"{path}: is missing; create a keystore or restore the file from a backup") from None
        keystore_id, master = unlock_header(path, data, passphrase)
        sweep_folder(folder)
        return cls(folder, keystore_id, master)

    def put(self, name: str, kind: str, secret: bytes) -> None:
        """Store a secret of at most MAX_SECRET bytes; EntryExists if the name is taken. On return it is on the disk."""
        path, master = self._path(name), self._key()
        if not isinstance(kind, str) or not _KIND.match(kind):
            raise EntryName("a kind is of a-z, 0-9 and '-', and begins with a letter")
        if not isinstance(secret, bytes) or not 1 <= len(secret) <= MAX_SECRET:
            raise EntryName(f"{path}: a secret is 1 to {MAX_SECRET} bytes")
        if kind == WALLET:
            LocalSigner(secret)  # raises: what is stored as a wallet must open as one
        salt, nonce = os.urandom(32), os.urandom(12)
        sealed = ChaCha20Poly1305(entry_key(master, salt, b"entry")).encrypt(nonce, secret, self._bound(name, kind))
        document = {
            "version": VERSION,
            "name": name,
            "kind": kind,
            "salt": salt.hex(),
            "nonce": nonce.hex(),
            "sealed": sealed.hex(),
        }
        create_file(path, json.dumps(document, indent=1).encode() + b"\n")

    def get(self, name: str) -> bytes:
        """The secret; EntryMissing, KeystoreDamaged or UnsafePermissions."""
        return self._read(name)[1]

    def kind(self, name: str) -> str:
        """The kind under which the entry was stored, authenticated."""
        return self._read(name)[0]

    def names(self) -> tuple[str, ...]:
        """The names of all entries, sorted; their contents are not looked at."""
        self._key()
        check_folder(self._folder)
        found = (path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}"))
        return tuple(sorted(name for name in found if _NAME.match(name)))

    def delete(self, name: str) -> None:
        """Overwrite and remove an entry; EntryMissing if there is none. `shred_file` says what is not promised."""
        self._key()
        path = self._path(name)
        try:
            shred_file(path)
        except FileNotFoundError:
            raise EntryMissing(f"{path}: there is no entry of this name") from None

    def export_v3(self, name: str, passphrase: str) -> dict[str, Any]:
        """A wallet entry as Ethereum's Web3 Secret Storage, version 3, under a passphrase of its own.

        Other wallets open it. It takes about a second and 256 MiB (scrypt with n = 2^18). EntryName for other kinds.
        """
        kind, secret = self._read(name)
        if kind != WALLET:
            raise EntryName(f"{self._path(name)}: is of kind {kind}; only {WALLET} entries are exported")
        if not passphrase:
            raise EntryName("an exported key needs a passphrase of its own")
        from keys.ethereum import Account

        return dict(Account.encrypt(secret, passphrase, kdf="scrypt"))

    def close(self) -> None:
        """Forget the master key. Python may keep copies of it until the memory is reused."""
        self._master = None

    def _key(self) -> bytes:
        if self._master is None:
            raise KeystoreClosed(f"{self._folder}: the keystore is closed; open it again")
        return self._master

    def _path(self, name: str) -> Path:
        if not isinstance(name, str) or not _NAME.match(name):
            raise EntryName(
                "an entry's name is at most 127 of a-z, 0-9, '.', '_', '-' and begins with a letter or digit"
            )
        return self._folder / f"{name}{_SUFFIX}"

    def _bound(self, name: str, kind: str) -> bytes:
        return bytes(rfc8785.dumps({"version": VERSION, "keystore": self._id.hex(), "name": name, "kind": kind}))

    def _read(self, name: str) -> tuple[str, bytes]:
        path, master = self._path(name), self._key()
        try:
            data = read_file(path, _MAX_FILE)
        except FileNotFoundError:
            raise EntryMissing(f"{path}: there is no entry of this name") from None
        document = parse_document(path, data, _FIELDS)
        kind = document["kind"]
        if document["name"] != name or not isinstance(kind, str) or not _KIND.match(kind):
            raise KeystoreDamaged(f"{path}: holds another entry than its name says; restore it from a backup")
        salt, nonce = unhex(path, "salt", document["salt"], 32), unhex(path, "nonce", document["nonce"], 12)
        sealed = unhex(path, "sealed", document["sealed"])
        try:
            secret = ChaCha20Poly1305(entry_key(master, salt, b"entry")).decrypt(nonce, sealed, self._bound(name, kind))
        except InvalidTag:
            raise KeystoreDamaged(f"{path}: changed or from another keystore; restore it from a backup") from None
        return kind, secret

    def __repr__(self) -> str:
        return f"Keystore({str(self._folder)!r}, {'closed' if self._master is None else 'open'})"

    def __reduce__(self) -> NoReturn:
        raise SecretLeak("a keystore is not pickled or copied; open it again with its passphrase")
