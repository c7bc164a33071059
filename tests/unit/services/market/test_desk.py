"""The desk (market.md, Matching): fed by changes, bounded by what is live, and no engine can do harm."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.services.market.auction import UNIFORM_PRICE
from node.services.market.conditions import Condition, Particulars
from node.services.market.continuous import CONTINUOUS
from node.services.market.desk import Desk
from node.services.market.engine import Engine, EngineKind, Fill, Level, Quote, Slot
from node.services.market.errors import OrderRefused
from node.services.market.seed import SEED_1TO1
from node.services.market.slots import Rules
from tests.unit.services.market.kit import OPERATOR, PLAIN_ORDERS, SLOT, assert_conserved, offer, request, standing

OTHER = Slot(2_000, 2_900, 1_900)
AUCTION = Rules(UNIFORM_PRICE, slot_s=0, gate_s=100)


def desk_of(*orders: Quote, rules: Rules | None = None, now: int = 1) -> Desk:
    desk = Desk(OPERATOR, rules or Rules(CONTINUOUS))
    for order in orders:
        desk.put(standing(order), order.seq, now)
    return desk


# --- what is free ---


def test_a_match_on_its_way_is_not_free_until_the_chain_refuses_it() -> None:
    """A-16: what was proposed is never proposed again; what the chain refused is, after a while."""
    desk = desk_of(offer("o", 10, 10), request("r", 10, 10))
    [fill] = desk.step(1)
    desk.signed(b"c", fill)
    assert desk.step(2) == []
    assert desk.depth(desk.slots()[0]) == ((), ())
    desk.refused(b"c", 3)
    assert desk.step(3) == []
    assert desk.depth(desk.slots()[0]) == ((Level(10, 10, 1),), (Level(10, 10, 1),))
    assert desk.step(13) == [fill]


@pytest.mark.parametrize("named", [b"debtor", b"her-account"], ids=["the order", "its account"])
def test_only_the_side_that_the_chain_names_waits(named: bytes) -> None:
    """An offer that met a debtor is matched with the next in the row at once, at its old place in time."""
    debtor = request("debtor", 12, 10, party="her-account")
    desk = desk_of(offer("o", 10, 10), debtor, request("other", 11, 10))
    [fill] = desk.step(1)
    assert fill.request == b"debtor"
    desk.signed(b"1", fill)
    desk.refused(b"1", 2, named)
    assert [(each.offer, each.request) for each in desk.step(2)] == [(b"o", b"other")]
    desk.put(standing(offer("late", 10, 10)), 99, 11)
    assert desk.step(11) == []
    assert [(each.offer, each.request) for each in desk.step(12)] == [(b"late", b"debtor")]


def test_both_wait_where_the_chain_names_neither() -> None:
    desk = desk_of(offer("o", 10, 10), request("r", 12, 10), request("other", 11, 10))
    [fill] = desk.step(1)
    desk.signed(b"1", fill)
    desk.refused(b"1", 2, b"somebody else")
    assert desk.step(2) == []


def test_a_debtor_waits_longer_each_time_and_others_trade_meanwhile() -> None:
    desk = desk_of(offer("o", 10, 10), request("debtor", 12, 10))
    [fill] = desk.step(1)
    desk.signed(b"1", fill)
    desk.refused(b"1", 2)
    assert desk.step(11) == []
    assert desk.step(12) == [fill]
    desk.signed(b"2", fill)
    desk.refused(b"2", 13)
    desk.put(standing(offer("fresh", 10, 10)), 98, 13)
    desk.put(standing(request("other", 11, 10)), 99, 13)
    assert [(each.offer, each.request) for each in desk.step(14)] == [(b"fresh", b"other")]
    assert desk.step(32) == []
    assert desk.step(33) == [fill]


def test_what_the_chain_shows_is_counted_once() -> None:
    desk = desk_of(offer("o", 10, 10), request("r", 10, 4))
    [fill] = desk.step(1)
    desk.signed(b"c", fill)
    desk.change(b"o", 4)
    desk.drop(b"r")
    desk.seen(b"c", True)
    assert desk.step(2) == []
    assert desk.depth(desk.slots()[0])[0] == (Level(10, 6, 1),)
    desk.put(standing(request("s", 10, 10)), 99, 2)
    assert [each.wh for each in desk.step(3)] == [6]


def test_a_reorg_gives_back_and_the_match_is_on_its_way_again() -> None:
    desk = desk_of(offer("o", 10, 10), request("r", 10, 10))
    [fill] = desk.step(1)
    desk.signed(b"c", fill)
    for key in (b"o", b"r"):
        desk.change(key, 10)
    desk.seen(b"c", True)
    desk.step(2)
    for key in (b"o", b"r"):
        desk.change(key, 0)
    desk.seen(b"c", False)
    assert desk.step(3) == []
    desk.refused(b"c", 4)
    assert desk.step(14) == [fill]


def test_matches_from_before_a_restart_are_not_made_again() -> None:
    placed = offer("o", 10, 10), request("r", 10, 10)
    fill = Fill(b"o", b"r", 10, 10)
    again = desk_of(*placed)
    again.sent(b"c", fill)
    assert again.step(1) == []
    shown = desk_of()
    shown.sent(b"c", fill)
    shown.seen(b"c", True)
    for order in placed:
        shown.put(standing(order, filled=10), order.seq, 1)
    assert shown.step(1) == []
    assert shown.depth(shown.slots()[0]) == ((), ())


def test_a_cancelled_order_is_gone_whatever_was_first() -> None:
    """A-28: the order of the log decides; what was signed before goes on, what was not is never signed."""
    desk = desk_of(offer("o", 10, 10))
    desk.step(1)
    desk.drop(b"o")
    desk.put(standing(request("r", 10, 10)), 9, 2)
    assert desk.step(2) == []


def test_one_side_of_a_delivery_at_a_time() -> None:
    """A-19, M-44."""
    desk = desk_of(offer("o", 10, 10, party="p"))
    [slot] = desk.slots()
    desk.check_side(b"p", True, slot)
    desk.check_side(b"p", False, Rules(CONTINUOUS).slot(5_000, 6_000))
    desk.check_side(b"q", False, slot)
    with pytest.raises(OrderRefused):
        desk.check_side(b"p", False, slot)


def test_the_seeds_rule_leaves_a_remainder_unmatched() -> None:
    """A-1 with seed_1to1: the remainder is in the depth, but goes to nobody."""
    desk = desk_of(offer("o", 10, 10), request("r", 11, 4), rules=Rules(SEED_1TO1))
    [fill] = desk.step(1)
    desk.signed(b"c", fill)
    desk.put(standing(request("s", 11, 4)), 99, 2)
    assert desk.step(2) == []


# --- slots and time ---


def test_an_auction_at_the_gate_then_the_slot_is_closed() -> None:
    desk = desk_of(offer("o", 10, 10), request("r", 12, 10), rules=AUCTION)
    assert desk.step(899) == []
    assert desk.step(900) == [Fill(b"o", b"r", 10, 11)]
    assert desk.slots() == ()
    assert desk.closed == 900
    desk.put(standing(offer("late", 1, 1)), 99, 901)
    assert desk.step(901) == []
    assert desk.sizes()["orders"] == 0


def test_an_auction_that_was_missed_is_held_late_but_never_twice() -> None:
    """Off at the gate, on before the delivery."""
    placed = offer("o", 10, 10), request("r", 12, 10)
    late = desk_of(*placed, rules=AUCTION, now=950)
    assert len(late.step(950)) == 1
    twice = Desk(OPERATOR, AUCTION, closed=900)
    for order in placed:
        twice.put(standing(order), order.seq, 950)
    assert twice.step(950) == []
    too_late = desk_of(*placed, rules=AUCTION, now=1_000)
    assert too_late.step(1_000) == []


def test_orders_end_and_slots_that_are_over_are_dropped() -> None:
    desk = desk_of(offer("o", 10, 10))
    desk.put(standing(offer("short", 10, 10), until=50), 98, 1)
    desk.step(1)
    desk.step(51)
    assert desk.sizes()["orders"] == 1
    desk.step(SLOT.end)
    assert desk.sizes() == {"orders": 0, "slots": 0, "underway": 0, "waiting": 1}
    desk.step(10_001)
    assert desk.sizes()["waiting"] == 0


def test_times_of_delivery_are_kept_apart() -> None:
    desk = desk_of(offer("o", 10, 10))
    desk.put(standing(request("r", 10, 10), OTHER), 99, 1)
    assert desk.step(1) == []
    assert len(desk.slots()) == 2


@pytest.mark.parametrize(
    ("start", "end", "what", "now", "field"),
    [
        (900, 1_800, Particulars(), 700, None),
        (901, 1_801, Particulars(), 700, "typed.message.start"),
        (900, 1_801, Particulars(), 700, "typed.message.start"),
        (900, 1_800, Particulars(), 800, "typed.message.start"),
        (900, 1_800, Particulars(area="mars"), 700, "details.area"),
        (900, 1_800, Particulars(energy="coal"), 700, "details.energy"),
        (900, 1_800, Particulars(area="north"), 700, None),
        (900, 1_800, Particulars(partner=b"p"), 700, "details.conditions"),
        (900, 1_800, Particulars(conditions=(Condition(),)), 700, "details.conditions"),
    ],
)
def test_what_a_market_takes(start: int, end: int, what: Particulars, now: int, field: str | None) -> None:
    """Slot length, gate closure, names and conditions as data of the market."""
    simple = EngineKind(UNIFORM_PRICE.make, "takes no conditions", auction=True)
    rules = Rules(simple, 900, 100, frozenset({"north"}), frozenset({"solar"}))
    if field is None:
        assert rules.check(start, end, what, now).gate == 800
        return
    with pytest.raises(OrderRefused) as refused:
        rules.check(start, end, what, now)
    assert refused.value.field == field


def test_state_is_bounded_by_what_is_live() -> None:
    """Ten thousand orders that come and go leave nothing, in many slots far ahead, on their way and refused."""
    desk = Desk(OPERATOR, Rules(CONTINUOUS))
    for number in range(10_000):
        slot = Slot(1_000 + 900 * (number % 500), 1_900 + 900 * (number % 500), 0)
        name = str(number)
        placed = [offer("o" + name, 10, 5, party="s"), request("r" + name, 10, 5, party="b")]
        for order in placed:
            desk.put(standing(order, slot, until=2**39), order.seq, 1)
        [fill] = desk.step(1)
        desk.signed(name.encode(), fill)
        if number % 2:
            desk.refused(name.encode(), 1)
        else:
            desk.seen(name.encode(), True)
            desk.final(name.encode())
        for order in placed:
            desk.drop(order.key)
    assert desk.sizes()["orders"] == desk.sizes()["slots"] == desk.sizes()["underway"] == 0
    assert desk.sizes()["waiting"] < 300


def test_more_orders_than_ever_fitted_a_page() -> None:
    """Fifteen thousand on one side, and the best of them is found."""
    desk = desk_of(*(offer(str(n), 20 + n % 50, 1, party=f"p{n}") for n in range(15_000)))
    assert desk.step(1) == []
    desk.put(standing(request("r", 20, 300)), 10**6, 2)
    assert sum(fill.wh for fill in desk.step(2)) == 300
    assert desk.sizes()["orders"] == 15_001


# --- engines that do wrong ---


class Rogue:
    """Proposes what it is told as soon as anything happens."""

    def __init__(self, words: list[object]) -> None:
        self.words = words

    def add(self, order: Quote) -> Iterable[Fill]:
        return self.words  # type: ignore[return-value]

    def cancel(self, key: bytes) -> None:
        return None

    def tick(self, now: int) -> Iterable[Fill]:
        return self.words  # type: ignore[return-value]


def rogue_desk(words: list[object], *orders: Quote) -> Desk:
    def make(slot: Slot) -> Engine:
        return Rogue(words) if slot.start == SLOT.start else CONTINUOUS.make(slot)

    desk = Desk(OPERATOR, Rules(EngineKind(make, "rogue", conditions=True)))
    for order in orders:
        desk.put(standing(order), order.seq, 1)
    for order in (offer("far", 10, 5), request("near", 10, 5)):
        desk.put(standing(order, OTHER), order.seq, 1)
    return desk


class Sly(int):
    """An int that is always less than another."""

    def __gt__(self, other: object) -> bool:
        return False


SOLD, BOUGHT = offer("o", 10, 5, party="s"), request("r", 12, 5, party="b")


@pytest.mark.parametrize(
    ("word", "rule"),
    [
        (Fill(b"o", b"r", 5, 9), "price"),
        (Fill(b"o", b"r", 5, 13), "price"),
        (Fill(b"o", b"r", 6, 11), "energy"),
        (Fill(b"o", b"r", 0, 11), "energy"),
        (Fill(b"o", b"r", -5, 11), "energy"),
        (Fill(b"o", b"own", 5, 11), "request"),
        (Fill(b"o", b"near", 5, 10), "start"),
        (Fill(b"far", b"near", 5, 10), "start"),
        (Fill(b"o", b"foreign", 5, 11), "order"),
        (Fill(b"r", b"o", 5, 11), "offer"),
        (Fill(b"o", b"o", 5, 11), "offer"),
        (Fill(b"o", b"picky", 5, 11), "conditions"),
        (Fill(b"o", b"r", Sly(6), 11), "fill"),
        (Fill(b"o", b"r", 5, 11.0), "fill"),  # type: ignore[arg-type]
        (Fill([], b"r", 5, 11), "fill"),  # type: ignore[arg-type]
        (Fill(b"o", b"r", True, 11), "fill"),
        (("o", "r", 5, 11), "fill"),
        (None, "fill"),
    ],
)
def test_a_hostile_engine_binds_nobody_and_stops_nothing(word: object, rule: str) -> None:
    """G-6, M-31: wrong price, over-fill, self-trade, other slot, foreign order, broken conditions, no fill at all:
    refused, told once, and the other slots trade on."""
    own = request("own", 12, 5, party="s")
    picky = request("picky", 12, 5, what=Particulars(conditions=(Condition(areas=frozenset({"north"})),)))
    desk = rogue_desk([word], SOLD, BOUGHT, own, picky)
    fills = [fill for now in range(1, 60) for fill in desk.step(now)]
    assert fills == [Fill(b"far", b"near", 5, 10)]
    assert [fault.rule for fault in desk.faults if fault.slot.start == SLOT.start].count(rule) == 1
    assert len(desk.faults) <= 2


def test_an_offer_is_not_matched_twice() -> None:
    """A-16: the second of two whole fills of one offer is refused, within one answer and later."""
    words: list[object] = [Fill(b"o", b"r", 5, 11), Fill(b"o", b"x", 5, 11)]
    desk = rogue_desk(words, SOLD, BOUGHT, request("x", 12, 5, party="c"))
    fills = [fill for now in range(1, 60) for fill in desk.step(now) if fill.offer == b"o"]
    assert fills == [Fill(b"o", b"r", 5, 11)]
    assert "energy" in {fault.rule for fault in desk.faults}


def test_an_order_that_is_over_is_not_matched() -> None:
    """An engine that never forgets proposes a dead order."""
    desk = rogue_desk([Fill(b"o", b"short", 5, 11)], SOLD)
    desk.step(5)
    desk.put(standing(request("short", 12, 5, party="c"), until=3), 99, 2)
    assert [fill for fill in desk.step(6) if fill.offer == b"o"] == []


class Broken(Rogue):
    def add(self, order: Quote) -> Iterable[Fill]:
        raise RecursionError("lost")


def test_an_engine_that_fails_stops_only_its_slot() -> None:
    def make(slot: Slot) -> Engine:
        if slot.start == SLOT.start:
            return Broken([])
        return CONTINUOUS.make(slot)

    desk = Desk(OPERATOR, Rules(EngineKind(make, "broken")))
    for order, slot in (
        (SOLD, SLOT),
        (BOUGHT, SLOT),
        (offer("far", 10, 5), OTHER),
        (request("near", 10, 5), OTHER),
    ):
        desk.put(standing(order, slot), order.seq, 1)
    assert [fill for now in range(1, 60) for fill in desk.step(now)] == [Fill(b"far", b"near", 5, 10)]
    assert [(fault.rule, fault.reason) for fault in desk.faults] == [("engine", "RecursionError: lost")]


# --- the same again ---


@settings(max_examples=150, deadline=None)
@given(PLAIN_ORDERS, st.randoms(use_true_random=False))
def test_fed_one_by_one_or_made_anew_it_ends_the_same(placed: list[Quote], chance: random.Random) -> None:
    """A market that is started again in the middle goes on as if it had not been, and never fills more than ordered."""
    straight, fills = desk_of(), []
    for order in placed:
        straight.put(standing(order), order.seq, 1)
        fills += straight.step(1)
    assert_conserved(placed, fills)

    cut = chance.randrange(len(placed) + 1)
    first, before = desk_of(), []
    for order in placed[:cut]:
        first.put(standing(order), order.seq, 1)
        before += first.step(1)
    second, after = desk_of(), []
    done: dict[bytes, int] = {}
    for fill in before:
        for key in (fill.offer, fill.request):
            done[key] = done.get(key, 0) + fill.wh
    again = [order for order in placed[:cut] if done.get(order.key, 0) < order.wh]
    chance.shuffle(again)
    for order in again:
        second.put(replace(standing(order), filled=done.get(order.key, 0)), order.seq, 1)
    assert second.step(1) == []
    for order in placed[cut:]:
        second.put(standing(order), order.seq, 1)
        after += second.step(1)
    assert before + after == fills
