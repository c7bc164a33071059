"""The asset at a gateway: it orders, measures what was delivered, pays and confirms; each step is a signed message.

Level, not edge: each round looks at the contracts of this asset as the chain has them and signs what is missing. So a
crash, a lost parcel or a reorg are healed by the next round, and the projection keeps it from saying anything twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from keys import messages as m
from keys.eip712 import Domain
from keys.signers import LocalSigner
from node.app.cards import fetch_card
from node.app.core import Core, canonical, peer_of
from node.app.counters import Counters
from node.app.markets import MarketTerms, fetch_terms
from node.app.parcels import Post
from node.app.services import looped
from node.errors import Conflict, InvalidInput
from node.ledger.market import MarketViews, opened
from node.projection.order import Order
from node.projection.settlement_events import OrderTerms, RequestedOrder, RequestedTradeWord
from node.projection.trade import Trade, TradeStatus
from node.runtime.supervisor import Service
from node.services.asset.errors import PaymentRefused
from node.services.asset.rules import Bill, Ordered, check_bill, choose_bills, share_delivery
from node.services.community.rules import exported_wh, imported_wh
from node.wire.settlement import OrderPlaced, SignedMessage

__all__ = ["AssetRole", "Wanted"]

_log = structlog.get_logger(__name__)

MARKET = "asset_market"
"""Namespace of facts: the markets that this asset trades in, by operator: card and terms."""

COUNTED = "asset_counted"
"""Namespace of facts: the counter at the start and at the end of a delivery, by market, direction and time."""

EVERY_S = 0.5
VALID_S = 3_600
ZERO = bytes(20)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order to be made. `price` in minor units per kWh; delivery in [start, end), seconds UTC."""

    sells: bool
    wh: int
    price: int
    start: int
    end: int
    until: int


