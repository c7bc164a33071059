"""The operation of energy flows: who used whose production, by quarter of an hour, day, month or year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import Field

from node.api.operations import Call, Operation, Parameter
from node.api.values import AddressHex, UnixTime, View
from node.errors import InvalidInput, NotFound

__all__ = [
    "FLOW_OPERATIONS",
    "MOST_PAIRS",
    "FlowFacade",
    "FlowQuery",
    "FlowRowView",
    "FlowsView",
    "MemberFlowView",
    "PairFlowView",
]

_BY: Final = ("quarter", "day", "month", "year")
MOST_PAIRS: Final = 1_000


class MemberFlowView(View):
    """One member in one period. green + import = consumed; produced - export went to members, itself included."""

    member: AddressHex
    produced_wh: int
    consumed_wh: int
    green_wh: int
    export_wh: int
    import_wh: int


class PairFlowView(View):
    """What one member used of what another one, or itself, fed in."""

    producer: AddressHex
    consumer: AddressHex
    wh: int


class FlowRowView(View):
    """One period. green + export = produced and green + import = consumed, to the Wh."""

    start: UnixTime
    end: UnixTime
    quarters: int = Field(description="quarter hours of which something was measured")
    partial: int = Field(description="measurements with a part missing, or that no checkpoint covers yet")
    missing: int = Field(description="measurements that are not there, of households read now")
    produced_wh: int
    consumed_wh: int
    green_wh: int = Field(description="what members used of what members fed in")
    export_wh: int
    import_wh: int
    members: tuple[MemberFlowView, ...]
    pairs: tuple[PairFlowView, ...] = Field(
        default=(), description=f"who used whose production, the most first, {MOST_PAIRS:,} at most; only if asked for"
    )


class FlowsView(View):
    """Flows of the households whose quarter hours this community reads."""

    units: int = Field(description="households read now")
    items: tuple[FlowRowView, ...]


@dataclass(frozen=True, slots=True)
class FlowQuery:
    """[start, end) in seconds UTC, `by` quarter, day, month or year; one member (20 bytes) or all; with who used whose
    production or without."""

    start: int
    end: int
    by: str = "day"
    member: bytes | None = None
    pairs: bool = False


class FlowFacade(Protocol):
    """Errors as in `node.api.facade`."""

    async def flows(self, query: FlowQuery) -> FlowsView: ...


async def _flows(call: Call) -> FlowsView:
    start, end = call.period()
    by, pairs = call.choice("by", _BY, "day"), call.choice("pairs", ("yes", "no"), "no") == "yes"
    if pairs and by == "quarter":
        raise InvalidInput("Who used whose production is told by day, month or year.", field="pairs")
    query = FlowQuery(start, end, by, call.account("member"), pairs)
    if call.settlement is None:
        raise NotFound("This node settles nothing.")
    facade: FlowFacade = call.settlement.flows
    return await facade.flows(query)


FLOW_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/api/v1/energy/flows",
        "getFlows",
        "read",
        "Who used whose production (community)",
        _flows,
        FlowsView,
        tag="energy",
        parameters=(
            Parameter("from", "time", "quarter hours that begin then or later"),
            Parameter("to", "time", "quarter hours that begin before"),
            Parameter("by", "text", "quarter, day (the default), month or year"),
            Parameter("member", "text", "only this member beside the community"),
            Parameter("pairs", "text", "yes for who used whose production; not by quarter"),
        ),
    ),
)
