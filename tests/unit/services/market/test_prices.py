"""Price history (market.md, Matching; A-17): made of contracts, and made anew from them with the same figures."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.services.market.prices import PriceHistory, Traded

SLOT = (1_000, 1_900)


def test_unit_prices_and_totals() -> None:
    """A-17: 400 Wh at 200 and 100 Wh at 301 per kWh: 220.2 on average, rounded down."""
    history = PriceHistory()
    history.made(b"a", Traded(SLOT, 400, 200, 80))
    history.made(b"b", Traded(SLOT, 100, 301, 30))
    [found] = history.slots()
    assert (found.contracts, found.wh, found.amount, found.low, found.high, found.mean) == (2, 500, 110, 200, 301, 220)
    assert history.slot(SLOT) == found
    assert history.slot((0, 1)) is None
    assert list(history.slots(since=1_001)) == []


def test_a_reorg_takes_back_what_is_not_final() -> None:
    history = PriceHistory()
    history.made(b"a", Traded(SLOT, 400, 200, 80))
    history.made(b"b", Traded(SLOT, 100, 300, 30))
    history.final(b"a")
    history.undone(b"a")
    history.undone(b"b")
    [found] = history.slots()
    assert (found.contracts, found.high) == (1, 200)


def test_the_oldest_go() -> None:
    history = PriceHistory(most=3)
    for n in (5, 1, 3, 4, 2):
        history.add(Traded((n, n + 1), 1, n, 1))
    assert [found.times[0] for found in history.slots()] == [3, 4, 5]


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(0, 9)), max_size=12), st.integers(0, 12))
def test_made_anew_it_is_the_same(rows: list[tuple[int, int, int]], settled: int) -> None:
    """Told twice, in order or newest first after a restart, final or not: the same figures."""
    contracts = {bytes([n]): Traded((at, at + 1), wh, price, wh * price) for n, (at, wh, price) in enumerate(rows)}
    live, again = PriceHistory(), PriceHistory()
    for key, traded in contracts.items():
        live.made(key, traded)
        live.made(key, traded)
    for key in list(contracts)[:settled]:
        live.final(key)
        live.final(key)
    for number, (key, traded) in reversed(list(enumerate(contracts.items()))):
        if number < settled:
            again.add(traded)
        else:
            again.made(key, traded)
    assert list(live.slots()) == list(again.slots())
