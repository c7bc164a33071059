"""Whether a market takes an order or a word: its terms, its rules, and who may. Many at once, each judged by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import structlog

from keys import messages as m
from keys.errors import KeysError
from node.app.core import Core
from node.app.inbox import Inbox, Kept
from node.app.trading.knownorders import KnownOrders
from node.app.trading.marketnotices import MarketNotices
from node.app.trading.matching import Matching
from node.app.trading.matchsigning import market_domain_of
from node.app.trading.netlines import net_domain_of
from node.app.trading.netting import NetCycle
from node.app.trading.orderreading import ReadOrder, read_order, read_words
from node.errors import InvalidInput, NodeError, Refused
from node.projection.events import RequestedSubmission
from node.projection.settlement_events import OrderTerms, ReceivedOrder
from node.services.market.errors import OrderRefused
from node.services.market.netcontracts import check_order_day
from node.services.market.netting import DAY
from node.wire.refusals import signed_refusal

__all__ = ["OrderTaking"]

_log = structlog.get_logger(__name__)

_MOST: Final = 20_000
"""Orders of which it is at hand that they were refused, or just taken."""

V = TypeVar("V")


def _remember(found: dict[bytes, V], key: bytes, value: V) -> None:
    """Keeps the latest."""
    found[key] = value
    if len(found) > _MOST:
        del found[next(iter(found))]


class OrderTaking:
    """Of one market. `netting` is given where its contracts are netted."""

    def __init__(
        self,
        core: Core,
        orders: KnownOrders,
        matching: Matching,
        notices: MarketNotices,
        terms: Callable[[], bytes],
        netting: NetCycle | None = None,
    ) -> None:
        self._core = core
        self._orders = orders
        self._matching = matching
        self._notices = notices
        self._terms = terms
        self._netting = netting
        self._refused: dict[bytes, NodeError] = {}
        self._accepted: dict[bytes, None] = {}

    def register(self, inbox: Inbox) -> None:
        market = market_domain_of(self._core)
        # An order of a market that nets is signed for the net settlement, so it can be matched in no other way; only
        # what a day's netting left out is ordered in the market's own contract.
        orders = (market,) if self._netting is None else (net_domain_of(self._core), market)
        inbox.on_many("market.order", partial(read_order, orders), self._take_orders)
        for kind in ("market.word", "market.words"):
            inbox.on_many(kind, partial(read_words, market, self._matching.operator), self._take_words)

    async def _take_orders(self, orders: Sequence[ReadOrder]) -> Sequence[Kept | Exception]:
        answers: list[Kept | NodeError] = []
        for order, each in zip(orders, await self._judged(orders), strict=True):
            answers.append(await self._answer(order.order_id, each) if isinstance(each, NodeError) else each)
            if isinstance(each, Kept):
                _remember(self._accepted, order.order_id, None)
        return answers

    async def _answer(self, order_id: bytes, refused: NodeError) -> Kept | NodeError:
        """A no, signed and for good: whoever has it may sell the energy elsewhere. What was taken before stays taken,
        also where its sender, who heard nothing of it, sends it again when its time is over."""
        known = await self._orders.one(order_id)
        if known is not None and not known.own:
            return Kept()
        if order_id in self._refused or order_id in self._accepted:  # said, or a yes is on its way to the disk
            return refused
        core = self._core
        try:
            no = await signed_refusal(
                core.signer, order_id, refused.message, core.settings.chain.chain_id, core.clock.now()
            )
        except KeysError as error:
            _log.warning("refusal_not_signed", order=order_id.hex(), reason=str(error))
            return refused
        refused.proof = no
        _remember(self._refused, order_id, refused)
        return refused

    async def _judged(self, orders: Sequence[ReadOrder]) -> Sequence[Kept | NodeError]:
        retired = await self._notices.retired({each.message.account for each in orders})
        sides: dict[tuple[bytes, int, int], bool] = {}
        judged = [self._judge(each, sides, each.message.account in retired) for each in orders]
        netting = self._netting
        if netting is None:
            return judged
        await netting.left.all()  # read once, before they look at it side by side
        return await asyncio.gather(
            *(self._judge_netted(netting, each, kept) for each, kept in zip(orders, judged, strict=True))
        )

    def _judge(self, order: ReadOrder, sides: dict[tuple[bytes, int, int], bool], retired: bool) -> Kept | NodeError:
        """By what is known here. `sides`: where the accounts of this batch are, which are in no book yet."""
        message, now = order.message, self._core.clock.now()
        sells = isinstance(message, m.Offer)
        said = self._refused.get(order.order_id)
        if said is not None:
            return said.with_traceback(None)
        try:
            for_left = self._is_for_left(order)
            # What a line's order names are the terms of its request, see `LeftLines.accept`.
            self._check(message, now, None if for_left else self._terms())
            if not for_left:
                self._matching.rules.check_size(message.wh, message.price, message.end, now)
                slot = self._matching.rules.check(message.start, message.end, order.particulars, now)
                self._matching.check_side(message.account, sells, slot)
                if sides.setdefault((message.account, message.start, message.end), sells) is not sells:
                    raise OrderRefused(
                        "This account is on the other side of this delivery.", field="typed.message.account"
                    )
            if retired:
                raise Refused("This asset is retired.", field="account")
        except NodeError as refused:
            return refused
        terms = OrderTerms(
            sells, message.account, message.wh, message.price, message.start, message.end, message.deadline
        )
        self._orders.note(order.order_id, (message, order.domain))
        event = ReceivedOrder(order.order_id, terms, order.body, order.signature, order.peer, now, order.details)
        return Kept((event,))

    def _check(self, message: m.Offer | m.Request, now: int, terms: bytes | None) -> None:
        if message.operator != self._matching.operator or terms not in (None, message.terms):
            raise Refused("The order is not for this market and its terms.", field="typed.message.terms")
        if message.deadline < now or message.end <= message.start or message.end <= now:
            raise InvalidInput("The order is over, or its delivery is.", field="typed.message.deadline")
        if message.wh <= 0:
            raise InvalidInput("An order needs energy.", field="typed.message.wh")

    def _is_for_left(self, order: ReadOrder) -> bool:
        """Whether it pays for what a day's netting left out."""
        return self._netting is not None and order.domain == market_domain_of(self._core)

    async def _judge_netted(self, netting: NetCycle, order: ReadOrder, kept: Kept | NodeError) -> Kept | NodeError:
        """What a market that nets wants besides. Each order asks the chain, and none waits for another."""
        if isinstance(kept, NodeError):
            return kept
        message = order.message
        try:
            if self._is_for_left(order):
                return replace(kept, facts=(await netting.left.accept(message, order.order_id),))
            check_order_day(message.start, message.end)
            await netting.left.require_free(message.account)
            if isinstance(message, m.Request):
                await netting.lines.require_mandate(message.account, message.start // DAY)
            else:
                await netting.lines.require_member(message.account)
        except NodeError as refused:
            return refused
        return kept

    async def _take_words(self, parcels: Sequence[tuple[RequestedSubmission, ...]]) -> list[Kept]:
        now = self._core.clock.now()
        return [Kept(tuple(replace(word, at=now) for word in words)) for words in parcels]
