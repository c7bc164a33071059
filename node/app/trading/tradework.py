"""Contracts that wait to be looked at: what changed, what the chain's clock is not ready for, and what to write down.

A round costs what changed since the last one. What raises keeps its place, so the next round looks at it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from node.app.core import Core
from node.errors import CallerError
from node.projection.settlement_events import RequestedTradeNotice, RequestedTradeWatch
from node.projection.trade import Trade, TradeStatus
from node.projection.tradedue import OVER
from node.types import short_id

__all__ = ["TradeWork"]

_log = structlog.get_logger(__name__)

_PAGE = 500
_AT_ONCE = 256


class TradeWork:
    """The list of one role. `changed` and `later` are filled by whoever hears of changes, `fresh` while looking."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.changed: set[bytes] = set()
        self.later: set[bytes] = set()
        self.fresh: list[RequestedTradeWatch | RequestedTradeNotice] = []

    async def scan(self, link: tuple[str, bytes] | None = None) -> None:
        """Every contract that is not over, whatever its number: what happened while this node was off."""
        for status in TradeStatus:
            before: int | None = None
            while status not in OVER:
                rows = await self._core.storage.views.page(
                    Trade, status=status.value, link=link, before=before, limit=_PAGE
                )
                if not rows:
                    break
                self.changed |= {trade.contract_id for _, trade in rows}
                before = rows[-1][0]

    async def work(self, look: Callable[[Trade], Awaitable[None]]) -> None:
        """Looks at everything that waits, until nothing does."""
        self.changed |= self.later
        self.later = set()
        while self.changed or self.fresh:
            batch = [self.changed.pop() for _ in range(min(len(self.changed), _AT_ONCE))]
            done = False
            try:
                for trade in (await self._core.storage.views.many(Trade, batch)).values():
                    await _safely(look, trade)
                done = True
            finally:
                if not done:
                    self.changed.update(batch)
            await self._keep_fresh()

    async def _keep_fresh(self) -> None:
        """Many contracts at once are one write; then they are looked at anew."""
        if self.fresh:
            await self._core.storage.memory.keep(self.fresh)
            self._core.wake()
            self.changed |= {event.contract_id for event in self.fresh}
            self.fresh.clear()


async def _safely(look: Callable[[Trade], Awaitable[None]], trade: Trade) -> None:
    """One contract that makes no sense holds up no other; its next change is a new chance."""
    try:
        await look(trade)
    except CallerError as refused:
        _log.error("contract_left_alone", contract=short_id(trade.contract_id), reason=str(refused))