class AssetRole:
    """One asset per gateway, with an account of its own in each market."""

    def __init__(self, core: Core, post: Post, shown: Counters) -> None:
        self._core = core
        self._post = post
        self._shown = shown

    def service(self) -> Service:
        return Service("asset", looped(self._core.new_wake(), self._step, EVERY_S))

    def account(self, operator: bytes) -> LocalSigner:
        """The account of this asset in the market of an operator."""
        return self._core.keys.identity.asset("0x" + operator.hex())

    def _market(self) -> MarketViews:
        if self._core.chain.market is None:
            raise Conflict("This node follows no market.", remedy="Set settlement.market.")
        return self._core.chain.market

    def _domain(self) -> Domain:
        return m.market_domain(self._core.settings.chain.chain_id, self._market().address)

    async def _join(self, url: str) -> MarketTerms:
        """The market's card and terms, checked against what the chain says, and remembered."""
        core = self._core
        card = await fetch_card(core, url)
        found = await fetch_terms(core, url)
        terms = await self._market().terms(found.terms)
        if terms.operator != card.address:
            raise InvalidInput("The market's terms are not on chain under its name.", field="market")
        joined = MarketTerms(operator=card.address, terms=found.terms, card=card)
        await core.storage.memory.keep((), [(MARKET, card.address.hex(), joined.to_json())])
        return joined

    async def markets(self) -> dict[bytes, MarketTerms]:
        """Where this asset trades, by operator."""
        found = await self._core.storage.memory.facts.all(MARKET)
        return {bytes.fromhex(key): MarketTerms.model_validate(value) for key, value in found.items()}

    # Orders and money, on request

    async def join(self, url: str) -> bytes:
        """Makes a market's acquaintance; returns its operator, for whom this asset has an account from now on."""
        return bytes((await self._join(url)).operator)

    async def order(self, url: str, wanted: Wanted) -> bytes:
        """Signs an offer or a request and sends it to the market. Returns its id."""
        core, now = self._core, self._core.clock.now()
        if wanted.wh <= 0 or wanted.price < 0 or not now <= wanted.start < wanted.end:
            raise InvalidInput("An order needs energy, a price, and a delivery that is still to come.", field="wh")
        joined = await self._join(url)
        signer = self.account(joined.operator)
        kind = m.Offer if wanted.sells else m.Request
        message = kind(
            account=signer.address,
            operator=joined.operator,
            terms=joined.terms,
            partner=ZERO,
            device=core.keys.identity.device().address,
            wh=wanted.wh,
            price=wanted.price,
            start=wanted.start,
            end=wanted.end,
            nonce=secrets.randbits(256),
            deadline=wanted.until,
        )
        signature = await signer.sign_message(message, self._domain())
        order_id = m.digest(message, self._domain())
        typed = m.typed_data(message, self._domain())
        body = OrderPlaced(typed=typed, signature=signature, card=core.card)
        terms = OrderTerms(
            wanted.sells, signer.address, wanted.wh, wanted.price, wanted.start, wanted.end, wanted.until
        )
        event = RequestedOrder(
            order_id,
            terms,
            canonical(typed),
            signature,
            canonical(body.to_json()),
            peer_of(joined.card),
            now,
        )
        await core.storage.memory.keep([event])
        core.wake()
        return order_id

    async def deposit(self, url: str, amount: int) -> bytes:
        """Signs a deposit and the token's permit for it; the market brings both. Returns the deposit's digest."""
        now = self._core.clock.now()
        joined = await self._join(url)
        signer = self.account(joined.operator)
        money = await self._market().money()
        message = m.Deposit(
            account=signer.address,
            operator=joined.operator,
            amount=amount,
            nonce=secrets.randbits(256),
            deadline=now + VALID_S,
        )
        permit = m.Permit(
            owner=signer.address,
            spender=self._market().address,
            value=amount,
            nonce=await money.nonce(signer.address),
            deadline=now + VALID_S,
        )
        domain = await money.domain()
        opening = (opened(permit, domain), await signer.sign_message(permit, domain))
        digest = m.digest(message, self._domain())
        body = await self._word(signer, message, opening)
        await self._post.send(peer_of(joined.card), "market.word", body, VALID_S)
        return digest

    async def _word(self, signer: LocalSigner, message: m.Message, opening: Sequence[bytes] = ()) -> Mapping[str, Any]:
        signature = await signer.sign_message(message, self._domain())
        typed = m.typed_data(message, self._domain())
        return SignedMessage(typed=typed, signatures=(signature,), opening=tuple(opening)).to_json()

    # What contracts want, round by round

    async def _step(self) -> bool:
        if self._core.chain.market is None:
            return False
        for operator, joined in (await self.markets()).items():
            account = self.account(operator).address
            for sells in (True, False):
                link = ("seller" if sells else "buyer", account)
                rows = await self._core.storage.views.page(Trade, link=link, limit=1_000)
                await self._round([trade for _, trade in rows], joined, sells=sells)
        return False

    async def _round(self, trades: Sequence[Trade], joined: MarketTerms, *, sells: bool) -> None:
        """All contracts of one side: reports of what was delivered, then money."""
        waiting: dict[tuple[int, int], list[Trade]] = {}
        for trade in trades:
            order = await self._own(trade, sells=sells)
            if order is not None and trade.status is not TradeStatus.CANCELLED:
                waiting.setdefault((order.start, order.end), []).append(trade)
        for slot, those in waiting.items():
            if any(trade.status in (TradeStatus.MATCHED, TradeStatus.REPORTED) for trade in those):
                await self._deliver(slot, those, joined, sells=sells)
        settled = [trade for trade in trades if trade.settled]
        if sells:
            for trade in settled:
                if trade.status is TradeStatus.PAID:
                    deadline = self._core.clock.now() + VALID_S
                    account = self.account(joined.operator).address
                    await self._say(
                        [trade], joined, m.Confirm(account, joined.operator, trade.contract_id, deadline), ()
                    )
        else:
            await self._pay([trade for trade in settled if trade.status is TradeStatus.DELIVERED], joined)

    async def _own(self, trade: Trade, *, sells: bool) -> OrderTerms | None:
        """The order of this asset behind a contract; None for one that it did not make."""
        if trade.terms is None:
            return None
        order = await self._core.storage.views.one(Order, trade.terms.offer if sells else trade.terms.request)
        return order.terms if order.own else None

    async def _deliver(
        self, slot: tuple[int, int], trades: Sequence[Trade], joined: MarketTerms, *, sells: bool
    ) -> None:
        """Reports what the meter counted in one time of delivery, shared among its contracts."""
        counted = await self._counted(slot, joined.operator, sells=sells)
        if counted is None:
            return
        contracts = {trade.contract_id: trade.terms.wh for trade in trades if trade.terms is not None}
        shares = share_delivery(*counted, contracts)
        for trade in trades:
            if trade.status in (TradeStatus.MATCHED, TradeStatus.REPORTED):
                await self._report(trade, joined, shares[trade.contract_id], sells=sells, end=slot[1])

    async def _counted(self, slot: tuple[int, int], operator: bytes, *, sells: bool) -> tuple[int, int] | None:
        """The counter at both ends of a delivery, once the meter has shown both; they outlive a restart."""
        shown, memory = self._shown, self._core.storage.memory
        start, end = slot
        if shown.meter_time < start:
            return None
        key = f"{operator.hex()}/{'out' if sells else 'in'}/{start}/{end}"
        found: dict[str, int] = await memory.facts.get(COUNTED, key) or {}
        counter = exported_wh(shown.values) if sells else imported_wh(shown.values)
        changed = False
        for name, moment in (("first", start), ("last", end)):
            if name not in found and shown.meter_time >= moment:
                found[name], changed = counter, True
        if changed:
            await memory.keep((), [(COUNTED, key, found)])
        return (found["first"], found["last"]) if "last" in found else None

    async def _report(self, trade: Trade, joined: MarketTerms, wh: int, *, sells: bool, end: int) -> None:
        """The seller reports first; the buyer answers, or reports by itself when the seller says nothing."""
        now, account = self._core.clock.now(), self.account(joined.operator).address
        if trade.reported_by(account) is not None:
            return
        answers = trade.status is TradeStatus.REPORTED
        patient = now < end + self._core.settings.settlement.answer_after_s
        if not sells and not answers and patient:
            return
        message = m.Provision(account, joined.operator, trade.contract_id, wh, now + VALID_S)
        await self._say([trade], joined, message, (b"\x01" if answers else b"\x00",))

    async def _pay(self, trades: Sequence[Trade], joined: MarketTerms) -> None:
        """Everything that is owed and stands up to the order, the oldest first, in one payment (M-52 to M-57)."""
        now, account = self._core.clock.now(), self.account(joined.operator).address
        bills: dict[bytes, Bill] = {}
        for trade in trades:
            word = trade.word("Payment")
            if word is not None and word.until >= now:
                continue
            bill = await self._bill(trade)
            if bill is not None:
                bills[trade.contract_id] = bill
        if not bills:
            return
        escrowed = {t.contract_id for t in trades if t.terms is not None and t.terms.escrowed}
        funds = await self._market().balance(joined.operator, account)
        funds += sum(bill.due for key, bill in bills.items() if key in escrowed)
        chosen = choose_bills(bills.values(), funds)
        if not chosen:
            return
        contracts = tuple(sorted(bill.contract_id for bill in chosen))
        amount = sum(bill.due for bill in chosen)
        message = m.Payment(account, joined.operator, contracts, amount, False, now + VALID_S)
        paid = [trade for trade in trades if trade.contract_id in contracts]
        await self._say(sorted(paid, key=lambda trade: trade.contract_id), joined, message, ())

    async def _bill(self, trade: Trade) -> Bill | None:
        terms, delivered = trade.terms, trade.delivered
        if terms is None or delivered is None:
            return None
        own = await self._own(trade, sells=False)
        ordered = Ordered(terms.request, own.account, own.wh, own.price) if own is not None else None
        bill = Bill(
            trade.contract_id,
            terms.buyer,
            terms.request,
            terms.wh,
            terms.price,
            delivered.wh,
            delivered.amount,
            delivered.block.number,
        )
        try:
            check_bill(bill, ordered)
        except PaymentRefused as refused:
            _log.error("payment_refused", contract=trade.contract_id.hex(), reason=str(refused))
            return None
        return bill

    async def _say(
        self, trades: Sequence[Trade], joined: MarketTerms, message: m.Message, opening: Sequence[bytes]
    ) -> None:
        """Signs and sends, unless the same was said and may still be on its way."""
        now, kind = self._core.clock.now(), type(message).__name__
        word = trades[0].word(kind)
        if word is not None and word.until >= now:
            return
        body = await self._word(self.account(joined.operator), message, opening)
        event = RequestedTradeWord(
            tuple(trade.contract_id for trade in trades),
            kind,
            m.digest(message, self._domain()),
            canonical(body),
            now + VALID_S,
            peer_of(joined.card),
            now,
        )
        await self._core.storage.memory.keep([event])
        self._core.wake()
