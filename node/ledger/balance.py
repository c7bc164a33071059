"""The sender's balance, watched: a warning comes while there is still something left to pay with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from node.ledger.errors import LedgerError
from node.ledger.fees import FeePolicy
from node.ledger.reader import ChainReader
from node.types import address_to_text, ether_text

__all__ = ["Balance", "BalanceLimits", "BalanceWatch"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BalanceLimits:
    """Low is a balance under ``wei``, or one that pays for fewer than ``transactions`` of ``gas`` at today's fee."""

    wei: int = 0
    transactions: int = 50
    gas: int = 100_000


@dataclass(frozen=True, slots=True)
class Balance:
    """What was found last: ``wei``, and for how many transactions it is enough (None where gas is free)."""

    wei: int
    transactions_left: int | None
    low: bool

    def __str__(self) -> str:
        left = "" if self.transactions_left is None else f", enough for {self.transactions_left} transactions"
        return f"{ether_text(self.wei)} ETH{left}"


class BalanceWatch:
    """Looks every ``every`` seconds. ``listener`` hears each result; the log tells once when it gets low, and after."""

    def __init__(
        self, reader: ChainReader, address: bytes, fees: FeePolicy, limits: BalanceLimits, *, every: float = 30.0
    ) -> None:
        self.latest: Balance | None = None
        self.listener: Callable[[Balance], None] | None = None
        self._reader = reader
        self._address = address
        self._fees = fees
        self._limits = limits
        self._every = every

    async def look(self) -> Balance:
        """Ask once. Raises RpcError."""
        wei = await self._reader.balance(self._address)
        base, tip = await self._fees.asked(self._reader)
        # A price above the cap is never paid, so it does not make the balance smaller either.
        fee = min(base + tip, self._fees.max_fee_cap)
        left = None if fee == 0 else wei // (fee * self._limits.gas)
        low = wei < self._limits.wei or (left is not None and left < self._limits.transactions)
        found = Balance(wei, left, low)
        was_low = self.latest is not None and self.latest.low
        self.latest = found
        if low and not was_low:
            _log.warning("sender_balance_low", address=address_to_text(self._address), balance=str(found))
        elif was_low and not low:
            _log.info("sender_balance_restored", address=address_to_text(self._address), balance=str(found))
        if self.listener is not None:
            self.listener(found)
        return found

    async def run(self) -> None:
        """Look for ever; an endpoint that fails is asked again at the next turn, and its fault is told elsewhere."""
        while True:
            try:
                await self.look()
            except LedgerError as fault:
                _log.debug("balance_unknown", reason=fault.message)
            await asyncio.sleep(self._every)
