"""Hybrid post-quantum sealing: HPKE base mode over X-Wing (ML-KEM-768 with X25519).

Suite: KEM 0x647A, HKDF-SHA256, ChaCha20-Poly1305. A private key is X-Wing's 32-byte seed; SHAKE256 stretches it to
the ML-KEM seed (64 bytes) and the X25519 scalar (32 bytes). A public key is ML-KEM 1,184 bytes then X25519 32 bytes.
Sealed bytes are the encapsulation (1,120), the ciphertext and its tag (16). The library takes no additional data, so
everything that a sealed message belongs to goes into `info`. Sealing says nothing about the sender: sign as well.
Sources: RFC 9180, draft-connolly-cfrg-xwing-kem-06 and later (seed form), FIPS 203.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import NoReturn, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from keys.errors import SealError, SecretLeak

__all__ = ["KEM_ID", "OVERHEAD", "PUBLIC_SIZE", "SEED_SIZE", "SealingKey", "open_sealed", "reader_key_hash", "seal"]

KEM_ID = 0x647A
SEED_SIZE = 32
PUBLIC_SIZE = 1216
OVERHEAD = 1120 + 16  # bytes that sealing adds

_MLKEM_PUBLIC = 1184
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


@final
class SealingKey:
    """A private sealing key. Its text form and pickling never show the seed."""

    __slots__ = ("_private", "_seed", "public_bytes")

    def __init__(self, seed: bytes) -> None:
        if not isinstance(seed, bytes) or len(seed) != SEED_SIZE:
            raise SealError(f"a sealing key is made from {SEED_SIZE} bytes")
        expanded = hashlib.shake_256(seed).digest(96)
        lattice = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = X25519PrivateKey.from_private_bytes(expanded[64:])
        self._seed = seed
        self._private = MLKEM768X25519PrivateKey(lattice, curve)
        self.public_bytes = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SealingKey:
        """A new random key."""
        return cls(os.urandom(SEED_SIZE))

    @classmethod
    def from_bytes(cls, seed: bytes) -> SealingKey:
        """The key of a 32-byte seed; SealError for any other length."""
        return cls(seed)

    def to_bytes(self) -> bytes:
        """The 32-byte seed. Secret: for the keystore only."""
        return self._seed

    def key_hash(self) -> bytes:
        """The hash that a Grant names, 32 bytes."""
        return reader_key_hash(self.public_bytes)

    def __repr__(self) -> str:
        return f"SealingKey(key_hash={self.key_hash().hex()})"

    def __reduce__(self) -> NoReturn:
        raise SecretLeak("a sealing key is not pickled or copied; store it in the keystore")


def reader_key_hash(public: bytes) -> bytes:
    """SHA-256(u16 0x647A || public key): what stands for a sealing key on chain. SealError for a wrong length."""
    if not isinstance(public, bytes) or len(public) != PUBLIC_SIZE:
        raise SealError(f"a public sealing key is {PUBLIC_SIZE} bytes")
    return hashlib.sha256(KEM_ID.to_bytes(2, "big") + public).digest()


@lru_cache(maxsize=1_024)  # reading one costs as much as sealing to it, and the same peers come again and again
def _public_key(public: bytes) -> MLKEM768X25519PublicKey:
    try:
        lattice = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC])
    except ValueError as error:
        raise SealError("the public sealing key fails the ML-KEM check (FIPS 203, 7.2)") from error
    return MLKEM768X25519PublicKey(lattice, X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:]))


def seal(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal to a public key (1,216 bytes) under a context; adds OVERHEAD bytes. SealError for an unusable key."""
    if not isinstance(public, bytes) or len(public) != PUBLIC_SIZE:
        raise SealError(f"a public sealing key is {PUBLIC_SIZE} bytes")
    key = _public_key(public)
    try:
        return _SUITE.encrypt(plaintext, key, info)
    except ValueError as error:
        # OpenSSL refuses X25519 points of small order, whose shared secret anybody could know.
        raise SealError("the public sealing key is not usable") from error


def open_sealed(key: SealingKey, sealed: bytes, info: bytes) -> bytes:
    """Open what was sealed to this key under this context; SealError for all else, without saying what differed."""
    if len(sealed) < OVERHEAD:
        raise SealError(f"sealed bytes are at least {OVERHEAD}, got {len(sealed)}")
    try:
        return _SUITE.decrypt(sealed, key._private, info)
    except (InvalidTag, ValueError) as error:
        raise SealError("does not open: another key, another context, or changed bytes") from error
