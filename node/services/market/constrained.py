"""The continuous book for orders that do not take everybody: price, then time, among those that suit each other (G-5).

What an order is (area, energy) falls into a few kinds. A waiting order stands in one queue for each kind of counterpart
that it would take, so an order that comes looks only at queues in which everybody suits, merged by price and time. An
order that names its partners waits in their queues, and looks only at what they have here. What can be told only of
two orders (a partner, a price or an amount of a condition) decides at the end: `conditions.accords`.

Costs: an order O(kinds) queues to look at and O(kinds) binary searches where it waits, a fill O(log kinds). A market
names its areas and energies, so there are no more kinds than it wants.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heapreplace
from itertools import chain, count
from typing import Final

from node.services.market.conditions import Particulars, accords, one_carrier
from node.services.market.engine import Fill, Quote

__all__ = ["ConstrainedBook"]

_SWEEP_AT: Final = 1_024
"""Orders that are gone and may lie in the queues before they are swept, or as many as wait."""

_Kind = tuple[str, str]
"""Area and energy: what an order is."""


class _Wants:
    """What orders with the same particulars are and take. `only`: the parties without one of whom they take nobody;
    `simple`: kinds say everything, so nothing is left to ask of two orders; `takes`: the kinds that may suit."""

    __slots__ = ("kind", "number", "only", "particulars", "simple", "takes")

    def __init__(self, particulars: Particulars, number: int) -> None:
        self.particulars = particulars
        self.number = number
        self.kind: _Kind = (particulars.area, particulars.energy)
        self.only = _only(particulars)
        self.simple = not particulars.partner and not any(
            each.partners or each.price is not None or each.wh is not None for each in particulars.conditions
        )
        self.takes: list[_Kind] = []

    def may_take(self, kind: _Kind) -> bool:
        """Whether area and energy suit; who it is, is asked later."""
        area, energy = kind
        alike, conditions = one_carrier(energy, self.particulars.energy), self.particulars.conditions
        if not conditions:
            return alike
        return any(
            (not each.areas or area in each.areas) and (energy in each.energies if each.energies else alike)
            for each in conditions
        )


def _only(particulars: Particulars) -> frozenset[bytes] | None:
    if particulars.partner:
        return frozenset((particulars.partner,))
    if particulars.conditions and all(each.partners for each in particulars.conditions):
        return frozenset().union(*(each.partners for each in particulars.conditions))
    return None


class _Member:
    """One order in the book; what `conditions.Party` asks for."""

    __slots__ = ("key", "left", "particulars", "party", "price", "sells", "seq", "total", "wants")

    def __init__(self, order: Quote, wants: _Wants) -> None:
        self.key = order.key
        self.party = order.party
        self.sells = order.sells
        self.price = order.price
        self.left = order.wh
        self.seq = order.seq
        self.total = order.wh + order.filled
        self.particulars = order.particulars
        self.wants = wants

    @property
    def filled(self) -> int:
        return self.total - self.left


_Row = tuple[int, int, int, _Member]
"""Signed price, place in time, a number that no other row has, and the order."""


class _Queue:
    """Orders by price and time; what is gone is passed over."""

    __slots__ = ("first", "rows")

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.first = 0

    def add(self, row: _Row) -> None:
        rows = self.rows
        if not rows or rows[-1] < row:
            rows.append(row)
        else:
            insort(rows, row, lo=self.first)

    def begin(self) -> int:
        """The index of the first order that is still there."""
        rows, first = self.rows, self.first
        while first < len(rows) and not rows[first][3].left:
            first += 1
        self.first = first
        return first


class _Side:
    """`kinds`: by what the order is and what it takes; `named`: by a party without whom it takes nobody."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.kinds: dict[tuple[_Kind, _Kind], _Queue] = {}
        self.named: dict[bytes, _Queue] = {}
        self.by_party: dict[bytes, dict[bytes, _Row]] = {}

    def add(self, row: _Row) -> None:
        member = row[3]
        self.by_party.setdefault(member.party, {})[member.key] = row
        self._queue(row)

    def _queue(self, row: _Row) -> None:
        wants = row[3].wants
        if wants.only is not None:
            for party in wants.only:
                self.named.setdefault(party, _Queue()).add(row)
            return
        for kind in wants.takes:
            self._in(wants.kind, kind).add(row)

    def _in(self, kind: _Kind, takes: _Kind) -> _Queue:
        queue = self.kinds.get((kind, takes))
        if queue is None:
            queue = self.kinds[kind, takes] = _Queue()
        return queue

    def rows(self) -> Iterator[_Row]:
        """All that wait."""
        return chain.from_iterable(rows.values() for rows in self.by_party.values())

    def arrange(self) -> None:
        """Make the queues anew from what waits."""
        self.kinds, self.named = {}, {}
        for row in sorted(self.rows(), key=lambda row: row[:3]):
            self._queue(row)


