"""Times as people type and read them: `now`, `-2d`, `+90m`, `2026-01-01`, `2026-01-01T12:00Z`, seconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from node.errors import UsageError

__all__ = ["parse_time", "show_age", "show_time"]

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_OPEN_END: Final = 2**40 - 1


def parse_time(text: str, now: int, name: str) -> int:
    """Seconds since 1970 UTC. A time without an offset is UTC. Raises UsageError that names the option."""
    words = text.strip()
    relative = re.fullmatch(r"([+-])([0-9]{1,9})([smhdw])", words)
    if words == "now":
        return now
    if relative:
        amount = int(relative[2]) * _UNITS[relative[3]]
        seconds = now + amount if relative[1] == "+" else now - amount
    elif re.fullmatch(r"[0-9]{6,13}", words):
        seconds = int(words)
    else:
        try:
            moment = datetime.fromisoformat(words)
        except ValueError:
            raise UsageError(
                f"{name} is not a time.", remedy="Write now, -2d, +90m, 2026-01-01T12:00Z or seconds since 1970."
            ) from None
        seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    if not 0 <= seconds <= _OPEN_END:
        raise UsageError(f"{name} lies outside of what the registry can store.", remedy="Choose a time after 1970.")
    return seconds


def show_time(seconds: object) -> str:
    """UTC, to the second; empty for none."""
    if not isinstance(seconds, int):
        return ""
    if seconds >= _OPEN_END:
        return "open"
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def show_age(seconds: object) -> str:
    """3 s, 5 min, 2 h, 4 d; empty for none."""
    if not isinstance(seconds, int):
        return ""
    for limit, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if abs(seconds) < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} d"
