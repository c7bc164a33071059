"""Call auctions (market.md, Matching; G-1, T-2): the greatest volume, one price, time at the margin; pay as bid."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.market.auction import PAY_AS_BID, UNIFORM_PRICE, clear, pay_as_bid_fills, uniform_fills
from node.services.market.conditions import PLAIN, Condition, Particulars
from node.services.market.constrained import ConstrainedBook
from node.services.market.engine import Fill, Quote
from tests.unit.services.market.kit import (
    PARTICULARS,
    PLAIN_ORDERS,
    SLOT,
    assert_conserved,
    offer,
    orders,
    request,
    volume,
)

APART = orders(st.just(PLAIN))


def cleared_at(price: int, placed: list[Quote]) -> int:
    """What one price clears, counted from the definition."""
    offered = sum(order.wh for order in placed if order.sells and order.price <= price)
    wanted = sum(order.wh for order in placed if not order.sells and order.price >= price)
    return min(offered, wanted)


def test_everybody_trades_at_the_middle_of_the_interval_rounded_down() -> None:
    """The dearest offer needed asks 11, the lowest request needed bids 14: 12.5 is 12."""
    placed = [offer("a", 10, 5), offer("b", 11, 5), offer("c", 15, 9), request("x", 20, 6), request("y", 14, 4)]
    assert uniform_fills(placed) == [Fill(b"a", b"x", 5, 12), Fill(b"b", b"x", 1, 12), Fill(b"b", b"y", 4, 12)]
    cleared = clear(placed)
    assert cleared is not None
    assert (cleared.wh, cleared.low, cleared.high, cleared.price) == (10, 11, 14, 12)


def test_at_the_margin_the_earlier_order_comes_first() -> None:
    placed = [offer("late", 10, 5, seq=9), offer("early", 10, 5, seq=3), request("x", 10, 6, seq=5)]
    assert uniform_fills(placed) == [Fill(b"early", b"x", 5, 10), Fill(b"late", b"x", 1, 10)]


@settings(max_examples=300, deadline=None)
@given(APART)
def test_no_price_clears_more(placed: list[Quote]) -> None:
    """Brute force over every price: the volume is the greatest, and exactly the interval's prices clear it."""
    volumes = {price: cleared_at(price, placed) for price in range(10)}
    cleared, fills = clear(placed), uniform_fills(placed)
    assert volume(fills) == max(volumes.values())
    if cleared is not None:
        assert cleared.wh == volume(fills)
        best = [price for price, wh in volumes.items() if wh == cleared.wh]
        assert (min(best), max(best)) == (cleared.low, cleared.high)
        assert {fill.price for fill in fills} == {(cleared.low + cleared.high) // 2}


@settings(max_examples=300, deadline=None)
@given(PLAIN_ORDERS, st.randoms(use_true_random=False))
def test_nothing_is_lost_or_made_and_the_order_of_telling_does_not_matter(
    placed: list[Quote], chance: random.Random
) -> None:
    """Conservation, bounds, self-trade (A-16, A-25), and the same answer for the same orders in any order."""
    for hold in (uniform_fills, pay_as_bid_fills):
        fills = hold(placed)
        assert_conserved(placed, fills)
        shuffled = list(placed)
        chance.shuffle(shuffled)
        assert hold(shuffled) == fills


@settings(max_examples=300, deadline=None)
@given(PLAIN_ORDERS)
def test_a_party_on_both_sides_costs_only_what_nobody_else_could_take(placed: list[Quote]) -> None:
    """A-25: the volume falls short of the clearing only by what one party has on both sides beyond all others."""
    cleared = clear(placed)
    if cleared is None:
        return
    offers = sorted((o for o in placed if o.sells), key=lambda o: (o.price, o.seq))
    requests = sorted((o for o in placed if not o.sells), key=lambda o: (-o.price, o.seq))
    both: dict[bytes, int] = {}
    for side in (offers, requests):
        left = cleared.wh
        for order in side:
            part = min(order.wh, left)
            both[order.party] = both.get(order.party, 0) + part
            left -= part
    excess = max(0, max(both.values()) - cleared.wh)
    assert volume(uniform_fills(placed)) == cleared.wh - excess


@settings(max_examples=200, deadline=None)
@given(PLAIN_ORDERS)
def test_merit_order(placed: list[Quote]) -> None:
    """An order that is filled in part or not at all leaves nothing to a worse one of the same side (all apart)."""
    apart = [Quote(o.key, o.key, o.sells, o.price, o.wh, o.seq) for o in placed]
    left = assert_conserved(apart, uniform_fills(apart))
    for sells in (True, False):
        side = sorted((o for o in apart if o.sells is sells), key=lambda o: (o.price if sells else -o.price, o.seq))
        for better, worse in pairwise(side):
            assert left[better.key] == 0 or left[worse.key] == worse.wh


@settings(max_examples=200, deadline=None)
@given(APART)
def test_pay_as_bid_clears_as_much_at_the_requests_prices(placed: list[Quote]) -> None:
    by_key = {order.key: order for order in placed}
    fills = pay_as_bid_fills(placed)
    assert all(fill.price == by_key[fill.request].price for fill in fills)
    assert volume(fills) == volume(uniform_fills(placed))


@settings(max_examples=300, deadline=None)
@given(orders(PARTICULARS, ("p", "q", "r", "s")))
def test_pay_as_bid_keeps_conditions(placed: list[Quote]) -> None:
    """G-5 in an auction."""
    assert_conserved(placed, pay_as_bid_fills(placed))


def test_pay_as_bid_under_a_conditions_price() -> None:
    sun = Particulars(conditions=(Condition(energies=frozenset({"solar"}), price=12), Condition(price=9)))
    fills = pay_as_bid_fills([offer("o", 8, 5, what=Particulars(energy="solar")), request("x", 15, 5, what=sun)])
    assert fills == [Fill(b"o", b"x", 5, 12)]


@settings(max_examples=300, deadline=None)
@given(orders(PARTICULARS, ("p", "q", "r", "s")))
def test_uniform_price_keeps_conditions_at_one_price(placed: list[Quote]) -> None:
    """G-5 in an auction: whatever is matched is matched at one price, and everybody has what it asked for."""
    fills = uniform_fills(placed)
    assert_conserved(placed, fills)
    assert len({fill.price for fill in fills}) <= 1


@settings(max_examples=200, deadline=None)
@given(orders(st.just(Particulars(conditions=(Condition(),)))))
def test_conditions_that_ask_for_nothing_change_neither_price_nor_volume(placed: list[Quote]) -> None:
    plain = [replace(order, particulars=PLAIN) for order in placed]
    found, wanted = uniform_fills(placed), uniform_fills(plain)
    assert volume(found) == volume(wanted)
    assert {fill.price for fill in found} == {fill.price for fill in wanted}


@settings(max_examples=200, deadline=None)
@given(orders(PARTICULARS, ("p", "q", "r", "s")))
def test_no_other_price_would_have_matched_more(placed: list[Quote]) -> None:
    best = volume(uniform_fills(placed))
    for price in range(9):
        at = [replace(o, price=price) for o in placed if (o.price <= price if o.sells else o.price >= price)]
        # All at one price, in the order of merit: the engine's own rule, looked at from outside.
        ranked = sorted(at, key=lambda o: (not o.sells, *_merit(next(p for p in placed if p.key == o.key))))
        book = ConstrainedBook()
        matched = [fill for n, o in enumerate(ranked) for fill in book.add(replace(o, seq=n))]
        assert volume(matched) <= best


def _merit(order: Quote) -> tuple[int, int]:
    return (order.price if order.sells else -order.price, order.seq)


def test_a_condition_takes_the_price_away_from_what_all_others_would_clear() -> None:
    """Without conditions 10 Wh clear at 5; the buyer wants solar power, which costs 8, and gets it at 8."""
    sun = Particulars(conditions=(Condition(energies=frozenset({"solar"})),))
    placed = [offer("coal", 2, 10), offer("sun", 8, 4, what=Particulars(energy="solar")), request("x", 8, 10, what=sun)]
    assert uniform_fills(placed) == [Fill(b"sun", b"x", 4, 8)]


def test_an_auction_is_held_once_at_the_gate() -> None:
    """Gate closure: nothing before, everything then, nothing after."""
    for kind in (UNIFORM_PRICE, PAY_AS_BID):
        engine = kind.make(SLOT)
        placed = [offer("a", 10, 5), request("x", 12, 5), request("gone", 30, 5)]
        assert [list(engine.add(order)) for order in placed] == [[], [], []]
        engine.cancel(b"gone")
        assert list(engine.tick(SLOT.gate - 1)) == []
        assert volume(engine.tick(SLOT.gate)) == 5
        assert list(engine.add(offer("late", 1, 5))) == []
        assert list(engine.tick(SLOT.gate + 1)) == []


def test_attack_large_orders_that_suit_nobody_choose_no_price() -> None:
    """They name so many low prices that no other one was tried: the price fell to the half, and most of what would have
    been matched was not. They bind nobody, so it cost nothing."""
    dice = random.Random(1)
    honest = [
        (offer if number % 2 else request)(f"{number}", dice.randint(100_000, 400_000), dice.randint(100, 5_000))
        for number in range(600)
    ]
    alone = Condition(partners=frozenset({b"nobody"}))
    wanted = Particulars(conditions=(alone,))
    evil = [replace(offer("evil", 100_000, 10**12), particulars=wanted)]
    for at in range(110_000, 110_300, 8):
        conditions = tuple(replace(alone, price=price) for price in range(at, at + 8))
        wanted = Particulars(conditions=conditions)
        evil.append(replace(request(f"evil {at}", 120_000, 10**12), particulars=wanted))
    fills, before = uniform_fills([*honest, *evil]), uniform_fills(honest)
    assert volume(fills) == volume(before)
    assert {fill.price for fill in fills} == {fill.price for fill in before}
