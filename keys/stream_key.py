"""The key that signs checkpoints, capsules and envelopes of one stream: Ed25519 (RFC 8032).

The chain knows it by its hash: SHA-256(u8 suite || Ed25519 key || ML-DSA-65 key or nothing); suite 1 is Ed25519
alone, suite 2 names both. The writer's own ML-DSA signature is optional and made elsewhere; here only its place in
the hash is fixed.
"""

from __future__ import annotations

import hashlib
import os
from typing import NoReturn, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from keys.errors import SecretLeak, SignatureError

__all__ = ["ML_DSA_65_PUBLIC_SIZE", "StreamKey", "stream_key_hash", "verify_stream_signature"]

ML_DSA_65_PUBLIC_SIZE = 1952  # FIPS 204, table 2


def stream_key_hash(ed25519_public: bytes, ml_dsa_public: bytes = b"") -> bytes:
    """The 32-byte hash that RegisterStream names; SignatureError for keys of a wrong length."""
    if len(ed25519_public) != 32 or len(ml_dsa_public) not in (0, ML_DSA_65_PUBLIC_SIZE):
        raise SignatureError("a stream key is 32 bytes of Ed25519 and optionally 1952 bytes of ML-DSA-65")
    suite = 2 if ml_dsa_public else 1
    return hashlib.sha256(bytes([suite]) + ed25519_public + ml_dsa_public).digest()


@final
class StreamKey:
    """A private Ed25519 key. Its text form and pickling never show the seed."""

    __slots__ = ("_private", "_seed", "public_bytes")

    def __init__(self, seed: bytes) -> None:
        if not isinstance(seed, bytes) or len(seed) != 32:
            raise SignatureError("a stream key is made from 32 bytes")
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_bytes = self._private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> StreamKey:
        """A new random key."""
        return cls(os.urandom(32))

    @classmethod
    def from_bytes(cls, seed: bytes) -> StreamKey:
        """The key of a 32-byte seed."""
        return cls(seed)

    def to_bytes(self) -> bytes:
        """The 32-byte seed. Secret: for the keystore only."""
        return self._seed

    def sign(self, message: bytes) -> bytes:
        """A 64-byte signature."""
        return self._private.sign(message)

    def key_hash(self) -> bytes:
        """The hash of suite 1 that RegisterStream names, 32 bytes."""
        return stream_key_hash(self.public_bytes)

    def __repr__(self) -> str:
        return f"StreamKey(public={self.public_bytes.hex()})"

    def __reduce__(self) -> NoReturn:
        raise SecretLeak("a stream key is not pickled or copied; store it in the keystore")


def verify_stream_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """Raise SignatureError unless the 64-byte signature over `message` is by `public` (32 bytes)."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("not signed by the stream key") from error
