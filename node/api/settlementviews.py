"""Energy and money as the REST interface shows and takes them: sources, orders, contracts. Wh, mWh, minor units."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from node.api.values import AddressHex, Form, HashHex, UnixTime, View

__all__ = [
    "AskedSourceView",
    "DepositForm",
    "EnergyView",
    "JoinForm",
    "LevelView",
    "MarketView",
    "OrderForm",
    "OrderView",
    "ShareForm",
    "SlotView",
    "SourceForm",
    "SourceView",
    "TermsView",
    "TradeView",
]

Wh = Field(gt=0, lt=2**63, description="watt-hours")
Price = Field(ge=0, lt=2**80, description="minor units of the money per kWh")


class SourceForm(Form):
    """A gateway's meter as a source of a community's token."""

    community: str = Field(pattern=r"^https?://", max_length=512, description="address of the community's node")
    max_power_w: int = Field(gt=0, lt=2**40, description="greatest power of the source in W")
    shares: int = Field(default=1_000_000, gt=0, lt=2**63, description="shares, which its owner gets")


class ShareForm(Form):
    """Shares of a source for somebody else. What they earned so far stays with this node's wallet."""

    source: int = Field(gt=0, lt=2**53)
    receiver: AddressHex
    shares: int = Field(gt=0, lt=2**63)


class SourceView(View):
    """A registered source, and what this node's wallet has of it."""

    source: int
    state: str
    owner: AddressHex
    device: AddressHex
    counter_wh: int = Field(description="the counter at the newest reading")
    readings: int = Field(description="number of the newest reading")
    minted_mwh: int = Field(description="energy that its readings minted in all")
    shares: int = Field(description="shares of this node's wallet")
    claimable_mwh: int = Field(description="energy that these shares earned and that is not claimed")


class AskedSourceView(View):
    """A source that waits for a yes: of its owner, or of the community."""

    source: int
    owner: AddressHex
    device: AddressHex
    max_power_w: int
    shares: int
    waits_for: Literal["owner", "community"]


class EnergyView(View):
    """The community's token as this node sees it."""

    token: AddressHex
    account: AddressHex
    balance_mwh: int = Field(description="energy that this node's wallet has claimed or received")
    supply_mwh: int = Field(description="energy of everybody, claimed or not")
    sources: tuple[SourceView, ...]
    asked: tuple[AskedSourceView, ...]


class OrderForm(Form):
    """An offer or a request of this gateway's asset."""

    market: str = Field(pattern=r"^https?://", max_length=512, description="address of the market's node")
    side: Literal["offer", "request"]
    wh: int = Wh
    price: int = Price
    start: UnixTime = Field(description="begin of the delivery")
    end: UnixTime = Field(description="end of the delivery")
    valid_until: UnixTime | None = Field(default=None, description="by default the begin of the delivery")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start >= self.end:
            raise ValueError("end must be later than start")
        return self


class OrderView(View):
    """An offer or a request, at the asset that made it or at the market."""

    id: HashHex
    side: Literal["offer", "request"]
    state: str
    account: AddressHex
    wh: int
    filled_wh: int
    price: int
    start: UnixTime
    end: UnixTime
    valid_until: UnixTime


class TradeView(View):
    """A contract, as the chain has it. `status` is the contract's, `seed_status` what the life cycle calls it."""

    id: HashHex
    status: str
    seed_status: str
    final: bool
    seller: AddressHex
    buyer: AddressHex
    offer: HashHex
    request: HashHex
    wh: int
    price: int
    start: UnixTime | None = Field(description="begin of the delivery, where this node knows one of the orders")
    end: UnixTime | None
    reported_seller_wh: int | None
    reported_buyer_wh: int | None
    delivered_wh: int | None
    due: int | None
    paid: int


class JoinForm(Form):
    """A market to trade in."""

    market: str = Field(pattern=r"^https?://", max_length=512, description="address of the market's node")


class DepositForm(Form):
    """Money of this gateway's asset for a market's book."""

    market: str = Field(pattern=r"^https?://", max_length=512)
    amount: int = Field(gt=0, lt=2**80, description="minor units")


class MarketView(View):
    """A market in which this asset trades."""

    operator: AddressHex
    account: AddressHex = Field(description="this asset's account there")
    wallet: int = Field(description="minor units in that account's wallet")
    balance: int = Field(description="minor units in the market's book, without what is reserved")


class TermsView(View):
    """Who operates this market, and the id of its terms on chain."""

    operator: AddressHex
    terms: HashHex
    market: AddressHex


class LevelView(View):
    """One price of one side of the book."""

    price: int
    wh: int
    orders: int


class SlotView(View):
    """The book of one time of delivery, the best prices first."""

    start: UnixTime
    end: UnixTime
    offers: tuple[LevelView, ...]
    requests: tuple[LevelView, ...]
