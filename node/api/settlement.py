"""The operations of energy and money: sources and shares, orders and contracts."""

from __future__ import annotations

import re
from typing import Protocol

from node.api.flows import FLOW_OPERATIONS, FlowFacade
from node.api.listing import Page
from node.api.marketdata import MARKET_DATA_OPERATIONS, MarketDataFacade
from node.api.operations import PAGE_PARAMETERS, Answer, Call, Operation, Parameter
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
    SourceYesForm,
    TermsView,
    TradeQuery,
    TradeView,
)
from node.api.statements import STATEMENT_OPERATIONS, StatementFacade
from node.api.twins import TWIN_OPERATIONS, TwinFacade
from node.api.views import ActionView, Items
from node.errors import InvalidInput, NotFound
from node.wire.desk import DeskAnswer, DeskQuestion

__all__ = ["SETTLEMENT_OPERATIONS", "EnergyFacade", "MarketFacade", "SettlementParts"]


class EnergyFacade(Protocol):
    """Sources of a community, readings and shares. Errors as in `node.api.facade`."""

    async def energy(self) -> EnergyView: ...

    async def propose(self, form: SourceForm) -> int:
        """Gateway: its meter as a source; the number that it gets."""
        ...

    async def accept(self, source: int, digest: bytes | None) -> None:
        """Home: the owner's yes, to the proposal of this digest if one is given. Conflict where it is another one."""
        ...

    async def approve(self, source: int, digest: bytes | None) -> ActionView:
        """Community: the registrar's yes, likewise."""
        ...

    async def send_shares(self, form: ShareForm) -> ActionView: ...

    async def claim(self, source: int) -> ActionView: ...


class MarketFacade(Protocol):
    """Orders and contracts, at an asset and at a market. Errors as in `node.api.facade`."""

    async def orders(self, before: int | None, limit: int) -> Page[OrderView]: ...

    async def order(self, form: OrderForm) -> OrderView: ...

    async def trades(self, query: TradeQuery) -> tuple[TradeView, ...]: ...

    async def markets(self) -> tuple[MarketView, ...]: ...

    async def join(self, form: JoinForm) -> MarketView: ...

    async def deposit(self, form: DepositForm) -> ActionView: ...

    async def terms(self) -> TermsView: ...

    async def book(self) -> tuple[SlotView, ...]: ...

    async def desk(self, question: DeskQuestion) -> DeskAnswer:
        """Market: an account's contracts and money, for itself."""
        ...


class SettlementParts(Protocol):
    """Both, as the application hands them over."""

    @property
    def energy(self) -> EnergyFacade: ...

    @property
    def market(self) -> MarketFacade: ...

    @property
    def data(self) -> MarketDataFacade: ...

    @property
    def statements(self) -> StatementFacade: ...

    @property
    def flows(self) -> FlowFacade: ...

    @property
    def twins(self) -> TwinFacade: ...


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
    await _parts(call).energy.accept(call.values["source"], call.form(SourceYesForm).digest)
    return Answer(None)


async def _approve(call: Call) -> ActionView:
    return await _parts(call).energy.approve(call.values["source"], call.form(SourceYesForm).digest)


async def _shares(call: Call) -> ActionView:
    return await _parts(call).energy.send_shares(call.form(ShareForm))


async def _claim(call: Call) -> ActionView:
    return await _parts(call).energy.claim(call.values["source"])


async def _orders(call: Call) -> Page[OrderView]:
    return await _parts(call).market.orders(*call.page())


async def _order(call: Call) -> OrderView:
    return await _parts(call).market.order(call.form(OrderForm))


async def _trades(call: Call) -> Items[TradeView]:
    values = call.values
    begins = str(values.get("id", "")).lower().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-f]{0,64}", begins):
        raise InvalidInput("id is the beginning of a contract's id in hex.", field="id")
    query = TradeQuery(
        min(values.get("limit", 500), _MOST_TRADES),
        values.get("before"),
        values.get("status"),
        call.account("account"),
        begins,
        values.get("from"),
        values.get("to"),
    )
    return Items(items=await _parts(call).market.trades(query))


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


async def _desk(call: Call) -> DeskAnswer:
    return await _parts(call).market.desk(call.form(DeskQuestion))


_API = "/api/v1"
_MOST_TRADES = 1_000
_TRADE_PARAMETERS = (
    Parameter("limit", "count", "at most 1000; 500 by default"),
    Parameter("before", "number", "the last number of the former page"),
    Parameter("status", "text", "matched, reported, delivered, paid, confirmed, claimed, ..."),
    Parameter("account", "text", "address of one of the partners"),
    Parameter("id", "text", "beginning of a contract's id"),
    Parameter("from", "time", "made then or later"),
    Parameter("to", "time", "made before"),
)
_SOURCE = Parameter("source", "number", "number of the source", "path")

# fmt: off
SETTLEMENT_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", f"{_API}/energy", "getEnergy", "read", "Sources, shares and tokens", _energy, EnergyView,
              tag="energy"),
    Operation("POST", f"{_API}/energy/sources", "proposeSource", "admin", "Propose this meter as a source (gateway)",
              _propose, dict, SourceForm, 201, tag="energy"),
    Operation("POST", f"{_API}/energy/sources/{{source}}/accept", "acceptSource", "admin",
              "The owner's yes to a proposed source (home)", _accept, None, SourceYesForm, 204, tag="energy",
              parameters=(_SOURCE,)),
    Operation("POST", f"{_API}/energy/sources/{{source}}/approve", "approveSource", "admin",
              "Admit a source (community)", _approve, ActionView, SourceYesForm, 202, tag="energy",
              parameters=(_SOURCE,)),
    Operation("POST", f"{_API}/energy/shares", "sendShares", "admin", "Send shares of a source", _shares, ActionView,
              ShareForm, 202, tag="energy"),
    Operation("POST", f"{_API}/energy/sources/{{source}}/claim", "claimEnergy", "admin",
              "Claim what the shares earned", _claim, ActionView, status=202, tag="energy", parameters=(_SOURCE,)),
    Operation("GET", f"{_API}/market/orders", "listOrders", "read", "Offers and requests, the newest first", _orders,
              Page[OrderView], tag="market", parameters=PAGE_PARAMETERS),
    Operation("POST", f"{_API}/market/orders", "placeOrder", "admin", "Offer or request energy (gateway)", _order,
              OrderView, OrderForm, 201, tag="market"),
    Operation("GET", f"{_API}/market/trades", "listTrades", "read",
              "Contracts, the newest first, page by page (M-80)", _trades, Items[TradeView], tag="market",
              parameters=_TRADE_PARAMETERS),
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
    *MARKET_DATA_OPERATIONS,
    Operation("POST", f"{_API}/market/desk", "askDesk", "open",
              "Contracts and money of the account that signs the question (market)", _desk, DeskAnswer, DeskQuestion,
              tag="market"),
    *STATEMENT_OPERATIONS,
    *TWIN_OPERATIONS,
    *FLOW_OPERATIONS,
)
# fmt: on
