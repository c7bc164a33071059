"""An offer or a request, by its EIP-712 digest, at the asset that made it and at the market that took it.

The chain says what of it is filled: a reorg gives the energy back, and the matching engine is fed from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from node.projection.base import Deadline, Effect, Event, Peer, State, StateIndex, Step
from node.projection.effects import NotifyOrderChanged, SendParcel
from node.projection.errors import ContradictingFact, WrongAggregate
from node.projection.events import LoggedFinalized, LoggedRolledBack
from node.projection.facts import Fact, add, cut, settle, top_block, unsettled_block
from node.projection.machine import Machine
from node.projection.settlement_events import (
    DueOrderEnd,
    LoggedMatched,
    LoggedOrderCancelled,
    OrderTerms,
    ReceivedOrder,
    ReceivedRefusal,
    RequestedOrder,
)

__all__ = [
    "ORDER_MACHINE",
    "Cancellation",
    "Filling",
    "Order",
    "OrderStatus",
    "deadlines_order",
    "delivery_key",
    "index_order",
    "reduce_order",
    "seed_of_order",
]


class OrderStatus(StrEnum):
    """`none`: fills may be known already, the order itself is not. `ended`: its deadline came before it was filled.
    `refused`: at the asset, its market did not take it."""

    NONE = "none"
    OPEN = "open"
    FILLED = "filled"
    CANCELLED = "cancelled"
    ENDED = "ended"
    REFUSED = "refused"


_N, _O, _F = OrderStatus.NONE, OrderStatus.OPEN, OrderStatus.FILLED
_C, _E, _R = OrderStatus.CANCELLED, OrderStatus.ENDED, OrderStatus.REFUSED


def _to(*targets: OrderStatus) -> frozenset[OrderStatus]:
    return frozenset(targets)


ORDER_MACHINE = Machine(
    "order",
    _N,
    {
        (_N, ReceivedOrder): _to(_O, _F, _C),
        (_N, RequestedOrder): _to(_O, _F, _C),
        (_O, LoggedMatched): _to(_F),
        (_O, LoggedOrderCancelled): _to(_C),
        (_O, DueOrderEnd): _to(_E),
        (_O, ReceivedRefusal): _to(_R),
        (_C, LoggedMatched): _to(_F),
        (_O, LoggedRolledBack): _to(_R),
        (_F, LoggedRolledBack): _to(_O, _C, _E, _R),
        (_C, LoggedRolledBack): _to(_O, _E, _R),
        (_E, LoggedMatched): _to(_F),  # matched in time, told late
        (_E, LoggedOrderCancelled): _to(_C),
        (_E, LoggedRolledBack): _to(_R),
        (_R, LoggedMatched): _to(_O, _F, _E),  # its market bound it all the same
        (_R, LoggedOrderCancelled): _to(_C),
    },
)


@dataclass(frozen=True, slots=True)
class Filling(Fact):
    contract_id: bytes
    wh: int


@dataclass(frozen=True, slots=True)
class Cancellation(Fact):
    account: bytes


@dataclass(frozen=True, slots=True)
class Order(State):
    """`settled_wh` is what final fills took that are no longer listed; `over` tells that the deadline has come; `at` is
    when it was made here or taken in (seconds UTC), 0 where it was before that was kept; `refused` is why its market
    did not take it, empty while it did not say so."""

    order_id: bytes
    status: OrderStatus = OrderStatus.NONE
    terms: OrderTerms | None = None
    own: bool = False
    body: str = ""
    signature: bytes = b""
    peer: Peer | None = None
    fills: tuple[Filling, ...] = ()
    settled_wh: int = 0
    cancelled: tuple[Cancellation, ...] = ()
    over: bool = False
    details: str = ""
    at: int = field(default=0, compare=False)
    refused: str = ""

    @property
    def filled(self) -> int:
        """Wh that contracts on chain take."""
        return self.settled_wh + sum(fill.wh for fill in self.fills)

    @property
    def left(self) -> int:
        """Wh that may still be matched; 0 unless it is open."""
        return self.terms.wh - self.filled if self.terms and self.status is OrderStatus.OPEN else 0


def seed_of_order(order: Order) -> str:
    """What the marketplace's life cycle calls it (M-21, M-22, M-29 to M-31, M-38); empty for one that is not known."""
    match order.status, order.terms:
        case OrderStatus.OPEN, OrderTerms(sells=sells):
            return "Initial offer" if sells else "Initial request"
        case OrderStatus.FILLED, _:
            return "Contract created"
        case OrderStatus.CANCELLED | OrderStatus.ENDED | OrderStatus.REFUSED, _:
            return "Cancelled"
        case _:
            return ""


