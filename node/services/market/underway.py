"""Matches that were signed and whose end is not known: what they take of which orders."""

from __future__ import annotations

from dataclasses import dataclass

from node.services.market.engine import Fill

__all__ = ["Underway"]


@dataclass(slots=True)
class _Flight:
    fill: Fill
    made: bool


class Underway:
    """By contract id, until the chain's word is final. What the chain shows counts in the orders' own figures already.

    A match stays listed although it was seen, since a reorg may send it on its way again.
    """

    def __init__(self) -> None:
        self._flights: dict[bytes, _Flight] = {}
        self._reserved: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def knows(self, contract_id: bytes) -> bool:
        return contract_id in self._flights

    def reserved(self, key: bytes) -> int:
        """Wh of an order that matches on their way take."""
        return self._reserved.get(key, 0)

    def reserve(self, fill: Fill, sign: int = 1) -> None:
        """Count a fill as taken, or with -1 no longer."""
        for key in (fill.offer, fill.request):
            left = self._reserved.get(key, 0) + sign * fill.wh
            if left:
                self._reserved[key] = left
            else:
                self._reserved.pop(key, None)

    def name(self, contract_id: bytes, fill: Fill) -> None:
        """A fill that is reserved already was signed."""
        self._flights[contract_id] = _Flight(fill, False)

    def sent(self, contract_id: bytes, fill: Fill) -> bool:
        """A match is on its way; False if that is known."""
        if contract_id in self._flights:
            return False
        self.reserve(fill)
        self.name(contract_id, fill)
        return True

    def seen(self, contract_id: bytes, made: bool) -> Fill | None:
        """The chain shows it, or no longer does. Returns the fill if that is news."""
        flight = self._flights.get(contract_id)
        if flight is None or flight.made == made:
            return None
        flight.made = made
        self.reserve(flight.fill, -1 if made else 1)
        return flight.fill

    def over(self, contract_id: bytes) -> Fill | None:
        """Nothing more will come of it. Returns the fill if it took something until now."""
        flight = self._flights.pop(contract_id, None)
        if flight is None or flight.made:
            return None
        self.reserve(flight.fill, -1)
        return flight.fill
