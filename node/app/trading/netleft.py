"""What a day's netting left out: lines that no mandate or balance covered stay owed, and are paid like any contract.

Both partners are told of such a line, and each signs an order for it and for nobody else, this time for the market's
own contract; the two become a contract there at once. From then on it is one as in any market: it is reported, paid,
its seller reminds and claims. Until then the reminders are this market's, at the times of its terms; a buyer that has
had three of them and a claim is left without contracts here until it pays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from contracts.bindings import market as abi
from keys import messages as m
from node.app.core import Core
from node.app.trading.matchsigning import signed_match
from node.app.trading.netcontracts import NetContracts
from node.app.trading.netleftline import ORDERS, Left, LeftBook, LeftLine, kept
from node.app.trading.netlines import NetLines, StoredLine
from node.app.trading.netperiods import PERIODS
from node.app.trading.nettelling import SIDES, NetTelling
from node.app.trading.orderterms import terms_named
from node.errors import Refused
from node.ledger.market import MarketViews
from node.projection.events import RequestedSubmission
from node.projection.order import Order, OrderStatus
from node.projection.submission import Submission, SubmissionStatus
from node.projection.trade import Trade, TradeStatus
from node.projection.tradedue import OVER, REMINDERS
from node.services.market.engine import Fill
from node.services.market.errors import LineRefused
from node.services.market.netcontracts import NetContract
from node.services.market.setoff import set_off
from node.services.market.waiting import NO_WAIT, Sale, Wait, has_to_wait, wait_ends, waits
from node.types import short_id
from node.wire.settlement import NetCounted, NetLeftOut

__all__ = ["LeftLines"]

_log = structlog.get_logger(__name__)

LOST_S = 60
MOST_SALES = 400
"""In one parcel, which has room for some six hundred; who sells much is told in several."""

_LOST = (SubmissionStatus.REJECTED, SubmissionStatus.FAILED)
_CLAIMED = (TradeStatus.CLAIMED, TradeStatus.DISPUTED)
_OVER = (OrderStatus.CANCELLED, OrderStatus.ENDED)


class LeftLines:
    """At the market. `step` tells, reminds, and makes contracts of what both partners signed."""

    def __init__(self, core: Core, lines: NetLines, contracts: NetContracts) -> None:
        self._core = core
        self._telling = NetTelling(core, "asset.netleft")
        self._lines = lines
        self._contracts = contracts
        self._operator = core.keys.identity.wallet().address
        self._book = LeftBook(core.storage.memory.facts)
        self._reading = asyncio.Lock()
        self._known: dict[bytes, LeftLine] | None = None
        self._paying: dict[bytes, bytes] = {}
        self._again: dict[bytes, int] = {}
        self._counted: tuple[int, dict[bytes, list[NetCounted]]] = -1, {}

    async def all(self) -> dict[bytes, LeftLine]:
        """Every line of which something is to be done, by leaf."""
        if self._known is None:
            async with self._reading:
                if self._known is None:
                    known = await self._book.open()
                    self._paying = {each.contract: leaf for leaf, each in known.items() if each.contract}
                    self._known = known
        return self._known

    async def shown(self) -> dict[bytes, LeftLine]:
        """Every line that ever was left out, by leaf."""
        return await self._book.closed() | await self.all()

    async def settles(self, contract_id: bytes) -> bool:
        """Whether a contract on chain pays for a line: its energy was counted on the day of its delivery."""
        await self.all()
        return contract_id in self._paying or await self._book.pays(contract_id)

    async def left_out(self, made: NetContract) -> Left | None:
        """The line of which this contract is a part, if it was left out."""
        return await self._book.of(made)

    async def of_account(self, account: bytes) -> tuple[list[NetLeftOut], list[NetLeftOut]]:
        """What an account has not signed for yet, and all else that was left out of its dealings of those days."""
        own = [e for e in (await self.all()).values() if account in (bytes(e.body.seller), bytes(e.body.buyer))]
        asked = [
            each.body
            for each in own
            if each.body.due
            and not (each.contract or SIDES[0 if account == bytes(each.body.seller) else 1] in each.orders)
        ]
        leaves, days = {body.leaf for body in asked}, {body.period for body in asked}
        beside = [each.body for each in own if each.body.period in days and each.body.leaf not in leaves]
        for day in days:
            beside += await self._book.closed_of(day, account)
        return asked, beside

    async def excludes(self, account: bytes) -> bool:
        """Whether a claim against an account is open."""
        return any(bytes(each.body.buyer) == account and each.body.claimed for each in (await self.all()).values())

    async def begin(self, period: int, leaves: Collection[bytes], block: int, netted: int = 0) -> None:
        """A day was netted with these lines, in a block (0: nothing was netted) of a time (0: no batch stands); the
        others are owed from here on, as far as they do not lead back to where they came from: a buyer signs after what
        it sold has its contract, and in a ring all would wait for each other."""
        known = await self.all()
        contracts = (await self._contracts.of(period)).values()
        left = dict[bytes, tuple[StoredLine, NetContract]]()
        for leaf, line in (await self._lines.of(period)).items():
            if leaf in leaves or leaf in known or not line.line.amount:
                continue
            made = await self._made(line, contracts)
            if made is None:
                _log.warning("net_line_left", period=period, leaf=leaf.hex())
                continue
            left[leaf] = line, made
        for leaf in await self._book.closed(left):
            del left[leaf]
        owed = set_off(line.net() for line, _ in left.values())
        waiting = await self._waits(period, [line for line, _ in left.values()], owed, netted)
        fresh = dict[bytes, LeftLine]()
        for leaf, (line, made) in left.items():
            wait = waiting.get(leaf, NO_WAIT)
            body = NetLeftOut(
                operator=self._operator,
                period=period,
                block=block,
                leaf=leaf,
                request=made.request,
                seller=made.seller,
                buyer=made.buyer,
                wh=line.line.wh,
                price=line.line.price,
                amount=line.line.amount,
                terms=line.line.request.terms,
                owed=owed[leaf],
                until=wait.until,
                awaited=wait.awaited,
            )
            fresh[leaf] = LeftLine(body, made.offer, 0, {}, {})
        if fresh:
            await self._core.storage.memory.keep((), self._book.begun(fresh))
            known |= fresh

    async def _waits(
        self, period: int, lines: Collection[StoredLine], owed: Mapping[bytes, int], netted: int
    ) -> dict[bytes, Wait]:
        """How long these lines wait for each other. Where no batch stands nobody does: the buyer sees to it that none
        can come."""
        market, ends = self._core.chain.market, dict[bytes, int]()
        if market is None or not netted:
            return {}
        for each in lines:
            terms = await market.terms(each.line.request.terms)
            ends[each.leaf] = wait_ends(netted, period, terms.payment_due, terms.reminder_every)
        return waits((each.net() for each in lines), owed, ends)

    async def _made(self, line: StoredLine, contracts: Collection[NetContract]) -> NetContract | None:
        """A contract that the line is for; None for a line that its debtor brought by itself."""
        for each in contracts:
            if (each.seller, each.price) == (line.line.seller, line.line.price):
                request = await self._core.storage.views.one(Order, each.request)
                if request.signature == line.line.signature:
                    return each
        return None

    # Orders for a line

    async def accept(self, message: m.Offer | m.Request, order_id: bytes) -> tuple[str, str, Any]:
        """The fact that a partner signed an order for a line: its nonce is the line's leaf. Raises Refused for one that
        is for anything else."""
        leaf = message.nonce.to_bytes(32, "big")
        left = (await self.all()).get(leaf)
        if left is None or not left.body.due:
            raise Refused("This market nets; only what was left out is ordered in its own contract.", field="typed")
        body, sells = left.body, isinstance(message, m.Offer)
        pair = (bytes(body.seller), bytes(body.buyer))
        wanted = (*(pair if sells else pair[::-1]), *body.ordered)
        if (message.account, message.partner, message.wh, message.price) != wanted:
            raise Refused("The order is not for the line that was left out.", field="typed.message")
        if message.terms != await self._named(body):
            raise Refused("The order names other terms than the line's request.", field="typed.message.terms")
        if not message.start <= self._lines.now() < min(message.end, message.deadline):
            raise Refused("The order's time does not reach into now.", field="typed.message.start")
        side = SIDES[0 if sells else 1]
        (await self.all())[leaf] = replace(left, orders={**left.orders, side: order_id.hex()})
        return ORDERS, f"{leaf.hex()}/{side}", order_id.hex()

    async def _change(self, leaf: bytes, wish: RequestedSubmission | None = None, **changes: Any) -> None:
        """Keeps changes of a line as it is now, whatever it was when they were thought of."""
        known = await self.all()
        if changes.get("contract"):
            self._paying[changes["contract"]] = leaf  # whoever hears of the contract asks at once what it is
        after = replace(known[leaf], **changes)
        await self._core.storage.memory.keep([wish] if wish else (), kept(leaf, after))
        if "contract" in changes:
            self._paying = {key: at for key, at in self._paying.items() if at != leaf or key == after.contract}
        known[leaf] = replace(known[leaf], **changes)
        if after.closed:
            del known[leaf]

    async def _drop(self, leaf: bytes, side: str, order_id: str) -> None:
        """An order is over: whose it was is asked once more, unless it signed another one by now."""
        known = await self.all()
        left = known[leaf]
        if left.orders.get(side) != order_id:
            return
        known[leaf] = replace(
            left,
            orders={each: order for each, order in left.orders.items() if each != side},
            told={each: news for each, news in left.told.items() if each != side},
        )
        facts = [(ORDERS, f"{leaf.hex()}/{side}", None), *kept(leaf, known[leaf])]
        await self._core.storage.memory.keep((), facts)

    # Steps

    async def step(self) -> None:
        market = self._core.chain.market
        if market is None:
            return
        known = await self.all()
        for leaf in list(known):
            if known[leaf].contract:
                await self._follow(leaf)
                continue
            if not known[leaf].body.due:
                await self._tell(leaf)
                if len(known[leaf].told) == len(SIDES):
                    await self._change(leaf, closed=True)
                continue
            signed = await self._signed(leaf)
            if known[leaf].contract:
                continue
            terms = await market.terms(await self._named(known[leaf].body))
            if not any(terms.operator):
                _log.error("net_line_without_terms", leaf=leaf.hex())
                continue
            paid_for = await self._covered(market, leaf, terms)
            if len(signed) == len(SIDES) and paid_for:
                await self._make_contract(leaf, signed)
            else:
                await self._remind(leaf, terms, waits=SIDES[0] in signed and not await self._has_to_wait(leaf))
            await self._tell(leaf)

    async def _named(self, body: NetLeftOut) -> bytes:
        """The terms that a line's request named: what a buyer agreed to holds, whatever this market promises today."""
        if body.terms is not None:
            return bytes(body.terms)
        return terms_named(await self._core.storage.views.one(Order, bytes(body.request))) or bytes(32)

    async def _signed(self, leaf: bytes) -> dict[str, Order]:
        """What was signed for a line and may become a contract now, by side. What is over is dropped; what is not on
        disk yet is waited for."""
        known, views, now = await self.all(), self._core.storage.views, self._lines.now()
        found: dict[str, Order] = {}
        for side, order_id in list(known[leaf].orders.items()):
            order = await views.one(Order, bytes.fromhex(order_id))
            terms, over = order.terms, order.status in _OVER
            if order.status is OrderStatus.FILLED:
                trades = [trade for _, trade in await views.page(Trade, link=("order", order.order_id))]
                over = bool(trades) and all(each.status is TradeStatus.CANCELLED and each.settled for each in trades)
                running = [each.contract_id for each in trades if each.status is not TradeStatus.CANCELLED]
                if running:  # a match that was given up arrived all the same
                    await self._change(leaf, contract=running[0])
                    return {}
            if over:
                await self._drop(leaf, side, order_id)
            elif order.status is OrderStatus.OPEN and terms is not None and terms.start <= now < terms.end:
                found[side] = order
        return found

    async def _covered(self, market: MarketViews, leaf: bytes, terms: abi.Terms) -> bool:
        """Whether its buyer has the money that a contract takes at once, and no claim against it on chain."""
        body = (await self.all())[leaf].body
        buyer = await market.member(self._operator, bytes(body.buyer))
        # The contract reserves the amount where the terms say so, and for whoever has paid nothing in it yet.
        reserves = terms.escrow or not buyer.serial
        wh, price = body.ordered
        return not buyer.open_claims and (not reserves or buyer.balance >= wh * price // 1000)

    async def _has_to_wait(self, leaf: bytes) -> bool:
        """Whether the buyer cannot sign yet: what was left out of its own sales of that day has no contract so far, by
        which alone it can tell that the day's batch has not paid for this one (see `LeftSales`)."""
        known, views = await self.all(), self._core.storage.views
        body, found = known[leaf].body, list[Sale]()
        if SIDES[1] in known[leaf].orders or await self._is_void(body.period):
            return False
        for each in list(known.values()):
            sold = (bytes(each.body.seller), each.body.period) == (bytes(body.buyer), body.period)
            if sold and each.body.due:
                trade = await views.one(Trade, each.contract) if each.contract else None
                stands = trade is not None and trade.terms is not None and trade.terms.final
                found.append(Sale(SIDES[0] in each.orders, stands))
        return has_to_wait(body.until, self._lines.now(), found)

    async def _is_void(self, period: int) -> bool:
        """Whether the day's batch stands no more: all that it took went back, and no other one can come."""
        return (await self._core.storage.memory.facts.get(PERIODS, str(period)) or {}).get("state") == "void"

    async def _remind(self, leaf: bytes, terms: abi.Terms, *, waits: bool) -> None:
        """A-13: reminders at T, 2T, 3T, the claim at 4T; none after it. Counted from when everything but the buyer's
        part was there: `waits`; and at the times to which the buyer agreed."""
        left, now = (await self.all())[leaf], self._lines.now()
        body = left.body
        if body.claimed:
            return
        if not waits or not left.since:
            since = now if waits else 0
            if since != left.since:
                await self._change(leaf, since=since)
            return
        if now < left.since + (terms.reminder_every if body.reminders else terms.payment_due):
            return
        claims = body.reminders == REMINDERS
        update = {"claimed": True} if claims else {"reminders": body.reminders + 1}
        _log.warning("net_line_unpaid", leaf=leaf.hex(), reminders=body.reminders, claimed=claims)
        await self._change(leaf, body=body.model_copy(update=update), since=now)

    async def _tell(self, leaf: bytes) -> None:
        known = await self.all()
        left = known[leaf]
        done = [side for side, news in left.told.items() if news == left.news]
        if len(done) == len(SIDES):
            return

        async def bodies(side: str) -> Sequence[Mapping[str, Any]]:
            # By what counts of its sales the buyer sees what a batch moved; it waits for no other word about them.
            sales = await self._sales(left.body) if side == SIDES[1] else ()
            parts = [sales[at : at + MOST_SALES] for at in range(0, len(sales), MOST_SALES)] or [()]
            return [left.body.model_copy(update={"sales": part}).to_json() for part in parts]

        fresh = await self._telling.tell(leaf, (left.offer, bytes(left.body.request)), done, bodies)
        if fresh:
            await self._change(leaf, told={**known[leaf].told, **dict.fromkeys(fresh, left.news)})

    async def _sales(self, body: NetLeftOut) -> tuple[NetCounted, ...]:
        """What counts of all that a line's buyer sold on that day. It is settled for good when the day is netted."""
        if self._counted[0] != body.period:
            sold: dict[bytes, list[NetCounted]] = {}
            for key, (made, due) in (await self._contracts.dues(body.period)).items():
                sold.setdefault(made.seller, []).append(NetCounted(contract=key, wh=due["wh"]))
            self._counted = body.period, sold
        return tuple(self._counted[1].get(bytes(body.buyer), ()))

    async def _make_contract(self, leaf: bytes, signed: Mapping[str, Order]) -> None:
        """Signs the match of both orders; the chain would take it."""
        if self._again.get(leaf, 0) > self._core.clock.now():
            return
        body, (offer, request) = (await self.all())[leaf].body, [signed[side] for side in SIDES]
        assert offer.terms is not None  # noqa: S101 (an order that was taken in has terms)
        assert request.terms is not None  # noqa: S101 (as above)
        fill = Fill(offer.order_id, request.order_id, *body.ordered)
        times = max(offer.terms.start, request.terms.start), min(offer.terms.end, request.terms.end)
        wish = await signed_match(self._core, fill, offer, request, times)
        await self._change(leaf, wish, contract=wish.digest)
        self._core.wake()
        _log.info("net_line_contracted", leaf=leaf.hex(), contract=short_id(wish.digest))

    async def _follow(self, leaf: bytes) -> None:
        """What became of the contract; one that the chain did not take, or that was cancelled, is made anew."""
        left = (await self.all())[leaf]
        trade = await self._core.storage.views.one(Trade, left.contract)
        if not trade.made:
            sent = await self._core.storage.views.one(Submission, left.contract)
            if sent.status in _LOST:
                _log.warning("net_line_not_contracted", leaf=leaf.hex(), reason=sent.reason)
                self._again[leaf] = self._core.clock.now() + LOST_S
                await self._change(leaf, contract=b"")
            return
        if trade.status is TradeStatus.CANCELLED:
            if trade.settled:  # what was owed is still owed: both sign anew, and a claim stays
                _log.warning("net_line_cancelled", leaf=leaf.hex(), contract=short_id(left.contract))
                await self._change(leaf, contract=b"", told={}, since=0)
            return
        closed = trade.status in OVER and trade.settled
        claimed = not closed and (left.body.claimed or trade.status in _CLAIMED)
        body = left.body.model_copy(update={"claimed": claimed})
        if (body, closed) != (left.body, left.closed):
            await self._change(leaf, body=body, closed=closed)

    async def require_free(self, account: bytes) -> None:
        """Raises LineRefused for an account against which a claim is open (M-37)."""
        if await self.excludes(account):
            raise LineRefused("A claim against this account is open.", field="typed.message.account")
