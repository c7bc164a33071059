"""What a market does about its contracts when their times come: calls that need nobody's signature, only gas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import structlog
from eth_utils.crypto import keccak

from contracts.bindings import market as abi
from keys import messages as m
from node.app.core import Core, canonical
from node.app.services import looped
from node.app.trading.knownorders import KnownOrders
from node.app.trading.marketnotices import MarketNotices
from node.app.trading.orderterms import waits_of
from node.app.trading.tradework import TradeWork
from node.ledger.errors import RpcRefused
from node.ledger.market import MarketViews, refusal_of
from node.ledger.transaction import Call
from node.projection.effects import (
    NotifySubmissionFailed,
    NotifySubmissionFinal,
    NotifyTradeDue,
    NotifyTradeFinal,
    NotifyTradeMoved,
)
from node.projection.order import Order, OrderStatus
from node.projection.settlement_events import RequestedRefusal, RequestedTradeWatch
from node.projection.submission import Submission, SubmissionStatus
from node.projection.trade import Trade
from node.projection.tradedue import OVER, TradeDue
from node.runtime.supervisor import Service
from node.storage.journal import Applied
from node.types import short_id
from node.wire.settlement import WordRefused

__all__ = ["MarketDuties"]

_log = structlog.get_logger(__name__)

EVERY_S = 0.5
GAS = 300_000
REFUSAL_S = 86_400
_LOST = (SubmissionStatus.REJECTED, SubmissionStatus.FAILED)

CALLS: Mapping[TradeDue, Callable[[bytes, bytes], bytes]] = MappingProxyType(
    {
        TradeDue.LAPSE: abi.encode_lapse,
        TradeDue.STAND: abi.encode_stand,
        TradeDue.SMALLER: abi.encode_settle_smaller,
        TradeDue.CLOSE: abi.encode_close_dispute,
        TradeDue.COLLECT: abi.encode_collect,
    }
)
"""What falls due -> the market's function for it, of operator and contract."""


class MarketDuties:
    """The contracts that this market made. The operator is this node's wallet."""

    def __init__(self, core: Core, notices: MarketNotices, orders: KnownOrders) -> None:
        self._core = core
        self._orders = orders
        self._notices = notices
        self._operator = core.keys.identity.wallet().address
        self._work = TradeWork(core)
        self._words: set[bytes] = set()
        self._scanned = False
        core.storage.journal.subscribe(self._heard)

    def service(self) -> Service:
        return Service("market duties", looped(self._core.new_wake(), self._loop, EVERY_S))

    async def _loop(self) -> bool:
        await self.step()
        return False

    def _heard(self, applied: Applied) -> None:
        for effect in applied.effects:
            if isinstance(effect, NotifyTradeMoved | NotifyTradeFinal | NotifyTradeDue):
                self._work.changed.add(effect.contract_id)
            elif (isinstance(effect, NotifySubmissionFailed) and effect.kind != m.Match.__name__) or (
                isinstance(effect, NotifySubmissionFinal) and effect.kind == m.Cancel.__name__
            ):
                self._words.add(effect.digest)

    async def step(self) -> None:
        """Works off what changed or fell due since the last call; at the start, all that is not over."""
        market = self._core.chain.market
        if market is None:
            return
        if not self._scanned:
            await self._work.scan()
            self._scanned = True
        await self._work.work(partial(self._look, market))
        while self._words:
            digest = next(iter(self._words))
            await self._tell_refused(digest)
            self._words.discard(digest)

    async def _tell_refused(self, digest: bytes) -> None:
        """Whoever signed what the chain did not take is told so, signed by this market (A-28)."""
        views, now = self._core.storage.views, self._core.clock.now()
        word = await views.one(Submission, digest)
        message, _ = m.from_stored(word.message)
        account = message.payer if isinstance(message, m.Payment) else getattr(message, "account", None)
        reason = word.reason
        if isinstance(message, m.Cancel) and not reason:
            order = await views.one(Order, message.id)
            if order.status is not OrderStatus.FILLED:
                return
            reason = "OrderFilled: the order was matched before it was taken back"
        elif word.status not in _LOST:
            return  # a block that the sender saw late has it after all
        rows = await views.page(Order, link=("account", account), limit=1) if account else []
        peer = rows[0][1].peer if rows else None
        if peer is None:
            _log.info("refusal_not_told", kind=word.kind, reason=reason)
            return
        body = WordRefused(about=digest, kind=word.kind, reason=reason[:600])
        event = RequestedRefusal(digest, peer, canonical(body.to_json()), now + REFUSAL_S, now)
        await self._core.storage.memory.keep([event])
        self._core.wake()

    async def _look(self, market: MarketViews, trade: Trade) -> None:
        if trade.terms is None:
            return
        if trade.watch is None or not trade.watch.operator:
            if trade.status not in OVER:
                await self._watch(market, trade)
            return
        self._work.fresh.extend(await self._notices.of(trade))
        now = self._core.clock.now()
        for step, due in trade.waits_for():
            encode = CALLS.get(step)
            if encode is None or due > now:
                continue
            head = self._core.chain.indexer.head
            if head is None or due > head.timestamp:
                # The chain's clock decides: look again with the next block.
                self._work.later.add(trade.contract_id)
            else:
                await self._call(trade, step, Call(market.address, encode(self._operator, trade.contract_id), gas=GAS))

    async def _watch(self, market: MarketViews, trade: Trade) -> None:
        """Contracts of orders that this market took; those of other markets are on the same chain."""
        made = trade.terms
        order = await self._orders.one(made.offer) if made is not None else None
        if order is None or order.terms is None or order.own:
            return
        # What the orders named holds for their contract, whatever this market promises today.
        signed = self._orders.signed(order)
        named = signed[0].terms if signed is not None else None
        terms = await market.terms(named) if named is not None else None
        if terms is None or terms.operator != self._operator:
            return
        event = RequestedTradeWatch(
            trade.contract_id, waits_of(order.terms, terms), False, False, True, self._core.clock.now()
        )
        self._work.fresh.append(event)

    async def _call(self, trade: Trade, step: TradeDue, call: Call) -> None:
        """Asks the contract first: a claim of somebody without money is collected when there is some."""
        core = self._core
        try:
            await core.chain.rpc.call(call.to, call.data, sender=core.chain.sender.address)
        except RpcRefused as refused:
            _log.info("duty_waits", contract=short_id(trade.contract_id), step=step.value, reason=refusal_of(refused))
            return
        # One transaction for each time that the contract comes to this point.
        key = bytes(keccak(trade.contract_id + step.value.encode() + len(trade.steps).to_bytes(4, "big")))
        await core.chain.sender.submit(key, call, again=True)
        _log.info("duty_done", contract=short_id(trade.contract_id), step=step.value)
