"""The operations of energy and money: sources and shares, orders and contracts."""

from __future__ import annotations

from typing import Protocol

from node.api.operations import Answer, Call, Operation, Parameter
from node.api.settlementviews import (
    DepositForm,
    EnergyView,
    JoinForm,
    MarketView,
    OrderForm,
    OrderView,
    ShareForm,
    SlotView,
    SourceForm,
    TermsView,
    TradeView,
)
from node.api.views import ActionView, Items
from node.errors import NotFound

__all__ = ["SETTLEMENT_OPERATIONS", "EnergyFacade", "MarketFacade", "SettlementParts"]


class EnergyFacade(Protocol):
    """Sources of a community, readings and shares. Errors as in `node.api.facade`."""

    async def energy(self) -> EnergyView: ...

    async def propose(self, form: SourceForm) -> int:
        """Gateway: its meter as a source; the number that it gets."""
        ...

    async def accept(self, source: int) -> None:
        """Home: the owner's yes."""
        ...

    async def approve(self, source: int) -> ActionView:
        """Community: the registrar's yes."""
        ...

    async def send_shares(self, form: ShareForm) -> ActionView: ...

    async def claim(self, source: int) -> ActionView: ...


class MarketFacade(Protocol):
    """Orders and contracts, at an asset and at a market. Errors as in `node.api.facade`."""

    async def orders(self) -> tuple[OrderView, ...]: ...

    async def order(self, form: OrderForm) -> OrderView: ...

    async def trades(self) -> tuple[TradeView, ...]: ...

    async def markets(self) -> tuple[MarketView, ...]: ...

    async def join(self, form: JoinForm) -> MarketView: ...

    async def deposit(self, form: DepositForm) -> ActionView: ...

    async def terms(self) -> TermsView: ...

    async def book(self) -> tuple[SlotView, ...]: ...


class SettlementParts(Protocol):
    """Both, as the application hands them over."""

    @property
    def energy(self) -> EnergyFacade: ...

    @property
    def market(self) -> MarketFacade: ...


def _parts(call: Call) -> SettlementParts:
    if call.settlement is None:
        raise NotFound("This node settles nothing.")
    parts: SettlementParts = call.settlement
    return parts


async def _energy(call: Call) -> EnergyView:
    return await _parts(call).energy.energy()


async def _propose(call: Call) -> Answer:
    return Answer({"source": await _parts(call).energy.propose(call.form(SourceForm))})


async def _accept(call: Call) -> Answer:
    await _parts(call).energy.accept(call.values["source"])
    return Answer(None)


async def _approve(call: Call) -> ActionView:
    return await _parts(call).energy.approve(call.values["source"])


async def _shares(call: Call) -> ActionView:
    return await _parts(call).energy.send_shares(call.form(ShareForm))


async def _claim(call: Call) -> ActionView:
    return await _parts(call).energy.claim(call.values["source"])


async def _orders(call: Call) -> Items[OrderView]:
    return Items(items=await _parts(call).market.orders())


async def _order(call: Call) -> OrderView:
    return await _parts(call).market.order(call.form(OrderForm))


async def _trades(call: Call) -> Items[TradeView]:
    return Items(items=await _parts(call).market.trades())


async def _markets(call: Call) -> Items[MarketView]:
    return Items(items=await _parts(call).market.markets())


async def _join(call: Call) -> MarketView:
    return await _parts(call).market.join(call.form(JoinForm))


async def _deposit(call: Call) -> ActionView:
    return await _parts(call).market.deposit(call.form(DepositForm))


async def _terms(call: Call) -> TermsView:
    return await _parts(call).market.terms()


async def _book(call: Call) -> Items[SlotView]:
    return Items(items=await _parts(call).market.book())


_API = "/api/v1"
_SOURCE = Parameter("source", "number", "number of the source", "path")

# fmt: off
SETTLEMENT_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", f"{_API}/energy", "getEnergy", "read", "Sources, shares and tokens", _energy, EnergyView,
              tag="energy"),
    Operation("POST", f"{_API}/energy/sources", "proposeSource", "admin", "Propose this meter as a source (gateway)",
              _propose, dict, SourceForm, 201, tag="energy"),
    Operation("POST", f"{_API}/energy/sources/{{source}}/accept", "acceptSource", "admin",
              "The owner's yes to a proposed source (home)", _accept, None, status=204, tag="energy",
              parameters=(_SOURCE,)),
    Operation("POST", f"{_API}/energy/sources/{{source}}/approve", "approveSource", "admin",
              "Admit a source (community)", _approve, ActionView, status=202, tag="energy", parameters=(_SOURCE,)),
    Operation("POST", f"{_API}/energy/shares", "sendShares", "admin", "Send shares of a source", _shares, ActionView,
              ShareForm, 202, tag="energy"),
    Operation("POST", f"{_API}/energy/sources/{{source}}/claim", "claimEnergy", "admin",
              "Claim what the shares earned", _claim, ActionView, status=202, tag="energy", parameters=(_SOURCE,)),
    Operation("GET", f"{_API}/market/orders", "listOrders", "read", "Offers and requests", _orders, Items[OrderView],
              tag="market"),
    Operation("POST", f"{_API}/market/orders", "placeOrder", "admin", "Offer or request energy (gateway)", _order,
              OrderView, OrderForm, 201, tag="market"),
    Operation("GET", f"{_API}/market/trades", "listTrades", "read", "Contracts", _trades, Items[TradeView],
              tag="market"),
    Operation("GET", f"{_API}/market/accounts", "listMarketAccounts", "read", "Markets of this asset, and its money",
              _markets, Items[MarketView], tag="market"),
    Operation("POST", f"{_API}/market/accounts", "joinMarket", "admin", "Trade in a market (gateway)", _join,
              MarketView, JoinForm, 201, tag="market"),
    Operation("POST", f"{_API}/market/deposits", "deposit", "admin", "Put money into a market's book (gateway)",
              _deposit, ActionView, DepositForm, 202, tag="market"),
    Operation("GET", f"{_API}/market/terms", "getTerms", "open", "Who operates this market, and its terms", _terms,
              TermsView, tag="market"),
    Operation("GET", f"{_API}/market/book", "getBook", "read", "The order book by time of delivery (market)", _book,
              Items[SlotView], tag="market"),
)
# fmt: on
