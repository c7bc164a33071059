"""Which side of a delivery an account is on: one role at a time (A-19, M-44). Pure, in memory, made anew at the start.

What binds is an order that is open or of which something was matched, until its delivery is over.
"""

from __future__ import annotations

__all__ = ["Sides"]

_Times = tuple[int, int]
_Bound = dict[tuple[bytes, bool], set[bytes]]


class Sides:
    """By time of delivery (seconds UTC): the orders or contracts that bind an account to a side."""

    def __init__(self) -> None:
        self._bound: dict[_Times, _Bound] = {}
        self._pruned = 0

    def note(self, times: _Times, account: bytes, sells: bool, key: bytes, *, binds: bool) -> None:
        """What an order or a contract (`key`) says now."""
        if binds:
            self._bound.setdefault(times, {}).setdefault((account, sells), set()).add(key)
            return
        bound = self._bound.get(times, {})
        keys = bound.get((account, sells), set())
        keys.discard(key)
        if not keys:
            bound.pop((account, sells), None)

    def free(self, times: _Times, account: bytes, sells: bool) -> bool:
        """Whether nothing binds the account to the other side."""
        return (account, not sells) not in self._bound.get(times, {})

    def prune(self, now: int) -> None:
        """Forget deliveries that are over."""
        if now > self._pruned:
            self._pruned = now
            for times in [each for each in self._bound if each[1] <= now]:
                del self._bound[times]
