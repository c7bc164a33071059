"""How a sender behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from node.ledger.fees import FeePolicy
from node.ledger.finality import Finality

__all__ = ["SenderOptions"]


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """``lock_folder`` holds the nonce lock. Times in seconds: passes, fee bump of a stuck transaction, rebroadcast.

    ``pace`` is the least time between the beginnings of two passes, however often they are asked for.

    ``in_flight`` is how many may be out at most; a pool that is full makes it fewer for a while.
    """

    lock_folder: Path
    finality: Finality = field(default_factory=Finality)
    fees: FeePolicy = field(default_factory=FeePolicy)
    poll: float = 0.3
    pace: float = 0.05
    longest_pause: float = 5.0
    idle_pause: float = 10.0
    bump_after: int = 30
    rebroadcast_after: int = 10
    in_flight: int = 4_096
    gas_margin_percent: int = 25
