"""The matching half of a market: tells the desk what changed, signs what it lets through, and keeps the price history.

The engine proposes, the rules decide, the contract decides once more. Everything here is made from the projection at
the start and follows the journal from then on; each step costs what changed, not what is open.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import structlog

from keys import messages as m
from keys.eip712 import Domain
from node.app.core import Core
from node.app.trading.knownorders import KnownOrders
from node.app.trading.matchfeed import fill_of, named_in, names_somebody, rules_of, standing_of, traded_of
from node.app.trading.matchsigning import market_domain_of, signed_match
from node.app.trading.netcontracts import NetContracts
from node.app.trading.netlines import net_domain_of
from node.app.trading.watching import Watch
from node.ledger.errors import RpcError, RpcRefused
from node.ledger.market import market_call, refusal_of
from node.projection.events import RequestedSubmission
from node.projection.order import Order, OrderStatus
from node.projection.submission import Submission, SubmissionStatus
from node.projection.trade import Trade, TradeStatus
from node.services.market.desk import Desk
from node.services.market.engine import Fill, Level, Slot
from node.services.market.errors import BookLost, LineRefused, OrderRefused
from node.services.market.netcontracts import NetContract
from node.services.market.prices import PriceHistory, Times, Traded
from node.services.market.remote import Proposal, RemoteBook
from node.services.market.sides import Sides
from node.storage.journal import Applied
from node.types import short_id

__all__ = ["Matching"]

_log = structlog.get_logger(__name__)

PAGE = 1_000
AT_ONCE = 100
"""Matches that are signed and written in one transaction."""

GATES = ("market_matching", "gates")
"""The fact that every slot with a gate up to this second had its auction."""

_OUT = (SubmissionStatus.QUEUED, SubmissionStatus.SENT, SubmissionStatus.INCLUDED)
_LOST = (SubmissionStatus.REJECTED, SubmissionStatus.FAILED)
_News = tuple[int, Order | Trade | Submission]


class Matching:
    """One desk, and the prices. `terms` tells the id of the terms that orders must name. `netted`: the contracts are
    made there instead of on the chain."""

    def __init__(
        self, core: Core, orders: KnownOrders, terms: Callable[[], bytes], netted: NetContracts | None = None
    ) -> None:
        self._core = core
        self._orders = orders
        self._netted = netted
        self._terms = terms
        self.remote = RemoteBook() if core.settings.bids.url is not None else None
        self.rules = rules_of(core.settings.market, self.remote)
        self._late: deque[Proposal | Slot] = deque()
        self.prices = PriceHistory()
        self._sides = Sides()
        self._desk: Desk | None = None
        self._closed = 0
        self._news: deque[_News] | None = None
        self._watches: list[Watch] = []
        self._retired: frozenset[bytes] = frozenset()
        self.retired: Callable[[], Awaitable[frozenset[bytes]]] | None = None
        """Accounts that are over: what they left open is in no book. One more, and the desk has to begin again."""
        self._lines: Mapping[bytes, object] = {}
        self.lines: Callable[[], Awaitable[Mapping[bytes, object]]] | None = None
        """What nettings left out, by leaf: an order for one, known by its nonce, is for its counterpart alone."""
        core.storage.journal.subscribe(self._hear)

    @property
    def operator(self) -> bytes:
        """The account that orders name and that signs matches."""
        return self._core.keys.identity.wallet().address

    def _domain(self) -> Domain:
        """For what orders must be signed that are matched here: those for a line of a market that nets are not."""
        return market_domain_of(self._core) if self._netted is None else net_domain_of(self._core)

    def _hear(self, applied: Applied) -> None:
        """After each commit, in the order of the journal. Before the desk is made there is nobody to tell."""
        if self._news is None:
            return
        for record in applied.records:
            for change in record.changes:
                state = change.state
                if isinstance(state, Order):
                    self._side(state)
                if isinstance(state, Order | Trade) or (isinstance(state, Submission) and state.kind == "Match"):
                    self._news.append((record.seq or 0, state))

    async def step(self) -> None:
        """Takes in what changed, and signs what the desk lets through."""
        done = False
        try:
            desk = self._desk if self._desk is not None else await self._rebuild()
            await self._take_in(desk)
            now = self._core.clock.now()
            self._sides.prune(now)
            fills = [*desk.step(now), *self._proposed(desk, now)]
            for fault in desk.faults:
                _log.error(
                    "match_refused", start=fault.slot.start, end=fault.slot.end, rule=fault.rule, reason=fault.reason
                )
                self._core.metrics.alarm("engine_fault")
            desk.faults.clear()
            await self._propose(desk, fills)
            done = True
        finally:
            if not done:
                # What was taken in and what was signed may differ now; the next round begins with what is on disk.
                self._desk, self._news = None, None
        self._tell(desk)

    # From a bid manager of its own

    def proposed(self, proposal: Proposal) -> None:
        """A bid manager would match two orders; it is looked at in the next step. Raises BookLost for one that speaks
        of a book from before."""
        if self.remote is None or proposal.session != self.remote.session:
            raise BookLost("That book is over.", remedy="Take the session that begins.")
        self._late.append(proposal)
        self._core.wake()

    def auctioned(self, slot: Slot, proposals: Sequence[Proposal]) -> None:
        """All that an auction elsewhere matched; with it the delivery is over for the desk."""
        self._late.extend((*proposals, slot))
        self._core.wake()

    def begin_again(self) -> None:
        """The bid manager does not have the book: desk and book begin with what is on disk."""
        self._desk, self._news = None, None
        if self.remote is not None:
            self.remote.begin(secrets.token_bytes(32))

    def _proposed(self, desk: Desk, now: int) -> list[Fill]:
        """What of it is allowed. One that was made before the latest news of its orders takes nothing."""
        found: list[Fill] = []
        while self._late and self.remote is not None:
            proposal = self._late.popleft()
            if isinstance(proposal, Slot):
                desk.finish(proposal, now)
            elif self.remote.fresh(proposal):
                found += desk.propose((proposal.fill,), now)
            elif proposal.session == self.remote.session:
                desk.renew(proposal.fill)
        return found

    # What changed

    async def _rebuild(self) -> Desk:
        """From the projection: open orders, matches on their way, contracts for the prices."""
        if self.remote is not None:
            self.remote.begin(secrets.token_bytes(32))
        news = self._news = deque()  # from here on changes are heard; what is told twice does no harm
        facts, views, now = self._core.storage.memory.facts, self._core.storage.views, self._core.clock.now()
        self._closed = int(await facts.get(*GATES) or 0)
        self._retired = await self.retired() if self.retired is not None else frozenset()
        self._lines = await self.lines() if self.lines is not None else {}
        desk = Desk(self.operator, self.rules, self._closed)
        before: int | None = None
        while rows := await views.page(Order, status=OrderStatus.OPEN.value, before=before, limit=PAGE):
            for seq, order in rows:
                self._side(order)
                self._put(desk, seq, order, now)
            before = rows[-1][0]
        for status in _OUT:
            before = None
            while submissions := await views.page(Submission, status=status.value, before=before, limit=PAGE):
                for _, submission in submissions:
                    if submission.kind == "Match":
                        self._on_its_way(desk, submission)
                        desk.seen(submission.digest, bool((await views.one(Trade, submission.digest)).made))
                before = submissions[-1][0]
        await self._read_sides()
        await self._read_prices()
        await self._net_again(desk)
        if self._news is not news:  # begun again meanwhile: this desk did not hear of everything since
            return await self._rebuild()
        self._desk = desk
        return desk

    async def _read_prices(self) -> None:
        self.prices, before = PriceHistory(), None
        while rows := await self._core.storage.views.page(Trade, before=before, limit=PAGE):
            for _, trade in rows:
                traded = await self.traded(trade)
                if traded is None or trade.terms is None:
                    continue
                if trade.terms.final:
                    self.prices.add(traded)
                else:
                    self.prices.made(trade.contract_id, traded)
            before = rows[-1][0]
            if self.prices.full:
                return

    async def _take_in(self, desk: Desk) -> None:
        news, now = self._news, self._core.clock.now()
        while news:
            seq, state = news.popleft()
            if isinstance(state, Order):
                self._put(desk, seq, state, now)
            elif isinstance(state, Submission) and state.status in _LOST:
                named = await self._named(state) if desk.knows(state.digest) else None
                desk.refused(state.digest, self._core.clock.now(), named)
            elif isinstance(state, Submission):
                self._on_its_way(desk, state)
            else:
                desk.seen(state.contract_id, bool(state.made))
                await self._priced(state)

    def _side(self, order: Order) -> None:
        """An order binds its account while it is open, and for good once something of it was matched."""
        terms = order.terms
        if terms is not None and not order.own:
            binds = order.status is OrderStatus.OPEN or order.filled > 0
            self._sides.note((terms.start, terms.end), terms.account, terms.sells, order.order_id, binds=binds)

    async def _read_sides(self) -> None:
        """Orders that are filled are not open, and their deliveries may still come."""
        before: int | None = None
        while rows := await self._core.storage.views.page(
            Trade, status=TradeStatus.MATCHED.value, before=before, limit=PAGE
        ):
            for _, trade in rows:
                for order_id in (trade.terms.offer, trade.terms.request) if trade.terms is not None else ():
                    self._side(await self._core.storage.views.one(Order, order_id))
            before = rows[-1][0]

    def _bind(self, made: NetContract) -> None:
        for account, sells in ((made.seller, True), (made.buyer, False)):
            self._sides.note((made.start, made.end), account, sells, made.contract_id, binds=True)

    def _put(self, desk: Desk, seq: int, order: Order, now: int) -> None:
        retired = order.terms is not None and order.terms.account in self._retired
        if order.status is not OrderStatus.OPEN or retired:
            desk.drop(order.order_id)
        elif not desk.change(order.order_id, order.filled) and not self._for_line(order):
            standing = standing_of(order, self.operator, self._terms(), self._domain(), self._orders.signed(order))
            if standing is not None:
                desk.put(standing, seq, now)

    def _for_line(self, order: Order) -> bool:
        signed = self._orders.signed(order) if self._lines else None
        return signed is not None and signed[0].nonce.to_bytes(32, "big") in self._lines

    def _on_its_way(self, desk: Desk, submission: Submission) -> None:
        """What became of a match. After a reorg it may be on its way again."""
        if submission.status is SubmissionStatus.FINAL:
            desk.final(submission.digest)
        elif submission.status in _OUT and not desk.knows(submission.digest):
            fill = fill_of(submission, self.operator)
            if fill is not None:
                desk.sent(submission.digest, fill)

    async def _named(self, submission: Submission) -> bytes | None:
        """The account or the order for whose sake a match was refused; None where nobody says. Of one that was refused
        among others the chain keeps the error's name alone, so it is asked once more."""
        named = named_in(submission.reason)
        if named is not None or not names_somebody(submission.reason):
            return named
        message, domain, opening = m.call_from_stored(submission.message)
        call = market_call(domain.verifying_contract or b"", message, submission.signatures, opening)
        try:
            await self._core.chain.rpc.call(call.to, call.data, sender=self._core.chain.sender.address)
        except RpcRefused as refused:
            return named_in(refusal_of(refused))
        except RpcError as silent:
            _log.info("match_not_explained", contract=short_id(submission.digest), reason=str(silent))
        return None

    # Prices

    async def traded(self, trade: Trade) -> Traded | None:
        """A contract as the price history takes it; None for one of another market."""
        if trade.terms is None or (self._netted is not None and await self._netted.settles(trade.contract_id)):
            return None  # a line that was left out: its price was told when it was matched
        orders = await self._orders.many((trade.terms.offer, trade.terms.request))
        found = (traded_of(trade, each, self.operator, self._orders.signed(each)) for each in orders.values())
        return next((each for each in found if each), None)

    async def _priced(self, trade: Trade) -> None:
        terms, key = trade.terms, trade.contract_id
        if terms is None:
            self.prices.undone(key)
        elif terms.final:
            self.prices.final(key)
        elif not self.prices.knows(key):
            traded = await self.traded(trade)
            if traded is not None:
                self.prices.made(key, traded)

    # Proposals

    async def _propose(self, desk: Desk, fills: Sequence[Fill]) -> None:
        """Signs what was allowed, and sends it to the chain. The last of an auction says that it was held."""
        held = [(*GATES, desk.closed)] if self.rules.engine.auction and desk.closed > self._closed else []
        for at in range(0, len(fills), AT_ONCE):
            some = fills[at : at + AT_ONCE]
            if self._netted is not None:
                await self._net(desk, self._netted, some)
                continue
            orders = await self._orders.many({key for fill in some for key in (fill.offer, fill.request)})
            wishes = [await self._wish(f, orders[f.offer], orders[f.request]) for f in some]
            last = at + AT_ONCE >= len(fills)
            for fill, wish in zip(some, wishes, strict=True):
                desk.signed(wish.digest, fill)
            await self._core.storage.memory.keep(wishes, held if last else ())
        if held and (not fills or self._netted is not None):
            await self._core.storage.memory.keep((), held)
        self._closed = desk.closed
        if fills:
            self._core.wake()

    async def _wish(self, fill: Fill, offer: Order, request: Order) -> RequestedSubmission:
        signed = [self._orders.signed(order) for order in (offer, request)]
        return await signed_match(self._core, fill, offer, request, signed=signed)

    async def _net(self, desk: Desk, netted: NetContracts, fills: Sequence[Fill]) -> None:
        """Contracts by the operator's word. What a buyer's mandate does not cover is not matched for a while."""
        for fill in fills:
            offer, request = [await self._core.storage.views.one(Order, key) for key in (fill.offer, fill.request)]
            try:
                made, facts = await netted.make(fill, offer, request)
            except LineRefused as refused:
                _log.info("net_contract_waits", reason=str(refused))
                passing = secrets.token_bytes(32)
                desk.signed(passing, fill)
                desk.refused(passing, self._core.clock.now())
                continue
            await netted.news.keep(facts, (made.contract_id.hex(),))
            desk.signed(made.contract_id, fill)
            self._bind(made)
            self.prices.add(Traded((made.start, made.end), made.wh, made.price, made.amount))

    async def _net_again(self, desk: Desk) -> None:
        """What netted contracts take of their orders: the chain will never say so."""
        if self._netted is None:
            return
        self._netted.forget()
        for day in await self._netted.days():
            for key, made in (await self._netted.of(day)).items():
                desk.sent(key, Fill(made.offer, made.request, made.wh, made.price))
                self._bind(made)
                self.prices.add(Traded((made.start, made.end), made.wh, made.price, made.amount))

    # What is shown

    @contextlib.contextmanager
    def watch(self) -> Iterator[Watch]:
        """Hear of every change of depth or prices while it lasts."""
        watch = Watch()
        self._watches.append(watch)
        try:
            yield watch
        finally:
            self._watches.remove(watch)

    def _tell(self, desk: Desk) -> None:
        moved = {(slot.start, slot.end) for slot in desk.moved} | self.prices.moved
        desk.moved.clear()
        self.prices.moved.clear()
        if moved:
            for watch in self._watches:
                watch.add(moved)

    def check_side(self, account: bytes, sells: bool, slot: Slot) -> None:
        """Raises OrderRefused for an account that is on the other side of this delivery."""
        if self._desk is not None:
            self._desk.check_side(account, sells, slot)
        if not self._sides.free((slot.start, slot.end), account, sells):
            raise OrderRefused("This account is on the other side of this delivery.", field="typed.message.account")

    def depth(self, times: Times, most: int | None = None) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Offers and requests of one time of delivery, the best first."""
        return self._desk.depth(self.rules.slot(*times), most) if self._desk is not None else ((), ())

    def slots(self) -> tuple[Slot, ...]:
        """The times of delivery for which something is open."""
        return self._desk.slots() if self._desk is not None else ()
