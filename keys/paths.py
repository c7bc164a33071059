"""The one table of derivation paths and labels: everything a node owns can be derived again from its mnemonic.

secp256k1 keys come by BIP-32. The wallet stands at the path that ordinary wallets use, so they show the same address.
All others stand under a purpose of our own (22352 = 0x5750, "WP") with hardened steps only, so that a leaked child
key tells nothing about its siblings. Labelled keys take two hardened steps whose numbers are the first 62 bits of
SHA-256 over role and label (two steps, because one has 31 bits and a provider with 50,000 consents would see two of
them collide). Everything else is 32 bytes by HKDF-SHA256 over the BIP-39 seed, with kind and label in `info`.
Sources: BIP-32, BIP-43, BIP-44, RFC 5869.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from enum import Enum

from coincurve import PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keys.errors import PathError

__all__ = ["MAX_LABEL", "SALT", "Kind", "Role", "derive_key", "derive_path", "derive_secret", "normal_label", "path_of"]

_HARDENED = 1 << 31
MAX_LABEL = 255  # bytes of UTF-8
SALT = b"wattpact keys v1"


class Role(Enum):
    """secp256k1 keys: name, path without labelled steps, whether a label follows."""

    WALLET = ("wallet", "m/44'/60'/0'/0/0", False)
    DEVICE = ("device", "m/22352'/60'/1'", False)
    SENDER = ("sender", "m/22352'/60'/2'", False)
    WRITER = ("writer", "m/22352'/60'/3'", True)
    READER = ("reader", "m/22352'/60'/4'", True)
    ASSET = ("asset", "m/22352'/60'/5'", True)

    @property
    def title(self) -> str:
        return self.value[0]

    @property
    def base(self) -> str:
        return self.value[1]

    @property
    def labelled(self) -> bool:
        return self.value[2]


class Kind(Enum):
    """32-byte secrets by HKDF: the text that begins `info`."""

    STREAM_KEY = "stream-key"
    STREAM_KEY_ML_DSA = "stream-key-ml-dsa"
    SEALING_KEY = "sealing-key"
    SECRET = "secret"  # noqa: S105 (a name, not a value)


def normal_label(label: str) -> str:
    """The label in Unicode form C; PathError if it is empty, too long or has control characters."""
    if not isinstance(label, str):
        raise PathError(f"a label is text, not {type(label).__name__}")
    # One name typed on two keyboards may arrive composed or decomposed; both must give one key.
    normal = unicodedata.normalize("NFC", label)
    if not normal or any(unicodedata.category(char) in ("Cc", "Cs") for char in normal):
        raise PathError("a label is not empty and has no control characters")
    if len(normal.encode("utf-8")) > MAX_LABEL:
        raise PathError(f"a label has at most {MAX_LABEL} bytes")
    return normal


def path_of(role: Role, label: str | None = None) -> str:
    """The BIP-32 path of a role, with two labelled steps where it has a label; PathError if the label does not fit."""
    if role.labelled != (label is not None):
        raise PathError(f"the {role.title} key has {'a' if role.labelled else 'no'} label")
    if label is None:
        return role.base
    data = b"wattpact path\x00" + role.title.encode() + b"\x00" + normal_label(label).encode("utf-8")
    number = int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 2
    return f"{role.base}/{number >> 31}'/{number & 0x7FFFFFFF}'"


def derive_key(seed: bytes, role: Role, label: str | None = None) -> bytes:
    """The 32-byte secp256k1 key of a role from the BIP-39 seed."""
    return derive_path(seed, path_of(role, label))


def derive_path(seed: bytes, path: str) -> bytes:
    """The 32-byte secp256k1 key at a path of BIP-32 that begins with m/.

    Raises PathError for a step whose key does not exist (BIP-32: by chance, once in 2^127).
    """
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    try:
        key, chain = PrivateKey(digest[:32]), digest[32:]
        for step in path.removeprefix("m/").split("/"):
            number = int(step.rstrip("'")) + (_HARDENED if step.endswith("'") else 0)
            parent = b"\x00" + key.secret if number >= _HARDENED else key.public_key.format()
            digest = hmac.digest(chain, parent + number.to_bytes(4, "big"), "sha512")
            key, chain = key.add(digest[:32]), digest[32:]
    except ValueError as error:
        raise PathError("there is no key at this path") from error
    return bytes(key.secret)


def derive_secret(seed: bytes, kind: Kind, label: str) -> bytes:
    """The 32 bytes of a kind and label from the BIP-39 seed."""
    info = kind.value.encode() + b"\x00" + normal_label(label).encode("utf-8")
    return HKDF(algorithm=SHA256(), length=32, salt=SALT, info=info).derive(seed)
