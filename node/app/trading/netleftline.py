"""A line that a day's netting left out, as its market keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.storage.facts import Facts
from node.wire.settlement import NetLeftOut

__all__ = ["LEFT", "ORDERS", "LeftLine", "read_left"]

LEFT = "net_left"
"""Namespace of facts: lines that were left out, by leaf."""

ORDERS = "net_left_order"
"""Namespace of facts: what each partner signed for a line, by leaf and side. They come while a line is worked on, and
kept in it they would overwrite, or be overwritten by, what that work changed."""


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


async def read_left(facts: Facts) -> dict[bytes, LeftLine]:
    """All that are kept, by leaf."""
    orders = dict[str, dict[str, str]]()
    for name, order_id in (await facts.all(ORDERS)).items():
        leaf, _, side = name.partition("/")
        orders.setdefault(leaf, {})[side] = order_id
    found = await facts.all(LEFT)
    return {bytes.fromhex(leaf): LeftLine.from_json(each, orders.get(leaf, {})) for leaf, each in found.items()}
