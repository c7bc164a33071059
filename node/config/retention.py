"""Settings of retention: how long a node keeps the readings that it opened."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["RetentionSettings"]


class RetentionSettings(BaseModel):
    """How long opened readings are kept, with the keys to them. Commits and the log of who had access stay."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    raw_days: int = Field(default=7, ge=1, le=36_500, description="own values of every second are kept for so long")
    quarter_days: int = Field(
        default=1_096, ge=1, le=36_500, description="own values of intervals, a quarter of an hour or an hour, likewise"
    )
    consent_days: int | None = Field(
        default=None, ge=1, le=36_500, description="values read under consents of others, likewise; none: without limit"
    )
