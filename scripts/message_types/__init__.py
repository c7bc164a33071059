"""The signing types of each contract as its designers wrote them, for the shared test vectors.

Written out here a second time, apart from Solidity and from `keys`, so that a slip in one of them shows.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEADLINE", "ContractMessages"]

DEADLINE = "uint256 nonce,uint40 deadline"


@dataclass(frozen=True, slots=True)
class ContractMessages:
    """The domain's name, a made-up address, and the accounts that sign each type."""

    name: str
    domain: str
    address: str
    messages: dict[str, tuple[str, ...]]
