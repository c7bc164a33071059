"""The readings of a stream summed by step of time: what a picture of a day needs, in one answer."""

from __future__ import annotations

from typing import Final

from node.api.curveviews import CurveView
from node.api.operations import Call, Operation, Parameter
from node.errors import InvalidInput

__all__ = ["CURVE_OPERATIONS", "MOST_STEPS"]

MOST_STEPS: Final = 400
_SHORTEST: Final = 60
_LONGEST: Final = 32 * 86_400


async def _curve(call: Call) -> CurveView:
    start, end = call.period()
    step = call.values.get("step", 900)
    if step < _SHORTEST or end - start > min(_LONGEST, MOST_STEPS * step):
        raise InvalidInput(
            f"A curve has at most {MOST_STEPS} steps of {_SHORTEST} s or more, and 32 days.",
            field="step",
            remedy="Choose a longer step, or ask for less.",
        )
    return await call.facade.curve(call.values["sid"], start, end, step)


CURVE_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/api/v1/streams/{sid}/curve",
        "getCurve",
        "read",
        "Readings summed by step of time",
        _curve,
        CurveView,
        tag="streams",
        parameters=(
            Parameter("sid", "hash", "stream id", "path"),
            Parameter("from", "time", "meter times from here on"),
            Parameter("to", "time", "meter times before"),
            Parameter("step", "number", "seconds, at least 60; 900 by default"),
        ),
    ),
)
