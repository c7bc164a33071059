"""Statements of a market or of one asset: settled deliveries are kept by time, and read back as lines and invoices.

A contract that is netted settles by its market's word, and is kept here at the market alone.

Only what is final is kept, so no reorganisation changes a statement that was made. A contract of another market on the
same chain is passed over: its orders are unknown here, and with them when it was delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from node.app.core import Core
from node.app.services import looped
from node.app.trading.netcontracts import NetContracts
from node.app.trading.netforms import rows_of
from node.config.statements import TariffSettings
from node.projection.order import Order
from node.projection.trade import Trade, TradeStatus, TradeStep
from node.runtime.supervisor import Service
from node.services.settlement.lines import Delivery
from node.services.settlement.tariff import GridFee, Tariff, Tariffs
from node.storage.deliveries import Deliveries, DeliveryRow, Span
from node.storage.journal import Applied
from node.wire.orderdetails import ELECTRIC, carrier_of

__all__ = ["StatementBook", "delivery_of", "sold_of", "tariffs_of"]

EVERY_S = 2.0
AT_ONCE = 500


def _settling(trade: Trade) -> TradeStep | None:
    """The step that says what counts as delivered. Where nothing is owed the contract is resolved by it at once."""
    if trade.delivered is not None:
        return trade.delivered
    return next((step for step in trade.steps if step.status is TradeStatus.RESOLVED), None)


def _cancelling(trade: Trade) -> TradeStep | None:
    """The step by which a partner cancelled for a fee; none for one that lapsed, or was cancelled for nothing."""
    return next((step for step in trade.steps if step.status is TradeStatus.CANCELLED and step.amount), None)


def _final(trade: Trade) -> TradeStep | None:
    """The step that a statement shows, once no reorganisation takes it back."""
    made, step = trade.terms, _settling(trade) or _cancelling(trade)
    return step if made is not None and step is not None and made.final and step.final else None


def sold_of(offer: bytes, request: bytes, orders: Mapping[bytes, Order]) -> str:
    """The carrier of a contract: what its offer sells, since that is delivered; by its request where that alone is
    known, as at a buyer. Orders from before they had details are of electricity (M-84)."""
    order = orders.get(offer) or orders.get(request)
    return carrier_of(order.details) if order is not None else ELECTRIC


def delivery_of(trade: Trade, orders: Mapping[bytes, Order]) -> DeliveryRow | None:
    """A contract as a statement needs it; None while its delivery is not settled and final, or its time not known."""
    made, step = trade.terms, _final(trade)
    if made is None or step is None:
        return None
    order = orders.get(made.offer) or orders.get(made.request)
    if order is None or order.terms is None:
        return None
    agreed = (order.terms.start, order.terms.end, made.seller, made.buyer, made.wh, made.price)
    carrier = sold_of(made.offer, made.request, orders)
    if step.status is TradeStatus.CANCELLED:
        return DeliveryRow(trade.contract_id, *agreed, 0, 0, None, None, step.amount, step.account, carrier)
    by = (trade.reported_by(made.seller), trade.reported_by(made.buyer))
    return DeliveryRow(trade.contract_id, *agreed, step.wh, step.amount, *by, carrier=carrier)


def _tariff(chosen: TariffSettings, operator: bytes) -> Tariff:
    fees = {fee.area: GridFee(bytes(fee.to or operator), fee.per_kwh, fee.bps) for fee in chosen.fees}
    prices = (chosen.shortfall, chosen.feed_in, chosen.overdraw)
    return Tariff(chosen.since, *prices, MappingProxyType(fees), chosen.carriers)


def tariffs_of(core: Core, operator: bytes) -> Tariffs:
    """The tariffs that the config names."""
    chosen = core.settings.statements
    areas = {bytes(account): each.area for each in chosen.areas for account in each.accounts}
    return Tariffs(operator, [_tariff(each, operator) for each in chosen.tariffs], chosen.area, areas)


async def _nothing() -> Mapping[bytes, bytes]:
    return {}


class StatementBook:
    """Follows the contracts, and gives their deliveries page by page. `stands_for`: orders that say nothing of
    themselves, because they are for what a netting left out -> the orders that were netted."""

    def __init__(
        self,
        core: Core,
        netted: NetContracts | None = None,
        stands_for: Callable[[], Awaitable[Mapping[bytes, bytes]]] = _nothing,
    ) -> None:
        self._core = core
        self._rows = Deliveries(core.storage.database)
        self._netted = netted
        self._stands_for = stands_for
        self._net_days: dict[int, int] = {}
        self._moved = True  # what happened while this node was off
        core.storage.journal.subscribe(self._heard)

    def _heard(self, applied: Applied) -> None:
        if not self._moved:
            self._moved = any(isinstance(c.state, Trade) for record in applied.records for c in record.changes)

    def service(self) -> Service:
        # By the clock alone: what changes several times in a second is looked at once.
        return Service("statements", looped(asyncio.Event(), self.step, EVERY_S))

    async def step(self) -> bool:
        """Takes in what changed since the last step; True while there is more."""
        await self._take_netted()
        if not self._moved:
            return False
        # What comes from here on is heard again; what raises, or is one page of several, is looked at once more.
        self._moved, done = False, False
        try:
            done = await self._page() < AT_ONCE
        finally:
            self._moved = self._moved or not done
        return not done

    async def _page(self) -> int:
        found = await self._rows.changed(await self._rows.position(), AT_ONCE)
        if found:
            # A contract changes some ten times before it is settled: only then its orders are looked for.
            settled = [trade for _, trade in found if _final(trade)]
            made = [trade.terms for trade in settled if trade.terms is not None]
            orders = await self._orders({key for each in made for key in (each.offer, each.request)})
            rows = [
                row
                for trade in settled
                if (row := delivery_of(trade, orders)) is not None and not await self._counted(row.contract)
            ]
            await self._rows.put(rows, found[-1][0])
        return len(found)

    async def _orders(self, keys: Collection[bytes]) -> dict[bytes, Order]:
        """Those that are known, each with what it is of."""
        found = await self._rows.orders(sorted(keys))
        silent = [key for key, order in found.items() if order.own and not order.details]
        known = await self._stands_for() if silent else {}
        meant = await self._rows.orders(sorted({known[key] for key in silent if key in known}))
        for key in silent:
            if key in known and known[key] in meant:
                found[key] = replace(found[key], details=meant[known[key]].details)
        return found

    async def _counted(self, contract_id: bytes) -> bool:
        """A contract that pays for what a netting left out: its energy is in the statement of its own day."""
        return self._netted is not None and await self._netted.settles(contract_id)

    async def _take_netted(self) -> None:
        """Settled contracts of a market that nets, which no chain tells of one by one."""
        if self._netted is None:
            return
        for name in sorted(await self._netted.unwritten.look()):
            dues = await self._netted.dues(int(name))
            orders = await self._rows.orders(sorted({made.offer for made, _ in dues.values()}))
            carriers = {key: sold_of(made.offer, made.request, orders) for key, (made, _) in dues.items()}
            await self._rows.put(rows_of(dues, carriers), await self._rows.position())
            await self._netted.unwritten.seen((name,))

    async def count(self, span: Span) -> int:
        return await self._rows.count(span)

    def pages(self, span: Span) -> AsyncIterator[Sequence[Delivery]]:
        """The deliveries of the span in order of time."""
        return self._rows.pages(span, Delivery)
