"""Constraints (market.md, Matching; G-5, O-5, T-3, A-19): area, kind of energy, partner; conditions joined by "or"."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.market.conditions import PLAIN, Condition, Particulars, accords
from node.services.market.constrained import ConstrainedBook
from node.services.market.continuous import ContinuousEngine
from node.services.market.engine import Fill, Quote
from tests.unit.services.market.kit import PARTICULARS, PLAIN_ORDERS, SLOT, assert_conserved, offer, orders, request

SOLAR = Particulars(energy="solar")
WIND = Particulars(energy="wind")


def wants(*conditions: Condition, area: str = "", energy: str = "", partner: bytes = b"") -> Particulars:
    return Particulars(area, energy, partner, conditions)


def test_the_area_must_suit() -> None:
    book = ConstrainedBook()
    book.add(offer("far", 5, 1, what=Particulars(area="south")))
    book.add(offer("near", 9, 1, what=Particulars(area="north")))
    near = wants(Condition(areas=frozenset({"north"})))
    assert book.add(request("x", 10, 2, what=near)) == [Fill(b"near", b"x", 1, 9)]


def test_both_sides_choose() -> None:
    """The offer wants the south, the request takes anybody but is of the north."""
    book = ConstrainedBook()
    book.add(offer("o", 5, 1, what=wants(Condition(areas=frozenset({"south"})), area="north")))
    assert book.add(request("x", 10, 1, what=Particulars(area="north"))) == []
    assert book.add(request("y", 10, 1, what=Particulars(area="south"))) == [Fill(b"o", b"y", 1, 5)]


def test_conditions_are_joined_by_or() -> None:
    """G-5: solar energy, or the neighbour's whatever it is."""
    book = ConstrainedBook()
    book.add(offer("coal", 1, 1, party="stranger"))
    book.add(offer("sun", 8, 1, what=SOLAR))
    book.add(offer("wind", 9, 1, party="neighbour", what=WIND))
    either = wants(Condition(energies=frozenset({"solar"})), Condition(partners=frozenset({b"neighbour"})))
    assert book.add(request("x", 10, 9, what=either)) == [Fill(b"sun", b"x", 1, 8), Fill(b"wind", b"x", 1, 9)]


def test_a_condition_may_have_a_price_and_an_amount_of_its_own() -> None:
    """G-5: up to 3 Wh at 10 if it is solar, the rest at 6 from anybody."""
    book = ConstrainedBook()
    book.add(offer("sun", 8, 9, what=SOLAR))
    book.add(offer("any", 5, 9))
    greedy = wants(Condition(energies=frozenset({"solar"}), price=10, wh=3), Condition(price=6))
    fills = book.add(request("x", 10, 9, what=greedy))
    assert fills == [Fill(b"any", b"x", 9, 5)]
    assert book.add(request("y", 10, 9, what=greedy)) == [Fill(b"sun", b"y", 3, 8)]


def test_an_offers_condition_raises_its_price() -> None:
    book = ConstrainedBook()
    book.add(
        offer("o", 5, 4, what=wants(Condition(areas=frozenset({"south"}), price=9), Condition(areas=frozenset({"x"}))))
    )
    assert book.add(request("low", 8, 1, what=Particulars(area="south"))) == []
    assert book.add(request("high", 9, 1, what=Particulars(area="south"))) == [Fill(b"o", b"high", 1, 9)]


def test_heat_is_no_electricity_whatever_the_orders_leave_unsaid() -> None:
    """M-84. Attack: an offer of heat without conditions is matched with a request that says nothing of its kind."""
    heat = Particulars(energy="thermal")
    for book in (ConstrainedBook(), ContinuousEngine(SLOT)):
        assert book.add(offer("heat", 5, 4, what=heat)) == []
        assert book.add(request("any", 10, 1)) == []
        assert book.add(request("sunny", 10, 1, what=SOLAR)) == []
        assert book.add(offer("sun", 6, 2, what=SOLAR)) == [Fill(b"sun", b"any", 1, 6), Fill(b"sun", b"sunny", 1, 6)]
        assert book.add(request("warm", 10, 3, what=heat)) == [Fill(b"heat", b"warm", 3, 5)]
        named = wants(Condition(energies=frozenset({"thermal"})), energy="thermal")
        assert book.add(request("named", 10, 1, what=named)) == [Fill(b"heat", b"named", 1, 5)]


def test_a_request_for_heat_takes_no_electricity() -> None:
    book = ConstrainedBook()
    book.add(offer("any", 5, 4))
    book.add(offer("sun", 5, 4, what=SOLAR))
    assert book.add(request("warm", 10, 4, what=Particulars(energy="thermal"))) == []


