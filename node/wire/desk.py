"""What an account asks a market about itself, and the answer: its contracts since it asked last, and its money.

The question is signed by the account and holds for a minute; it asks for nothing but what concerns that account, so
whoever repeats it learns what the connection showed anyway. It goes over TLS, as everything of the REST interface.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from keys.messages import Statement
from node.wire.fields import Address, Body, Hash, Seconds, Signature
from node.wire.settlement import NetLeftOut

__all__ = [
    "DESK_VALID_S",
    "DeskAnswer",
    "DeskContract",
    "DeskMoney",
    "DeskNetMember",
    "DeskQuestion",
    "desk_statement",
]

DESK_VALID_S = 60
TOPIC = "market desk"

Status = Literal[
    "matched", "reported", "contested", "delivered", "paid", "confirmed", "claimed", "disputed", "cured", "resolved",
    "cancelled",
]  # fmt: skip
Wh = Annotated[int, Field(ge=0, lt=2**64)]
"""As wide as what a partner signs: one that reports nonsense must not keep the other from reading the rest."""
Minor = Annotated[int, Field(ge=0, lt=2**96)]


class DeskQuestion(Body):
    """`seen_seq`, `seen_id`: those of the answer before, zeros at first. `money`: ask for balances as well."""

    account: Address
    nonce: Hash
    signed_at: Seconds
    signature: Signature
    seen_seq: Annotated[int, Field(ge=0, lt=2**62)] = 0
    seen_id: Hash = bytes(32)
    money: bool = False


class DeskContract(Body):
    """A contract as the chain has it. Energy in Wh, `price` per kWh, `due` and `paid` in minor units.

    `escrowed`: the buyer's money is reserved. `since`: block of the settled delivery. `final`: no reorganisation can
    take it back. `start` and `end`: of its delivery, in seconds UTC.
    """

    id: Hash
    status: Status
    final: bool
    seller: Address
    buyer: Address
    offer: Hash
    request: Hash
    wh: Wh
    price: Minor
    start: Seconds
    end: Seconds
    by_seller: Wh | None = None
    by_buyer: Wh | None = None
    delivered: Wh | None = None
    due: Minor | None = None
    paid: Minor = 0
    escrowed: bool = False
    since: Wh = 0


class DeskNetMember(Body):
    """Where the market nets: minor units in its book there, what a batch may take a day, until the end of which day
    (seconds UTC), and the number of the last mandate."""

    balance: Minor
    most_a_day: Minor
    valid_until: Annotated[int, Field(ge=0, lt=2**48)]
    serial: Annotated[int, Field(ge=0, lt=2**32)]


class DeskMoney(Body):
    """Minor units in the account's wallet and in the market's book, and what a permit of the token needs."""

    wallet: Minor
    balance: Minor
    token: Address
    token_name: Annotated[str, Field(max_length=100)]
    token_version: Annotated[str, Field(max_length=20)]
    permit_nonce: Annotated[int, Field(ge=0)]
    net: DeskNetMember | None = None


class DeskAnswer(Body):
    """Contracts in the order of their changes. `more`: ask again at once.

    `netted`: contracts of a market that nets, all those of days that are not netted yet. No chain has them; `matched`
    nobody reported, `reported` one did, `delivered` it is settled what is owed. `left`: what its nettings left out and
    this account has not signed for; `beside`: the other lines of those days that concern it, signed for or set off
    whole, by which it can compare what was set off.
    """

    contracts: tuple[DeskContract, ...]
    seen_seq: int
    seen_id: Hash
    more: bool
    money: DeskMoney | None = None
    netted: tuple[DeskContract, ...] = ()
    left: tuple[NetLeftOut, ...] = ()
    beside: tuple[NetLeftOut, ...] = ()


def desk_statement(account: bytes, operator: bytes, nonce: bytes, signed_at: int) -> Statement:
    """What the account signs, for this one market."""
    return Statement(account, TOPIC, operator.rjust(32, b"\x00"), nonce, signed_at, signed_at + DESK_VALID_S)
