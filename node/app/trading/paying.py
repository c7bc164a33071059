"""An asset's payments: what it owes and has verified, worked off at intervals, the oldest first (M-52 to M-60)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from keys import messages as m
from node.app.core import Core
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.app.trading.verifying import TwinLogs, verified_bill
from node.errors import NodeUnreachable
from node.projection.base import Peer
from node.projection.trade import Trade, TradeStatus
from node.runtime.backoff import Backoff
from node.runtime.errors import PermanentFailure
from node.services.asset.errors import PaymentRefused, PaymentWaits
from node.services.asset.rules import AT_ONCE, Bill, choose_bills
from node.types import short_id
from node.wire.settlement import FundWanted

__all__ = ["OwnerPeer", "Payments"]

OwnerPeer = Callable[[], Awaitable[Peer | None]]
"""Where the owner's node is; None while there is none."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Queue:
    """What is owed in one market: the block since when, by contract, and the claims.

    `failures`: rounds in a row that paid nothing, with `funds` there; `look_at`: when it is asked whether more came.
    """

    owed: dict[bytes, int] = field(default_factory=dict)
    claimed: dict[bytes, None] = field(default_factory=dict)
    due_at: float = 0.0
    failures: int = 0
    funds: int = 0
    look_at: float = 0.0


@dataclass(slots=True)
class _Free:
    """What one round may still spend: cures and payments take from the same money."""

    funds: int


