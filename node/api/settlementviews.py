"""Energy and money as the REST interface shows and takes them: sources, orders, contracts. Wh, mWh, minor units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from node.api.values import AddressHex, Form, HashHex, UnixTime, View
from node.wire.orderdetails import Name as MarketName

__all__ = [
    "AskedSourceView",
    "ConditionForm",
    "DepositForm",
    "EnergyView",
    "JoinForm",
    "LevelView",
    "MarketView",
    "OrderForm",
    "OrderView",
    "ProgressView",
    "ShareForm",
    "SlotView",
    "SourceForm",
    "SourceView",
    "SourceYesForm",
    "TermsView",
    "TradeQuery",
    "TradeView",
]

Wh = Field(gt=0, lt=2**63, description="watt-hours")
Price = Field(ge=0, lt=2**80, description="minor units of the money per kWh")


class SourceForm(Form):
    """A gateway's meter as a source of a community's token."""

    community: str = Field(pattern=r"^https?://", max_length=512, description="address of the community's node")
    max_power_w: int = Field(gt=0, lt=2**40, description="greatest power of the source in W")
    shares: int = Field(default=1_000_000, gt=0, lt=2**63, description="shares, which its owner gets")


class SourceYesForm(Form):
    """A yes to one proposal, as it was seen: another one under the same number is not signed."""

    digest: HashHex | None = Field(default=None, description="`digest` of the proposal that was looked at")


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
    max_power_w: int
    counter_wh: int = Field(description="the counter at the newest reading")
    readings: int = Field(description="number of the newest reading")
    read_at: UnixTime | None = Field(description="meter time of the newest reading; null before the first")
    minted_mwh: int = Field(description="energy that its readings minted in all")
    shares: int = Field(description="shares of this node's wallet")
    all_shares: int = Field(description="shares of everybody; 0 where none were issued yet")
    claimable_mwh: int = Field(description="energy that these shares earned and that is not claimed")


class AskedSourceView(View):
    """A source that is not registered yet, until its time runs out, and exactly what is signed for it."""

    source: int
    owner: AddressHex
    device: AddressHex
    max_power_w: int
    shares: int
    waits_for: Literal["owner", "community", "chain"] = Field(
        description="whose yes comes next, as far as this node knows; chain where it was the last one's"
    )
    initial_counter_wh: int = Field(description="the counter from which energy is minted")
    deadline: UnixTime = Field(description="the chain takes it until then")
    community: str = Field(description="name that the community gives itself")
    community_url: str
    digest: HashHex = Field(description="what a signature covers")
    typed_data: dict[str, Any] = Field(description="the EIP-712 document that owner, device and community sign")


class EnergyView(View):
    """The community's token as this node sees it."""

    token: AddressHex
    account: AddressHex
    balance_mwh: int = Field(description="energy that this node's wallet has claimed or received")
    supply_mwh: int = Field(description="energy of everybody, claimed or not")
    sources: tuple[SourceView, ...]
    asked: tuple[AskedSourceView, ...]


class ConditionForm(Form):
    """One of several that are joined by "or"; an empty list asks for nothing (G-5)."""

    partners: tuple[AddressHex, ...] = Field(default=(), max_length=16, description="accounts of the market")
    areas: tuple[MarketName, ...] = Field(default=(), max_length=16)
    energies: tuple[MarketName, ...] = Field(default=(), max_length=16)
    price: int | None = Field(
        default=None, ge=0, lt=2**80, description="an offer's least or a request's highest price under this condition"
    )
    wh: int | None = Field(
        default=None, gt=0, lt=2**63, description="what may be filled of the order in all when this condition is used"
    )


