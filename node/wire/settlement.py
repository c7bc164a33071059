"""Signed messages on their way to whoever brings them onto the chain: orders, words about contracts, readings, sources.

The message itself is the record; the parcel around it only carries it. `typed` is its EIP-712 document, `signatures`
stand in the order of the contract's function, `opening` is what that function takes besides.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from node.wire.consents import PartyCard
from node.wire.fields import WIDE, Address, Body, Hash, Opening, Seconds, Signature
from node.wire.orderdetails import OrderDetails

__all__ = [
    "MOST_WORDS",
    "EvidenceGiven",
    "FundWanted",
    "NetContractMade",
    "NetCounted",
    "NetLeftOut",
    "NetLineSigned",
    "NetReported",
    "OrderPlaced",
    "SignedMessage",
    "SignedMessages",
    "SourceProposal",
    "WordRefused",
]

MOST_WORDS: Final = 16
"""In one parcel: a payment of ten contracts has 2.5 kB, a parcel 64."""


class SignedMessage(Body):
    """A message with its signatures, ready for the chain."""

    typed: dict[str, Any]
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=4)]
    opening: Annotated[tuple[Opening, ...], Field(max_length=4)] = ()


class SignedMessages(Body):
    """Several of them in one parcel, which is taken as a whole or not at all."""

    words: Annotated[tuple[SignedMessage, ...], Field(min_length=1, max_length=MOST_WORDS)]


class OrderPlaced(Body):
    """A signed offer or request, and the card of the node that makes it; no card of an asset without a node, which asks
    the market's desk and takes no messages. `details`: what its nonce commits to."""

    typed: dict[str, Any]
    signature: Signature
    card: PartyCard | None = None
    details: OrderDetails | None = None


class EvidenceGiven(Body):
    """A meter's absolute counters (Wh) at both ends of a delivery, each signed by the device that an order of the
    contract names, at its own time. Anybody may bring them: the contract decides what they count for."""

    contract: Hash
    of_seller: bool
    device: Address
    first_wh: Annotated[int, Field(ge=0, lt=2**64), WIDE]
    first_at: Seconds
    last_wh: Annotated[int, Field(ge=0, lt=2**64), WIDE]
    last_at: Seconds
    first_signature: Opening
    last_signature: Opening


class FundWanted(Body):
    """An asset lacks money for a contract and asks its owner: which account, in whose market, and how much."""

    operator: Address
    account: Address
    contract: Hash
    missing: Annotated[int, Field(gt=0, lt=2**88), WIDE]


class NetLineSigned(Body):
    """What a request that was signed for netting pays to one seller: Wh at minor units per kWh."""

    typed: dict[str, Any]
    signature: Signature
    seller: Address
    wh: Annotated[int, Field(gt=0, lt=2**63), WIDE]
    price: Annotated[int, Field(ge=0, lt=2**80), WIDE]
    amount: Annotated[int, Field(ge=0, lt=2**88), WIDE] | None = None


class NetContractMade(Body):
    """A market that nets tells both partners of a contract. Its id is the hash of all of it; seconds UTC."""

    operator: Address
    offer: Hash
    request: Hash
    seller: Address
    buyer: Address
    wh: Annotated[int, Field(gt=0, lt=2**63), WIDE]
    price: Annotated[int, Field(ge=0, lt=2**80), WIDE]
    start: Annotated[int, Field(ge=0, lt=2**40)]
    end: Annotated[int, Field(ge=0, lt=2**40)]
    nonce: Hash


class NetCounted(Body):
    """Wh that count of a netted contract, by its market's word."""

    contract: Hash
    wh: Annotated[int, Field(ge=0, lt=2**63), WIDE]


class NetLeftOut(Body):
    """A market that nets tells both partners of a line that the netting of a day left out: it is owed by itself.

    `block`: number of the block with the day's batch, 0 where there is none; `leaf`: the line's leaf, by which it is
    known; `terms`: those of its request, which hold for its contract too (None: the market's present ones); `owed`:
    what stays of `amount` once it is set off against other lines that were left out (None: all of it); `until`: so long
    at most (seconds UTC) its buyer waits for what it sold itself on that day, 0 where it waits for nothing; `awaited`:
    so long at most its seller waits for it with its own debts of that day; `reminders` and `claimed`: what became of it
    so far; `sales`: to its buyer, what counts of all that it sold on that day.
    """

    operator: Address
    period: Annotated[int, Field(ge=0, lt=2**24)]
    block: Annotated[int, Field(ge=0, lt=2**62)]
    leaf: Hash
    request: Hash
    seller: Address
    buyer: Address
    wh: Annotated[int, Field(gt=0, lt=2**63), WIDE]
    price: Annotated[int, Field(ge=0, lt=2**80), WIDE]
    amount: Annotated[int, Field(gt=0, lt=2**88), WIDE]
    terms: Hash | None = None
    owed: Annotated[int, Field(ge=0, lt=2**88), WIDE] | None = None
    until: Seconds = 0
    awaited: Seconds = 0
    reminders: Annotated[int, Field(ge=0, le=3)] = 0
    claimed: bool = False
    sales: Annotated[tuple[NetCounted, ...], Field(max_length=10_000)] = ()

    @property
    def due(self) -> int:
        """What is owed of it, minor units."""
        return self.amount if self.owed is None else self.owed

    @property
    def ordered(self) -> tuple[int, int]:
        """Wh and price of the orders that both partners sign for it. What stays of a line that was set off in part is a
        sum and no energy any more: one kWh at that sum, which alone comes to it exactly at every price."""
        return (self.wh, self.price) if self.due == self.amount else (1_000, self.due)


class NetReported(Body):
    """What a partner of a netted contract delivered or used: a Provision, signed for the net settlement."""

    typed: dict[str, Any]
    signature: Signature
    start: Annotated[int, Field(ge=0, lt=2**40)]


class WordRefused(Body):
    """The market's answer to a message that the chain did not take: which one, of which kind, and why."""

    about: Hash
    kind: Annotated[str, Field(max_length=40)]
    reason: Annotated[str, Field(max_length=600)]


class SourceProposal(Body):
    """A source that somebody wants to have registered. It gathers signatures: the device's, then the owner's."""

    typed: dict[str, Any]
    device_signature: Signature
    owner_signature: Signature | None = None
    community: PartyCard
