"""The logs bloom of a block header (Yellow Paper 4.4.3): tells that a block cannot hold a log, never that it does.

An endpoint that drops logs from an answer, by mistake or on purpose, is seen here unless it forges the header as well.
"""

from __future__ import annotations

from keys.eip712 import keccak256

__all__ = ["SIZE", "may_contain"]

SIZE = 256


def may_contain(bloom: bytes, value: bytes) -> bool:
    """Tell whether ``value`` (an address or a topic) may be in the bloom (256 bytes)."""
    digest = keccak256(value)
    for offset in (0, 2, 4):
        bit = int.from_bytes(digest[offset : offset + 2], "big") & 0x7FF
        if not bloom[SIZE - 1 - bit // 8] >> (bit % 8) & 1:
            return False
    return True
