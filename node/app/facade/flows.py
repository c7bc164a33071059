"""Energy flows for the REST interface: which households a community reads, and what they gave each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.api.flows import MOST_PAIRS, FlowQuery, FlowRowView, FlowsView, MemberFlowView, PairFlowView
from node.app.core import Core
from node.app.streams.provider import ProviderRole
from node.app.trading.flows import FlowBook, Spent, Unit
from node.errors import Refused
from node.projection.stream import Stream
from node.services.community.flows import Totals

__all__ = ["FlowPart"]

QUARTERS = "electricity/15min"


@dataclass(frozen=True, slots=True)
class FlowPart:
    """Implements `FlowFacade`. Only a community adds its members up."""

    core: Core
    readers: ProviderRole

    async def _units(self) -> Sequence[Unit]:
        grants: dict[bytes, list[bytes]] = {}
        for (sid, grant), reading in self.readers.reading.items():
            if reading.category == QUARTERS:
                grants.setdefault(sid, []).append(grant)
        found = []
        for sid, under in sorted(grants.items()):
            stream = await self.core.storage.views.one(Stream, sid)
            found.append(Unit(sid, tuple(sorted(under)), stream.owner))
        return found

    async def flows(self, query: FlowQuery) -> FlowsView:
        if "community" not in self.core.settings.node.roles:
            raise Refused("This node is no community.", remedy="Ask a node that has this role.")
        units = await self._units()
        book = FlowBook(self.core.storage.channels, self._units)
        rows = await book.flows(query.start, query.end, query.by, pairs=query.pairs)
        return FlowsView(units=len(units), items=tuple(_row(each, query.member) for each in rows))


def _row(spent: Spent, member: bytes | None) -> FlowRowView:
    totals: Totals = spent.totals
    return FlowRowView(
        start=spent.start,
        end=spent.end,
        quarters=spent.quarters,
        partial=spent.partial,
        missing=spent.missing,
        produced_wh=totals.produced,
        consumed_wh=totals.consumed,
        green_wh=totals.green,
        export_wh=totals.exported,
        import_wh=totals.imported,
        members=tuple(
            MemberFlowView(
                member=owner, produced_wh=made, consumed_wh=used, green_wh=green, export_wh=sent, import_wh=used - green
            )
            for owner, (made, used, green, sent) in sorted(totals.members.items())
            if member in (None, owner)
        ),
        pairs=_pairs(totals, member),
    )


def _pairs(totals: Totals, member: bytes | None) -> tuple[PairFlowView, ...]:
    found = [(wh, pair) for pair, wh in (totals.pairs or {}).items() if member is None or member in pair]
    most = sorted(found, key=lambda each: (-each[0], each[1]))[:MOST_PAIRS]
    return tuple(PairFlowView(producer=producer, consumer=consumer, wh=wh) for wh, (producer, consumer) in most)
