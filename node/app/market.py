"""The market operator: takes orders, matches them, signs contracts, and brings its assets' words onto the chain.

The engine proposes, the rules decide, the contract decides once more. The book is built from the orders that the
projection has, so it needs no storage of its own.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass

import structlog
from eth_utils.crypto import keccak

from contracts.bindings import market as abi
from keys import messages as m
from keys.eip712 import Domain
from keys.errors import KeysError
from keys.parcel import Parcel
from node.app.core import Core, canonical, peer_of
from node.app.parcels import Inbox, Kept
from node.app.services import looped
from node.app.submissions import submission_of
from node.errors import Conflict, InvalidInput, Refused
from node.ledger.market import opened
from node.ledger.transaction import Call
from node.projection.order import Order
from node.projection.settlement_events import OrderTerms, ReceivedOrder
from node.projection.submission import Submission, SubmissionStatus
from node.projection.trade import Trade, TradeStatus
from node.runtime.supervisor import Service
from node.services.market.book import Book, Fill, Level, Resting
from node.services.market.errors import MatchRefused
from node.services.market.matching import Standing, check_fill
from node.wire.settlement import OrderPlaced, SignedMessage

__all__ = ["MarketRole"]

_log = structlog.get_logger(__name__)

EVERY_S = 0.5
MATCH_VALID_S = 600
MANY = 10_000
REFUSED_PAUSE_S = 10.0
WORDS = (m.Provision, m.Payment, m.Confirm, m.Remind, m.IssueClaim, m.Cure, m.Dispute, m.Cancel, m.Deposit, m.Withdraw)
"""What the market brings onto the chain for the accounts that signed it."""

_OUT = (SubmissionStatus.QUEUED, SubmissionStatus.SENT)
Slot = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Proposed:
    """A match that was signed and is not on chain yet."""

    offer: bytes
    request: bytes
    wh: int


class MarketRole:
    """One market: one book for each time of delivery. The operator is this node's wallet."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._books: dict[Slot, Book] = {}
        self._marks: dict[bytes, tuple[Slot, Resting]] = {}
        self._proposed: dict[bytes, Proposed] | None = None
        self._terms: bytes | None = None
        self._refused: dict[tuple[bytes, bytes], float] = {}

    def register(self, inbox: Inbox) -> None:
        inbox.on("market.order", self._take_order)
        inbox.on("market.word", self._take_word)

    def service(self) -> Service:
        return Service("market", looped(self._core.new_wake(), self._step, EVERY_S))

    @property
    def operator(self) -> bytes:
        """The account that orders name and that signs matches."""
        return self._core.keys.identity.wallet().address

    def _address(self) -> bytes:
        if self._core.chain.market is None:
            raise Conflict("This node follows no market contract.", remedy="Set settlement.market.")
        return self._core.chain.market.address

    def _domain(self) -> Domain:
        return m.market_domain(self._core.settings.chain.chain_id, self._address())

    # Terms

    def terms(self) -> abi.Terms:
        """What this market promises, by its settings."""
        chosen = self._core.settings.market
        return abi.Terms(
            self.operator,
            self.operator,
            chosen.start_grace_s,
            chosen.provision_grace_s,
            chosen.payment_due_s,
            chosen.reminder_every_s,
            chosen.dispute_window_s,
            chosen.ruling_window_s,
            chosen.penalty_bps,
            chosen.cancel_bps,
            chosen.escrow,
        )

    @property
    def terms_id(self) -> bytes:
        """Their id on chain: the hash of their ABI encoding."""
        return bytes(keccak(abi.encode_publish_terms(self.terms())[4:]))

    async def _published(self) -> bool:
        """Whether the terms stand on chain; asks for it where they do not."""
        if self._terms == self.terms_id:
            return True
        market = self._core.chain.market
        assert market is not None  # noqa: S101 (the role is not started without one)
        found = await market.terms(self.terms_id)
        if found.operator == self.operator:
            self._terms = self.terms_id
            return True
        data = abi.encode_publish_terms(self.terms())
        await self._core.chain.sender.submit(self.terms_id, Call(market.address, data, gas=300_000), again=True)
        return False

    # Parcels

    async def _take_order(self, parcel: Parcel) -> Kept:
        """An offer or a request: signed by the account it names, for this market, its terms and this contract."""
        body = OrderPlaced.model_validate(parcel.body)
        message = self._read(body.typed)
        if not isinstance(message, m.Offer | m.Request):
            raise InvalidInput("Expected an Offer or a Request.", field="typed")
        if parcel.sender != body.card.address:
            raise Refused("The order shows another party's card.", field="card.address")
        now = self._core.clock.now()
        if message.operator != self.operator or message.terms != self.terms_id:
            raise Refused("The order is not for this market and its terms.", field="typed.message.terms")
        if message.deadline < now or message.end <= message.start or message.end <= now:
            raise InvalidInput("The order is over, or its delivery is.", field="typed.message.deadline")
        if message.wh <= 0:
            raise InvalidInput("An order needs energy.", field="typed.message.wh")
        self._verify(message, body.signature, message.account)
        terms = OrderTerms(
            isinstance(message, m.Offer),
            message.account,
            message.wh,
            message.price,
            message.start,
            message.end,
            message.deadline,
        )
        order_id = m.digest(message, self._domain())
        event = ReceivedOrder(order_id, terms, canonical(body.typed), body.signature, peer_of(body.card), now)
        return Kept((event,))

    async def _take_word(self, parcel: Parcel) -> Kept:
        """A signed message about a contract, or money: the contract on chain decides whether it may."""
        body = SignedMessage.model_validate(parcel.body)
        message = self._read(body.typed)
        if not isinstance(message, WORDS) or message.operator != self.operator:
            raise Refused("The message is not for this market.", field="typed")
        signer = message.payer if isinstance(message, m.Payment) else message.account
        self._verify(message, body.signatures[0], signer)
        return Kept((submission_of(self._core, message, body.signatures, body.opening, self._domain()),))

    def _read(self, typed: object) -> m.Message:
        try:
            message, domain = m.from_typed_data(typed)
        except KeysError as error:
            raise InvalidInput(str(error), field="typed") from error
        if domain != self._domain():
            raise Refused("The message is for another contract or chain.", field="typed.domain")
        return message

    def _verify(self, message: m.Message, signature: bytes, signer: bytes) -> None:
        try:
            m.verify(message, self._domain(), signature, signer)
        except KeysError as error:
            raise Refused(f"The message is not signed by the account it names: {error}.", field="signature") from error

    # Matching

    async def _step(self) -> bool:
        if self._core.chain.market is None or not await self._published():
            return False
        if self._proposed is None:
            self._proposed = await self._on_the_way()
        await self._forget_arrived()
        open_orders = {
            order.order_id: order
            for _, order in await self._core.storage.views.page(Order, status="open", limit=MANY)
            if order.terms is not None and not order.own
        }
        for order_id in [key for key in self._marks if key not in open_orders]:
            self._drop(order_id)
        for order in sorted(open_orders.values(), key=lambda each: each.order_id):
            for fill in self._place(order):
                await self._propose(fill, open_orders)
        return False

    async def _on_the_way(self) -> dict[bytes, Proposed]:
        """Matches that were signed before a restart and that the chain has not shown yet."""
        found: dict[bytes, Proposed] = {}
        for status in _OUT:
            rows = await self._core.storage.views.page(Submission, status=status.value, limit=MANY)
            for _, submission in rows:
                if submission.kind == "Match":
                    message, _ = m.from_typed_data(json.loads(submission.message)["typed"])
                    if isinstance(message, m.Match):
                        found[submission.digest] = Proposed(message.offer, message.request, message.wh)
        return found

    async def _forget_arrived(self) -> None:
        """What the chain shows is in the orders' own figures; what it refused is free again."""
        proposed = self._proposed or {}
        for contract_id in list(proposed):
            trade = await self._core.storage.views.one(Trade, contract_id)
            submission = await self._core.storage.views.one(Submission, contract_id)
            if trade.status is TradeStatus.NONE and submission.status in (*_OUT, SubmissionStatus.INCLUDED):
                continue
            gone = proposed.pop(contract_id)
            if trade.status is TradeStatus.NONE:
                # The contract on chain said no, for want of money say. The two may try again, but not at once.
                self._refused[gone.offer, gone.request] = self._core.clock.monotonic() + REFUSED_PAUSE_S

    def _free(self, order: Order) -> int:
        """Wh that nobody has: neither the chain nor a match on its way."""
        taken = sum(p.wh for p in (self._proposed or {}).values() if order.order_id in (p.offer, p.request))
        return max(0, order.left - taken)

    def _place(self, order: Order) -> list[Fill]:
        """Puts an order into its book, or sets it right there after a reorg or a refusal gave energy back."""
        free, known = self._free(order), self._marks.get(order.order_id)
        if order.terms is None or (known is not None and known[1].left == free) or not free:
            return []
        if known is not None:
            self._drop(order.order_id)
        terms = order.terms
        slot = (terms.start, terms.end)
        mark = Resting(order.order_id, terms.account, terms.sells, terms.price, free)
        self._marks[order.order_id] = (slot, mark)
        return self._books.setdefault(slot, Book()).submit(mark)

    def _drop(self, order_id: bytes) -> None:
        slot, mark = self._marks.pop(order_id)
        self._books[slot].cancel(mark)

    async def _propose(self, fill: Fill, orders: dict[bytes, Order]) -> None:
        """Checks what the engine says, signs it, and sends it to the chain."""
        core, now = self._core, self._core.clock.now()
        if self._refused.get((fill.offer, fill.request), 0.0) > core.clock.monotonic():
            return
        offer, request = orders.get(fill.offer), orders.get(fill.request)
        if offer is None or request is None or offer.terms is None or request.terms is None:
            return
        try:
            check_fill(fill, self._standing(offer), self._standing(request), self.operator, now)
        except MatchRefused as refused:
            _log.error("match_refused", offer=fill.offer.hex(), request=fill.request.hex(), reason=str(refused))
            return
        message = m.Match(
            operator=self.operator,
            offer=fill.offer,
            request=fill.request,
            wh=fill.wh,
            price=fill.price,
            start=offer.terms.start,
            end=offer.terms.end,
            nonce=secrets.randbits(256),
            deadline=min(now + MATCH_VALID_S, offer.terms.until, request.terms.until),
        )
        signature = await core.keys.identity.wallet().sign_message(message, self._domain())
        orders_beside = [opened(m.from_typed_data(json.loads(o.body))[0], self._domain()) for o in (offer, request)]
        signatures = [signature, offer.signature, request.signature]
        wish = submission_of(core, message, signatures, orders_beside, self._domain())
        assert self._proposed is not None  # noqa: S101 (set at the begin of the round)
        self._proposed[wish.digest] = Proposed(fill.offer, fill.request, fill.wh)
        await core.storage.memory.keep([wish])
        core.wake()

    def _standing(self, order: Order) -> Standing:
        terms = order.terms
        assert terms is not None  # noqa: S101 (only orders with terms are matched)
        return Standing(
            order.order_id,
            terms.account,
            terms.sells,
            terms.wh,
            terms.wh - self._free(order),
            terms.price,
            self.operator,
            terms.start,
            terms.end,
            terms.until,
        )

    def depth(self, slot: Slot) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Offers and requests of one time of delivery, the best first."""
        book = self._books.get(slot, Book())
        return book.depth(sells=True), book.depth(sells=False)

    def slots(self) -> tuple[Slot, ...]:
        """The times of delivery for which there is a book."""
        return tuple(sorted(self._books))