def test_the_signed_partner_is_the_only_one() -> None:
    """The partner of the message, which the contract checks too."""
    book = ConstrainedBook()
    book.add(offer("o", 5, 4, party="seller", what=wants(partner=b"friend")))
    assert book.add(request("x", 10, 1)) == []
    assert book.add(request("y", 10, 1, party="friend")) == [Fill(b"o", b"y", 1, 5)]
    assert book.add(request("z", 10, 1, party="friend", what=wants(partner=b"other"))) == []
    assert book.add(request("w", 10, 9, party="friend", what=wants(partner=b"seller"))) == [Fill(b"o", b"w", 3, 5)]


def naive(placed: list[Quote | int]) -> list[Fill]:
    """The same rules, written to be obviously right."""
    waiting: list[Live] = []
    fills: list[Fill] = []
    known: dict[bytes, Live] = {}
    for step in placed:
        if isinstance(step, int):
            gone = known.get(b"%03d" % step)
            if gone is not None:
                gone.left = 0
            continue
        order = known[step.key] = Live(step)
        others = [o for o in waiting if o.sells is not order.sells and o.party != order.party]
        for other in sorted(others, key=lambda o: (o.price if o.sells else -o.price, o.seq)):
            sold, bought = (order, other) if order.sells else (other, order)
            while (way := next(accords(sold, bought), None)) is not None:
                sold.left -= way.wh
                bought.left -= way.wh
                fills.append(Fill(sold.key, bought.key, way.wh, way.low))
        waiting.append(order)
    return fills


class Live:
    def __init__(self, order: Quote) -> None:
        self.key, self.party, self.sells, self.price = order.key, order.party, order.sells, order.price
        self.left, self.total, self.seq, self.particulars = order.wh, order.wh, order.seq, order.particulars

    @property
    def filled(self) -> int:
        return self.total - self.left


def mixed(steps: list[Quote], cancels: list[int]) -> list[Quote | int]:
    """Orders, with a cancellation of some earlier one behind each of the first."""
    rows: list[Quote | int] = []
    for number, order in enumerate(steps):
        rows.append(order)
        if number < len(cancels):
            rows.append(cancels[number])
    return rows


@settings(max_examples=400, deadline=None)
@given(orders(PARTICULARS, ("p", "q", "r", "s")), st.lists(st.integers(0, 23), max_size=12))
def test_it_agrees_with_an_obviously_right_book(placed: list[Quote], cancels: list[int]) -> None:
    """Conservation, bounds, conditions, and nothing is left that could be matched: what is equal to the naive book."""
    steps = mixed(placed, cancels)
    for engine in (ConstrainedBook(), ContinuousEngine(SLOT)):
        fills: list[Fill] = []
        for step in steps:
            if isinstance(step, int):
                engine.cancel(b"%03d" % step)
            else:
                fills += engine.add(step)
        assert fills == naive(steps)
        assert_conserved(placed, fills)


@settings(max_examples=200, deadline=None)
@given(PLAIN_ORDERS)
def test_plain_orders_fare_the_same_in_both_books(placed: list[Quote]) -> None:
    """So the moment in which a slot moves to the book with conditions cannot be seen in its fills."""
    choosy, fast = ConstrainedBook(), ContinuousEngine(SLOT)
    assert [choosy.add(order) for order in placed] == [fast.add(order) for order in placed]


@settings(max_examples=200, deadline=None)
@given(PLAIN_ORDERS)
def test_no_cross_is_left_in_the_book(placed: list[Quote]) -> None:
    """What waits of two parties never suits each other."""
    engine = ContinuousEngine(SLOT)
    fills = [fill for order in placed for fill in engine.add(order)]
    left = assert_conserved(placed, fills)
    waiting = [order for order in placed if left[order.key]]
    for sold in (o for o in waiting if o.sells):
        for bought in (o for o in waiting if not o.sells and o.party != sold.party):
            assert sold.price > bought.price


def test_an_order_that_comes_back_has_its_old_place() -> None:
    engine = ContinuousEngine(SLOT)
    first, second = offer("first", 10, 5, seq=1), offer("second", 10, 5, seq=2)
    for order in (first, second):
        engine.add(order)
    engine.cancel(b"first")
    engine.add(first)
    assert [fill.offer for fill in engine.add(request("x", 10, 7))] == [b"first", b"second"]


def test_what_is_gone_is_swept_away() -> None:
    book = ConstrainedBook()
    for number in range(5_000):
        what = wants(Condition(areas=frozenset({"north"})), area=("north", "south")[number % 2])
        book.add(Quote(b"%d" % number, b"p", True, 50 + number % 7, 1, number, 0, what))
        book.cancel(b"%d" % number)
    assert sum(len(queue.rows) for queue in book._offers.kinds.values()) < 3_000
    assert PLAIN not in book._wants
    assert len(book._wants) <= 2