class OrderForm(Form):
    """An offer or a request of this gateway's asset."""

    market: str = Field(pattern=r"^https?://", max_length=512, description="address of the market's node")
    side: Literal["offer", "request"]
    wh: int = Wh
    price: int = Price
    start: UnixTime = Field(description="begin of the delivery")
    end: UnixTime = Field(description="end of the delivery")
    partner: AddressHex | None = Field(default=None, description="the only account that it may be matched with")
    area: MarketName | None = Field(default=None, description="where it is, as the market names its areas")
    energy: MarketName | None = Field(default=None, description="what kind of energy it is, as the market names them")
    conditions: tuple[ConditionForm, ...] = Field(
        default=(), max_length=8, description="whom it takes; at least one must hold"
    )
    valid_until: UnixTime | None = Field(
        default=None, description="by default settlement.offer_ttl_s; never into the delivery"
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start >= self.end:
            raise ValueError("end must be later than start")
        return self


class OrderView(View):
    """An offer or a request, at the asset that made it or at the market (M-21, M-22). `seed_status`: what the life
    cycle calls its state; `reason`: why its market refused it; `waits`: why an open one makes no contract as things
    stand; `area`, `energy`: what its details say, if they say any."""

    id: HashHex
    side: Literal["offer", "request"]
    state: str
    reason: str = ""
    waits: str = ""
    seed_status: str = ""
    account: AddressHex
    wh: int
    filled_wh: int
    price: int
    start: UnixTime
    end: UnixTime
    valid_until: UnixTime
    timestamp: UnixTime | None = Field(default=None, description="when the asset made it, or the market took it in")
    area: str | None = None
    energy: str | None = None


class ProgressView(View):
    """Wh that the own meter had counted for a contract at its time, on the side of `account` (M-43)."""

    account: AddressHex
    wh: int
    meter_time: UnixTime


class TradeView(View):
    """A contract, as the chain has it. `status` is the contract's, `seed_status` what the life cycle calls it."""

    number: int = Field(description="pages: `before` this one come older contracts")
    id: HashHex
    made_at: UnixTime = Field(description="time of the block in which it was made")
    status: str
    seed_status: str
    final: bool
    seller: AddressHex
    buyer: AddressHex
    offer: HashHex
    request: HashHex
    wh: int
    price: int = Field(description="minor units per kWh")
    amount: int = Field(description="minor units for all of it (A-17)")
    start: UnixTime | None = Field(description="begin of the delivery, where this node knows one of the orders")
    end: UnixTime | None
    reported_seller_wh: int | None
    reported_buyer_wh: int | None
    delivered_wh: int | None
    due: int | None
    paid: int
    progress: tuple[ProgressView, ...] = Field(default=(), description="during the delivery, by the own meter")


@dataclass(frozen=True, slots=True)
class TradeQuery:
    """Which contracts: of one status, of one account, whose id begins so (hex), made in [since, until)."""

    limit: int = 500
    before: int | None = None
    status: str | None = None
    account: bytes | None = None
    begins: str = ""
    since: int | None = None
    until: int | None = None


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
    name: str = Field(description="as the market calls itself")
    url: str = Field(description="address of its node; empty where it can be reached over the broker only")
    account: AddressHex = Field(description="this asset's account there")
    wallet: int = Field(description="minor units in that account's wallet")
    balance: int = Field(description="minor units in the market's book, without what is reserved")


class TermsView(View):
    """Who operates this market, the id of its terms on chain, what these say, and which orders it takes. Seconds."""

    operator: AddressHex
    terms: HashHex
    market: AddressHex
    settle: Literal["gross", "net"] = Field(
        default="gross", description="net: orders are signed for the net settlement"
    )
    net_settlement: AddressHex | None = Field(
        default=None, description="the contract in which a market that nets settles"
    )
    engine: str = Field(default="", description="how it matches; empty where that is not said")
    slot_s: int = Field(default=0, description="length of a delivery, at multiples of it; 0 for any time")
    gate_closure_s: int | None = Field(default=None, description="wait between gate and delivery; null for none")
    areas: tuple[str, ...] = Field(default=(), description="areas that orders may name")
    energies: tuple[str, ...] | None = Field(default=None, description="kinds of energy that orders may name")
    arbiter: AddressHex | None = None
    start_grace_s: int | None = Field(default=None, description="either side may cancel if nothing was reported")
    provision_grace_s: int | None = Field(default=None, description="wait for the second report of a delivery")
    payment_due_s: int | None = Field(default=None, description="wait before the first reminder")
    reminder_every_s: int | None = Field(default=None, description="wait between reminders and before a claim")
    dispute_window_s: int | None = Field(default=None, description="wait in which a claim may be contested")
    ruling_window_s: int | None = Field(default=None, description="wait for the arbiter")
    penalty_bps: int | None = Field(default=None, description="penalty of a claim, in 1/10,000 of the amount")
    cancel_bps: int | None = Field(default=None, description="fee of a late cancellation, in 1/10,000")
    escrow: bool | None = Field(default=None, description="a buyer's amount is reserved when a contract is made")


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
