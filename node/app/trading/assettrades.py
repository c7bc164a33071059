"""What an asset does about its contracts: each change, and each time that falls due, leads to at most one word.

Level, not edge: a change only says which contract to look at, and what to do is read off its present state. At the
start every contract that is not over is looked at once, so a crash, a lost parcel, a reorg or a week off are healed.
Nothing is looked at that did not change: a round costs what happened since the last one, not what there is.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from eth_utils.crypto import keccak

from keys import messages as m
from node.app.core import Core, canonical, peer_of
from node.app.counters import Counters
from node.app.trading.assetproof import signed_counters
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.app.trading.delivering import Deliveries
from node.app.trading.markets import MarketTerms
from node.app.trading.orderterms import waits_of
from node.app.trading.paying import OwnerPeer, Payments
from node.app.trading.tradework import TradeWork
from node.errors import NotFound
from node.projection.effects import NotifyTradeDue, NotifyTradeFinal, NotifyTradeMoved
from node.projection.order import Order
from node.projection.settlement_events import OrderTerms, RequestedTradeNotice, RequestedTradeWatch
from node.projection.trade import Trade, TradeStatus
from node.projection.tradedue import OVER, TradeDue
from node.storage.journal import Applied
from node.types import short_id

__all__ = ["AssetTrades"]

_log = structlog.get_logger(__name__)

_REMEMBERED = 4_096
_CHANGES = (NotifyTradeMoved, NotifyTradeFinal, NotifyTradeDue)
_UNREPORTED = (TradeStatus.MATCHED, TradeStatus.REPORTED)
_REPORTS = (TradeStatus.REPORTED, TradeStatus.CONTESTED)
_EVIDENCE = "evidence"


class AssetTrades:
    """The contracts of this node's asset. `step` works off what changed."""

    def __init__(self, core: Core, voice: AssetVoice, shown: Counters, owner: OwnerPeer | None = None) -> None:
        self._core = core
        self._voice = voice
        self.deliveries = Deliveries(core, voice, shown)
        self.payments = Payments(core, voice, owner)
        self.agreed: Callable[[bytes], int | None] = _measured
        """Wh that an order pays for without being measured (again); None for one whose delivery the meter counts."""
        self._work = TradeWork(core)
        self._orders: dict[bytes, OrderTerms] = {}
        self._scanned = False
        core.storage.journal.subscribe(self._heard)

    def _heard(self, applied: Applied) -> None:
        """Whatever the journal says about own contracts. The chain mostly concerns others, and costs nothing here."""
        accounts = self._voice.accounts
        for record in applied.records:
            for change in record.changes:
                state = change.state
                if not isinstance(state, Trade) or state.terms is None:
                    continue
                own = state.terms.seller in accounts or state.terms.buyer in accounts
                if own and any(isinstance(effect, _CHANGES) for effect in change.effects):
                    self._work.changed.add(state.contract_id)

    def hint(self, contract_id: bytes) -> None:
        """Somebody says that this contract changed: it is looked at in the next round."""
        self._work.changed.add(contract_id)

    async def step(self) -> None:
        """One round. What raises is looked at again in the next one."""
        if not self._scanned:
            await self._scan()
        await self._work.work(self._look)
        await self.deliveries.step()
        await self.payments.step()

    async def _scan(self) -> None:
        """Everything that is not over, whatever its number: what happened while this node was off."""
        await self._voice.markets()
        for account in list(self._voice.accounts):
            for side in ("seller", "buyer"):
                await self._work.scan((side, account))
        self._scanned = True

    async def _look(self, trade: Trade) -> None:
        """Does what this contract wants now."""
        terms, markets = trade.terms, await self._voice.markets()
        if terms is None or trade.status in OVER:
            return
        for sells, account in ((True, terms.seller), (False, terms.buyer)):
            operator = self._voice.accounts.get(account)
            if operator is None:
                continue
            order_id = terms.offer if sells else terms.request
            own = await self._own(order_id)
            if own is None:
                _log.error("contract_not_ordered", contract=short_id(trade.contract_id), sells=sells)
                continue
            if trade.watch is None or not (trade.watch.seller if sells else trade.watch.buyer):
                await self._watch(trade, own, order_id, sells=sells)
                continue
            agreed = self.agreed(order_id)
            if trade.status in _UNREPORTED and agreed is not None:
                await self._report(trade, markets[operator], agreed, sells=sells)
            elif trade.status in _UNREPORTED:
                self.deliveries.open(trade, own, operator)
            elif sells:
                await self._as_seller(trade, markets[operator])
            else:
                self.payments.look(trade, operator)

    async def _own(self, order_id: bytes) -> OrderTerms | None:
        """The order of this asset behind a contract; None for one that it did not make. What was signed stays."""
        known = self._orders.get(order_id)
        if known is None:
            order = await self._core.storage.views.one(Order, order_id)
            if not order.own or order.terms is None:
                return None
            if len(self._orders) >= _REMEMBERED:
                self._orders.clear()
            known = self._orders[order_id] = order.terms
        return known

    async def _watch(self, trade: Trade, own: OrderTerms, order_id: bytes, *, sells: bool) -> None:
        """From now on the contract's times are told, by the terms that its order named."""
        terms = await self._voice.agreed(order_id)
        if terms is None or not any(terms.operator):
            raise NotFound("The terms of the contract's order are not on chain.")
        waits = waits_of(own, terms)
        event = RequestedTradeWatch(trade.contract_id, waits, sells, not sells, False, self._core.clock.now())
        self._work.fresh.append(event)

    async def _report(self, trade: Trade, joined: MarketTerms, wh: int, *, sells: bool) -> None:
        """Says what is known already: the seller first, the buyer in answer."""
        operator, now = bytes(joined.operator), self._core.clock.now()
        account = self._voice.signer(operator).address
        answers = trade.status is TradeStatus.REPORTED
        if trade.reported_by(account) is not None or answers == sells:
            return
        message = m.Provision(account, operator, trade.contract_id, wh, now + VALID_S)
        await self._voice.say([trade], joined, message, (b"\x01" if answers else b"\x00",))

    async def _as_seller(self, trade: Trade, joined: MarketTerms) -> None:
        """Confirms what was paid for good (M-17); reminds of what was not, and claims in the end (M-36, M-37)."""
        operator, now = bytes(joined.operator), self._core.clock.now()
        account = self._voice.signer(operator).address
        if trade.status is TradeStatus.CONTESTED and trade.settled:
            await self._prove(trade, joined, account)
        if trade.status is TradeStatus.PAID and trade.settled:
            message = m.Confirm(account, operator, trade.contract_id, now + VALID_S)
            await self._voice.say([trade], joined, message)
        for step, due in trade.waits_for():
            if step not in (TradeDue.REMIND, TradeDue.CLAIM):
                continue
            if due > self._chain_time():
                if due <= now:
                    # Our clock is ahead of the chain's, which decides: look again with the next block.
                    self._work.later.add(trade.contract_id)
                continue
            if step is TradeDue.REMIND:
                number = trade.reminders + 1
                remind = m.Remind(account, operator, trade.contract_id, number, now + VALID_S)
                await self._voice.say([trade], joined, remind)
            else:
                claim = m.IssueClaim(account, operator, trade.contract_id, _evidence(trade), now + VALID_S)
                await self._voice.say([trade], joined, claim)

    async def _prove(self, trade: Trade, joined: MarketTerms, account: bytes) -> None:
        """Where the buyer reported less, the own meter's signed counters go to the market by themselves (A-10)."""
        own = trade.reported_by(account) or 0
        least = min((step.wh for step in trade.steps if step.status in _REPORTS), default=own)
        if trade.word(_EVIDENCE) is not None or own <= least:
            return
        try:
            body = await signed_counters(self._core, self._voice.domain(), trade, account, bytes(joined.operator))
        except NotFound as lacking:
            _log.warning("contested_without_evidence", contract=short_id(trade.contract_id), reason=str(lacking))
            return
        now = self._core.clock.now()
        until = now + (trade.watch.waits.dispute_window if trade.watch is not None else VALID_S)
        self._work.fresh.append(
            RequestedTradeNotice(
                trade.contract_id,
                _EVIDENCE,
                peer_of(joined.card),
                "market.evidence",
                canonical(body.to_json()),
                until,
                now,
            )
        )

    def _chain_time(self) -> int:
        head = self._core.chain.indexer.head
        return head.timestamp if head is not None else 0


def _measured(_: bytes) -> int | None:
    return None


def _evidence(trade: Trade) -> bytes:
    """The hash of what a claim rests on: the contract, what was delivered, and each step with its block."""
    steps = [[step.status.value, step.block.number, step.block.hash.hex(), step.number] for step in trade.steps]
    return bytes(keccak(canonical({"contract": trade.contract_id.hex(), "steps": steps}).encode()))
