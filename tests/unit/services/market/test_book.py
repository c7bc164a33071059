"""The order book (market.md, Matching; A-1, A-16, A-25): price, then time, partial fills, nobody with themselves."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.market.book import Book, Fill, Level, Resting
from node.services.market.errors import OrderRefused

Order = tuple[str, bool, int, int]


def offer(key: str, price: int, wh: int, party: str = "") -> Resting:
    return Resting(key.encode(), (party or key).encode(), True, price, wh)


def request(key: str, price: int, wh: int, party: str = "") -> Resting:
    return Resting(key.encode(), (party or key).encode(), False, price, wh)


def test_a_fill_is_at_the_offers_price_whoever_came_first() -> None:
    """A-1: the default price is the offer's."""
    book = Book()
    assert book.submit(offer("o", 10, 100)) == []
    assert book.submit(request("r", 12, 60)) == [Fill(b"o", b"r", 60, 10)]
    assert book.submit(request("s", 12, 60)) == [Fill(b"o", b"s", 40, 10)]
    assert book.submit(offer("p", 9, 5)) == [Fill(b"p", b"s", 5, 9)]


def test_equal_prices_trade_and_remainders_stay() -> None:
    """A-1: `<=`, and the residual returns to the book."""
    book = Book()
    book.submit(offer("o", 10, 100))
    assert book.submit(request("r", 10, 150)) == [Fill(b"o", b"r", 100, 10)]
    assert book.best_offer is None
    assert book.depth(sells=False) == (Level(10, 50, 1),)


def test_the_best_price_first_then_the_oldest() -> None:
    book = Book()
    for each in (offer("late", 10, 1), offer("cheap", 9, 1), offer("later", 10, 1)):
        book.submit(each)
    assert [fill.offer for fill in book.submit(request("r", 11, 3))] == [b"cheap", b"late", b"later"]


def test_nobody_trades_with_themselves_and_keeps_the_place() -> None:
    """A-25."""
    book = Book()
    own, others = offer("own", 10, 1, party="p"), offer("other", 10, 1)
    book.submit(own)
    book.submit(others)
    assert book.submit(request("r", 10, 5, party="p")) == [Fill(b"other", b"r", 1, 10)]
    assert book.depth(sells=True) == (Level(10, 1, 1),)
    assert book.best_request == 10
    # A stranger's request still finds the own offer where it was.
    assert book.submit(request("s", 10, 1)) == [Fill(b"own", b"s", 1, 10)]


def test_own_orders_at_a_better_price_do_not_hide_worse_ones() -> None:
    book = Book()
    book.submit(offer("own", 8, 1, party="p"))
    book.submit(offer("other", 9, 1))
    assert book.submit(request("r", 10, 1, party="p")) == [Fill(b"other", b"r", 1, 9)]
    assert book.best_offer == 8


def test_what_is_cancelled_never_trades() -> None:
    book = Book()
    mark = offer("o", 10, 7)
    book.submit(mark)
    assert book.cancel(mark) == 7
    assert book.cancel(mark) == 0
    assert book.submit(request("r", 10, 1)) == []
    assert [order.key for order in book.orders()] == [b"r"]


def test_cancelled_orders_are_swept_away() -> None:
    book = Book()
    for number in range(10_000):
        mark = offer(str(number), 50 + number % 7, 1)
        book.submit(mark)
        book.cancel(mark)
    kept = sum(len(level) for level in book._offers.levels.values())
    assert kept < 5_000


@pytest.mark.parametrize(("price", "wh"), [(10, 0), (10, -1), (-1, 1)])
def test_nonsense_is_refused(price: int, wh: int) -> None:
    book = Book()
    with pytest.raises(OrderRefused):
        book.submit(offer("o", price, wh))
    assert list(book.orders()) == []


@dataclass
class Naive:
    """The same rules, written to be obviously right: a list that is searched from end to end."""

    waiting: list[Resting]

    def submit(self, order: Resting) -> list[Fill]:
        fills = []
        while order.left:
            partners = [
                other
                for other in self.waiting
                if other.left and other.sells is not order.sells and other.party != order.party
                if (other.price <= order.price if order.sells is False else other.price >= order.price)
            ]
            if not partners:
                break
            best = min(partners, key=lambda o: (o.price if o.sells else -o.price, self.waiting.index(o)))
            wh = min(best.left, order.left)
            best.left -= wh
            order.left -= wh
            sold, bought = (order, best) if order.sells else (best, order)
            fills.append(Fill(sold.key, bought.key, wh, sold.price))
        self.waiting.append(order)
        return fills


STEPS = st.lists(
    st.one_of(
        st.tuples(st.booleans(), st.integers(0, 8), st.integers(1, 9), st.sampled_from("abc")),
        st.integers(0, 30),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_it_agrees_with_an_obviously_right_book(steps: list[tuple[bool, int, int, str] | int]) -> None:
    """A-16: what is filled is never more than what was ordered; and the two books never differ."""
    book, naive = Book(), Naive([])
    marks: list[tuple[Resting, Resting]] = []
    ordered: dict[bytes, int] = {}
    filled: dict[bytes, int] = {}
    for step in steps:
        if isinstance(step, int):
            if step < len(marks):
                mine, other = marks[step]
                left = other.left
                other.left = 0
                assert book.cancel(mine) == left
            continue
        sells, price, wh, party = step
        key = str(len(marks)).encode()
        pair = tuple(Resting(key, party.encode(), sells, price, wh) for _ in range(2))
        marks.append((pair[0], pair[1]))
        ordered[key] = wh
        fills = book.submit(pair[0])
        assert fills == naive.submit(pair[1])
        for fill in fills:
            for side in (fill.offer, fill.request):
                filled[side] = filled.get(side, 0) + fill.wh
    assert all(filled[key] <= ordered[key] for key in filled)
    assert {o.key: o.left for o in book.orders()} == {o.key: o.left for o in naive.waiting if o.left}
