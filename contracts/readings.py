"""Signed readings in the packed form that `EnergyToken.submitReadings` takes.

source u64 | index u32 | counterWh u64 | meterTime u40 | r | s | v u8             90 bytes, secp256k1
source u64 | index u32 | counterWh u64 | meterTime u40 | r | s | 0 u8 | x | y    154 bytes, P-256
"""

from __future__ import annotations

from contracts.bindings.energy_token import ReadingLike
from contracts.errors import MalformedData

__all__ = ["pack_reading"]


def pack_reading(reading: ReadingLike, signature: bytes) -> bytes:
    """Return one reading with its signature: 65 bytes r || s || v, or 128 bytes r || s || x || y.

    Raises MalformedData for a signature of another shape: it would shift every reading behind it.
    """
    head = reading.source.to_bytes(8, "big") + reading.index.to_bytes(4, "big")
    head += reading.counter_wh.to_bytes(8, "big") + reading.meter_time.to_bytes(5, "big")
    if len(signature) == 65 and signature[64] != 0:
        return head + signature
    if len(signature) == 128:
        return head + signature[:64] + b"\0" + signature[64:]
    raise MalformedData(f"a device signs with 65 bytes ending in 27 or 28, or with 128, not {len(signature)}")
