"""Where the node calls code of a plug-in: whatever it raises becomes a value, so one engine cannot stop a market."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Failure", "attempt"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failure:
    """What foreign code raised."""

    reason: str


def attempt(call: Callable[[], T]) -> T | Failure:
    """The result of foreign code, or how it failed. Nobody can say beforehand what it may raise."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - foreign code, whose failure is an answer
        return Failure(f"{type(error).__name__}: {error}")
