"""The one key derivation of CKT-1 and its hash.

`KDF(k, label, ctx) = HKDF-SHA256-Expand(k, "ckt1 " || label || 0x00 || ctx, 32)` (RFC 5869 section 2.3). One output
block is one HMAC over `info || 0x01`, so the call goes straight to OpenSSL's one-shot HMAC: the tree needs tens of
thousands of these per second and a context object per call would triple the cost. `tests/unit/channels/test_kdf.py`
holds it against the `cryptography` implementation and the RFC's vectors.
"""

from __future__ import annotations

import hashlib
import hmac

__all__ = ["KEY_BYTES", "kdf", "kdf_info", "kdf_with", "sha256"]

KEY_BYTES = 32


def sha256(data: bytes) -> bytes:
    """SHA-256 of `data`, 32 bytes: the H of the specification."""
    return hashlib.sha256(data).digest()


H = sha256  # its name in the specification


def kdf_info(label: bytes, ctx: bytes = b"") -> bytes:
    """The HMAC input for `label` and `ctx`: HKDF info plus the block counter. Labels hold no zero byte."""
    return b"ckt1 " + label + b"\x00" + ctx + b"\x01"


def kdf_with(key: bytes, info: bytes) -> bytes:
    """Derive 32 bytes from `key` with an input made once by `kdf_info`."""
    return hmac.digest(key, info, "sha256")


def kdf(key: bytes, label: bytes, ctx: bytes = b"") -> bytes:
    """Derive 32 bytes from the 32-byte `key`. Every field of `ctx` has a fixed width, big endian."""
    return hmac.digest(key, b"ckt1 " + label + b"\x00" + ctx + b"\x01", "sha256")
