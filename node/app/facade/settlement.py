"""Energy and money for the REST interface: looked up in the projection, balances on the chain."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from keys import messages as m
from node.api.listing import Page
from node.api.settlementviews import (
    AskedSourceView,
    DepositForm,
    EnergyView,
    JoinForm,
    MarketView,
    OrderForm,
    OrderView,
    ShareForm,
    SlotView,
    SourceForm,
    SourceView,
    TermsView,
    TradeQuery,
    TradeView,
)
from node.api.views import ActionView
from node.app.core import Core
from node.app.facade.assets import AssetsPart
from node.app.facade.flows import FlowPart
from node.app.facade.jobs import JobsPart
from node.app.facade.lifecycle import LifePart
from node.app.facade.marketdata import MarketDataPart, shown_levels
from node.app.facade.marketplace import MarketplacePart
from node.app.facade.netting import NettingPart
from node.app.facade.statements import StatementPart
from node.app.facade.tradepages import TradePages
from node.app.facade.twins import TwinPart
from node.app.parcels import UNPROVEN
from node.app.submissions import submission_of
from node.app.trading.askedsources import (
    ACCEPTED,
    APPLIED,
    APPROVED,
    PROPOSED,
    SENT,
    AskedSource,
    asked_sources,
)
from node.app.trading.asset import AssetRole
from node.app.trading.community import CommunityRole
from node.app.trading.market import MarketRole
from node.app.trading.orderwaits import waiting_orders
from node.app.trading.sources import ENERGY_OFF, OwnedSources, SourceMeter
from node.errors import Conflict, NotFound, Refused
from node.ledger.energy import EnergyViews, Position, energy_call
from node.ledger.market import MarketViews
from node.projection.order import Order, OrderStatus, seed_of_order
from node.projection.source import Source
from node.services.asset.orders import ANYBODY, Wanted
from node.types import to_hex
from node.wire.desk import DeskAnswer, DeskQuestion
from node.wire.orderdetails import ConditionBody, OrderDetails, new_salt

__all__ = ["EnergyPart", "MarketPart", "Settlement"]

MANY = 500
_DOUBTED = "Refused without proof, so it stands and is asked again; cancel it to have its energy back. {}"
VALID_S = 86_400


def _lacks(role: str) -> Refused:
    return Refused(f"This node is no {role}.", remedy="Ask a node that has this role.")


@dataclass(frozen=True, slots=True)
class EnergyPart:
    """Implements `EnergyFacade`; None for what this node has no role for."""

    core: Core
    meter: SourceMeter | None
    owned: OwnedSources | None
    community: CommunityRole | None

    def _views(self) -> EnergyViews:
        if self.core.chain.energy is None:
            raise NotFound(ENERGY_OFF, remedy="Set settlement.energy_token.")
        return self.core.chain.energy

    async def energy(self) -> EnergyView:
        views, account = self._views(), self.core.keys.identity.wallet().address
        sources, before = list[SourceView](), None
        while rows := await self.core.storage.views.page(Source, before=before, limit=MANY):
            known = [source for _, source in rows if source.counts]
            numbers = [int.from_bytes(source.source, "big") for source in known]
            positions = await views.positions(numbers, account) if numbers else []
            sources += [_source(*each) for each in zip(numbers, known, positions, strict=True)]
            before = rows[-1][0]
        return EnergyView(
            token=views.address,
            account=account,
            balance_mwh=await views.balance(account),
            supply_mwh=await views.supply(),
            sources=tuple(sources),
            asked=tuple(_asked(each) for each in (await self._asked()).values()),
        )

    async def _asked(self) -> dict[int, AskedSource]:
        """By number; where one node has several roles, what the last of them to say yes knows."""
        kept = (
            (SENT, self.meter),
            (PROPOSED, self.owned),
            (ACCEPTED, self.owned),
            (APPLIED, self.community),
            (APPROVED, self.community),
        )
        found: dict[int, AskedSource] = {}
        for namespace, role in kept:
            if role is not None:
                found |= await asked_sources(self.core, namespace)
        return found

    async def waiting(self) -> int:
        """How many sources wait for the yes of this node's person."""
        own = {"owner": self.owned, "community": self.community}
        return sum(own.get(each.waits_for) is not None for each in (await self._asked()).values())

    async def propose(self, form: SourceForm) -> int:
        if self.meter is None:
            raise _lacks("gateway")
        return await self.meter.propose(form.community, form.max_power_w, form.shares)

    async def accept(self, source: int, digest: bytes | None) -> None:
        if self.owned is None:
            raise _lacks("home")
        await self.owned.accept(source, digest)

    async def approve(self, source: int, digest: bytes | None) -> ActionView:
        if self.community is None:
            raise _lacks("community")
        return _queued(await self.community.approve(source, digest))

    async def send_shares(self, form: ShareForm) -> ActionView:
        wallet, now = self.core.keys.identity.wallet(), self.core.clock.now()
        (position,) = await self._views().positions([form.source], wallet.address)
        if form.shares > position.shares:
            raise Conflict(
                f"Of source {form.source} this household has {position.shares} shares.",
                field="shares",
                remedy="`wattpact energy show` tells how many there are.",
            )
        message = m.TransferShares(
            wallet.address, form.receiver, form.source, form.shares, secrets.randbits(256), now + VALID_S
        )
        domain = m.energy_domain(self.core.settings.chain.chain_id, self._views().address)
        return await self._submit(message, [await wallet.sign_message(message, domain)])

    async def claim(self, source: int) -> ActionView:
        account = self.core.keys.identity.wallet().address
        if not await self._views().claimable(source, account):
            raise NotFound("There is nothing to claim.", remedy="`wattpact energy show` tells when there is.")
        # A claim has no nonce, so its digest is the same every time: each gets a key of its own.
        call = energy_call(self._views().address, m.ClaimEnergy(account, source), (), ())
        key = secrets.token_bytes(32)
        await self.core.chain.sender.submit(key, call)
        return _queued(key)

    async def _submit(self, message: m.Message, signatures: list[bytes]) -> ActionView:
        domain = m.energy_domain(self.core.settings.chain.chain_id, self._views().address)
        wish = submission_of(self.core, message, signatures, domain=domain)
        await self.core.storage.memory.keep([wish])
        self.core.wake()
        return _queued(wish.digest)