class ConstrainedBook:
    """Offers and requests of one time of delivery, with particulars. Fills are at the offer's least price, or with
    `at_request` at the request's highest: the order's own, or that of the condition under which it is matched."""

    def __init__(self, *, at_request: bool = False) -> None:
        self._at_request = at_request
        self._offers = _Side(1)
        self._requests = _Side(-1)
        self._members: dict[bytes, _Member] = {}
        self._wants: dict[Particulars, _Wants] = {}
        self._kinds: dict[_Kind, None] = {}
        self._numbers = count()
        self._gone = 0

    def add(self, order: Quote) -> list[Fill]:
        """Match what can be matched now; the rest waits."""
        mine, other = (self._offers, self._requests) if order.sells else (self._requests, self._offers)
        member = _Member(order, self._wants.get(order.particulars) or self._known(order.particulars))
        fills: list[Fill] = []
        for found in self._candidates(member, other):
            self._deal(member, found, fills)
            if not found.left:
                self._forget(found)
            if not member.left:
                break
        if member.left:
            mine.add((mine.sign * member.price, member.seq, next(self._numbers), member))
            self._members[member.key] = member
        if self._gone > _SWEEP_AT and self._gone > len(self._members):
            self._sweep()
        return fills

    def _known(self, particulars: Particulars) -> _Wants:
        """What these particulars take; a kind that is seen for the first time gets its queues."""
        wants = self._wants[particulars] = _Wants(particulars, len(self._wants))
        if wants.kind in self._kinds:
            wants.takes = [kind for kind in self._kinds if wants.may_take(kind)]
        else:
            self._kinds[wants.kind] = None
            self._arrange()
        return wants

    def _arrange(self) -> None:
        for wants in self._wants.values():
            wants.takes = [kind for kind in self._kinds if wants.may_take(kind)]
        self._offers.arrange()
        self._requests.arrange()

    def _sweep(self) -> None:
        """Forget what is gone, and particulars and kinds that nobody has."""
        self._gone = 0
        used = {member.wants.number for member in self._members.values()}
        self._wants = {what: wants for what, wants in self._wants.items() if wants.number in used}
        for number, wants in enumerate(self._wants.values()):
            wants.number = number
        self._kinds = dict.fromkeys(wants.kind for wants in self._wants.values())
        self._arrange()

    def cancel(self, key: bytes) -> None:
        """Take an order out; nothing happens if it is not here."""
        member = self._members.get(key)
        if member is not None:
            member.left = 0
            self._forget(member)

    def _forget(self, member: _Member) -> None:
        side = self._offers if member.sells else self._requests
        del self._members[member.key]
        theirs = side.by_party[member.party]
        del theirs[member.key]
        if not theirs:
            del side.by_party[member.party]
        self._gone += 1

    def _candidates(self, member: _Member, other: _Side) -> Iterable[_Member]:
        """Orders of the other side that may suit and whose price does, the best first."""
        limit, wants = other.sign * member.price, member.wants
        if wants.only is not None:
            rows = sorted(
                (row for party in wants.only for row in other.by_party.get(party, {}).values() if row[0] <= limit),
                key=lambda row: row[:3],
            )
            return [row[3] for row in rows]
        kind, kinds = wants.kind, other.kinds
        queues = [found for each in wants.takes if (found := kinds.get((each, kind))) is not None]
        if (named := other.named.get(member.party)) is not None:
            queues.append(named)
        return _merged(queues, limit)

    def _deal(self, member: _Member, found: _Member, fills: list[Fill]) -> None:
        if member.party == found.party:
            return
        offer, request = (member, found) if member.sells else (found, member)
        if member.wants.simple and found.wants.simple:
            wh = min(offer.left, request.left)
            offer.left -= wh
            request.left -= wh
            fills.append(Fill(offer.key, request.key, wh, request.price if self._at_request else offer.price))
            return
        # One condition may serve a part of the order and the next one more of it.
        while (way := next(accords(offer, request), None)) is not None:
            offer.left -= way.wh
            request.left -= way.wh
            fills.append(Fill(offer.key, request.key, way.wh, way.high if self._at_request else way.low))


def _merged(queues: Iterable[_Queue], limit: int) -> Iterator[_Member]:
    """The orders of all queues by price and time, as far as the price goes. Orders may go while it runs."""
    heads: list[tuple[_Row, int, _Queue]] = []
    for queue in queues:
        at = queue.begin()
        if at < len(queue.rows):
            row = queue.rows[at]
            if row[0] <= limit:
                heads.append((row, at, queue))
    heapify(heads)
    while heads:
        row, at, queue = heads[0]
        if row[3].left:
            yield row[3]
        at += 1
        rows = queue.rows
        while at < len(rows) and not rows[at][3].left:
            at += 1
        if at < len(rows) and rows[at][0] <= limit:
            heapreplace(heads, (rows[at], at, queue))
        else:
            heappop(heads)
