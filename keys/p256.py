"""Keys of devices on P-256, as secure elements have them: an address, and signatures that the EnergyToken takes.

A signature is 128 bytes r || s || x || y with s in the lower half; the address is the last 20 bytes of the keccak256 of
x || y, as on secp256k1. Sources: FIPS 186-5, RFC 6979 (deterministic nonces), EIP-7951.
"""

from __future__ import annotations

import os
from typing import NoReturn, final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keys.eip712 import keccak256
from keys.errors import SecretLeak, SignatureError

__all__ = ["P256Key", "recover_p256"]

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_DIGEST = Prehashed(SHA256())  # says only that what is signed has 32 bytes


@final
class P256Key:
    """A private key in software. Its text form and pickling never show it."""

    __slots__ = ("_private", "address", "public_bytes")

    def __init__(self, scalar: int) -> None:
        if not isinstance(scalar, int) or not 0 < scalar < _ORDER:
            raise SignatureError("a P-256 key is a number between 1 and the order of the curve")
        self._private = ec.derive_private_key(scalar, ec.SECP256R1())
        numbers = self._private.public_key().public_numbers()
        self.public_bytes = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        self.address = keccak256(self.public_bytes)[12:]

    @classmethod
    def generate(cls) -> P256Key:
        """A new random key."""
        return cls(int.from_bytes(os.urandom(40), "big") % (_ORDER - 1) + 1)

    def sign(self, digest: bytes) -> bytes:
        """Sign 32 bytes: r || s || x || y, always the same for the same digest."""
        if not isinstance(digest, bytes) or len(digest) != 32:
            raise SignatureError("a digest has 32 bytes")
        r, s = decode_dss_signature(self._private.sign(digest, ec.ECDSA(_DIGEST, deterministic_signing=True)))
        return r.to_bytes(32, "big") + min(s, _ORDER - s).to_bytes(32, "big") + self.public_bytes

    def __repr__(self) -> str:
        return f"P256Key(0x{self.address.hex()})"

    def __reduce__(self) -> NoReturn:
        raise SecretLeak("a P-256 key is not pickled")


def recover_p256(digest: bytes, signature: bytes) -> bytes:
    """The address (20 bytes) of the key that made a signature; SignatureError where it is not valid or s is high."""
    if not isinstance(signature, bytes) or len(signature) != 128:
        raise SignatureError("a P-256 signature is 128 bytes r || s || x || y")
    r, s, x, y = (int.from_bytes(signature[at : at + 32], "big") for at in range(0, 128, 32))
    if not (0 < r < _ORDER and 0 < s <= _ORDER // 2):
        raise SignatureError("P-256: r or s is out of range or s is not in the lower half")
    try:
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        public.verify(encode_dss_signature(r, s), digest, ec.ECDSA(_DIGEST))
    except (ValueError, InvalidSignature) as error:
        raise SignatureError("P-256: the signature is not of this key and digest") from error
    return keccak256(signature[64:])[12:]