def _source(number: int, source: Source, held: Position) -> SourceView:
    last = source.last
    assert last is not None  # noqa: S101 (only registered sources are shown)
    return SourceView(
        source=number,
        state=source.status.value,
        owner=source.owner,
        device=source.device,
        max_power_w=source.max_power_w,
        counter_wh=last.counter_wh,
        readings=last.index,
        read_at=last.meter_time or None,
        minted_mwh=source.minted,
        shares=held.shares,
        all_shares=held.all_shares,
        claimable_mwh=held.claimable,
    )


def _asked(asked: AskedSource) -> AskedSourceView:
    message, community = asked.message, asked.proposal.community
    return AskedSourceView(
        source=message.source,
        owner=message.owner,
        device=message.device,
        max_power_w=message.max_power_w,
        shares=message.shares,
        waits_for=asked.waits_for,
        initial_counter_wh=message.initial_counter,
        deadline=message.deadline,
        community=community.name,
        community_url=community.inbox_url,
        digest=asked.digest,
        typed_data=asked.proposal.typed,
    )


def _queued(digest: bytes) -> ActionView:
    return ActionView(state="queued", digest=digest, transaction=to_hex(digest))


@dataclass(frozen=True, slots=True)
class MarketPart:
    """Implements `MarketFacade`; None for what this node has no role for."""

    core: Core
    asset: AssetRole | None
    operator: MarketRole | None

    async def orders(self, before: int | None, limit: int) -> Page[OrderView]:
        """Newest first; one that is known by its id alone is not shown, so a page may have fewer than `limit`, and one
        more where a match told of two that were not known."""
        views = self.core.storage.views
        rows = await views.page(Order, before=before, limit=limit)
        open_ = [order.order_id.hex() for _, order in rows if order.own and order.status is OrderStatus.OPEN]
        doubts = await self.core.storage.memory.facts.many(UNPROVEN, open_) if open_ else {}
        known = [order for _, order in rows if order.terms is not None]
        waits = await waiting_orders(self.asset.voice, known) if self.asset is not None else {}
        shown = tuple(_order(each, doubts.get(each.order_id.hex()), waits.get(each.order_id, "")) for each in known)
        older = await views.page(Order, before=rows[-1][0], limit=1) if rows else []
        return Page(items=shown, next=rows[-1][0] if older else None)

    async def order(self, form: OrderForm) -> OrderView:
        if self.asset is None:
            raise _lacks("gateway")
        await self.asset.require_running()
        wanted = Wanted(
            form.side == "offer",
            form.wh,
            form.price,
            form.start,
            form.end,
            form.valid_until,
            form.partner or ANYBODY,
            _details(form),
        )
        order_id = await self.asset.order(form.market, wanted)
        made = await self.core.storage.views.one(Order, order_id)
        return _order(made, waits=(await waiting_orders(self.asset.voice, [made])).get(order_id, ""))

    async def trades(self, query: TradeQuery) -> tuple[TradeView, ...]:
        return await TradePages(self.core).page(query)

    async def markets(self) -> tuple[MarketView, ...]:
        if self.asset is None or self.core.chain.market is None:
            return ()
        views = self.core.chain.market
        return tuple([await self._market(self.asset, views, operator) for operator in await self.asset.markets()])

    async def join(self, form: JoinForm) -> MarketView:
        if self.asset is None or self.core.chain.market is None:
            raise _lacks("gateway with a market")
        return await self._market(self.asset, self.core.chain.market, await self.asset.join(form.market))

    async def _market(self, asset: AssetRole, views: MarketViews, operator: bytes) -> MarketView:
        account, money = asset.account(operator).address, await views.money()
        card = (await asset.markets())[operator].card
        return MarketView(
            operator=operator,
            name=card.name,
            url=card.inbox_url,
            account=account,
            wallet=await money.balance(account),
            balance=await views.balance(operator, account),
        )

    async def deposit(self, form: DepositForm) -> ActionView:
        if self.asset is None:
            raise _lacks("gateway")
        return _queued(await self.asset.deposit(form.market, form.amount))

    async def terms(self) -> TermsView:
        if self.operator is None or self.core.chain.market is None:
            raise NotFound("This node is no market.", remedy="Ask a market's node, by its address.")
        chosen = self.core.settings.market
        said = chosen.model_dump(include=TermsView.model_fields.keys() - {"arbiter"})
        return TermsView(
            operator=self.operator.operator,
            terms=self.operator.terms_id,
            market=self.core.chain.market.address,
            net_settlement=self.core.chain.netting.address if self.core.chain.netting is not None else None,
            arbiter=chosen.arbiter or self.operator.operator,
            **said,
        )

    async def desk(self, question: DeskQuestion) -> DeskAnswer:
        if self.operator is None:
            raise _lacks("market")
        return await self.operator.desk.answer(question)

    async def book(self) -> tuple[SlotView, ...]:
        if self.operator is None:
            raise _lacks("market")
        found = []
        matching = self.operator.matching
        for slot in matching.slots():
            offers, requests = matching.depth((slot.start, slot.end))
            found.append(
                SlotView(start=slot.start, end=slot.end, offers=shown_levels(offers), requests=shown_levels(requests))
            )
        return tuple(found)


