"""What an asset delivered or used in a time of delivery: counters at both ends, shared among contracts, reported."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Protocol

import structlog

from keys import messages as m
from node.app.core import Core
from node.app.counters import Counters
from node.app.trading.assetvoice import VALID_S, AssetVoice
from node.projection.order import Order, delivery_key
from node.projection.settlement_events import OrderTerms, RequestedTradeProgress
from node.projection.trade import MOST_PROGRESS, Trade, TradeStatus
from node.services.asset.rules import progress_moments, share_delivery
from node.services.community.rules import exported_wh, imported_wh

__all__ = ["COUNTED", "Beside", "Deliveries", "Delivery", "counted_key"]

_log = structlog.get_logger(__name__)

COUNTED = "asset_counted"
"""Namespace of facts: the counter at the start and at the end of a delivery, by market, direction and time."""

TOLERANCE_S = 300
"""A counter read so long after the start or the end still counts, as for the contract's evidence."""

_PAGE = 500
_OPEN = (TradeStatus.MATCHED, TradeStatus.REPORTED)


@dataclass(frozen=True, slots=True, order=True)
class Delivery:
    """One time of delivery (seconds UTC) of this asset in one market and one direction."""

    start: int
    end: int
    operator: bytes
    sells: bool


def counted_key(delivery: Delivery) -> str:
    """Where the counters of a delivery are kept: `first` and `last` in Wh, `first_at` and `last_at` in meter time."""
    side = "out" if delivery.sells else "in"
    return f"{delivery.operator.hex()}/{side}/{delivery.start}/{delivery.end}"


class Beside(Protocol):
    """Who else has contracts that are measured in these deliveries. Wh of an absolute counter, times in seconds UTC."""

    async def report(self, delivery: Delivery, counted: tuple[int, int]) -> None:
        """The counter at the start and at the end of a delivery that is over."""
        ...

    async def progress(self, delivery: Delivery, counted: tuple[int, int], meter_time: int, due: int) -> None:
        """The counter at the start and at `meter_time` of one that goes on: what was told at `due` or later stands."""
        ...


