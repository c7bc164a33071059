"""Whether a market takes an order or a word: its terms, its rules, and who may. Many at once, each judged by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeGuard

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
from node.app.trading.refusals import Refusals, matched_until
from node.errors import CallerError, InvalidInput, NodeError, Refused
from node.ledger.errors import LedgerError
from node.projection.events import RequestedSubmission
from node.projection.settlement_events import OrderTerms, ReceivedOrder
from node.services.market.errors import OrderRefused
from node.services.market.netcontracts import check_order_day
from node.services.market.netting import DAY
from node.wire.refusals import OrderRefusal, signed_refusal

__all__ = ["OrderTaking"]

_log = structlog.get_logger(__name__)

_MOST: Final = 20_000
"""Orders of which it is at hand that they were just taken."""


class OrderTaking:
    """Of one market. `nets`: its contracts are netted."""

    def __init__(
        self,
        core: Core,
        orders: KnownOrders,
        matching: Matching,
        notices: MarketNotices,
        terms: Callable[[], bytes],
        netting: NetCycle,
        *,
        nets: bool,
    ) -> None:
        self._core = core
        self._orders = orders
        self._matching = matching
        self._notices = notices
        self._terms = terms
        self._netting = netting
        self._nets = nets
        self._lines: Mapping[bytes, object] = {}
        self.refusals = Refusals(core)
        self._accepted: dict[bytes, None] = {}

    def register(self, inbox: Inbox) -> None:
        market = market_domain_of(self._core)
        # An order of a market that nets is signed for the net settlement, so it can be matched in no other way; only
        # what a day's netting left out is ordered in the market's own contract.
        orders = (market,) if not self._nets else (net_domain_of(self._core), market)
        inbox.on_many("market.order", partial(read_order, orders), self._take_orders)
        for kind in ("market.word", "market.words"):
            inbox.on_many(kind, partial(read_words, market, self._matching.operator), self._take_words)

    async def _take_orders(self, orders: Sequence[ReadOrder]) -> Sequence[Kept | Exception]:
        judged = await self._judged(orders)
        for order, each in zip(orders, judged, strict=True):
            if isinstance(each, Kept):
                self._accepted[order.order_id] = None
        while len(self._accepted) > _MOST:
            del self._accepted[next(iter(self._accepted))]
        # A chain that does not answer refuses nothing: whoever asks again may be taken.
        refused = {o.order_id: (o, e) for o, e in zip(orders, judged, strict=True) if _is_no(e)}
        if not refused:
            return judged
        # What was taken before stays taken, also where its sender, who heard nothing of it, sends it again when its
        # time is over.
        taken = {key for key, order in (await self._orders.many(refused)).items() if not order.own}
        proofs = await self._refuse({key: each for key, each in refused.items() if key not in taken})
        for order, each in zip(orders, judged, strict=True):
            if isinstance(each, NodeError):
                each.proof = proofs.get(order.order_id)
        return [Kept() if order.order_id in taken else each for order, each in zip(orders, judged, strict=True)]

    async def _refuse(self, refused: Mapping[bytes, tuple[ReadOrder, NodeError]]) -> Mapping[bytes, OrderRefusal]:
        """A no, signed and for good: whoever has it may sell the energy elsewhere. None where a yes may be on its way
        to the disk, and where it could not be remembered."""
        core, now = self._core, self._core.clock.now()
        known, room = await self.refusals.of(refused), await self.refusals.room(len(refused))
        if not room:
            _log.error("refusals_not_signed", reason="as many are remembered as there is room for")
        fresh, proofs = dict[bytes, tuple[str, int]](), dict[bytes, OrderRefusal]()
        for key, (order, why) in refused.items():
            if key in self._accepted or not (room or key in known):
                continue
            try:
                proofs[key] = await signed_refusal(core.signer, key, why.message, core.settings.chain.chain_id, now)
            except KeysError as error:
                _log.warning("refusal_not_signed", order=key.hex(), reason=str(error))
                continue
            if key not in known and self._may_bind(order.message, now):
                fresh[key] = why.message, matched_until(order.message)
        if fresh:
            await self.refusals.keep(fresh)
        return proofs

    def _may_bind(self, message: m.Offer | m.Request, now: int) -> bool:
        """Whether a contract could ever be made of an order, by whatever this market judges later."""
        return message.operator == self._matching.operator and matched_until(message) + DAY >= now

    async def _judged(self, orders: Sequence[ReadOrder]) -> Sequence[Kept | NodeError]:
        retired = await self._notices.retired({each.message.account for each in orders})
        sides: dict[tuple[bytes, int, int], bool] = {}
        said = await self.refusals.of({each.order_id for each in orders})
        self._lines = await self._netting.left.all()  # read once, and followed from then on
        judged = [
            OrderRefused(said[each.order_id], remedy="Make another one.")
            if each.order_id in said
            else self._judge(each, sides, each.message.account in retired)
            for each in orders
        ]
        if not self._nets and not self._lines:
            return judged
        return await asyncio.gather(*(self._judge_netted(*each) for each in zip(orders, judged, strict=True)))

    def _judge(self, order: ReadOrder, sides: dict[tuple[bytes, int, int], bool], retired: bool) -> Kept | NodeError:
        """By what is known here. `sides`: where the accounts of this batch are, which are in no book yet."""
        message, now = order.message, self._core.clock.now()
        sells = isinstance(message, m.Offer)
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
            if retired and not for_left:  # what it owes or is owed for what was delivered outlives it
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
        """Whether it pays for what a day's netting left out, maybe of a market that nets no more."""
        ours = order.domain == market_domain_of(self._core)
        return ours and (self._nets or order.message.nonce.to_bytes(32, "big") in self._lines)

    async def _judge_netted(self, order: ReadOrder, kept: Kept | NodeError) -> Kept | NodeError:
        """What a market that nets wants besides. Each order asks the chain, and none waits for another."""
        netting = self._netting
        if isinstance(kept, NodeError):
            return kept
        message = order.message
        try:
            if self._is_for_left(order):
                return replace(kept, facts=(await netting.left.accept(message, order.order_id),))
            if not self._nets:
                return kept
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


def _is_no(answer: Kept | NodeError) -> TypeGuard[NodeError]:
    """Whether it is this market's judgement of an order; that the chain did not answer is none, whatever it said."""
    return isinstance(answer, CallerError) and not isinstance(answer, LedgerError)
