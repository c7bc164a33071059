"""Numbers, times and names as the documents write them: exact decimals, UTC, never a float."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["duration", "kwh", "mrid", "party_text", "utc"]

_KEPT = 4_096


def kwh(wh: int) -> str:
    """1234 Wh are 1.234 kWh, exactly."""
    return f"{wh // 1000}.{wh % 1000:03d}"


@lru_cache(_KEPT)
def utc(seconds: int) -> str:
    """2026-01-31T12:15:00Z"""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@lru_cache(_KEPT)
def party_text(address: bytes) -> str:
    """An account as hex with 0x in front."""
    return "0x" + address.hex()


@lru_cache(256)
def duration(seconds: int) -> str:
    """ISO 8601: PT15M for a quarter of an hour."""
    return f"PT{seconds // 60}M" if seconds % 60 == 0 else f"PT{seconds}S"


def mrid(raw: bytes) -> str:
    """32 bytes as 43 characters: a hash in hex would be longer than an mRID may be."""
    return urlsafe_b64encode(raw).decode().rstrip("=")
