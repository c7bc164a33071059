"""Orders for the tests of books, auctions and desk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count

from hypothesis import strategies as st

from node.services.market.conditions import PLAIN, Condition, Particulars, accords
from node.services.market.engine import Fill, Quote, Slot
from node.services.market.matching import Standing

__all__ = [
    "OPERATOR",
    "PARTICULARS",
    "PLAIN_ORDERS",
    "SLOT",
    "assert_conserved",
    "offer",
    "orders",
    "request",
    "standing",
    "volume",
]

OPERATOR = b"\x0a" * 20
SLOT = Slot(1_000, 1_900, 900)
_numbers = count(1)


def offer(name: str, price: int, wh: int, party: str = "", what: Particulars = PLAIN, seq: int = 0) -> Quote:
    return Quote(name.encode(), (party or name).encode(), True, price, wh, seq or next(_numbers), 0, what)


def request(name: str, price: int, wh: int, party: str = "", what: Particulars = PLAIN, seq: int = 0) -> Quote:
    return Quote(name.encode(), (party or name).encode(), False, price, wh, seq or next(_numbers), 0, what)


def standing(quote: Quote, slot: Slot = SLOT, until: int = 10_000, filled: int = 0) -> Standing:
    """The signed order behind a quote."""
    return Standing(
        quote.key,
        quote.party,
        quote.sells,
        quote.wh,
        filled,
        quote.price,
        OPERATOR,
        slot.start,
        slot.end,
        until,
        quote.particulars,
    )


def volume(fills: Iterable[Fill]) -> int:
    return sum(fill.wh for fill in fills)


def assert_conserved(placed: Sequence[Quote], fills: Sequence[Fill]) -> dict[bytes, int]:
    """Nobody gets more than ordered, nobody trades with themselves, every price is within both limits, and the two
    accord. Returns what is left of each order. A-16, A-25, M-31."""
    by_key = {order.key: order for order in placed}
    left = {order.key: order.wh for order in placed}
    for fill in fills:
        sold, bought = by_key[fill.offer], by_key[fill.request]
        assert sold.sells
        assert not bought.sells
        assert sold.party != bought.party
        assert type(fill.wh) is int
        assert type(fill.price) is int
        assert fill.wh > 0
        assert sold.price <= fill.price <= bought.price
        one, other = (standing(order, filled=order.wh - left[order.key]) for order in (sold, bought))
        assert any(fill.wh <= way.wh and way.low <= fill.price <= way.high for way in accords(one, other))
        left[fill.offer] -= fill.wh
        left[fill.request] -= fill.wh
    assert min(left.values(), default=0) >= 0
    return left


_PARTIES = ("p", "q", "r", "s")


def orders(particulars: st.SearchStrategy[Particulars], parties: Sequence[str] = ()) -> st.SearchStrategy[list[Quote]]:
    """Lists of orders in the order of time; each of a party of its own where no parties are given."""
    row = st.tuples(st.booleans(), st.integers(0, 8), st.integers(1, 9), st.sampled_from(parties or ("",)), particulars)

    def made(rows: list[tuple[bool, int, int, str, Particulars]]) -> list[Quote]:
        return [
            Quote(b"%03d" % n, (party or f"own{n}").encode(), sells, price, wh, n, 0, what)
            for n, (sells, price, wh, party, what) in enumerate(rows)
        ]

    return st.lists(row, max_size=24).map(made)


PLAIN_ORDERS = orders(st.just(PLAIN), _PARTIES)

_CONDITION = st.builds(
    Condition,
    partners=st.frozensets(st.sampled_from([party.encode() for party in _PARTIES]), max_size=2),
    areas=st.frozensets(st.sampled_from(["north", "south"]), max_size=1),
    energies=st.frozensets(st.sampled_from(["solar", "wind"]), max_size=1),
    price=st.none() | st.integers(0, 8),
    wh=st.none() | st.integers(1, 9),
)
PARTICULARS = st.builds(
    Particulars,
    area=st.sampled_from(["", "north", "south"]),
    energy=st.sampled_from(["", "solar", "wind"]),
    partner=st.sampled_from([b"", b"", b"", b"p", b"q"]),
    conditions=st.lists(_CONDITION, max_size=2).map(tuple),
)
