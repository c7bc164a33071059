"""A book in another process: what an engine inside the market would have said comes of it (M-23 to M-26, A-27)."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from node.services.market.auction import PAY_AS_BID, UNIFORM_PRICE
from node.services.market.continuous import CONTINUOUS
from node.services.market.desk import Desk
from node.services.market.engine import EngineKind, Fill, Quote, Slot
from node.services.market.errors import BookLost
from node.services.market.matching import Standing
from node.services.market.remote import BidBook, Command, Proposal, RemoteBook
from node.services.market.slots import Rules
from tests.unit.services.market.kit import OPERATOR, SLOT, offer, request, standing

S, T = b"s" * 32, b"t" * 32


class Apart:
    """A desk whose book is elsewhere, and the way there and back."""

    def __init__(self, kind: EngineKind = CONTINUOUS) -> None:
        self.remote, self.book = RemoteBook(), BidBook(kind)
        self.remote.begin(S)
        self.desk = Desk(OPERATOR, Rules(self.remote.kind(kind)))

    def tell(self) -> list[Proposal]:
        found: list[Proposal] = []
        while (command := self.remote.first) is not None:
            found += self.book.take(self.remote.session, command)
            self.remote.sent(self.remote.session, command.number)
        return found

    def take(self, proposals: list[Proposal], now: int) -> list[Fill]:
        fills: list[Fill] = []
        for each in proposals:
            if self.remote.fresh(each):
                fills += self.desk.propose((each.fill,), now)
            else:
                self.desk.renew(each.fill)
        return fills

    def step(self, now: int) -> list[Fill]:
        """Until nobody has anything to say any more."""
        fills = self.desk.step(now)
        while True:
            found = self.take(self.tell(), now)
            fills += [*found, *self.desk.step(now)]
            if not found and self.remote.first is None:
                return fills


@pytest.mark.parametrize("seed", range(20))
def test_the_same_is_matched_whether_the_book_is_inside_or_apart(seed: int) -> None:
    """Orders come, go, are filled by the chain and refused by it; both markets match the same in the same order."""
    chance = random.Random(seed)
    inside, apart = Desk(OPERATOR, Rules(CONTINUOUS)), Apart()
    open_: list[Quote] = []
    matched = 0
    for now in range(1, 120):
        what = chance.random()
        if what < 0.7 or not open_:
            make = offer if chance.random() < 0.5 else request
            quote = make(
                f"{now}", chance.randint(5, 15), chance.randint(1, 9), party=f"p{chance.randint(0, 5)}", seq=now
            )
            open_.append(quote)
            for desk in (inside, apart.desk):
                desk.put(standing(quote), now, now)
        else:
            gone = open_.pop(chance.randrange(len(open_)))
            for desk in (inside, apart.desk):
                desk.drop(gone.key)
        fills = inside.step(now)
        assert apart.step(now) == fills
        for number, fill in enumerate(fills):
            contract, refused = f"{now}/{number}".encode(), chance.random() < 0.3
            for desk in (inside, apart.desk):
                desk.signed(contract, fill)
                if refused:
                    desk.refused(contract, now)
        matched += len(fills)
    assert matched > 10
    assert apart.desk.faults == []


def test_each_command_counts_once_and_in_its_order() -> None:
    book = BidBook(CONTINUOUS)
    sold, bought = offer("o", 10, 5), request("r", 12, 5)
    first, second = Command(1, SLOT, sold.key, sold), Command(2, SLOT, bought.key, bought)
    for wrong in (second, Command(7, SLOT, sold.key, sold)):
        with pytest.raises(BookLost):
            book.take(S, wrong)
    assert book.take(S, first) == []
    assert book.take(S, first) == [], "it came twice and is in the book once"
    assert book.take(S, second) == [Proposal(S, Fill(b"o", b"r", 5, 10), 1, 2)]
    assert book.take(S, second) == []
    with pytest.raises(BookLost):
        book.take(T, Command(3, SLOT, sold.key))
    assert book.take(T, Command(1, SLOT, bought.key, bought)) == [], "a new session begins with an empty book"
    assert book.state == (T, 1)


def test_a_book_keeps_nothing_of_a_delivery_whose_orders_are_gone() -> None:
    made: list[Slot] = []

    def make(slot: Slot) -> object:
        made.append(slot)
        return CONTINUOUS.make(slot)

    book = BidBook(EngineKind(make, ""))  # type: ignore[arg-type]
    quote = offer("o", 10, 5)
    for number in (1, 3):
        book.take(S, Command(number, SLOT, quote.key, quote))
        book.take(S, Command(number + 1, SLOT, quote.key))
    assert made == [SLOT, SLOT]


def test_an_answer_that_is_older_than_the_news_binds_nobody_and_nothing_is_lost() -> None:
    """The offer is filled elsewhere while a match of it is on its way; what is left of both goes on trading."""
    apart = Apart()
    for order in (offer("o", 10, 10), request("r", 12, 10)):
        apart.desk.put(standing(order), order.seq, 1)
    assert apart.desk.step(1) == []
    late = apart.tell()
    apart.desk.change(b"o", 4)
    apart.desk.step(2)
    assert not apart.remote.fresh(late[0])
    assert apart.take(late, 2) == []
    assert apart.step(3) == [Fill(b"o", b"r", 6, 10)]


def test_an_order_that_is_gone_leaves_its_counterpart_in_the_book() -> None:
    apart = Apart()
    for order in (offer("o", 10, 10), request("r", 12, 10)):
        apart.desk.put(standing(order), order.seq, 1)
    apart.desk.step(1)
    late = apart.tell()
    apart.desk.drop(b"o")
    assert apart.take(late, 2) == []
    fresh = offer("fresh", 11, 10)
    apart.desk.put(standing(fresh), fresh.seq, 2)
    assert apart.step(3) == [Fill(b"fresh", b"r", 10, 11)]


@pytest.mark.parametrize("fill", [Fill(b"o", b"r", 10, 9), Fill(b"o", b"r", 11, 10), Fill(b"r", b"o", 5, 10)])
def test_a_bid_manager_that_lies_binds_nobody(fill: Fill) -> None:
    apart = Apart()
    for order in (offer("o", 10, 10), request("r", 12, 10)):
        apart.desk.put(standing(order), order.seq, 1)
    apart.desk.step(1)
    apart.tell()
    assert apart.desk.propose((fill,), 2) == []
    assert apart.desk.faults


def test_an_engine_that_fails_stops_its_delivery_alone() -> None:
    def make(slot: Slot) -> object:
        if slot == SLOT:
            raise RuntimeError("no")
        return CONTINUOUS.make(slot)

    book, other = BidBook(EngineKind(make, "")), Slot(2_000, 2_900, 2_900)  # type: ignore[arg-type]
    sold, bought = offer("o", 10, 5), request("r", 12, 5)
    found = [
        each
        for number, (slot, quote) in enumerate(((SLOT, sold), (SLOT, bought), (other, sold), (other, bought)), 1)
        for each in book.take(S, Command(number, slot, quote.key, quote))
    ]
    assert [each.fill for each in found] == [Fill(b"o", b"r", 5, 10)]
    assert book.faults == ["RuntimeError: no"]


GATE = Slot(2_000, 2_900, 1_000)


class AuctionApart(Apart):
    """An auction elsewhere. `tell` hands its result over with the mark that it is all."""

    def __init__(self, kind: EngineKind) -> None:
        super().__init__(kind)
        self.desk = Desk(OPERATOR, Rules(self.remote.kind(kind), gate_s=1_000))

    def hold(self, now: int) -> list[Fill]:
        fills = self.desk.step(now)
        while (command := self.remote.first) is not None:
            found = self.book.take(self.remote.session, command)
            self.remote.sent(self.remote.session, command.number)
            if command.gate:
                fills += self.take(found, now)
                self.desk.finish(command.slot, now)
        return fills


def day(quote: Quote) -> Standing:
    return replace(standing(quote), start=GATE.start, end=GATE.end, until=GATE.start)


@pytest.mark.parametrize("kind", [UNIFORM_PRICE, PAY_AS_BID])
@pytest.mark.parametrize("seed", range(10))
def test_an_auction_elsewhere_matches_what_it_would_match_inside(kind: EngineKind, seed: int) -> None:
    chance = random.Random(seed)
    inside, apart = Desk(OPERATOR, Rules(kind, gate_s=1_000)), AuctionApart(kind)
    for number in range(60):
        make = offer if chance.random() < 0.5 else request
        quote = make(
            f"{number}", chance.randint(5, 15), chance.randint(1, 9), party=f"p{chance.randint(0, 9)}", seq=number
        )
        for desk in (inside, apart.desk):
            desk.put(day(quote), number, 10)
        if chance.random() < 0.2:
            for desk in (inside, apart.desk):
                desk.drop(quote.key)
    assert apart.hold(999) == inside.step(999) == []
    fills = inside.step(1_000)
    assert fills
    assert apart.hold(1_000) == fills
    assert apart.desk.closed == inside.closed == 1_000
    assert apart.desk.faults == []
    assert apart.hold(1_001) == [], "never twice"
    assert apart.desk.sizes()["orders"] == 0
    assert apart.remote._numbers == {}


def test_a_result_that_was_lost_on_the_way_is_the_same_when_it_is_asked_for_again() -> None:
    book, sold, bought = BidBook(UNIFORM_PRICE), offer("o", 10, 5), request("r", 12, 5)
    for number, quote in enumerate((sold, bought), 1):
        assert book.take(S, Command(number, GATE, quote.key, quote)) == []
    assert book.tick(5_000) == [], "its own clock holds no auction"
    gate = Command(3, GATE, b"", gate=True)
    found = book.take(S, gate)
    assert [each.fill for each in found] == [Fill(b"o", b"r", 5, 11)]
    assert book.take(S, gate) == found
    other = Command(4, Slot(3_000, 3_900, 2_000), b"", gate=True)
    assert book.take(S, other) == []
    assert book.take(S, gate) == [], "what came after it had it"


def test_orders_wait_for_a_result_until_the_delivery_begins() -> None:
    """The bid manager is silent; a day later nothing is held of it."""
    apart = AuctionApart(UNIFORM_PRICE)
    for order in (offer("o", 10, 10), request("r", 12, 10)):
        apart.desk.put(day(order), order.seq, 1)
    assert apart.desk.step(1_000) == apart.desk.step(1_999) == []
    assert apart.desk.closed == 0
    assert apart.desk.sizes()["orders"] == 2
    assert [each.fill for each in apart.tell()] == [Fill(b"o", b"r", 10, 11)], "the result is on its way"
    apart.desk.step(2_000)
    assert (apart.desk.closed, apart.desk.sizes()["orders"], apart.desk.sizes()["slots"]) == (1_000, 0, 0)