def _status(order: Order) -> OrderStatus:
    terms = order.terms
    if terms is None:
        return _N
    if order.filled >= terms.wh:
        return _F
    # Anybody may cancel any id on chain; only the order's own account means anything by it.
    if any(each.account == terms.account for each in order.cancelled):
        return _C
    # What is matched was taken, whatever was said of it.
    if order.refused and not order.filled:
        return _R
    return _E if order.over else _O


def _moved(before: Order, event: Event, after: Order, *effects: Effect) -> Step[Order]:
    if after == before:
        return Step(before)
    status = ORDER_MACHINE.move(before.status, event, _status(after))
    after = replace(after, status=status)
    if after.terms is not None and (after.status, after.left) != (before.status, before.left):
        reason = after.refused if status is _R else ""
        effects = (*effects, NotifyOrderChanged(after.order_id, status.value, after.left, reason))
    return Step(after, effects)


def _known(order: Order, event: ReceivedOrder | RequestedOrder) -> Step[Order]:
    if order.terms is not None:
        if order.terms != event.terms:
            raise ContradictingFact("one order id stands for two orders")
        return Step(order)
    own = isinstance(event, RequestedOrder)
    cancelled = tuple(each for each in order.cancelled if each.account == event.terms.account)
    after = replace(
        order,
        terms=event.terms,
        cancelled=cancelled,
        own=own,
        body=event.body,
        signature=event.signature,
        peer=event.peer,
        details=event.details,
        at=event.at,
    )
    if isinstance(event, RequestedOrder):
        parcel = SendParcel(event.peer, "market.order", event.parcel, event.order_id, event.terms.until)
        return _moved(order, event, after, parcel)
    return _moved(order, event, after)


def _refused(order: Order, event: ReceivedRefusal) -> Step[Order]:
    """Believed of the market that the order was placed with alone, and while nothing of it was matched or is over."""
    by_market = order.own and order.peer is not None and order.peer.address == event.market
    if not by_market or order.status is not _O or order.filled:
        return Step(order)
    return _moved(order, event, replace(order, refused=event.reason or "no reason given"))


def _settled(order: Order, height: int) -> Order:
    fills = settle(order.fills, height)
    dropped = sum(fill.wh for fill in order.fills) - sum(fill.wh for fill in fills)
    return replace(
        order,
        fills=fills,
        settled_wh=order.settled_wh + dropped,
        cancelled=settle(order.cancelled, height),
    )


def reduce_order(order: Order, event: Event) -> Step[Order]:
    match event:
        case ReceivedOrder() | RequestedOrder():
            return _known(order, event)
        case LoggedMatched():
            fill = Filling(event.block, False, event.contract_id, event.wh)
            return _moved(order, event, replace(order, fills=add(order.fills, fill)))
        case LoggedOrderCancelled():
            fact = Cancellation(event.block, False, event.account)
            if order.terms is not None and order.terms.account != event.account:
                return Step(order)
            return _moved(order, event, replace(order, cancelled=add(order.cancelled, fact)))
        case ReceivedRefusal():
            return _refused(order, event)
        case DueOrderEnd():
            if order.terms is None or event.at <= order.terms.until:
                return Step(order)
            return _moved(order, event, replace(order, over=True))
        case LoggedRolledBack():
            height = event.ancestor_height
            after = replace(order, fills=cut(order.fills, height), cancelled=cut(order.cancelled, height))
            return _moved(order, event, after)
        case LoggedFinalized():
            return _moved(order, event, _settled(order, event.height))
        case _:
            raise WrongAggregate(f"{type(event).__name__} does not concern an order")


def delivery_key(terms: OrderTerms) -> bytes:
    """The link between the orders of one account, one direction and one time of delivery."""
    sides = b"out" if terms.sells else b"in"
    return terms.account + terms.start.to_bytes(8, "big") + terms.end.to_bytes(8, "big") + sides


def index_order(order: Order) -> StateIndex:
    links: tuple[tuple[str, bytes], ...] = ()
    if order.terms is not None:
        links = (("account", order.terms.account), ("delivery", delivery_key(order.terms)))
    lists = (order.fills, order.cancelled)
    return StateIndex(order.status.value, top_block(*lists), unsettled_block(*lists), None, links)


def deadlines_order(order: Order) -> tuple[Deadline, ...]:
    if order.status is not OrderStatus.OPEN or order.terms is None:
        return ()
    return (Deadline("end", order.terms.until + 1),)
