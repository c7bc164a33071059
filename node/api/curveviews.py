"""The readings of a stream summed by step of time, as the interface shows them."""

from __future__ import annotations

from pydantic import Field

from node.api.values import HashHex, UnixTime, View

__all__ = ["CurveStepView", "CurveView", "QuantityView"]


class QuantityView(View):
    """One value over a step: the mean is `sum` / `count`, a register moved by `last` - `first`."""

    count: int = Field(ge=1)
    first: int
    last: int
    low: int
    high: int
    sum: int


class CurveStepView(View):
    """A step in which something was measured. Names of values as in `ReadingView`."""

    start: UnixTime
    readings: int
    values: dict[str, QuantityView]


class CurveView(View):
    """Steps in order; those without a reading are left out."""

    sid: HashHex
    start: UnixTime
    end: UnixTime
    step: int
    items: tuple[CurveStepView, ...]
