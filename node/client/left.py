"""What a netting left out, as a market tells an account that has no node: believed as far as it fits what the account
ordered, took and reported itself.

Each line is compared with the contracts that it is for; what was set off, with all lines of its day: as much went off
what is owed to this account as off what it owes, or it would lose the difference. The first word about a line counts.
What no library can see is what a day's batch moved on the chain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from keys import messages as m
from keys.eip712 import Domain
from node.client.book import Netted, OrderBook, SignedLeft
from node.client.link import Place
from node.services.asset.errors import PaymentRefused
from node.wire.desk import DeskAnswer
from node.wire.settlement import NetLeftOut

__all__ = ["LASTS_S", "LeftDesk", "check_line", "check_set_off"]

LASTS_S: Final = 7 * 86_400
EARLY_S: Final = 300
"""An order for what was left out lasts so long, and begins so much before now: clocks differ."""

AGAIN_S: Final = 3_600

_NEWS: Final = {"reminders": 0, "claimed": False, "until": 0, "awaited": 0, "sales": ()}
"""What may change of a line, or binds nobody."""


def check_line(body: NetLeftOut, account: bytes, contracts: Collection[Netted], terms: bytes) -> None:
    """A line by itself. `contracts`: those that it is for; `terms`: those that the account's own order named. Raises
    PaymentRefused, naming what is wrong."""
    if account not in (bytes(body.seller), bytes(body.buyer)) or body.seller == body.buyer:
        raise PaymentRefused("The line is between others.", field="buyer")
    if not contracts:
        raise PaymentRefused("The line is for no contract of this asset on that day.", field="request")
    if body.terms is not None and bytes(body.terms) != terms:
        raise PaymentRefused("The line names other terms than this asset's order.", field="terms")
    known = [each.counted for each in contracts if each.counted is not None]
    exact = len(known) == len(contracts)
    most = sum(_most(each) for each in contracts)
    if body.wh > most or (exact and body.wh != most):
        raise PaymentRefused("The line is for other energy than counts of its contracts.", field="wh")
    whole = body.wh * body.price // 1000
    # Each contract's amount is rounded down by itself.
    if not whole - len(contracts) < body.amount <= whole or (exact and body.amount != sum(due for _, due in known)):
        raise PaymentRefused("The line's amount is not its energy at the agreed price.", field="amount")
    if body.due > body.amount:
        raise PaymentRefused("More is owed than the line is for.", field="owed")


def _most(each: Netted) -> int:
    """Wh that count of a contract, at most: what this asset reported, where it did."""
    said = each.wh if each.said is None else min(each.said, each.wh)
    return said if each.counted is None else each.counted[0]


def check_set_off(lines: Iterable[NetLeftOut], account: bytes) -> None:
    """All lines of a day that concern an account. Raises PaymentRefused."""
    off = {True: 0, False: 0}
    for each in lines:
        off[bytes(each.seller) == account] += each.amount - each.due
    if off[True] != off[False]:
        raise PaymentRefused("More is set off on one side than on the other.", field="owed")


class LeftDesk:
    """Of one account in one market."""

    def __init__(self, account: bytes, book: OrderBook) -> None:
        self._account = account
        self._book = book
        self._faults: dict[bytes, PaymentRefused] = {}

    def take(self, answer: DeskAnswer, place: Place, refused: dict[bytes, str]) -> dict[bytes, NetLeftOut]:
        """Of the lines that a market asks for those that stand up, by leaf. `refused` gets why the others do not: the
        field that is wrong, and the reason."""
        good = list[NetLeftOut]()
        self._faults = {}
        for body in (*answer.left, *answer.beside):
            try:
                self._check(body, place, good)
            except PaymentRefused as fault:
                self._faults[bytes(body.leaf)] = fault
            else:
                good.append(body)
        for period in {body.period for body in good}:
            self._check_day(period, good)
        stand = [body for body in good if bytes(body.leaf) not in self._faults]
        self._book.left(body for body in stand if bytes(body.leaf) not in self._book.lines)
        for body in stand:
            refused.pop(bytes(body.leaf), None)
        refused |= {leaf: f"{fault.field}: {fault}" for leaf, fault in self._faults.items()}
        wanted = {bytes(body.leaf) for body in answer.left}
        return {bytes(body.leaf): body for body in stand if bytes(body.leaf) in wanted}

    def _check(self, body: NetLeftOut, place: Place, good: Iterable[NetLeftOut]) -> None:
        if bytes(body.operator) != place.operator:
            raise PaymentRefused("The line is another market's.", field="operator")
        contracts = self.contracts(body)
        placed = self._book.placed(contracts[0].order) if contracts else None
        check_line(body, self._account, contracts, placed.terms if placed is not None else place.terms)
        before = self._book.lines.get(bytes(body.leaf))
        if before is not None:
            was, now = before.model_copy(update=_NEWS), body.model_copy(update=_NEWS)
            changed = [name for name in NetLeftOut.model_fields if getattr(was, name) != getattr(now, name)]
            if changed:
                raise PaymentRefused("Something else was told of that line before.", field=changed[0])
        for other in (*self._book.lines.values(), *good):
            if other.leaf != body.leaf and _key(other) == _key(body):
                raise PaymentRefused("That line was told under another leaf before.", field="leaf")

    def _check_day(self, period: int, good: Iterable[NetLeftOut]) -> None:
        """With all that was believed of the day: what one line lost may not be shown as another one's loss again."""
        lines = {leaf: body for leaf, body in self._book.lines.items() if body.period == period}
        lines |= {bytes(body.leaf): body for body in good if body.period == period}
        try:
            check_set_off(lines.values(), self._account)
        except PaymentRefused as refused:
            self._faults |= {leaf: refused for leaf, body in lines.items() if body.due != body.amount}

    def contracts(self, body: NetLeftOut) -> list[Netted]:
        """The contracts that a line is for: its request takes of its seller, at its price, on its day."""
        return self._book.for_line(*_key(body))

    def alone(self, body: NetLeftOut) -> bool:
        """Whether nothing of its day was set off: then a sale may be signed for without a look at the chain."""
        return all(each.due == each.amount for each in self._book.lines.values() if each.period == body.period)

    def waits(self, lines: Mapping[bytes, NetLeftOut]) -> dict[bytes, str]:
        """What to look at before a line is signed for, of those where the library cannot tell, by leaf."""
        found = dict[bytes, str]()
        for leaf, line in lines.items():
            if line.due and bytes(line.seller) != self._account:
                found[leaf] = "A debt: look that no batch took the amount, then sign it, or it is paid twice."
            elif line.due and not self.alone(line):
                found[leaf] = (
                    "A sale against which debts of its day were set off: look that no batch took these as well."
                )
        return found

    def order(self, body: NetLeftOut, place: Place, now: int, domain: Domain, *, again: bool) -> m.Offer | m.Request:
        """What an account signs for a line. As long as an order for it may become a contract it is the same one, or the
        line could be paid twice; a buyer signs another one after that only if its program says so (`again`). Remembered
        before it is sent. Raises PaymentRefused."""
        leaf, sells = bytes(body.leaf), bytes(body.seller) == self._account
        before = self._book.signed.get(leaf)
        if before is not None and not sells and self._book.get(before.order) is None:
            before = None  # the market refused it, and signed that
        # A seller has nothing to lose by another one: it asks for money.
        if before is not None and now < before.at + (AGAIN_S if sells else LASTS_S):
            return left_order(body, before.terms, before.at, sells=sells)
        if before is not None and not sells and not again:
            raise PaymentRefused("An order for that line was signed before and may be a contract.", field="leaf")
        terms = place.terms if body.terms is None else bytes(body.terms)
        message = left_order(body, terms, now, sells=sells)
        self._book.sign(leaf, SignedLeft(m.digest(message, domain), terms, now))
        return message

    def require(self, leaf: bytes) -> None:
        """Raises PaymentRefused for a line that does not stand up."""
        if leaf in self._faults:
            raise self._faults[leaf]


def left_order(body: NetLeftOut, terms: bytes, now: int, *, sells: bool) -> m.Offer | m.Request:
    """The message: for its partner alone, known by its nonce."""
    wh, price = body.ordered
    kind, account, other = (m.Offer, body.seller, body.buyer) if sells else (m.Request, body.buyer, body.seller)
    return kind(
        account=bytes(account),
        operator=bytes(body.operator),
        terms=terms,
        partner=bytes(other),
        device=bytes(20),
        wh=wh,
        price=price,
        start=now - EARLY_S,
        end=now + LASTS_S,
        nonce=int.from_bytes(body.leaf, "big"),
        deadline=now + LASTS_S,
    )


def _key(body: NetLeftOut) -> tuple[bytes, bytes, bytes, int, int]:
    """What there is one line for."""
    return bytes(body.request), bytes(body.seller), bytes(body.buyer), body.price, body.period