def _details(form: OrderForm) -> OrderDetails | None:
    """What the order's nonce will commit to; None where the form says nothing."""
    if form.area is None and form.energy is None and not form.conditions:
        return None
    return OrderDetails(
        salt=new_salt(),
        area=form.area,
        energy=form.energy,
        conditions=tuple(
            ConditionBody(
                partners=each.partners, areas=each.areas, energies=each.energies, price=each.price, wh=each.wh
            )
            for each in form.conditions
        ),
    )


def _order(order: Order, doubt: str | None = None, waits: str = "") -> OrderView:
    """`doubt`: why somebody said that it is refused, without the market's signature; `waits`: what it lacks."""
    terms = order.terms
    if terms is None:
        raise NotFound("There is no order with this id.")
    details = OrderDetails.model_validate_json(order.details) if order.details else None
    return OrderView(
        id=order.order_id,
        side="offer" if terms.sells else "request",
        state=order.status.value,
        reason=order.refused if order.status is OrderStatus.REFUSED else _DOUBTED.format(doubt) if doubt else "",
        waits=waits,
        seed_status=seed_of_order(order),
        account=terms.account,
        wh=terms.wh,
        filled_wh=order.filled,
        price=terms.price,
        start=terms.start,
        end=terms.end,
        valid_until=terms.until,
        timestamp=order.at or None,
        area=details.area if details is not None else None,
        energy=details.energy if details is not None else None,
    )


@dataclass(frozen=True, slots=True)
class Settlement:
    """All parts, for the application."""

    energy: EnergyPart
    market: MarketPart
    data: MarketDataPart
    statements: StatementPart
    flows: FlowPart
    twins: TwinPart
    marketplace: MarketplacePart
    jobs: JobsPart
    life: LifePart
    assets: AssetsPart
    netting: NettingPart
