"""How much one signer may use the relay (contracts.md, "The relay"): so many messages a day, and only known parties."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from node.clock import Clock
from node.errors import Refused
from node.ledger.errors import RelayBudgetSpent

__all__ = ["DailyBudget"]

_DAY = 86_400


class DailyBudget:
    """A BudgetKeeper in memory: ``limit`` messages per signer and UTC day, for signers that ``allowed`` knows.

    A restart gives a day's budget back, which is no more than an attacker gets by waiting for midnight.
    """

    def __init__(self, clock: Clock, limit: int, allowed: Callable[[bytes], Awaitable[bool]]) -> None:
        self._clock = clock
        self._limit = limit
        self._allowed = allowed
        self._day = -1
        self._spent: dict[bytes, int] = {}

    async def spend(self, signer: bytes, kind: str, digest: bytes) -> None:
        """Count one message. Raises Refused for a stranger, RelayBudgetSpent when the day's messages are used up."""
        if not await self._allowed(signer):
            raise Refused(
                "the relay serves its own users and parties with a live or pending consent",
                remedy="Send the transaction yourself: the registry takes the message from anybody.",
            )
        now = self._clock.now()
        if now // _DAY != self._day:
            self._day, self._spent = now // _DAY, {}
        spent = self._spent.get(signer, 0)
        if spent >= self._limit:
            raise RelayBudgetSpent(
                f"{self._limit} relayed messages of this signer today are used up", retry_after=_DAY - now % _DAY
            )
        self._spent[signer] = spent + 1
