"""What a market's netting left out, at the asset: it signs for it once more, and it is paid or received by itself.

A buyer signs only what no batch can take as well, by what is final on the chain. Where there is a batch of that day,
the chain shows what it moved: it must have moved nothing of this buyer, and all that the buyer itself sold: as it was
agreed, and without what was left out of that as well, which counts as left out once it has its own contract on chain
or the agreed time to wait for it is over (see `LeftSales`).
Where there is no batch, the mandate is renewed first, after which none may take anything for that day any more.

Lines that lead back to where they came from are set off by the market, so nobody waits for itself. Each party checks
that as much went off its claims as off its debts; then its balance with all others is what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from keys import messages as m
from keys.parcel import Parcel
from node.app.core import Core, canonical, peer_of
from node.app.inbox import Inbox, Kept
from node.app.trading.assetnetbook import Held
from node.app.trading.assetnetcontracts import AssetNetContracts
from node.app.trading.assetnetsales import LeftSale, LeftSales
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.app.trading.netforms import contract_of
from node.app.trading.netlines import net_domain_of
from node.app.trading.orderterms import terms_named
from node.errors import Conflict, Refused
from node.ledger.netting import NetState, NetViews
from node.projection.order import Order, OrderStatus
from node.projection.settlement_events import OrderTerms, RequestedOrder
from node.projection.trade import Trade, TradeStatus
from node.projection.tradedue import OVER
from node.services.market.netcontracts import NetContract
from node.services.market.netting import DAY
from node.services.market.waiting import OLDEST_DAYS
from node.wire.settlement import NetCounted, NetLeftOut, OrderPlaced, SignedMessage

__all__ = ["AssetNetLeft"]

_log = structlog.get_logger(__name__)

LEFT = "asset_net_left"
"""Namespace of facts: lines that were left out, by leaf: as the market told it, and what this asset signed for it."""

CLOSED = "asset_net_left_closed"
"""Namespace of facts: the same, long after nobody can sign for them any more."""

LASTS_S = 7 * DAY
KEPT_DAYS = OLDEST_DAYS + 10
"""So long a line is at hand, and for as long as its contract runs."""

EARLY_S = 300
"""So much before now its time begins: clocks differ, and the chain takes no report before."""

AGAIN_S, HOUR = 60, 3_600


class AssetNetLeft:
    """Lines are read once and followed from then on."""

    def __init__(self, core: Core, voice: AssetVoice, netted: AssetNetContracts) -> None:
        self._core = core
        self._voice = voice
        self._netted = netted
        self.sales = LeftSales(core)
        self._reading = asyncio.Lock()
        self._known: dict[bytes, tuple[NetLeftOut, bytes]] | None = None
        self._agreed: dict[bytes, int] = {}
        self._again: dict[bytes, int] = {}
        self.waits: dict[bytes, str] = {}
        """Why a line is not signed, by its leaf."""

    def register(self, inbox: Inbox) -> None:
        inbox.on("asset.netleft", self._take)

    async def all(self) -> dict[bytes, tuple[NetLeftOut, bytes]]:
        """Lines by leaf, each with the order that this asset signed for it, empty before."""
        if self._known is None:
            async with self._reading:
                if self._known is None:
                    self._known = await self._read()
        return self._known

    async def shown(self) -> dict[bytes, tuple[NetLeftOut, bytes]]:
        """The same, with those that are not at hand any more."""
        return await self._kept(CLOSED) | await self.all()

    async def _kept(self, space: str) -> dict[bytes, tuple[NetLeftOut, bytes]]:
        return {
            bytes.fromhex(leaf): (NetLeftOut.model_validate(each["body"]), bytes.fromhex(each["order"]))
            for leaf, each in (await self._core.storage.memory.facts.all(space)).items()
        }

    async def _read(self) -> dict[bytes, tuple[NetLeftOut, bytes]]:
        known = await self._kept(LEFT)
        self._agreed = {order: body.ordered[0] for body, order in known.values() if order}
        return known

    def agreed(self, order_id: bytes) -> int | None:
        """Wh that an order pays for, which no meter has to count once more; None for any other order."""
        return self._agreed.get(order_id)

    # What the market says

    async def _take(self, parcel: Parcel) -> Kept:
        body = NetLeftOut.model_validate(parcel.body)
        if parcel.sender != bytes(body.operator) or parcel.sender not in await self._voice.markets():
            raise Refused("This asset does not trade in that market.")
        sales, body = body.sales, body.model_copy(update={"sales": ()})
        await self._check(body, await self._contracts(body))
        leaf, known = bytes(body.leaf), await self.all()
        before, order = known.get(leaf, (body, b""))
        if body.model_copy(update={"reminders": 0, "claimed": False}) != before.model_copy(
            update={"reminders": 0, "claimed": False}
        ):
            raise Conflict("Something else was told of that line before.", remedy="The first word counts.")
        if any(other != leaf and _key(body) == _key(each) for other, (each, _) in known.items()):
            # A day has one line for all that a request takes of a seller at a price.
            raise Conflict("That line was told under another leaf before.", remedy="The first word counts.")
        if body.reminders or body.claimed:
            _log.warning("net_line_unpaid", leaf=leaf.hex(), reminders=body.reminders, claimed=body.claimed)
        known[leaf] = (body, order)
        await self._counted(body, sales)
        for other, (each, _) in known.items():
            if (bytes(each.operator), each.period) == (bytes(body.operator), body.period):
                self._again.pop(other, None)  # what a line waits for may be another one of its day
        return Kept((), (_fact(body, order),))

    async def _contracts(self, body: NetLeftOut) -> dict[bytes, NetContract]:
        """The contracts of this asset that the line is for."""
        account = self._voice.signer(bytes(body.operator)).address
        found = {key: contract_of(each.made) for key, each in (await self._netted.book.day(body.period)).items()}
        return {
            key: each
            for key, each in found.items()
            if (bytes(body.operator), each.request, each.seller, each.buyer, each.price, each.day) == _key(body)
            and account in (each.seller, each.buyer)
        }

    async def _check(self, body: NetLeftOut, contracts: Mapping[bytes, NetContract]) -> None:
        """Raises Refused for a line beyond what this asset has contracts for."""
        if not contracts:
            raise Refused("This asset has no such contract.", field="request")
        if body.wh > sum(each.wh for each in contracts.values()):
            raise Refused("The line is for more than the contracts.", field="wh")
        if body.amount > body.wh * body.price // 1000:
            raise Refused("The line is for more than its energy at its price.", field="amount")
        if body.due > body.amount:
            raise Refused("More is owed than the line is for.", field="owed")
        if body.terms is not None and bytes(body.terms) != await self._terms(contracts):
            raise Refused("This asset's order named other terms.", field="terms")
        if self._too_old(body):
            raise Refused("That day is too long ago.", field="period")

    async def _terms(self, contracts: Mapping[bytes, NetContract]) -> bytes:
        """The terms that this asset's own order named: they hold for what it becomes, whatever the market promises now.
        A market matches orders of the same terms only."""
        for each in contracts.values():
            for order_id in (each.offer, each.request):
                order = await self._core.storage.views.one(Order, order_id)
                named = terms_named(order) if order.own else None
                if named is not None:
                    return named
        raise Refused("This asset made no such order.", field="request")

    async def _counted(self, body: NetLeftOut, sales: Sequence[NetCounted]) -> None:
        """What counts of what this asset sold on the day, by its market's word: agreed to where it is right."""
        held = await self._netted.book.day(body.period)
        for sale in sales:
            known = held.get(bytes(sale.contract))
            story = await self._netted.story(bytes(sale.contract)) if known is not None and known.due is None else None
            if story is not None and story.operator == bytes(body.operator):
                await self._netted.agree(story, (sale.wh, sale.wh * story.price // 1000))

    def _too_old(self, body: NetLeftOut) -> bool:
        return self._core.clock.now() // DAY - body.period > OLDEST_DAYS

    # Steps

    async def step(self) -> None:
        """Signs what is owed and cannot be taken in another way."""
        views, now = self._core.chain.netting, self._core.clock.now()
        if views is None:
            return
        for leaf, (body, order_id) in list((await self.all()).items()):
            if self._again.get(leaf, 0) > now:
                continue
            self._again[leaf] = now + AGAIN_S
            if now // DAY - body.period > KEPT_DAYS:
                await self._put_away(leaf, body, order_id)
                continue
            if not body.due or (order_id and not await self._in_vain(order_id)):
                continue
            account = self._voice.signer(bytes(body.operator)).address
            sells = account == bytes(body.seller)
            if await self._netted.book.counted(await self._contracts(body)) not in (None, (body.wh, body.amount)):
                self._not_yet(body, "It is for something else than what counts of its contracts.")
            elif await (self._asks(views, body, account) if sells else self._owes(views, body, account)):
                await self._sign(body, sells=sells)

    async def _put_away(self, leaf: bytes, body: NetLeftOut, order_id: bytes) -> None:
        trades = await self._contracts_of(order_id) if order_id else []
        if all(each.status in OVER and each.settled for each in trades):
            (_, name, value) = _fact(body, order_id)
            await self._core.storage.memory.keep((), [(LEFT, name, None), (CLOSED, name, value)])
            (await self.all()).pop(leaf, None)
            self._agreed.pop(order_id, None)
            self._again.pop(leaf, None)
            self.waits.pop(leaf, None)

    async def _in_vain(self, order_id: bytes) -> bool:
        """Whether an order is over without a contract, or with one that was cancelled for good. A market that refuses
        one is asked again an hour later, not every minute."""
        order = await self._core.storage.views.one(Order, order_id)
        status = order.status
        if status is OrderStatus.REFUSED:
            return self._core.clock.now() >= order.at + HOUR
        if status is not OrderStatus.FILLED:
            return status is not OrderStatus.OPEN
        trades = await self._contracts_of(order_id)
        return bool(trades) and all(each.status is TradeStatus.CANCELLED and each.settled for each in trades)

    async def stands_for(self) -> dict[bytes, bytes]:
        """The order that was signed for a line -> the own order of the netted contracts that the line is of."""
        if self._core.chain.netting is None:
            return {}
        found = dict[bytes, bytes]()
        for body, order_id in (await self.shown()).values():
            sells = self._voice.signer(bytes(body.operator)).address == bytes(body.seller)
            offers = [each.offer for each in (await self._contracts(body)).values()] if sells and order_id else []
            if order_id and (offers or not sells):
                found[order_id] = offers[0] if sells else bytes(body.request)
        return found

    async def _contracts_of(self, order_id: bytes) -> list[Trade]:
        return [trade for _, trade in await self._core.storage.views.page(Trade, link=("order", order_id))]

    async def _asks(self, views: NetViews, body: NetLeftOut, account: bytes) -> bool:
        """Whether a sale may be signed for. There is nothing to lose by it, unless a debt was set off against it that a
        batch may have taken."""
        if not await self._balanced(body, account):
            return False
        off = any(each.due < each.amount for each, _ in await self._day(body, account))
        return not off or await self._left(views, body, account)

    async def _owes(self, views: NetViews, body: NetLeftOut, account: bytes) -> bool:
        """Whether no batch took the line, or can take it; and it is for no more than this asset said it used."""
        held, contracts = await self._netted.book.day(body.period), await self._contracts(body)
        if body.wh > sum(
            said["wh"] if (said := held[key].said) is not None else held[key].made.wh for key in contracts
        ):
            return self._not_yet(body, "It is for more than this asset reported.")
        if not await self._balanced(body, account) or not await self._left(views, body, account):
            return False
        kept = await views.batch(bytes(body.operator), body.period, at=self._core.chain.final)
        if kept in (NetState.NONE, NetState.VOID):
            return True
        left = [
            LeftSale(each, order, await self._contracts(each))
            for each, order in await self._day(body, account)
            if bytes(each.seller) == account and each.due
        ]
        reason = await self.sales.keep(views, body, await self._terms(contracts), left)
        return not reason or self._not_yet(body, reason)

    async def _day(self, body: NetLeftOut, account: bytes) -> list[tuple[NetLeftOut, bytes]]:
        """All that was left out of a day and concerns this asset, with the orders that it signed."""
        return [
            (each, order)
            for each, order in (await self.all()).values()
            if (each.operator, each.period) == (body.operator, body.period)
            and account in (bytes(each.seller), bytes(each.buyer))
        ]

    async def _balanced(self, body: NetLeftOut, account: bytes) -> bool:
        """Whether as much was set off of this asset's debts as of its claims: then it gives and gets nothing by it,
        which it can tell without knowing the debts of others."""
        off = {True: 0, False: 0}
        for each, _ in await self._day(body, account):
            off[bytes(each.seller) == account] += each.amount - each.due
        return off[True] == off[False] or self._not_yet(body, "More is set off on one side than on the other.")

    async def _left(self, views: NetViews, body: NetLeftOut, account: bytes) -> bool:
        """Whether no batch took what this asset owes for the day, or can take it, by what is final on the chain."""
        operator, at = bytes(body.operator), self._core.chain.final
        if self._too_old(body):
            return self._not_yet(body, "That day is too long ago: the chain may not have its batch any more.")
        if at < body.block:
            return self._not_yet(body, "The day's batch is not final yet.")
        kept = await views.batch(operator, body.period, at=at)
        if kept is NetState.NONE:
            locked = await self._locked(views, operator, account, body.period)
            return locked or self._not_yet(body, "The mandate is renewed first, so that no batch can take it as well.")
        if kept is NetState.VOID:
            return True
        moved = await views.moved(operator, body.period, body.block)
        if moved is None:
            return self._not_yet(body, "The day's batch is not where the market says.")
        if not await self._sure_of_sales(body, account):
            return False
        earned = await self._earned(body, account)
        if moved.get(await views.number(operator, account), 0) == earned:
            return True
        return self._not_yet(body, "By what the day's batch moved it may have been paid already.")

    def _not_yet(self, body: NetLeftOut, reason: str) -> bool:
        leaf = bytes(body.leaf)
        if self.waits.get(leaf) != reason:
            _log.warning("net_line_not_signed", leaf=leaf.hex(), reason=reason)
            self.waits[leaf] = reason
        return False

    async def _earned(self, body: NetLeftOut, account: bytes) -> int:
        """What counts of what this asset sold on a day, without what was left out of it."""
        sold = await self._sold(body, account)
        left = sum(each.amount for each, _ in await self._day(body, account) if bytes(each.seller) == account)
        return sum(held.due[1] for held in sold.values() if held.due is not None) - left

    async def _sold(self, body: NetLeftOut, account: bytes) -> dict[bytes, Held]:
        """The contracts in which this asset sells on a day."""
        return {
            key: held
            for key, held in (await self._netted.book.day(body.period)).items()
            if (held.made.operator, bytes(held.made.seller)) == (body.operator, account)
        }

    async def _sure_of_sales(self, body: NetLeftOut, account: bytes) -> bool:
        """Whether it is agreed what counts of all that this asset sold on that day."""
        for key, held in (await self._sold(body, account)).items():
            said = held.said
            if said is not None and said["wh"] and not said.get("refused") and held.due is None:
                self._netted.look_again(key)  # its twin may have told while nobody looked
                return self._not_yet(body, "It is not agreed yet what counts of what this asset sold on that day.")
        return True

    async def _locked(self, views: NetViews, operator: bytes, account: bytes, period: int) -> bool:
        """A mandate that is set anew is for no day before yesterday any more; neither is one that a later day used."""
        if (await views.member(operator, account, at=self._core.chain.final)).last_period >= period:
            return True
        known = await views.member(operator, account)
        if known.last_period >= period:  # on its way to be final
            return False
        domain = net_domain_of(self._core)
        deadline = self._core.clock.now() + VALID_S
        until = known.until_period * DAY
        message = m.NetMandate(account, operator, known.max_debit, until, known.serial + 1, deadline)
        signature = await self._voice.signer(operator).sign_message(message, domain)
        body = SignedMessage(typed=m.typed_data(message, domain), signatures=(signature,))
        peer = peer_of((await self._voice.markets())[operator].card)
        await self._voice.post.send(peer, "market.mandate", body.to_json(), VALID_S)
        return False

    async def _sign(self, body: NetLeftOut, *, sells: bool) -> None:
        """An order for the line and for its partner alone, by its nonce known as that."""
        operator, now = bytes(body.operator), self._core.clock.now()
        joined, domain = (await self._voice.markets())[operator], self._voice.domain()
        signer, until, (wh, price) = self._voice.signer(operator), now + LASTS_S, body.ordered
        kind = m.Offer if sells else m.Request
        message = kind(
            account=signer.address,
            operator=operator,
            terms=await self._terms(await self._contracts(body)),
            partner=bytes(body.buyer if sells else body.seller),
            device=bytes(20),
            wh=wh,
            price=price,
            start=now - EARLY_S,
            end=until,
            nonce=int.from_bytes(body.leaf, "big"),
            deadline=until,
        )
        signature = await signer.sign_message(message, domain)
        order_id, typed = m.digest(message, domain), m.typed_data(message, domain)
        placed = OrderPlaced(typed=typed, signature=signature, card=self._core.card)
        terms = OrderTerms(sells, signer.address, wh, price, now - EARLY_S, until, until)
        texts = m.stored_form(message, domain), signature, canonical(placed.to_json())
        event = RequestedOrder(order_id, terms, *texts, peer_of(joined.card), now)
        await self._core.storage.memory.keep([event], (_fact(body, order_id),))
        (await self.all())[bytes(body.leaf)] = (body, order_id)
        self._agreed[order_id] = wh
        self.waits.pop(bytes(body.leaf), None)
        self._core.wake()


def _key(body: NetLeftOut) -> tuple[bytes, bytes, bytes, bytes, int, int]:
    """What there is one line for."""
    parties = (bytes(body.seller), bytes(body.buyer))
    return (bytes(body.operator), bytes(body.request), *parties, body.price, body.period)


def _fact(body: NetLeftOut, order: bytes) -> tuple[str, str, Any]:
    return LEFT, bytes(body.leaf).hex(), {"body": body.to_json(), "order": order.hex()}
