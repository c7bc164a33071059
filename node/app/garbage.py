"""How often Python looks for garbage in cycles."""

from __future__ import annotations

import gc

__all__ = ["collect_seldom", "keep_what_is_there"]

_ALLOCATIONS = 50_000


def collect_seldom() -> None:
    """Look for garbage in cycles after 50,000 new objects instead of 700.

    Nearly nothing here is in cycles; what is waits a little longer, a few megabytes of it at most. Measured: a fifth of
    the time of a rebuild, and a sixth of what a node needs to start (0.25 of 1.5 s), as imports make objects that stay.
    """
    gc.set_threshold(_ALLOCATIONS, 20, 20)


def keep_what_is_there() -> None:
    """Leave out of every later look what was imported until now: it lives as long as the process."""
    gc.freeze()
