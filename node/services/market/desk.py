"""The market's desk: open orders in, checked matches out. It stands between what the chain says and the engines.

It is fed with changes (an order opened, its rest changed, a match is on its way, was seen, or was refused) and does
work for what changed only; it holds live orders, slots that are not over, and matches on their way. Nothing of it is
stored: it is made anew from the projection at the start. Pure but for its own state; no clock, no chance, no I/O.

What an order has free is what the chain leaves it minus what matches on their way take. An engine counts its own
proposals as taken; where the desk knows otherwise (refused here or on chain, a reorg), it takes the order out of the
engine and puts it in anew, at its old place in time. An order whose match was refused waits a while first, longer each
time, so that a debtor at the best price does not keep everybody else from trading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Final

from node.services.market.depth import Depth
from node.services.market.engine import Engine, Fill, Level, Quote, Slot
from node.services.market.errors import MatchRefused, OrderRefused
from node.services.market.foreign import Failure, attempt
from node.services.market.matching import Standing, check_fill, is_fill
from node.services.market.slots import Rules
from node.services.market.underway import Underway

__all__ = ["Desk", "Fault"]

FIRST_PAUSE_S: Final = 10
LONGEST_PAUSE_S: Final = 640
_SLACK: Final = 64
"""Entries of what is gone that a heap may have before it is made anew."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What an engine did wrong, once for each slot and rule. `rule` is the field of MatchRefused, or "engine"."""

    slot: Slot
    rule: str
    reason: str


@dataclass(slots=True)
class _Live:
    """`held`: Wh that the engine has of it, None if it is not in there; `shown`: Wh of it in the depth."""

    standing: Standing
    seq: int
    slot: Slot
    held: int | None = None
    shown: int = 0
    refusals: int = 0
    waits: bool = False


class _Book:
    """One slot: its engine (None after it failed), its depth, and which side each party is on."""

    __slots__ = ("depth", "engine", "faults", "keys", "sides")

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.depth = Depth()
        self.keys: set[bytes] = set()
        self.sides: dict[bytes, bool] = {}
        self.faults: set[str] = set()


