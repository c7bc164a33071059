"""An asset in a market, for programs of others: offer or request energy, say what was delivered, pay, confirm.

    signer = open_signer("memory:0x...")                       # the asset's own account; any Signer will do
    async with MarketClient(url, signer, chain_id, contract) as market:
        await market.request(wh=1_500, price=250_000, start=start, end=end)
        while True:
            await market.settle(meter)                         # meter(contract): Wh counted, None while it goes on
            await asyncio.sleep(5)

Energy is whole Wh, money whole minor units, prices minor units per kWh, times seconds since 1970 UTC; ids and
addresses are bytes. Everything that binds the asset is signed here, by its own key, for one chain and one contract that
the program names; the market brings it onto the chain and can change nothing of it. What the market says is believed
only as far as it fits what this asset signed: a bill for another request, for more energy or above the limit is never
paid (`PaymentRefused`). Not checked here is the chain itself: a market that hides a contract or makes one up can have
an asset wait or report for nothing, never pay for what it did not order. Who wants more runs a node.

No open port is needed: the market is asked. `orders` names a file that keeps what was ordered over a restart.

A market that nets takes `Contracts(market, net)` for `contract`: money goes into the net settlement with `deposit`, and
`mandate` says what a day may take of it. Then it is the same: `settle` reports, and the day's batch pays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from keys import messages as m
from keys.eip712 import Domain
from keys.signers import Signer
from node.client.bills import arrival, bill_of, deposit_of
from node.client.book import OrderBook, Placed
from node.client.left import LeftDesk
from node.client.link import Contracts, Link, MarketLink, Place
from node.client.netted import allowed
from node.client.orders import ANYBODY, Wanted, order_of
from node.client.remedies import Remedies
from node.client.voice import VALID_S, Voice, Word
from node.clock import Clock, SystemClock
from node.errors import CallerError, Conflict, Refused
from node.services.asset.errors import PaymentRefused
from node.services.asset.rules import Ordered, check_bill, choose_bills
from node.wire.desk import DeskContract, DeskMoney
from node.wire.orderdetails import OrderDetails
from node.wire.settlement import NetLeftOut, NetReported, OrderPlaced

__all__ = ["Contracts", "MarketClient", "Meter", "bill_of"]

Meter = Callable[[DeskContract], int | None]
"""Wh that the asset delivered or used for a contract; None as long as its delivery goes on."""

OVER: Final = frozenset({"confirmed", "cured", "resolved", "cancelled"})


class MarketClient:
    """One asset in one market. `contract`: address of the Market contract, or both contracts of a market that nets;
    `operator` pins who runs the market."""

    def __init__(
        self,
        url: str,
        signer: Signer,
        chain_id: int,
        contract: bytes | Contracts,
        *,
        operator: bytes | None = None,
        orders: Path | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.account = signer.address
        self.contracts: dict[bytes, DeskContract] = {}
        self.netted: dict[bytes, DeskContract] = {}
        """Contracts on days that are not netted yet; no chain has them."""
        self.left: dict[bytes, NetLeftOut] = {}
        """What a day's netting left out, by its leaf, until this asset signed for it: see `sign_left`."""
        self.refused: dict[bytes, str] = {}
        """Why a contract (by its id) is not paid, or a line (by its leaf) not signed for: what the market says of it is
        not what this asset ordered and reported."""
        self._signer = signer
        self._contracts = contract if isinstance(contract, Contracts) else Contracts(contract)
        self._domain: Domain = m.market_domain(chain_id, self._contracts.market)
        self._operator = operator
        self._clock = clock or SystemClock()
        self._url = url
        self._stack = AsyncExitStack()
        self._way: Link | None = None
        self._orders = OrderBook(orders)
        self._left = LeftDesk(self.account, self._orders)
        self._place: Place | None = None
        self._seen: tuple[int, bytes] = (0, bytes(32))
        self._voice = Voice(signer, self._domain, self._clock, self._send)
        self.remedies = Remedies(self, self._voice.say)

    @classmethod
    def over(
        cls,
        link: Link,
        signer: Signer,
        chain_id: int,
        contract: bytes | Contracts,
        clock: Clock | None = None,
        orders: Path | None = None,
    ) -> Self:
        """Over another way than HTTP, inside one process for example."""
        made = cls("", signer, chain_id, contract, clock=clock, orders=orders)
        made._way = link
        return made

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._url:
                http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
                await stack.enter_async_context(http)
                self._way = MarketLink(self._url, self._signer, self._domain.chain_id, http, self._clock)
            self._place = await self._link.find(self._contracts.market, self._operator)
            if self._place.net not in (b"", self._contracts.net):
                raise Refused(
                    "This market nets in a contract that was not named.",
                    remedy="Compare it, and name it: Contracts(market, net).",
                )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def _link(self) -> Link:
        if self._way is None:
            raise Conflict("The market was not looked up yet.", remedy="Use `async with MarketClient(...)`.")
        return self._way

    @property
    def place(self) -> Place:
        """The market as it showed itself. Raises Conflict outside `async with`."""
        if self._place is None:
            raise Conflict("The market was not looked up yet.", remedy="Use `async with MarketClient(...)`.")
        return self._place

    @property
    def operator(self) -> bytes:
        """Who runs the market. Raises Conflict outside `async with`."""
        return self.place.operator

    @property
    def until(self) -> int:
        """The last second (UTC) in which what is said now may be brought onto the chain."""
        return self._clock.now() + VALID_S

    @property
    def _net_domain(self) -> Domain:
        """Raises Conflict for a market that settles each contract by itself."""
        if not self.place.net:
            raise Conflict("This market does not net.")
        return m.net_settlement_domain(self._domain.chain_id, self.place.net)

    # Orders and money

    async def offer(
        self,
        wh: int,
        price: int,
        start: int,
        end: int,
        until: int | None = None,
        *,
        partner: bytes = ANYBODY,
        details: OrderDetails | None = None,
    ) -> bytes:
        """Offers energy for [start, end) at `price` or more. Matched until `until`, by default the start. Its id.
        `partner`: for this account alone; `details`: area, kind of energy, conditions (`node.wire.orderdetails`)."""
        return await self._order(Wanted(True, wh, price, start, end, until, partner, details))

    async def request(
        self,
        wh: int,
        price: int,
        start: int,
        end: int,
        until: int | None = None,
        *,
        partner: bytes = ANYBODY,
        details: OrderDetails | None = None,
    ) -> bytes:
        """Asks for energy in [start, end) at `price` or less. Its id. The rest as for `offer`."""
        return await self._order(Wanted(False, wh, price, start, end, until, partner, details))

    async def _order(self, wanted: Wanted) -> bytes:
        message = order_of(wanted, self.account, self.place, self._clock.now())
        domain = self._net_domain if self.place.net else self._domain
        return await self._place_order(message, domain, wanted.details)

    async def _place_order(
        self,
        message: m.Offer | m.Request,
        domain: Domain,
        details: OrderDetails | None = None,
        *,
        agreed: bool = False,
    ) -> bytes:
        order_id = m.digest(message, domain)
        placed, now = Placed(message.terms, message.start, message.end), self._clock.now()
        order = Ordered(order_id, self.account, message.wh, message.price)
        with self._orders.placing(order, self.place, domain.chain_id, now, agreed=agreed, placed=placed):
            signature = await self._signer.sign_message(message, domain)
            body = OrderPlaced(typed=m.typed_data(message, domain), signature=signature, details=details)
            await self._link.send(self.place, "market.order", body.to_json(), VALID_S)
        return order_id

    async def sign_left(self, leaf: bytes, *, again: bool = False) -> bytes:
        """Signs for a line that a netting left out: it becomes a contract of the market's own, which `settle` reports
        and pays like any. `settle` signs for sales, but for those of a day on which something was set off. These and
        what it owes an asset signs here (`waits`), since the library sees no chain: look first that no batch took the
        amount (`money().net`), or it is paid twice. The money goes into the market's own book: `deposit(...,
        own_book=True)`.

        Raises PaymentRefused for what this asset did not order and report, and for a debt for which it signed before,
        unless that order's time is over (a week) and `again` says that no contract came of it. The order's id.
        """
        self._left.require(leaf)
        message = self._left.order(self.left[leaf], self.place, self._clock.now(), self._domain, again=again)
        order_id = await self._place_order(message, self._domain, agreed=True)
        self.left.pop(leaf, None)
        return order_id

    async def cancel(self, order_id: bytes) -> None:
        """Takes an order back, as far as it is not a contract yet."""
        await self._voice.say(m.Cancel(self.account, self.operator, order_id, self.until))

    async def money(self) -> DeskMoney:
        """Minor units in the wallet and in the market's book."""
        found = (await self._link.ask(self.place, self._seen, money=True)).money
        if found is not None:
            return found
        raise Conflict("The market says nothing about money.")

    async def deposit(self, amount: int, patience: int = 60, *, own_book: bool = False) -> None:
        """Moves minor units from the wallet into the market's book; only the named contract can take them. In a market
        that nets it is the book of the net settlement, but for `own_book`.

        Returns once they are in the book: an order that comes before its money is matched late or never. Raises
        NodeUnreachable when that takes longer than `patience` seconds; it may still happen.
        """
        before, net = await self.money(), bool(self.place.net) and not own_book
        spender, chain = self.place.net if net else self._contracts.market, self._domain.chain_id
        message, opening = await deposit_of(self._signer, before, self.operator, spender, amount, chain, self.until)
        if net:
            await self._voice.say(message, opening, kind="market.mandate", domain=self._net_domain)
        else:
            await self._voice.say(message, opening)
        await arrival(self.money, before, amount, patience, net=net)

    async def mandate(self, most_a_day: int, valid_until: int) -> None:
        """In a market that nets: what a day's batch may take of the book there, until the day of `valid_until`; 0
        revokes. It holds once `money` shows it."""
        found, domain = (await self.money()).net, self._net_domain
        if found is None:
            raise Conflict("The market says nothing about its netting.")
        message = m.NetMandate(self.account, self.operator, most_a_day, valid_until, found.serial + 1, self.until)
        await self._voice.say(message, kind="market.mandate", domain=domain)

    # Contracts

    async def look(self) -> tuple[DeskContract, ...]:
        """Contracts of this asset that changed since the last look. All that are not over are in `contracts`, those
        that are to be netted in `netted`."""
        changed: list[DeskContract] = []
        while True:
            answer = await self._link.ask(self.place, self._seen)
            self._seen = (answer.seen_seq, answer.seen_id)
            for each in answer.contracts:
                if self.account not in (each.seller, each.buyer):
                    continue
                changed.append(each)
                self.contracts[each.id] = each
                if each.status in OVER and each.final:
                    del self.contracts[each.id]
            if not answer.more:
                before = self.netted
                self.netted, beyond = allowed(answer.netted, self.account, self._orders)
                self.refused |= dict.fromkeys(beyond, "The contract is beyond the order that it names.")
                self.left = self._left.take(answer, self.place, self.refused)
                return (*changed, *(each for key, each in self.netted.items() if before.get(key) != each))

    async def settle(self, meter: Meter) -> tuple[DeskContract, ...]:
        """One round: looks, then signs whatever its contracts wait for. Returns what changed.

        The seller reports first and the buyer answers; the buyer pays what is final and stands up to its request; the
        seller confirms a final payment. What was said is not said again for as long as it may be on its way. Of what a
        netting left out it signs for sales; `waits` says what it leaves to `sign_left`.
        """
        changed, words, owed = await self.look(), list[Word](), list[DeskContract]()
        for each in self.netted.values():
            if (each.by_seller if each.seller == self.account else each.by_buyer) is None:
                counted = meter(each)
                if counted is not None:
                    await self._report_netted(each, counted)
        for each in list(self.contracts.values()):
            sells = each.seller == self.account
            mine = each.by_seller if sells else each.by_buyer
            if each.status in ("matched", "reported") and mine is None and (sells or each.status == "reported"):
                agreed = self._orders.agreed(each.offer if sells else each.request)
                counted = each.wh if agreed else meter(each)
                if counted is not None:
                    words.append(self._report(each, counted))
            elif each.status == "delivered" and each.final and not sells and self._stands(each):
                owed.append(each)
            elif each.status == "paid" and each.final and sells:
                words.append(self._confirmation(each))
        # A payment asks for the money first; a market that does not answer that must not keep a report from being in
        # time.
        await self._voice.say_once(words)
        if owed:
            await self.pay(owed)
        for leaf in [leaf for leaf, line in self.left.items() if line.due and leaf not in self.waits]:
            try:
                await self.sign_left(leaf)
            except CallerError as refused:  # of this line; the others are none the worse for it
                self.refused[leaf] = str(refused)
        return changed

    @property
    def waits(self) -> dict[bytes, str]:
        """Lines of `left` that `settle` does not sign for, by leaf, and what to look at before `sign_left`."""
        return self._left.waits(self.left)

    async def _report_netted(self, contract: DeskContract, wh: int) -> None:
        """Both partners report by themselves; what the smaller one says counts."""
        if self._voice.on_its_way("netted", contract.id):
            return
        domain = self._net_domain
        message = m.Provision(self.account, self.operator, contract.id, wh, self.until)
        signature, typed = await self._signer.sign_message(message, domain), m.typed_data(message, domain)
        body = NetReported(typed=typed, signature=signature, start=contract.start)
        self._orders.say(contract.id, wh)
        try:
            await self._link.send(self.place, "market.netreport", body.to_json(), VALID_S)
        except CallerError as refused:  # too late, say: the other contracts are none the worse for it
            self.refused[contract.id] = str(refused)
        self._voice.note("netted", [contract.id])

    def _stands(self, contract: DeskContract) -> bool:
        """One bill that was made up must not keep the others from being paid."""
        bill = bill_of(contract)
        try:
            check_bill(bill, self._orders.get(bill.request))
        except PaymentRefused as refused:
            self.refused[contract.id] = str(refused)
            return False
        return True

    async def report(self, contract: DeskContract, wh: int) -> None:
        """Says what was delivered (seller) or used (buyer): the first report, or the answer to it."""
        await self._voice.say_once([self._report(contract, wh)])

    def _report(self, contract: DeskContract, wh: int) -> Word:
        opening = b"\x01" if contract.status == "reported" else b"\x00"
        message = m.Provision(self.account, self.operator, contract.id, wh, self.until)
        return Word(f"report {opening.hex()}", (contract.id,), message, (opening,))

    async def pay(self, contracts: Iterable[DeskContract]) -> None:
        """Pays the oldest of these, up to ten, as far as the money goes (M-53 to M-57).

        Raises PaymentRefused for a bill that this asset did not order; then nothing is paid.
        """
        open_ = [each for each in contracts if not self._voice.on_its_way("pay", each.id)]
        bills = [bill_of(each) for each in open_]
        for bill in bills:
            check_bill(bill, self._orders.get(bill.request))
        if not bills:
            return
        # What is reserved for a contract is no longer in the balance, and costs nothing more (`Bill.cost`).
        funds = 0 if all(each.escrowed for each in open_) else (await self.money()).balance
        chosen = sorted(choose_bills(bills, funds), key=lambda bill: bill.contract_id)
        if chosen:
            ids, amount = tuple(bill.contract_id for bill in chosen), sum(bill.due for bill in chosen)
            message = m.Payment(self.account, self.place.operator, ids, amount, False, self.until)
            await self._voice.say_once([Word("pay", ids, message)])

    async def confirm(self, contract: DeskContract) -> None:
        """Says that the money arrived."""
        await self._voice.say_once([self._confirmation(contract)])

    def _confirmation(self, contract: DeskContract) -> Word:
        return Word("confirm", (contract.id,), m.Confirm(self.account, self.operator, contract.id, self.until))

    async def _send(self, kind: str, body: dict[str, Any]) -> None:
        await self._link.send(self.place, kind, body, VALID_S)
