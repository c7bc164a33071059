"""An asset's pool of energy: when it offers, when it asks, and for how much (M-8, M-9, A-4). Pure; whole Wh."""

from __future__ import annotations

__all__ = ["MOST_WH", "next_start", "to_offer", "to_request"]

MOST_WH = 2**63 - 1
"""What one order may be for; a pool that has or lacks more trades the rest later."""


def to_offer(available: int, reserved: int, lot: int) -> int:
    """Wh to offer: what is there and not promised yet, once it is a whole lot; else 0."""
    free = available - reserved
    return min(free, MOST_WH) if free >= lot else 0


def to_request(available: int, requested: int, lot: int) -> int:
    """Wh to ask for: what brings the pool back to a lot, never less than a lot; 0 while what is asked for covers it."""
    missing = lot - available - requested
    return min(max(missing, lot), MOST_WH) if missing > 0 else 0


def next_start(now: int, length: int, lead: int) -> int:
    """Begin of the next time of delivery that is at least `lead` seconds away; they follow each other from 1970 on."""
    return -(-(now + lead) // length) * length
