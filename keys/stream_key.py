"""The key that signs checkpoints, capsules and envelopes of one stream: Ed25519 (RFC 8032), and beside it ML-DSA-65
(FIPS 204) for streams that want a second signature, one that holds against quantum computers.

A public stream key is the 32 bytes of Ed25519, followed by the 1,952 bytes of ML-DSA-65 where there are two. The chain
knows it by its hash, SHA-256(u8 suite || public stream key): suite 1 is Ed25519 alone, suite 2 names both. Where both
sign, both must hold, so a weakness of either alone forges nothing.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import NoReturn, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey

from keys.errors import SecretLeak, SignatureError

__all__ = [
    "ED25519_PUBLIC_SIZE",
    "ED25519_SIGNATURE_SIZE",
    "ML_DSA_65_PUBLIC_SIZE",
    "ML_DSA_65_SIGNATURE_SIZE",
    "STREAM_PUBLIC_SIZES",
    "StreamKey",
    "stream_key_hash",
    "verify_ml_dsa",
    "verify_stream_signature",
]

ED25519_PUBLIC_SIZE = 32
ED25519_SIGNATURE_SIZE = 64
ML_DSA_65_PUBLIC_SIZE = 1952  # FIPS 204, table 2
ML_DSA_65_SIGNATURE_SIZE = 3309  # FIPS 204, table 2
STREAM_PUBLIC_SIZES = (ED25519_PUBLIC_SIZE, ED25519_PUBLIC_SIZE + ML_DSA_65_PUBLIC_SIZE)
_SEED_SIZES = (32, 64)


def stream_key_hash(ed25519_public: bytes, ml_dsa_public: bytes = b"") -> bytes:
    """The 32-byte hash that RegisterStream names; SignatureError for keys of a wrong length."""
    if len(ed25519_public) != ED25519_PUBLIC_SIZE or len(ml_dsa_public) not in (0, ML_DSA_65_PUBLIC_SIZE):
        raise SignatureError("a stream key is 32 bytes of Ed25519 and optionally 1952 bytes of ML-DSA-65")
    suite = 2 if ml_dsa_public else 1
    return hashlib.sha256(bytes([suite]) + ed25519_public + ml_dsa_public).digest()


@final
class StreamKey:
    """A private Ed25519 key, in suite 2 an ML-DSA-65 one beside it. Its text form and pickling never show the seed."""

    __slots__ = ("_ml_dsa", "_private", "_seed", "public_bytes")

    def __init__(self, seed: bytes) -> None:
        """`seed` has 32 bytes for suite 1, 64 for suite 2 (32 of Ed25519, then 32 of ML-DSA-65)."""
        if not isinstance(seed, bytes) or len(seed) not in _SEED_SIZES:
            raise SignatureError("a stream key is made from 32 bytes, or from 64 with an ML-DSA-65 key")
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed[:32])
        self._ml_dsa = MLDSA65PrivateKey.from_seed_bytes(seed[32:]) if len(seed) == 64 else None
        self.public_bytes = self._private.public_key().public_bytes_raw()
        if self._ml_dsa is not None:
            self.public_bytes += self._ml_dsa.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> StreamKey:
        """A new random key of suite 1."""
        return cls(os.urandom(32))

    @classmethod
    def from_bytes(cls, seed: bytes) -> StreamKey:
        """The key of a 32-byte or 64-byte seed."""
        return cls(seed)

    def to_bytes(self) -> bytes:
        """The seed. Secret: for the keystore only."""
        return self._seed

    @property
    def ml_dsa_public(self) -> bytes:
        """The 1,952 bytes of the ML-DSA-65 key, empty in suite 1."""
        return self.public_bytes[ED25519_PUBLIC_SIZE:]

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature."""
        return self._private.sign(message)

    def sign_ml_dsa(self, message: bytes) -> bytes:
        """The 3,309-byte ML-DSA-65 signature; another one at every call (it is hedged). SignatureError in suite 1."""
        if self._ml_dsa is None:
            raise SignatureError("a stream key of suite 1 has no ML-DSA-65 half")
        return self._ml_dsa.sign(message)

    def key_hash(self) -> bytes:
        """The hash that RegisterStream names, 32 bytes."""
        return stream_key_hash(self.public_bytes[:ED25519_PUBLIC_SIZE], self.ml_dsa_public)

    def __repr__(self) -> str:
        return f"StreamKey(public={self.public_bytes[:ED25519_PUBLIC_SIZE].hex()})"

    def __reduce__(self) -> NoReturn:
        raise SecretLeak("a stream key is not pickled or copied; store it in the keystore")


def verify_stream_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Raise SignatureError unless the 64-byte Ed25519 signature over `message` is by the public stream key."""
    try:
        _ed25519(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("not signed by the stream key") from error


@lru_cache(maxsize=256)
def _ed25519(public: bytes) -> Ed25519PublicKey:
    """A stream's messages come in thousands: its key is read once."""
    if len(public) not in STREAM_PUBLIC_SIZES:
        raise SignatureError("a public stream key has 32 or 1,984 bytes")
    return Ed25519PublicKey.from_public_bytes(public[:ED25519_PUBLIC_SIZE])


def verify_ml_dsa(ml_dsa_public: bytes, message: bytes, signature: bytes) -> None:
    """Raise SignatureError unless the 3,309-byte signature over `message` is by `ml_dsa_public` (1,952 bytes)."""
    try:
        MLDSA65PublicKey.from_public_bytes(ml_dsa_public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("not signed by the stream key's ML-DSA-65 half") from error