class Deliveries:
    """The deliveries that wait for the meter, by the time at which something is to be read or said."""

    def __init__(self, core: Core, voice: AssetVoice, shown: Counters) -> None:
        self._core = core
        self.beside: Beside | None = None
        self._voice = voice
        self._shown = shown
        self._waiting: list[tuple[int, Delivery]] = []
        self._known: set[tuple[int, Delivery]] = set()

    def open(self, trade: Trade, own: OrderTerms, operator: bytes) -> None:
        """A contract of this delivery wants a report, or an answer to one."""
        self.watch(Delivery(own.start, own.end, operator, own.sells))

    def watch(self, delivery: Delivery) -> None:
        """The counter is read at both ends of a delivery, and at times between them; what it says is told."""
        self._at(delivery.start, delivery)
        self._at(delivery.end, delivery)
        self._next_progress(delivery)

    def _at(self, moment: int, delivery: Delivery) -> None:
        if (moment, delivery) not in self._known:
            self._known.add((moment, delivery))
            heapq.heappush(self._waiting, (moment, delivery))

    async def step(self) -> None:
        """Reads and reports what the meter's time has come to; the rest is not looked at."""
        while self._waiting and self._waiting[0][0] <= self._shown.meter_time:
            moment, delivery = heapq.heappop(self._waiting)
            self._known.discard((moment, delivery))
            done = False
            try:
                await self._read(delivery)
                done = True
            finally:
                if not done:
                    self._at(moment, delivery)

    async def _read(self, delivery: Delivery) -> None:
        counted = await self._counted(delivery)
        if counted is not None:
            await self._report(delivery, counted)
            if self.beside is not None:
                await self.beside.report(delivery, counted)
        elif self._shown.meter_time < delivery.end:
            await self._progress(delivery)

    def _next_progress(self, delivery: Delivery) -> None:
        """The next time at which something is told of a delivery that goes on."""
        every = self._core.settings.settlement.progress_every_s
        moments = progress_moments(delivery.start, delivery.end, every, MOST_PROGRESS)
        later = next((moment for moment in moments if moment > self._shown.meter_time), None)
        if later is not None:
            self._at(later, delivery)

    async def _progress(self, delivery: Delivery) -> None:
        """Tells, at its times, what the meter counted so far, shared as at the end (M-43)."""
        shown, settlement = self._shown, self._core.settings.settlement
        moments = progress_moments(delivery.start, delivery.end, settlement.progress_every_s, MOST_PROGRESS)
        due = [moment for moment in moments if moment <= shown.meter_time]
        self._next_progress(delivery)
        found = await self._core.storage.memory.facts.get(COUNTED, counted_key(delivery)) if due else None
        if found is None or "first" not in found:
            return
        account = self._voice.signer(delivery.operator).address
        counter = exported_wh(shown.values) if delivery.sells else imported_wh(shown.values)
        counted = found["first"], counter
        if self.beside is not None:
            await self.beside.progress(delivery, counted, shown.meter_time, due[-1])
        trades = await self._contracts(delivery)
        shares = share_delivery(*counted, {t.contract_id: t.terms.wh for t in trades if t.terms is not None})
        events = [
            RequestedTradeProgress(
                trade.contract_id, account, shares[trade.contract_id], shown.meter_time, self._core.clock.now()
            )
            for trade in trades
            if trade.status in _OPEN
            and not any(told.account == account and told.meter_time >= due[-1] for told in trade.progress)
        ]
        if events:
            await self._core.storage.memory.keep(events)
            self._core.wake()

    async def _counted(self, delivery: Delivery) -> tuple[int, int] | None:
        """The counter at both ends, once the meter has shown both; they outlive a restart.

        None as well where this node was not there in time: it says nothing about what it does not know, and the
        partner's report stands (A-10).
        """
        shown, memory, start, end = self._shown, self._core.storage.memory, delivery.start, delivery.end
        key = counted_key(delivery)
        found: dict[str, int] = await memory.facts.get(COUNTED, key) or {}
        counter = exported_wh(shown.values) if delivery.sells else imported_wh(shown.values)
        changed = False
        for name, moment in (("first", start), ("last", end)):
            if name not in found and moment <= shown.meter_time <= moment + TOLERANCE_S:
                found[name], found[f"{name}_at"], changed = counter, shown.meter_time, True
        if changed:
            await memory.keep((), [(COUNTED, key, found)])
        if shown.meter_time < end:
            return None
        if "first" not in found or "last" not in found:
            _log.warning("delivery_not_measured", start=start, end=end, sells=delivery.sells)
            return None
        return found["first"], found["last"]

    async def _report(self, delivery: Delivery, counted: tuple[int, int]) -> None:
        """Reports every contract of the delivery that this asset has not reported yet."""
        trades = await self._contracts(delivery)
        shares = share_delivery(*counted, {t.contract_id: t.terms.wh for t in trades if t.terms is not None})
        for trade in trades:
            if trade.status in _OPEN:
                await self._say(trade, delivery, shares[trade.contract_id])

    async def _contracts(self, delivery: Delivery) -> list[Trade]:
        """All that was not cancelled, the ones that are over included: they have their share of the energy too."""
        views, account = self._core.storage.views, self._voice.signer(delivery.operator).address
        # Only the link's fields count here.
        link = delivery_key(OrderTerms(delivery.sells, account, 0, 0, delivery.start, delivery.end, 0))
        found: dict[bytes, Trade] = {}
        before: int | None = None
        while rows := await views.page(Order, link=("delivery", link), before=before, limit=_PAGE):
            for _, order in rows:
                if order.own:
                    found |= await self._of_order(order.order_id)
            before = rows[-1][0]
        return [trade for trade in found.values() if trade.status is not TradeStatus.CANCELLED]

    async def _of_order(self, order_id: bytes) -> dict[bytes, Trade]:
        found: dict[bytes, Trade] = {}
        before: int | None = None
        views = self._core.storage.views
        while rows := await views.page(Trade, link=("order", order_id), before=before, limit=_PAGE):
            found |= {trade.contract_id: trade for _, trade in rows}
            before = rows[-1][0]
        return found

    async def _say(self, trade: Trade, delivery: Delivery, wh: int) -> None:
        """The seller reports first; the buyer answers, or reports by itself when the seller says nothing."""
        now, account = self._core.clock.now(), self._voice.signer(delivery.operator).address
        if trade.reported_by(account) is not None:
            return
        answers = trade.status is TradeStatus.REPORTED
        patience = delivery.end + self._core.settings.settlement.answer_after_s
        if not delivery.sells and not answers and self._shown.meter_time < patience:
            self._at(patience, delivery)
            return
        joined = (await self._voice.markets())[delivery.operator]
        message = m.Provision(account, delivery.operator, trade.contract_id, wh, now + VALID_S)
        await self._voice.say([trade], joined, message, (b"\x01" if answers else b"\x00",))
