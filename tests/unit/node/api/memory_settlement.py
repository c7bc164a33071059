"""Energy and money of a node in memory: what the REST interface and the commands are tried against."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.api.settlementviews import (
    AskedSourceView,
    DepositForm,
    EnergyView,
    JoinForm,
    LevelView,
    MarketView,
    OrderForm,
    OrderView,
    ShareForm,
    SlotView,
    SourceForm,
    SourceView,
    TermsView,
    TradeView,
)
from node.api.views import ActionView
from node.errors import NotFound
from node.types import to_hex

__all__ = ["CONTRACT", "OPERATOR", "ORDER", "SOURCE", "MemorySettlement"]

SOURCE = 2**52 + 5
OPERATOR, ASSET, OTHER = b"\x0a" * 20, b"\x0b" * 20, b"\x0c" * 20
ORDER, REQUEST, CONTRACT = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32


def _done(digest: bytes) -> ActionView:
    return ActionView(state="queued", digest=digest, transaction=to_hex(digest))


@dataclass
class MemoryEnergy:
    said: list[object] = field(default_factory=list)

    async def energy(self) -> EnergyView:
        source = SourceView(
            source=SOURCE, state="active", owner=ASSET, device=OTHER, counter_wh=1_234_567, readings=3,
            minted_mwh=2_500_000, shares=600_000, claimable_mwh=1_500_000,
        )  # fmt: skip
        asked = AskedSourceView(source=7, owner=ASSET, device=OTHER, max_power_w=6_000, shares=1_000, waits_for="owner")
        return EnergyView(
            token=OTHER, account=ASSET, balance_mwh=1_000_000, supply_mwh=2_500_000, sources=(source,), asked=(asked,)
        )

    async def propose(self, form: SourceForm) -> int:
        self.said.append(form)
        return SOURCE

    async def accept(self, source: int) -> None:
        if source != SOURCE:
            raise NotFound("No source of this number was proposed.")
        self.said.append(("accept", source))

    async def approve(self, source: int) -> ActionView:
        self.said.append(("approve", source))
        return _done(ORDER)

    async def send_shares(self, form: ShareForm) -> ActionView:
        self.said.append(form)
        return _done(ORDER)

    async def claim(self, source: int) -> ActionView:
        self.said.append(("claim", source))
        return _done(ORDER)


@dataclass
class MemoryMarket:
    said: list[object] = field(default_factory=list)

    async def orders(self) -> tuple[OrderView, ...]:
        return (
            OrderView(
                id=ORDER, side="offer", state="open", account=ASSET, wh=1_500, filled_wh=500, price=200, start=1_000,
                end=1_900, valid_until=1_000,
            ),
        )  # fmt: skip

    async def order(self, form: OrderForm) -> OrderView:
        self.said.append(form)
        return (await self.orders())[0]

    async def trades(self) -> tuple[TradeView, ...]:
        return (
            TradeView(
                id=CONTRACT, status="delivered", seed_status="Payment requested", final=True, seller=ASSET, buyer=OTHER,
                offer=ORDER, request=REQUEST, wh=500, price=200, start=1_000, end=1_900, reported_seller_wh=480,
                reported_buyer_wh=480, delivered_wh=480, due=96, paid=0,
            ),
        )  # fmt: skip

    async def markets(self) -> tuple[MarketView, ...]:
        return (MarketView(operator=OPERATOR, account=ASSET, wallet=5, balance=6),)

    async def join(self, form: JoinForm) -> MarketView:
        self.said.append(form)
        return (await self.markets())[0]

    async def deposit(self, form: DepositForm) -> ActionView:
        self.said.append(form)
        return _done(ORDER)

    async def terms(self) -> TermsView:
        return TermsView(operator=OPERATOR, terms=ORDER, market=OTHER)

    async def book(self) -> tuple[SlotView, ...]:
        level = LevelView(price=200, wh=1_000, orders=2)
        return (SlotView(start=1_000, end=1_900, offers=(level,), requests=()),)


@dataclass
class MemorySettlement:
    energy: MemoryEnergy = field(default_factory=MemoryEnergy)
    market: MemoryMarket = field(default_factory=MemoryMarket)