class Desk:
    """One market. Times in seconds UTC; `closed`: the gate up to which every slot was finished.

    `faults` and `moved` (slots whose depth changed) are for whoever reads and clears them.
    """

    def __init__(self, operator: bytes, rules: Rules, closed: int = 0) -> None:
        self.rules = rules
        self.closed = closed
        self.faults: list[Fault] = []
        self.moved: set[Slot] = set()
        self._operator = operator
        self._underway = Underway()
        self._books: dict[Slot, _Book] = {}
        self._live: dict[bytes, _Live] = {}
        self._touched: dict[bytes, None] = {}
        self._gates: list[tuple[int, Slot]] = []
        self._ends: list[tuple[int, bytes]] = []
        self._pauses: list[tuple[int, bytes]] = []
        self._ticked = 0
        self._answered: set[Slot] = set()

    # What changed

    def put(self, standing: Standing, seq: int, now: int) -> None:
        """An order is open. `seq` is its place in time, `standing.filled` is what the chain says."""
        key = standing.key
        if self.change(key, standing.filled):
            return
        slot = self.rules.slot(standing.start, standing.end)
        late = now >= (slot.start if self.rules.engine.auction else slot.gate)
        if late or standing.until < now or slot.gate <= self.closed:
            return
        book = self._books.get(slot) or self._open(slot)
        self._live[key] = _Live(standing, seq, slot)
        book.keys.add(key)
        book.sides.setdefault(standing.party, standing.sells)
        heappush(self._ends, (standing.until, key))
        self._touched[key] = None

    def change(self, key: bytes, filled: int) -> bool:
        """The chain says something else about an order; False for one that is not here."""
        live = self._live.get(key)
        if live is None:
            return False
        if live.standing.filled != filled:
            live.standing = replace(live.standing, filled=filled)
            self._touched[key] = None
        return True

    def drop(self, key: bytes) -> None:
        """An order is no longer open."""
        live = self._live.pop(key, None)
        if live is None:
            return
        book = self._books[live.slot]
        self._withdraw(book, live)
        self._show(book, live, 0)
        book.keys.discard(key)
        self._touched.pop(key, None)
        if not book.keys:
            del self._books[live.slot]

    def signed(self, contract_id: bytes, fill: Fill) -> None:
        """A fill that `step` returned is a match now, with this id."""
        self._underway.name(contract_id, fill)

    def sent(self, contract_id: bytes, fill: Fill) -> None:
        """A match is on its way, maybe since before a restart or again after a reorg."""
        if self._underway.sent(contract_id, fill):
            self._touch(fill)

    def knows(self, contract_id: bytes) -> bool:
        """Whether a match is on its way, as far as is known here."""
        return self._underway.knows(contract_id)

    def seen(self, contract_id: bytes, made: bool) -> None:
        """The chain shows a match, or a reorg took it back."""
        fill = self._underway.seen(contract_id, made)
        if fill is not None:
            self._touch(fill)
            for live in self._both(fill):
                live.refusals = 0

    def final(self, contract_id: bytes) -> None:
        """Nothing can happen to a match any more."""
        fill = self._underway.over(contract_id)
        if fill is not None:
            self._touch(fill)

    def refused(self, contract_id: bytes, now: int, named: bytes | None = None) -> None:
        """The chain does not take a match, for want of money say. `named`: the account or order that it says is the
        reason. That one waits, and the other may be matched again at once; both wait where it names neither."""
        fill = self._underway.over(contract_id)
        if fill is None:
            return
        pair = list(self._both(fill))
        guilty = [live for live in pair if named in (live.standing.key, live.standing.party)]
        for live in guilty or pair:
            self._pause(live, now)
        self._touch(fill)

    def renew(self, fill: Fill) -> None:
        """Nothing comes of a fill that an engine in another process counts as taken: it gets both orders anew, as they
        are now and at their old places in time."""
        for live in self._both(fill):
            self._withdraw(self._books[live.slot], live)
        self._touch(fill)

    # What follows

    def step(self, now: int) -> list[Fill]:
        """The matches to be signed now; what they take is reserved from here on."""
        fills: list[Fill] = []
        self._let_go(now)
        touched, self._touched = self._touched, {}
        lives = [live for key in touched if (live := self._live.get(key)) is not None]
        for live in sorted(lives, key=lambda each: (each.seq, each.standing.key)):
            self._place(live, now, fills)
        if now > self._ticked:
            self._ticked = now
            for slot, book in list(self._books.items()):
                if book.engine is not None:
                    self._judge(slot, book, partial(book.engine.tick, now), now, fills)
        self._close(now)
        return fills

    def propose(self, proposed: Iterable[Fill], now: int) -> list[Fill]:
        """What of an engine's late answer the rules allow, to be signed now; what they take is reserved from here on.
        An order may have gone meanwhile, which is nobody's fault."""
        fills: list[Fill] = []
        for fill in proposed:
            pair = list(self._both(fill))
            if len(pair) == 2:
                slot = pair[0].slot
                self._judge(slot, self._books[slot], partial(list, (fill,)), now, fills)
            else:
                self.renew(fill)
        return fills

    def _let_go(self, now: int) -> None:
        """Orders whose time is over go; orders that waited come back."""
        while self._ends and self._ends[0][0] < now:
            until, key = heappop(self._ends)
            live = self._live.get(key)
            if live is not None and live.standing.until == until:
                self.drop(key)
        while self._pauses and self._pauses[0][0] <= now:
            live = self._live.get(heappop(self._pauses)[1])
            if live is not None:
                live.waits = False
                self._touched[live.standing.key] = None
        if len(self._ends) > 2 * len(self._live) + _SLACK:
            self._ends = [(live.standing.until, key) for key, live in self._live.items()]
            heapify(self._ends)
        if len(self._pauses) > 2 * len(self._live) + _SLACK:
            self._pauses = [entry for entry in self._pauses if entry[1] in self._live]
            heapify(self._pauses)
        if len(self._gates) > 2 * len(self._books) + _SLACK:
            self._gates = [(slot.gate, slot) for slot in self._books]
            heapify(self._gates)

    def finish(self, slot: Slot, now: int) -> None:
        """An engine elsewhere has said all that it makes of a gate."""
        self._answered |= {slot} & self._books.keys()
        self._close(now)

    def _close(self, now: int) -> None:
        """Slots whose gate has come were ticked a last time; their orders are not matched any more. For what an engine
        elsewhere makes of it they wait, until the delivery begins."""
        while self._gates and self._gates[0][0] <= now:
            gate, slot = self._gates[0]
            book = self._books.get(slot)
            late = self.rules.engine.late and self.rules.engine.auction and slot not in self._answered
            if late and book is not None and book.engine is not None and now < slot.start:
                return
            heappop(self._gates)
            self._answered.discard(slot)
            for key in sorted(book.keys) if book is not None else ():
                self.drop(key)
            self.closed = max(self.closed, gate)

    def _open(self, slot: Slot) -> _Book:
        book = self._books[slot] = _Book()
        heappush(self._gates, (slot.gate, slot))
        made = attempt(partial(self.rules.engine.make, slot))
        if isinstance(made, Failure):
            self._failed(slot, book, made)
        else:
            book.engine = made
        return book

    def _place(self, live: _Live, now: int, fills: list[Fill]) -> None:
        """Sees that the engine has of an order what is free of it."""
        book, standing = self._books[live.slot], live.standing
        free = self._free(live)
        self._show(book, live, free)
        if live.waits or live.held == free or (live.held is None and not free):
            return
        self._withdraw(book, live)
        engine = book.engine
        if engine is None or not free:
            return
        live.held = free
        quote = Quote(
            standing.key,
            standing.party,
            standing.sells,
            standing.price,
            free,
            live.seq,
            standing.wh - free,
            standing.particulars,
        )
        self._judge(live.slot, book, partial(engine.add, quote), now, fills)

    def _withdraw(self, book: _Book, live: _Live) -> None:
        if live.held is None:
            return
        live.held = None
        if book.engine is not None:
            done = attempt(partial(book.engine.cancel, live.standing.key))
            if isinstance(done, Failure):
                self._failed(live.slot, book, done)

    def _judge(self, slot: Slot, book: _Book, ask: Callable[[], Iterable[Fill]], now: int, fills: list[Fill]) -> None:
        """Asks an engine, and takes from its answer what the rules allow."""
        proposed = attempt(lambda: list(ask()))
        if isinstance(proposed, Failure):
            self._failed(slot, book, proposed)
            return
        for fill in proposed:
            try:
                pair = self._allowed(slot, fill, now)
            except MatchRefused as refused:
                self._fault(slot, book, refused.field or "fill", str(refused))
                for live in self._both(fill) if is_fill(fill) else ():
                    if live.slot == slot:
                        self._pause(live, now)
                continue
            fills.append(fill)
            self._underway.reserve(fill)
            for live in pair:
                if live.held is not None:
                    live.held -= fill.wh
                self._show(book, live, self._free(live))

    def _allowed(self, slot: Slot, fill: Fill, now: int) -> tuple[_Live, _Live]:
        """Raises MatchRefused for what is no fill, names orders that are not in this book, or breaks their terms."""
        if not is_fill(fill):
            raise MatchRefused("The engine proposed something that is no fill.", field="fill")
        offer, request = self._live.get(fill.offer), self._live.get(fill.request)
        if offer is None or request is None:
            raise MatchRefused("The match names an order that is not open here.", field="order")
        # The rules come first: they name best what is wrong.
        check_fill(fill, self._standing(offer), self._standing(request), self._operator, now)
        if offer.slot != slot or request.slot != slot:
            raise MatchRefused("The orders are for another time of delivery than this book.", field="start")
        if offer.waits or request.waits:
            raise MatchRefused("The match names an order that was taken out of the book.", field="order")
        return offer, request

    def _standing(self, live: _Live) -> Standing:
        return replace(live.standing, filled=live.standing.wh - self._free(live))

    def _failed(self, slot: Slot, book: _Book, failure: Failure) -> None:
        """Another engine would be another market than the one that was agreed on, so the slot goes on without any."""
        book.engine = None
        self._fault(slot, book, "engine", failure.reason)

    def _fault(self, slot: Slot, book: _Book, rule: str, reason: str) -> None:
        if rule not in book.faults:
            book.faults.add(rule)
            self.faults.append(Fault(slot, rule, reason))

    def _pause(self, live: _Live, now: int) -> None:
        self._withdraw(self._books[live.slot], live)
        if not live.waits:
            live.waits = True
            pause = min(FIRST_PAUSE_S << min(live.refusals, 10), LONGEST_PAUSE_S)
            live.refusals += 1
            heappush(self._pauses, (now + pause, live.standing.key))
        self._touched[live.standing.key] = None

    def _free(self, live: _Live) -> int:
        return max(0, live.standing.left - self._underway.reserved(live.standing.key))

    def _show(self, book: _Book, live: _Live, free: int) -> None:
        if live.shown != free:
            book.depth.move(live.standing.sells, live.standing.price, live.shown, free)
            live.shown = free
            self.moved.add(live.slot)

    def _both(self, fill: Fill) -> Iterator[_Live]:
        for key in (fill.offer, fill.request):
            if (live := self._live.get(key)) is not None:
                yield live

    def _touch(self, fill: Fill) -> None:
        for live in self._both(fill):
            self._touched[live.standing.key] = None

    # What is shown

    def slots(self) -> tuple[Slot, ...]:
        """Slots in which something is open, in the order of time."""
        return tuple(sorted(self._books))

    def depth(self, slot: Slot, most: int | None = None) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Offers and requests of one slot, the best first; what is on its way into a contract is not in it."""
        book = self._books.get(slot)
        if book is None:
            return (), ()
        return book.depth.levels(sells=True, most=most), book.depth.levels(sells=False, most=most)

    def check_side(self, party: bytes, sells: bool, slot: Slot) -> None:
        """Raises OrderRefused for a party that is on the other side of this slot already: one role at a time (A-19)."""
        book = self._books.get(slot)
        if book is not None and book.sides.get(party, sells) is not sells:
            raise OrderRefused("This account is on the other side of this delivery.", field="typed.message.account")

    def sizes(self) -> dict[str, int]:
        """How much is held of what; it follows the number of live orders, slots and matches on their way."""
        return {
            "orders": len(self._live),
            "slots": len(self._books),
            "underway": len(self._underway),
            "waiting": len(self._ends) + len(self._pauses) + len(self._gates) + len(self._touched),
        }