class Payments:
    """The payment queue of this node's asset, one for each market."""

    def __init__(self, core: Core, voice: AssetVoice, owner: OwnerPeer | None = None) -> None:
        self._core = core
        self._owner = owner
        self._voice = voice
        self._queues: dict[bytes, _Queue] = {}
        self._backoff = Backoff(2.0, 3_600.0)
        self.twins: TwinLogs | None = None
        """Where the contracts' digital twins are; what is paid is compared with them."""
        self.refused: dict[bytes, str] = {}
        """Contracts that are not paid as they stand, with what differs."""
        self.unfunded: dict[bytes, str] = {}
        """Contracts for which the owner gave no money, and why."""

    def look(self, trade: Trade, operator: bytes) -> None:
        """Takes a contract that is owed, and finally so, into the queue."""
        delivered = trade.delivered
        queue = self._queues.setdefault(operator, _Queue())
        if trade.status is TradeStatus.DELIVERED and trade.settled and delivered is not None:
            queue.owed.setdefault(trade.contract_id, delivered.block.number)
        elif trade.status is not TradeStatus.DELIVERED:
            queue.owed.pop(trade.contract_id, None)
        if trade.status is TradeStatus.CLAIMED and trade.settled:
            queue.claimed[trade.contract_id] = None

    def owed(self, operator: bytes) -> tuple[bytes, ...]:
        """What waits to be paid in one market, the oldest first."""
        found = self._queues.get(operator, _Queue()).owed
        return tuple(contract for contract, _ in sorted(found.items(), key=lambda each: (each[1], each[0])))

    def waits(self, operator: bytes) -> float:
        """Seconds until the next round in one market."""
        due_at = self._queues.get(operator, _Queue()).due_at
        return max(0.0, due_at - self._core.clock.monotonic())

    async def step(self) -> None:
        """Every `payment_every_s` up to ten contracts of each market, in one payment."""
        now = self._core.clock.monotonic()
        for operator, queue in self._queues.items():
            if not queue.owed and not queue.claimed:
                continue
            if queue.due_at > now and not await self._refilled(operator, queue, now):
                continue
            queue.due_at = now + self._core.settings.settlement.payment_every_s
            trades = await self._waiting(queue)
            free = _Free(await self._balance(operator) - await self._promised(operator, trades))
            # Claims first: while one is open, nobody makes a new contract with this asset.
            cured = await self._cure(operator, queue, trades, free)
            if await self._pay(operator, queue, trades, free) and cured:
                queue.failures = 0
            else:
                queue.failures += 1
                queue.due_at = max(queue.due_at, now + self._backoff.delay(queue.failures))
                queue.funds, queue.look_at = await self._balance(operator), now

    async def _refilled(self, operator: bytes, queue: _Queue, now: float) -> bool:
        """Whether money came since a round was short of it: then nothing waits any longer."""
        if not queue.failures or queue.look_at > now:
            return False
        queue.look_at = now + self._core.settings.settlement.payment_every_s
        return await self._balance(operator) > queue.funds

    async def _balance(self, operator: bytes) -> int:
        return await self._voice.views().balance(operator, self._voice.signer(operator).address)

    async def _waiting(self, queue: _Queue) -> dict[bytes, Trade]:
        """The contracts of a queue as they are now; those that are no longer owed leave it."""
        trades = await self._core.storage.views.many(Trade, {*queue.owed, *queue.claimed})
        for contract_id in list(queue.owed):
            trade = trades.get(contract_id)
            if trade is None or trade.status is not TradeStatus.DELIVERED or not trade.settled:
                del queue.owed[contract_id]
        for contract_id in list(queue.claimed):
            trade = trades.get(contract_id)
            if trade is None or trade.status is not TradeStatus.CLAIMED:
                del queue.claimed[contract_id]
        return trades

    async def _promised(self, operator: bytes, trades: Mapping[bytes, Trade]) -> int:
        """Minor units that payments and cures on their way take out of the balance."""
        total = 0
        for trade in trades.values():
            if trade.status is TradeStatus.CLAIMED and self._under_way(trade, m.Cure):
                found = await self._voice.views().contract(operator, trade.contract_id)
                total += found.due - found.held
            elif trade.status is TradeStatus.DELIVERED and self._under_way(trade, m.Payment):
                escrowed = trade.terms is not None and trade.terms.escrowed
                total += trade.delivered.amount if trade.delivered is not None and not escrowed else 0
        return total

    def _under_way(self, trade: Trade, kind: type[m.Message]) -> bool:
        word = trade.word(kind.__name__)
        return word is not None and word.until >= self._core.clock.now()

    async def _pay(self, operator: bytes, queue: _Queue, trades: Mapping[bytes, Trade], free: _Free) -> bool:
        """One round in one market; False if money was short and nothing could be paid."""
        now, account = self._core.clock.now(), self._voice.signer(operator).address
        bills: list[Bill] = []
        for contract_id in self.owed(operator):
            if len(bills) == AT_ONCE:
                break
            trade = trades.get(contract_id)
            if trade is None or self._under_way(trade, m.Payment):
                continue
            bill = await self._bill(queue, trade, operator)
            if bill is not None:
                bills.append(bill)
        if not bills:
            return True
        chosen = choose_bills(bills, free.funds)
        if not chosen:
            _log.warning("payment_waits_for_money", funds=free.funds, owed=sum(bill.cost for bill in bills))
            await self._ask_owner(operator, bills[0].contract_id, bills[0].cost - max(0, free.funds))
            return False
        free.funds -= sum(bill.cost for bill in chosen)
        if len(chosen) < len(bills):
            # What fits is paid now, and the next one in the row is asked for.
            following = bills[len(chosen)]
            await self._ask_owner(operator, following.contract_id, following.cost - max(0, free.funds))
        contracts = tuple(sorted(bill.contract_id for bill in chosen))
        message = m.Payment(account, operator, contracts, sum(bill.due for bill in chosen), False, now + VALID_S)
        joined = (await self._voice.markets())[operator]
        await self._voice.say([trades[each] for each in contracts], joined, message)
        return True

    async def _cure(self, operator: bytes, queue: _Queue, trades: Mapping[bytes, Trade], free: _Free) -> bool:
        """Pays claims as soon as there is money (A-14); False if there is none."""
        now, account, views = self._core.clock.now(), self._voice.signer(operator).address, self._voice.views()
        for contract_id in list(queue.claimed):
            trade = trades.get(contract_id)
            if trade is None or self._under_way(trade, m.Cure):
                continue
            found = await views.contract(operator, contract_id)
            owed = trade.delivered.amount if trade.delivered is not None else 0
            # The penalty is that of the terms which the request named, whatever the market promises today.
            terms = await self._voice.agreed(trade.terms.request) if trade.terms is not None else None
            if terms is None or found.due > owed + owed * terms.penalty_bps // 10_000:
                self.refused[contract_id] = "The claim is for more than amount and penalty."
                continue
            missing = found.due - found.held
            if free.funds < missing:
                await self._ask_owner(operator, contract_id, missing - max(0, free.funds))
                return False
            free.funds -= missing
            message = m.Cure(account, operator, contract_id, now + VALID_S)
            await self._voice.say([trade], (await self._voice.markets())[operator], message)
        return True

    async def _bill(self, queue: _Queue, trade: Trade, operator: bytes) -> Bill | None:
        """The contract as a bill; None for one that lacks something yet, and for one that does not stand up to what is
        in hand: that leaves the queue and is never paid."""
        try:
            bill = await verified_bill(self._core, self._voice, trade, operator, self.twins)
        except PaymentRefused as refused:
            self.refused[trade.contract_id] = str(refused)
            if not isinstance(refused, PaymentWaits):
                del queue.owed[trade.contract_id]
                _log.error("payment_refused", contract=short_id(trade.contract_id), reason=str(refused))
            return None
        self.refused.pop(trade.contract_id, None)
        return bill

    async def _ask_owner(self, operator: bytes, contract_id: bytes, missing: int) -> None:
        """Asks the owner for what a contract lacks (M-56). A refusal stays until the next round."""
        peer = await self._owner() if self._owner is not None else None
        if peer is None:
            return
        account = self._voice.signer(operator).address
        body = FundWanted(operator=operator, account=account, contract=contract_id, missing=missing)
        try:
            await self._voice.post.send(peer, "user.fund", body.to_json(), VALID_S)
        except PermanentFailure as refused:
            self.unfunded[contract_id] = str(refused)
            _log.warning("funding_refused", contract=short_id(contract_id), reason=str(refused))
        except NodeUnreachable as silent:
            self.unfunded[contract_id] = str(silent)
