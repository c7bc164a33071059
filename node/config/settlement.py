"""Settings of energy and money: which contracts this node follows, how often its meter is read, market terms."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from node.config.values import AddressText

__all__ = ["MarketTermsSettings", "SettlementSettings"]


class SettlementSettings(BaseModel):
    """The energy token of the community and the market that this node takes part in."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    energy_token: AddressText | None = Field(default=None, description="address of the community's EnergyToken")
    market: AddressText | None = Field(default=None, description="address of the Market contract")
    reading_interval_s: int = Field(
        default=900, ge=1, le=86_400, description="seconds between two readings that the meter's device signs"
    )
    answer_after_s: int = Field(
        default=60, ge=1, le=86_400, description="a buyer reports a delivery by itself when the seller has not by then"
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
    penalty_bps: int = Field(default=0, ge=0, le=10_000, description="penalty of a claim, in 1/10,000 of the amount")
    cancel_bps: int = Field(default=0, ge=0, le=10_000, description="fee of a late cancellation, in 1/10,000")
    escrow: bool = Field(default=True, description="a buyer's amount is reserved when a contract is made")
