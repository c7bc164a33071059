"""Contracts page by page, the newest first: by status, by account, by id or time (M-80)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from node.api.settlementviews import ProgressView, TradeQuery, TradeView
from node.app.core import Core
from node.errors import InvalidInput
from node.projection.order import Order
from node.projection.settlement_events import OrderTerms
from node.projection.trade import Trade, TradeStatus
from node.projection.tradedue import seed_of

__all__ = ["TradePages"]

PAGE = 200
SLACK_S = 86_400
"""The chain's time may run back by less than this between two contracts that this node heard of one after the other."""

Row = tuple[int, Trade]


@dataclass(slots=True)
class _Rows:
    """One index read on demand, the newest first."""

    core: Core
    query: TradeQuery
    link: tuple[str, bytes] | None
    waiting: list[Row] = field(default_factory=list)
    before: int | None = None
    over: bool = False

    async def head(self) -> Row | None:
        if not self.waiting and not self.over:
            rows = await self.core.storage.views.page(
                Trade, status=self.query.status, link=self.link, before=self.before, limit=PAGE
            )
            self.waiting, self.over = list(reversed(rows)), len(rows) < PAGE
            self.before = rows[-1][0] if rows else self.before
        return self.waiting[-1] if self.waiting else None


class TradePages:
    """Reads what it shows, and of the rest only what stands between."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def page(self, query: TradeQuery) -> tuple[TradeView, ...]:
        """At most `query.limit` contracts before `query.before`. Raises InvalidInput for a status that is none."""
        if query.status is not None and query.status not in {status.value for status in TradeStatus}:
            raise InvalidInput(f"A contract is {', '.join(TradeStatus)}.", field="status")
        found: list[TradeView] = []
        if query.limit <= 0:
            return ()
        async for number, trade in self._rows(query):
            if not trade.made or not _wanted(trade, query):
                continue
            found.append(_view(number, trade, await self._times(trade)))
            if len(found) == query.limit:
                break
        return tuple(found)

    async def _rows(self, query: TradeQuery) -> AsyncIterator[Row]:
        links = [None] if query.account is None else [("seller", query.account), ("buyer", query.account)]
        sources = [_Rows(self._core, query, link, before=query.before) for link in links]
        while True:
            heads = [(row, source) for source in sources if (row := await source.head()) is not None]
            if not heads:
                return
            row, source = max(heads, key=lambda each: each[0][0])
            source.waiting.pop()
            made = row[1].made
            if query.since is not None and made and made[-1].time < query.since - SLACK_S:
                return
            yield row

    async def _times(self, trade: Trade) -> OrderTerms | None:
        """One of the orders behind a contract, which says when it is delivered."""
        for order_id in (trade.made[-1].offer, trade.made[-1].request):
            order = await self._core.storage.views.one(Order, order_id)
            if order.terms is not None:
                return order.terms
        return None


def _wanted(trade: Trade, query: TradeQuery) -> bool:
    made = trade.made[-1]
    late = query.since is not None and made.time < query.since
    early = query.until is not None and made.time >= query.until
    return not (late or early) and trade.contract_id.hex().startswith(query.begins)


def _view(number: int, trade: Trade, times: OrderTerms | None) -> TradeView:
    terms, delivered = trade.made[-1], trade.delivered
    return TradeView(
        number=number,
        id=trade.contract_id,
        made_at=terms.time,
        status=trade.status.value,
        seed_status=seed_of(trade.status, trade.settled),
        final=trade.settled,
        seller=terms.seller,
        buyer=terms.buyer,
        offer=terms.offer,
        request=terms.request,
        wh=terms.wh,
        price=terms.price,
        amount=terms.amount,
        start=times.start if times else None,
        end=times.end if times else None,
        reported_seller_wh=trade.reported_by(terms.seller),
        reported_buyer_wh=trade.reported_by(terms.buyer),
        delivered_wh=delivered.wh if delivered else None,
        due=delivered.amount if delivered else None,
        paid=trade.paid,
        progress=tuple(
            ProgressView(account=each.account, wh=each.wh, meter_time=each.meter_time) for each in trade.progress
        ),
    )
