"""A line that a day's netting left out, and how its market keeps them: what is closed costs nothing any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from node.app.memory import Fact
from node.app.trading.nettelling import SIDES
from node.services.market.netcontracts import NetContract
from node.storage.facts import Facts
from node.wire.settlement import NetLeftOut

__all__ = ["ORDERS", "Left", "LeftBook", "LeftLine", "kept"]

LEFT, CLOSED = "net_left", "net_left_closed"
"""Namespaces of facts: lines that were left out, by leaf, while something is owed of them, and after."""

PAYS = "net_left_pays"
"""Namespace of facts: the leaf that a contract on chain pays for, by contract."""

ORDERS = "net_left_order"
"""Namespace of facts: what each partner signed for a line, by leaf and side. They come while a line is worked on, and
kept in it they would overwrite, or be overwritten by, what that work changed."""

DAYS_AT_HAND = 8

Left = tuple[int, int]
"""A line's amount, and what stayed owed of it when it was set off."""


@dataclass(frozen=True, slots=True)
class LeftLine:
    """`body` is what both are told of it. `since`: when the wait for its buyer began anew, 0 while nobody waits for it;
    `told`: what each side heard last; `orders`: what each signed for it, which is kept by itself; `contract`: what
    became of the two on chain, empty before."""

    body: NetLeftOut
    offer: bytes
    since: int
    told: Mapping[str, str]
    orders: Mapping[str, str]
    contract: bytes = b""
    closed: bool = False

    @property
    def news(self) -> str:
        """What its partners are told of anew when it changes."""
        return f"{self.body.reminders}/{self.body.claimed}"

    def to_json(self) -> dict[str, Any]:
        return {
            "body": self.body.to_json(),
            "offer": self.offer.hex(),
            "since": self.since,
            "told": dict(self.told),
            "contract": self.contract.hex(),
            "closed": self.closed,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], orders: Mapping[str, str]) -> LeftLine:
        return cls(
            NetLeftOut.model_validate(found["body"]),
            bytes.fromhex(found["offer"]),
            found["since"],
            found["told"],
            orders,
            bytes.fromhex(found["contract"]),
            found["closed"],
        )


class LeftBook:
    """The facts of all lines. Those that are open are read once, at the start; of the others what is asked for."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._day: tuple[int, dict[tuple[str, str, int], Left]] | None = None
        self._of: dict[int, dict[str, list[str]]] = {}

    async def open(self) -> dict[bytes, LeftLine]:
        """Those that are not closed, by leaf."""
        orders = dict[str, dict[str, str]]()
        for name, order_id in (await self._facts.all(ORDERS)).items():
            leaf, _, side = name.partition("/")
            orders.setdefault(leaf, {})[side] = order_id
        found = await self._facts.all(LEFT)
        return {bytes.fromhex(leaf): LeftLine.from_json(each, orders.get(leaf, {})) for leaf, each in found.items()}

    async def closed(self, leaves: Collection[bytes] | None = None) -> dict[bytes, LeftLine]:
        """Those of these that are closed; all that ever were, where none are named."""
        if leaves is None:
            found = await self._facts.all(CLOSED)
        else:
            found = await self._facts.many(CLOSED, [leaf.hex() for leaf in leaves])
        return {bytes.fromhex(leaf): LeftLine.from_json(each, {}) for leaf, each in found.items()}

    async def pays(self, contract_id: bytes) -> bool:
        """Whether a contract on chain ever paid for a line."""
        return await self._facts.get(PAYS, contract_id.hex()) is not None

    async def of(self, made: NetContract) -> Left | None:
        """The line of which this contract is a part, if it was left out."""
        if self._day is None or self._day[0] != made.day:
            found = (await self._facts.all(_parts(made.day))).values()
            self._day = made.day, {(e[0], e[1], e[2]): (e[3], e[4]) for e in found}
        return self._day[1].get((made.request.hex(), made.seller.hex(), made.price))

    async def closed_of(self, period: int, account: bytes) -> list[NetLeftOut]:
        """What is closed of an account's lines of a day."""
        if period not in self._of:
            leaves = dict[str, list[str]]()
            for leaf, part in (await self._facts.all(_parts(period))).items():
                for party in (part[1], *part[5:]):
                    leaves.setdefault(party, []).append(leaf)
            self._of[period] = leaves
            while len(self._of) > DAYS_AT_HAND:
                del self._of[next(iter(self._of))]
        found = await self.closed([bytes.fromhex(leaf) for leaf in self._of[period].get(account.hex(), ())])
        return [each.body for each in found.values()]

    def begun(self, lines: Mapping[bytes, LeftLine]) -> list[Fact]:
        """The facts of lines that are left out now."""
        self._day = None
        self._of.clear()
        facts = [fact for leaf, line in lines.items() for fact in kept(leaf, line)]
        for leaf, line in lines.items():
            body = line.body
            request, seller, buyer = [bytes(each).hex() for each in (body.request, body.seller, body.buyer)]
            part = [request, seller, body.price, body.amount, body.due, buyer]
            facts.append((_parts(body.period), leaf.hex(), part))
        return facts


def kept(leaf: bytes, line: LeftLine) -> list[Fact]:
    """The facts of a line as it is now."""
    name = leaf.hex()
    facts: list[Fact] = [(PAYS, line.contract.hex(), name)] if line.contract else []
    if not line.closed:
        return [*facts, (LEFT, name, line.to_json())]
    orders: list[Fact] = [(ORDERS, f"{name}/{side}", None) for side in SIDES]
    return [*facts, *orders, (LEFT, name, None), (CLOSED, name, line.to_json())]


def _parts(period: int) -> str:
    """Namespace of facts: request, seller, price, amount, what stayed owed and buyer of the lines of a day, by leaf."""
    return f"net_left_of_{period}"
