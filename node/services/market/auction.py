"""Call auctions: orders gather until the gate of their slot, then everything is matched at once.

Uniform price: the volume is the greatest that any one price can clear, and everybody trades at one price. Every price
between the dearest offer and the lowest request that are needed for this volume clears it; the middle of this interval
is taken, rounded down. Who trades: offers from the cheapest, requests from the highest, at equal prices the earlier
one first (time priority at the margin).

Pay as bid: requests from the highest take the cheapest offers that suit them, and each trade is at the request's price.

Where some order has conditions, the one price is that at which most is matched by merit among those who suit each
other; ties as above.

Nobody trades with themselves. At one price, pairs are exchanged so that a party which is on both sides trades with
others, and what could only trade with itself stays unfilled.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from node.services.market.book import Book, Resting
from node.services.market.constrained import ConstrainedBook
from node.services.market.engine import EngineKind, Fill, Quote, Slot

__all__ = ["PAY_AS_BID", "UNIFORM_PRICE", "Clearing", "clear", "pay_as_bid_fills", "uniform_fills"]

_MOST_PRICES = 256
"""Prices that are tried where conditions decide who suits whom; each costs a matching of all orders."""

_Pair = tuple[Quote, Quote, int]
"""An offer, a request, and the Wh in which they are joined."""


@dataclass(frozen=True, slots=True)
class Clearing:
    """What one price clears: Wh in all, and the interval of prices that clear as much; `price` is its middle."""

    wh: int
    low: int
    high: int

    @property
    def price(self) -> int:
        return (self.low + self.high) // 2


def _by_merit(orders: Iterable[Quote]) -> tuple[list[Quote], list[Quote]]:
    """Offers from the cheapest, requests from the highest; at equal prices the earlier one first. One whole number is
    compared faster than a pair."""
    offers: list[Quote] = []
    requests: list[Quote] = []
    for order in orders:
        (offers if order.sells else requests).append(order)
    offers.sort(key=lambda order: (order.price << 64) + order.seq)
    requests.sort(key=lambda order: (-order.price << 64) + order.seq)
    return offers, requests


def _walk(offers: Sequence[Quote], requests: Sequence[Quote]) -> list[_Pair]:
    """Both sides by merit, joined as long as the offer is not dearer than the request."""
    pairs: list[_Pair] = []
    sellers, buyers = iter(offers), iter(requests)
    offer, request = next(sellers, None), next(buyers, None)
    offered = offer.wh if offer is not None else 0
    wanted = request.wh if request is not None else 0
    while offer is not None and request is not None and offer.price <= request.price:
        if offered < wanted:
            pairs.append((offer, request, offered))
            wanted -= offered
            offer = next(sellers, None)
            offered = offer.wh if offer is not None else 0
            continue
        pairs.append((offer, request, wanted))
        offered -= wanted
        request = next(buyers, None)
        wanted = request.wh if request is not None else 0
        if not offered:
            offer = next(sellers, None)
            offered = offer.wh if offer is not None else 0
    return pairs


def _cleared(pairs: Sequence[_Pair]) -> Clearing | None:
    if not pairs:
        return None
    last_offer, last_request, _ = pairs[-1]
    return Clearing(sum(wh for _, _, wh in pairs), last_offer.price, last_request.price)


def clear(orders: Iterable[Quote]) -> Clearing | None:
    """The greatest volume that one price clears, and the prices that do; None where no price suits anybody."""
    return _cleared(_walk(*_by_merit(orders)))


def _exchanged(pairs: Iterable[_Pair]) -> list[_Pair]:
    """(p, p) and (a, b) become (p, b) and (a, p), as far as there are pairs in which p has no part.

    What is left of (p, p) then is more than all others have; nobody can take it.
    """
    rows = list(pairs)
    reached: dict[bytes, int] = {}
    for index in [at for at, (offer, request, _) in enumerate(rows) if offer.party == request.party]:
        own_offer, own_request, left = rows[index]
        party = own_offer.party
        at = reached.get(party, 0)
        while left and at < len(rows):
            offer, request, wh = rows[at]
            if not wh or party in (offer.party, request.party):
                at += 1
                continue
            part = min(left, wh)
            left -= part
            rows[at] = (offer, request, wh - part)
            rows += ((own_offer, request, part), (offer, own_request, part))
        reached[party], rows[index] = at, (own_offer, own_request, left)
    return [pair for pair in rows if pair[2] and pair[0].party != pair[1].party]


def uniform_fills(orders: Iterable[Quote]) -> list[Fill]:
    """The call auction at one price; understands conditions."""
    offers, requests = _by_merit(orders)
    if any(order.particulars.choosy for order in (*offers, *requests)):
        return _choosy_fills(offers, requests)
    pairs = _walk(offers, requests)
    cleared = _cleared(pairs)
    if cleared is None:
        return []
    if any(offer.party == request.party for offer, request, _ in pairs):
        pairs = _exchanged(pairs)
    price = cleared.price
    return [Fill(offer.key, request.key, wh, price) for offer, request, wh in pairs]


def _choosy_fills(offers: Sequence[Quote], requests: Sequence[Quote]) -> list[Fill]:
    """One price for orders that do not take everybody: the one at which most is matched by merit.

    At one price it is who suits whom, and no more. What all offers and all requests at a price have bounds what can be
    matched there, so prices are tried from the greatest bound on, until none can reach what was found. Before them that
    is tried which clears what suits somebody: large orders that suit nobody would else choose which prices are tried.
    """
    tried: dict[int, list[Fill]] = {}
    best = 0
    likely = clear(_suited(offers, requests))
    if likely is not None:
        tried[likely.price] = _at(likely.price, offers, requests)
        best = _volume(tried[likely.price])
    for bound, price in sorted(_bounds(offers, requests), key=lambda each: (-each[0], each[1]))[:_MOST_PRICES]:
        if bound < best or not bound:
            break
        tried[price] = _at(price, offers, requests)
        best = max(best, _volume(tried[price]))
    if not best:
        return []
    ties = sorted(price for price, fills in tried.items() if _volume(fills) == best)
    middle = (ties[0] + ties[-1]) // 2
    fills = tried.get(middle) or _at(middle, offers, requests)
    return fills if _volume(fills) == best else tried[ties[len(ties) // 2]]


def _suited(offers: Sequence[Quote], requests: Sequence[Quote]) -> list[Quote]:
    """Of each order what finds somebody whom it suits, whatever the price; the better ones of each side first."""
    book, found = ConstrainedBook(), dict[bytes, int]()
    for rank, order in enumerate((*offers, *requests)):
        anyhow = tuple(replace(each, price=None) for each in order.particulars.conditions)
        particulars = replace(order.particulars, conditions=anyhow) if anyhow else order.particulars
        for fill in book.add(replace(order, price=0, seq=rank, particulars=particulars)):
            for key in (fill.offer, fill.request):
                found[key] = found.get(key, 0) + fill.wh
    return [replace(each, wh=found[each.key]) for each in (*offers, *requests) if each.key in found]


def _bounds(offers: Sequence[Quote], requests: Sequence[Quote]) -> list[tuple[int, int]]:
    """What could be matched at most at each price that anybody names, and the price."""
    named = {order.price for order in (*offers, *requests)}
    named |= {c.price for order in (*offers, *requests) for c in order.particulars.conditions if c.price is not None}
    supply, demand = accumulate(o.wh for o in offers), list(accumulate(o.wh for o in requests))
    sold, asked = [0, *supply], [0, *demand]
    least, highest = [o.price for o in offers], [-o.price for o in requests]
    return [(min(sold[bisect_right(least, p)], asked[bisect_right(highest, -p)]), p) for p in named]


def _at(price: int, offers: Sequence[Quote], requests: Sequence[Quote]) -> list[Fill]:
    """What is matched at one price, the better order of each side first."""
    book, fills = ConstrainedBook(), list[Fill]()
    willing = [*(o for o in offers if o.price <= price), *(o for o in requests if o.price >= price)]
    for rank, order in enumerate(willing):
        fills += book.add(replace(order, price=price, seq=rank))
    return fills


def _volume(fills: Iterable[Fill]) -> int:
    return sum(fill.wh for fill in fills)


def pay_as_bid_fills(orders: Iterable[Quote]) -> list[Fill]:
    """The call auction at the requests' prices; understands conditions."""
    offers, requests = _by_merit(orders)
    fills: list[Fill] = []
    if any(order.particulars.choosy for order in (*offers, *requests)):
        choosy = ConstrainedBook(at_request=True)
        for order in (*offers, *requests):
            fills += choosy.add(order)
        return fills
    pairs = _walk(offers, requests)
    if not any(offer.party == request.party for offer, request, _ in pairs):
        return [Fill(offer.key, request.key, wh, request.price) for offer, request, wh in pairs]
    book, price = Book(), {order.key: order.price for order in requests}
    for order in (*offers, *requests):
        found = book.submit(Resting(order.key, order.party, order.sells, order.price, order.wh, order.seq))
        fills += [fill._replace(price=price[fill.request]) for fill in found]
    return fills


class _Call:
    """Gathers orders until the gate."""

    def __init__(self, slot: Slot, hold: Callable[[Iterable[Quote]], list[Fill]]) -> None:
        self._gate = slot.gate
        self._hold = hold
        self._orders: dict[bytes, Quote] = {}
        self._held = False

    def add(self, order: Quote) -> Iterable[Fill]:
        if not self._held:
            self._orders[order.key] = order
        return ()

    def cancel(self, key: bytes) -> None:
        self._orders.pop(key, None)

    def tick(self, now: int) -> Iterable[Fill]:
        if self._held or now < self._gate:
            return ()
        self._held = True
        orders, self._orders = self._orders, {}
        return self._hold(orders.values())


def _uniform_price(slot: Slot) -> _Call:
    return _Call(slot, uniform_fills)


def _pay_as_bid(slot: Slot) -> _Call:
    return _Call(slot, pay_as_bid_fills)


UNIFORM_PRICE = EngineKind(
    _uniform_price, "call auction at the gate: the greatest volume at one price", conditions=True, auction=True
)
PAY_AS_BID = EngineKind(
    _pay_as_bid, "call auction at the gate: each trade at the request's price", conditions=True, auction=True
)
