"""Settings of settlement statements: tariffs of imbalance and grid, and which account lies in which area."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from node.config.values import AddressText, TextList, Time
from node.wire.orderdetails import ELECTRIC, Name

__all__ = ["AreaSettings", "GridFeeSettings", "StatementSettings", "TariffSettings"]

_Area = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[A-Za-z0-9-]+$")]
_Price = Annotated[int, Field(ge=0, lt=2**80)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class GridFeeSettings(_Part):
    """What buyers in one area pay for its grid: an amount per kWh, or a share of the energy's amount."""

    area: _Area
    per_kwh: _Price = Field(default=0, description="minor units per kWh")
    bps: int = Field(default=0, ge=0, le=10_000, description="1/10,000 of the energy's amount")
    to: AddressText | None = Field(default=None, description="who gets it; the market's operator by default")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.per_kwh and self.bps:
            raise ValueError("a grid fee is per_kwh or bps, not both")
        return self


class TariffSettings(_Part):
    """Prices in minor units per kWh for deliveries of its carriers that begin at `since` or later."""

    since: Annotated[Time, Field(ge=0, lt=2**40)] = 0
    shortfall: _Price = Field(default=0, description="for agreed energy not delivered or not taken, to the operator")
    feed_in: _Price = Field(default=0, description="for energy beyond the agreed, to the seller")
    overdraw: _Price = Field(default=0, description="for energy beyond the agreed, from the buyer")
    fees: tuple[GridFeeSettings, ...] = ()
    carriers: tuple[Name, ...] = Field(
        default=(ELECTRIC,), min_length=1, description="kinds of energy that it is for, as orders name them"
    )


class AreaSettings(_Part):
    """Accounts that lie in an area other than the usual one."""

    area: _Area
    accounts: tuple[AddressText, ...] = Field(min_length=1)


class StatementSettings(_Part):
    """Settlement statements of a market: the usual area, tariffs (never changed, only followed by newer), areas."""

    area: str = Field(
        default="", max_length=16, pattern=r"^[A-Za-z0-9-]*$", description="EIC code of the area of most accounts"
    )
    tariffs: Annotated[tuple[TariffSettings, ...], *TextList] = Field(
        default=(),
        description="prices of imbalance and grid fees from a time on; of electricity, or of `carriers`",
    )
    areas: Annotated[tuple[AreaSettings, ...], *TextList] = Field(
        default=(), description="accounts that lie in other areas"
    )

    @model_validator(mode="after")
    def _once(self) -> Self:
        begins = [(carrier, tariff.since) for tariff in self.tariffs for carrier in tariff.carriers]
        if len(set(begins)) != len(begins):
            raise ValueError("two tariffs of one carrier begin at one time")
        accounts = [account for each in self.areas for account in each.accounts]
        if len(set(accounts)) != len(accounts):
            raise ValueError("areas names an account twice")
        for tariff in self.tariffs:
            if len({fee.area for fee in tariff.fees}) != len(tariff.fees):
                raise ValueError("a tariff names an area twice")
        return self
