"""Settings of energy and money: which contracts this node follows, how often its meter is read, market terms."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from node.config.values import AddressText
from node.wire.orderdetails import Name as MarketName

__all__ = ["MarketTermsSettings", "SettlementSettings"]


class SettlementSettings(BaseModel):
    """The energy token of the community and the market that this node takes part in."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    energy_token: AddressText | None = Field(default=None, description="address of the community's EnergyToken")
    market: AddressText | None = Field(default=None, description="address of the Market contract")
    allowances: AddressText | None = Field(
        default=None, description="address of the Allowances contract, by which an owner funds an asset within caps"
    )
    net_settlement: AddressText | None = Field(
        default=None, description="address of the NetSettlement contract, by which a market nets a day's trades"
    )
    reading_interval_s: int = Field(
        default=900, ge=1, le=86_400, description="seconds between two readings that the meter's device signs"
    )
    offer_ttl_s: int = Field(
        default=86_400, ge=3_600, le=31_536_000, description="seconds for which an offer or a request is valid"
    )
    payment_every_s: int = Field(
        default=10, ge=1, le=86_400, description="seconds between two rounds of the payment queue, ten contracts each"
    )
    answer_after_s: int = Field(
        default=60, ge=1, le=86_400, description="a buyer reports a delivery by itself when the seller has not by then"
    )
    progress_every_s: int = Field(
        default=300,
        ge=0,
        le=86_400,
        description="seconds of a delivery after which an asset writes into the contract's twin what its meter counted "
        "so far, 24 times at the most; 0 for never",
    )


class MarketTermsSettings(BaseModel):
    """What a market operator promises; published on chain and named in every order. Waits in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    start_grace_s: int = Field(default=900, ge=1, description="either side may cancel if nothing was reported")
    provision_grace_s: int = Field(default=3_600, ge=1, description="wait for the second report of a delivery")
    payment_due_s: int = Field(default=86_400, ge=1, description="wait before the first reminder")
    reminder_every_s: int = Field(default=86_400, ge=1, description="wait between reminders and before a claim")
    dispute_window_s: int = Field(default=259_200, ge=1, description="wait in which a claim may be contested")
    ruling_window_s: int = Field(default=604_800, ge=1, description="wait for the arbiter")
    arbiter: AddressText | None = Field(
        default=None, description="account that decides disputes; by default the operator"
    )
    penalty_bps: int = Field(default=0, ge=0, le=10_000, description="penalty of a claim, in 1/10,000 of the amount")
    cancel_bps: int = Field(default=0, ge=0, le=10_000, description="fee of a late cancellation, in 1/10,000")
    notices: bool = Field(
        default=True,
        description="partners are told of their contracts by sealed messages, besides the chain",
    )
    net_after_s: int = Field(
        default=3_600, ge=0, le=86_400, description="seconds after a day's end (UTC) at which its lines are netted"
    )
    anchor_every_s: int = Field(
        default=3_600, ge=1, le=604_800, description="seconds between two roots over the entries of digital twins"
    )
    settle: Literal["gross", "net"] = Field(
        default="gross",
        description="gross: each contract on the chain by itself; net: contracts are netted, one batch a day",
    )
    escrow: bool = Field(
        default=True,
        description="a buyer's amount is reserved when a contract is made; until its first payment there always",
    )
    engine: str = Field(
        default="continuous",
        pattern=r"^[A-Za-z0-9_.-]{1,64}$",
        description="matching engine: continuous, uniform_price, pay_as_bid, seed_1to1, or one of an installed package",
    )
    slot_s: int = Field(default=0, ge=0, le=31_536_000, description="length of a delivery slot; 0 for any time")
    gate_closure_s: int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="wait between gate and delivery, when auctions are held; by default open until the delivery ends",
    )
    areas: tuple[MarketName, ...] = Field(default=(), max_length=64, description="areas that orders may name")
    energies: tuple[MarketName, ...] = Field(
        default=("electric", "thermal"),
        max_length=64,
        description="kinds of energy that orders may name; an asset whose carrier is not here orders nothing",
    )
