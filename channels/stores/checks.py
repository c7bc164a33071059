"""Shapes that every store checks before it touches anything, so that both implementations refuse the same things."""

from __future__ import annotations

from collections.abc import Iterable

from channels.errors import StoreConflict, StoreError
from channels.stores.base import MAX_INTEGER

__all__ = ["check_id", "check_integers", "check_limit", "forked"]


def check_id(name: str, value: bytes, size: int = 32) -> None:
    """Raise StoreError unless `value` has `size` bytes."""
    if len(value) != size:
        raise StoreError(f"{name} has {size} bytes, not {len(value)}")


def check_integers(values: Iterable[int]) -> None:
    """Raise StoreError for a number that a database cannot keep."""
    for value in values:
        if not 0 <= value <= MAX_INTEGER:
            raise StoreError(f"{value} is outside 0..2^63-1")


def check_limit(limit: int) -> None:
    """Raise StoreError for a limit that is no positive number."""
    if limit < 1:
        raise StoreError(f"a limit of {limit} asks for nothing")


def forked(what: str, existing: bytes, offered: bytes) -> StoreConflict:
    """The error for two byte strings at one place."""
    return StoreConflict(f"{what} is taken by other bytes", existing, offered)
