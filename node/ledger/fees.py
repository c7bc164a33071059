"""What a transaction may cost: EIP-1559 fees with caps, and the smallest bump with which pools replace."""

from __future__ import annotations

from dataclasses import dataclass

from node.ledger.errors import FeesTooHigh, RpcRefused
from node.ledger.reader import ChainReader

__all__ = ["FeePolicy", "Fees"]

GWEI = 10**9


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees in wei per gas; ``base`` is what the newest block asked, where that is known."""

    max_fee: int
    priority_fee: int
    base: int = 0


@dataclass(frozen=True, slots=True)
class FeePolicy:
    """Caps in wei per gas. A replacement raises both fees by ``bump_percent`` (pools ask for at least 10)."""

    max_fee_cap: int = 500 * GWEI
    priority_fee_cap: int = 50 * GWEI
    bump_percent: int = 13

    async def current(self, reader: ChainReader, base: int | None = None) -> Fees:
        """Return fees that get into one of the next blocks. Raises FeesTooHigh above the cap, RpcError.

        ``base`` is what the newest block asks, for who has just read it.
        """
        base, tip = await self.asked(reader, base)
        if base + tip > self.max_fee_cap:
            raise self.too_high(base + tip)
        return Fees(min(2 * base + tip, self.max_fee_cap), tip, base)

    async def asked(self, reader: ChainReader, base: int | None = None) -> tuple[int, int]:
        """Return what the newest block asks and the tip that is usual, at most its cap. Raises RpcError."""
        if base is None:
            newest = await reader.block("latest")
            base = newest.base_fee if newest is not None else 0
        try:
            tip = await reader.priority_fee()
        except RpcRefused:  # chains without a fee market do not know the method
            tip = 0
        return base, min(tip, self.priority_fee_cap)

    def too_high(self, asked: int) -> FeesTooHigh:
        """Return the error that names what is asked and the cap."""
        return FeesTooHigh(f"the chain asks {asked} wei per gas, the cap is {self.max_fee_cap}")

    def bumped(self, old: Fees, now: Fees) -> Fees | None:
        """Return fees that replace ``old``, at least today's; None when the cap leaves no room."""
        max_fee = max(now.max_fee, _raised(old.max_fee, self.bump_percent))
        tip = max(now.priority_fee, _raised(old.priority_fee, self.bump_percent))
        if max_fee > self.max_fee_cap or tip > self.priority_fee_cap:
            return None
        return Fees(max(max_fee, tip), tip)


def _raised(fee: int, percent: int) -> int:
    return -(-fee * (100 + percent) // 100) + (0 if fee else 1)
