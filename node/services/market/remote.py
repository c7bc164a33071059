"""A matching engine in another process, as both sides see it: numbered commands there, proposed fills back. No I/O.

At the market `RemoteBook` stands where an engine stands: what the desk tells it waits to be sent, and nothing comes
back at once. At the bid manager `BidBook` takes the commands, once each and in their order, and has the engine answer.
What comes back is checked by the desk like any engine's word.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from node.services.market.engine import Engine, EngineKind, Fill, Quote, Slot
from node.services.market.errors import BookLost
from node.services.market.foreign import Failure, attempt

__all__ = ["BidBook", "Command", "Proposal", "RemoteBook"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Command:
    """Place `quote`, or remove the order `key` where there is none; or, with `gate`, hold the slot's auction."""

    number: int
    slot: Slot
    key: bytes
    quote: Quote | None = None
    gate: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """A fill, and the numbers of the commands by which the bid manager knew its offer and its request."""

    session: bytes
    fill: Fill
    offer_number: int
    request_number: int


class RemoteBook:
    """At the market: what a bid manager has to be told, in order."""

    def __init__(self) -> None:
        self.session = b""
        self._waiting: deque[Command] = deque()
        self._numbers: dict[bytes, int] = {}
        self._last = 0

    def begin(self, session: bytes) -> None:
        """Everything is told anew from here on; what was proposed before counts no more."""
        self.session, self._last = session, 0
        self._waiting.clear()
        self._numbers.clear()

    def kind(self, shown: EngineKind) -> EngineKind:
        """What stands in the place of the engine that the bid manager runs."""
        return EngineKind(
            lambda slot: _Place(self, slot, shown.auction), shown.summary, shown.conditions, shown.auction, late=True
        )

    @property
    def told(self) -> int:
        """The last number that the bid manager has; 0 while it was told nothing."""
        return self._waiting[0].number - 1 if self._waiting else self._last

    @property
    def first(self) -> Command | None:
        """What is to be sent next."""
        return self._waiting[0] if self._waiting else None

    def sent(self, session: bytes, number: int) -> None:
        """The bid manager has it."""
        if session == self.session and self._waiting and self._waiting[0].number == number:
            self._waiting.popleft()

    def fresh(self, proposal: Proposal) -> bool:
        """Whether it was made knowing the latest that was said of both orders."""
        numbers = (self._numbers.get(proposal.fill.offer), self._numbers.get(proposal.fill.request))
        return proposal.session == self.session and numbers == (proposal.offer_number, proposal.request_number)

    def say(self, slot: Slot, key: bytes, quote: Quote | None) -> None:
        self._last += 1
        if quote is None:
            self._numbers.pop(key, None)
        else:
            self._numbers[key] = self._last
        self._waiting.append(Command(self._last, slot, key, quote))

    def hold(self, slot: Slot) -> None:
        """The gate has come, and everything before it was said: the auction is to be held."""
        self._last += 1
        self._waiting.append(Command(self._last, slot, b"", gate=True))

    def forget(self, key: bytes) -> None:
        """An order is gone from a book that is over; nobody has to be told."""
        self._numbers.pop(key, None)


class _Place:
    """Implements `Engine` for one time of delivery."""

    __slots__ = ("_auction", "_book", "_held", "_slot")

    def __init__(self, book: RemoteBook, slot: Slot, auction: bool) -> None:
        self._book = book
        self._slot = slot
        self._auction = auction
        self._held = False

    def add(self, order: Quote) -> Iterable[Fill]:
        if not self._held:
            self._book.say(self._slot, order.key, order)
        return ()

    def cancel(self, key: bytes) -> None:
        if self._held:
            self._book.forget(key)
        else:
            self._book.say(self._slot, key, None)

    def tick(self, now: int) -> Iterable[Fill]:
        """A book's bid manager has a clock of its own. When an auction is held the market says, and once."""
        if self._auction and not self._held and now >= self._slot.gate:
            self._held = True
            self._book.hold(self._slot)
        return ()


@dataclass(slots=True)
class _Kept:
    """`engine` is None once it failed: another one would be another market."""

    engine: Engine | None
    numbers: dict[bytes, int]


class BidBook:
    """At the bid manager: one engine for each time of delivery in which there is an order."""

    def __init__(self, kind: EngineKind) -> None:
        self._make: Callable[[Slot], Engine] = kind.make
        self._auction = kind.auction
        self._result: list[Proposal] = []
        self._session = b""
        self._last = 0
        self._slots: dict[Slot, _Kept] = {}
        self.faults: list[str] = []

    def take(self, session: bytes, command: Command) -> list[Proposal]:
        """What follows from a command; nothing from one that was taken before. Raises BookLost where one is missing:
        the market has to begin anew."""
        if command.number == 1 and session != self._session:
            self._session, self._last, self._slots = session, 0, {}
        if session != self._session or command.number > self._last + 1:
            raise BookLost("This book does not have what came before.", remedy="Begin a session.")
        if command.number <= self._last:
            # Whoever asks for a result again has not had it.
            return list(self._result) if command.gate and command.number == self._last else []
        self._last = command.number
        kept = self._slots.get(command.slot)
        if command.gate:
            gone = self._slots.pop(command.slot, None)
            self._result = self._ask(gone, lambda engine: engine.tick(command.slot.gate)) if gone is not None else []
            return list(self._result)
        if kept is None:
            if command.quote is None:
                return []
            kept = self._slots[command.slot] = _Kept(self._answer(lambda: self._make(command.slot)), {})
        return self._place(kept, command.quote) if command.quote else self._remove(command.slot, kept, command.key)

    @property
    def state(self) -> tuple[bytes, int]:
        """The session, and the last number that was taken."""
        return self._session, self._last

    def tick(self, now: int) -> list[Proposal]:
        """Time goes on (seconds UTC). An auction is held when the market says so, not by this clock."""
        if self._auction:
            return []
        return [found for kept in list(self._slots.values()) for found in self._ask(kept, lambda e: e.tick(now))]

    def _place(self, kept: _Kept, quote: Quote) -> list[Proposal]:
        kept.numbers[quote.key] = self._last
        return self._ask(kept, lambda engine: engine.add(quote))

    def _remove(self, slot: Slot, kept: _Kept, key: bytes) -> list[Proposal]:
        kept.numbers.pop(key, None)
        self._ask(kept, partial(_forget, key))
        if not kept.numbers:
            del self._slots[slot]
        return []

    def _ask(self, kept: _Kept, ask: Callable[[Engine], Iterable[Fill]]) -> list[Proposal]:
        engine = kept.engine
        if engine is None:
            return []
        fills = self._answer(lambda: list(ask(engine)))
        if fills is None:
            kept.engine = None
            return []
        numbers = kept.numbers
        return [
            Proposal(self._session, fill, numbers.get(fill.offer, 0), numbers.get(fill.request, 0)) for fill in fills
        ]

    def _answer(self, call: Callable[[], T]) -> T | None:
        found = attempt(call)
        if isinstance(found, Failure):
            self.faults.append(found.reason)
            return None
        return found


def _forget(key: bytes, engine: Engine) -> Iterable[Fill]:
    engine.cancel(key)
    return ()
