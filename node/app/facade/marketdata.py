"""Prices and the live book for the REST interface: from the market's own memory, contracts from the projection."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from node.api.marketdata import FillView, LiveSlotView, MarketWatch, SlotPricesView
from node.api.settlementviews import LevelView
from node.app.core import Core
from node.app.trading.market import MarketRole
from node.app.trading.matching import Matching
from node.errors import Refused
from node.projection.trade import Trade
from node.services.market.engine import Level
from node.services.market.prices import SlotPrices, Times

__all__ = ["MarketDataPart", "shown_levels"]

MOST_LEVELS = 100
"""Prices of each side of a live slot; the whole book is at /market/book."""


def shown_levels(levels: tuple[Level, ...]) -> tuple[LevelView, ...]:
    """As the REST interface shows them."""
    return tuple(LevelView(price=level.price, wh=level.wh, orders=level.orders) for level in levels)


def _prices(found: SlotPrices) -> SlotPricesView:
    return SlotPricesView(
        start=found.times[0],
        end=found.times[1],
        contracts=found.contracts,
        wh=found.wh,
        amount=found.amount,
        low=found.low,
        high=found.high,
        mean=found.mean,
    )


@dataclass(frozen=True, slots=True)
class MarketDataPart:
    """Implements `MarketDataFacade`; None where this node is no market."""

    core: Core
    operator: MarketRole | None

    def _matching(self) -> Matching:
        if self.operator is None:
            raise Refused("This node is no market.", remedy="Ask a node that has this role.")
        return self.operator.matching

    def prices(self, since: int, until: int) -> tuple[SlotPricesView, ...]:
        return tuple(_prices(found) for found in self._matching().prices.slots(since, until))

    async def fills(self, before: int | None, limit: int) -> tuple[FillView, ...]:
        matching = self._matching()
        found = []
        for number, trade in await self.core.storage.views.page(Trade, before=before, limit=limit):
            traded, terms = await matching.traded(trade), trade.terms
            if traded is not None and terms is not None:
                found.append(
                    FillView(
                        number=number,
                        id=trade.contract_id,
                        start=traded.times[0],
                        end=traded.times[1],
                        wh=traded.wh,
                        price=traded.price,
                        amount=traded.amount,
                        final=terms.final,
                        block=terms.block.number,
                    )
                )
        return tuple(found)

    def live(self) -> tuple[Times, ...]:
        return tuple((slot.start, slot.end) for slot in self._matching().slots())

    def slot(self, times: Times) -> LiveSlotView:
        matching = self._matching()
        offers, requests = matching.depth(times, MOST_LEVELS)
        prices = matching.prices.slot(times)
        return LiveSlotView(
            start=times[0],
            end=times[1],
            offers=shown_levels(offers),
            requests=shown_levels(requests),
            prices=_prices(prices) if prices is not None else None,
        )

    def watch(self) -> AbstractContextManager[MarketWatch]:
        return self._matching().watch()
