"""What a simulation found: energy, prices and money by slot, and checks of what must be conserved. Whole numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from node.projection.trade import Trade, TradeStatus

__all__ = ["SimulationReport", "SlotSums"]


@dataclass(slots=True)
class SlotSums:
    """One slot in Wh; `amount` is what was owed for `delivered`, in minor units."""

    start: int
    offered: int = 0
    requested: int = 0
    matched: int = 0
    delivered: int = 0
    contracts: int = 0
    amount: int = 0

    @property
    def price(self) -> int:
        """Minor units per kWh of what was delivered, on average, rounded down; 0 where nothing was."""
        return self.amount * 1_000 // self.delivered if self.delivered else 0

    def add(self, trade: Trade) -> None:
        if trade.terms is None:
            return
        self.contracts += 1
        self.matched += trade.terms.wh
        if trade.delivered is not None:
            self.delivered += trade.delivered.wh
            self.amount += trade.delivered.amount


@dataclass(slots=True)
class SimulationReport:
    """`seconds_ms`: real time from the first order to the last payment, in milliseconds."""

    assets: int
    slots: list[SlotSums]
    minted: int = 0
    wallets: int = 0
    books: int = 0
    vault: int = 0
    statement_balance: int = 0
    statement_due: int = 0
    paid: int = 0
    confirmed: int = 0
    open: int = 0
    seconds_ms: int = 0
    over_limits: list[str] = field(default_factory=list)

    def count(self, trades: Iterable[Trade]) -> None:
        """Payments and ends of all contracts."""
        for trade in trades:
            self.paid += trade.paid
            self.confirmed += trade.status is TradeStatus.CONFIRMED

    @property
    def contracts(self) -> int:
        return sum(slot.contracts for slot in self.slots)

    def checks(self) -> dict[str, bool]:
        """What must hold whatever was traded."""
        due = sum(slot.amount for slot in self.slots)
        return {
            "every contract is over": self.open == 0 and self.confirmed == self.contracts,
            "no contract outside what both sides signed": not self.over_limits,
            "matched energy is no more than offered or requested": all(
                slot.matched <= min(slot.offered, slot.requested) for slot in self.slots
            ),
            "delivered energy is no more than matched": all(slot.delivered <= slot.matched for slot in self.slots),
            "what was owed was paid": self.paid == due,
            "the statement says what the chain says": self.statement_due == due,
            "the statement sums to zero": self.statement_balance == 0,
            "no money was lost or made": self.wallets + self.vault == self.minted,
            "the vault holds what the books say": self.vault == self.books,
        }

    def to_json(self) -> Mapping[str, Any]:
        """As an object of integers, texts and lists."""
        delivered = sum(slot.delivered for slot in self.slots)
        amount = sum(slot.amount for slot in self.slots)
        return {
            "assets": self.assets,
            "contracts": self.contracts,
            "confirmed": self.confirmed,
            "offered_wh": sum(slot.offered for slot in self.slots),
            "requested_wh": sum(slot.requested for slot in self.slots),
            "matched_wh": sum(slot.matched for slot in self.slots),
            "delivered_wh": delivered,
            "paid": self.paid,
            "price_per_kwh": amount * 1_000 // delivered if delivered else 0,
            "milliseconds": self.seconds_ms,
            "trades_per_1000_s": self.confirmed * 1_000_000 // self.seconds_ms if self.seconds_ms else 0,
            "checks": self.checks(),
            "ok": all(self.checks().values()),
            "slots": [
                {
                    "start": slot.start, "offered_wh": slot.offered, "requested_wh": slot.requested,
                    "matched_wh": slot.matched, "delivered_wh": slot.delivered, "contracts": slot.contracts,
                    "amount": slot.amount, "price_per_kwh": slot.price,
                }
                for slot in self.slots
            ],
        }  # fmt: skip
