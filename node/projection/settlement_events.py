"""The inputs of orders, trades and sources: what the market and the energy token log, and what parties ask for.

Names of widths and units are those of `events`. Energy is in Wh, money in minor units, prices in minor units per kWh.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.projection.base import ChainEvent, Event, Peer

__all__ = [
    "SETTLEMENT_EVENTS",
    "DueOrderEnd",
    "DueTradeStep",
    "LoggedClaimCured",
    "LoggedClaimIssued",
    "LoggedCollected",
    "LoggedConfirmed",
    "LoggedContractCancelled",
    "LoggedDelivered",
    "LoggedDisputed",
    "LoggedMatched",
    "LoggedMeterReset",
    "LoggedOrderCancelled",
    "LoggedPaid",
    "LoggedProduced",
    "LoggedProvisioned",
    "LoggedReminded",
    "LoggedRuled",
    "LoggedSharesIssued",
    "LoggedSourcePauseSet",
    "LoggedSourceRegistered",
    "OrderTerms",
    "ReceivedOrder",
    "ReceivedRefusal",
    "RequestedOrder",
    "RequestedReading",
    "RequestedRefusal",
    "RequestedTradeNotice",
    "RequestedTradeProgress",
    "RequestedTradeWatch",
    "RequestedTradeWord",
    "Waits",
]


# --- orders -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderTerms:
    """What was signed, as far as matching needs it. `price` is an offer's least, a request's highest."""

    sells: bool
    account: bytes
    wh: int
    price: int
    start: int
    end: int
    until: int


@dataclass(frozen=True, slots=True)
class ReceivedOrder(Event):
    """At the market: an asset's order, verified. `body`: `stored_form`; `peer`: its node or None; `details`: JSON."""

    order_id: bytes
    terms: OrderTerms
    body: str
    signature: bytes
    peer: Peer | None
    at: int
    details: str = ""


@dataclass(frozen=True, slots=True)
class RequestedOrder(Event):
    """At the asset: an order of its own, to be sent to the market `peer`. `parcel` is what is sent."""

    order_id: bytes
    terms: OrderTerms
    body: str
    signature: bytes
    parcel: str
    peer: Peer
    at: int
    details: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedRefusal(Event):
    """At the asset: the market (its operator) to which an order was sent does not take it, and signed that."""

    order_id: bytes
    market: bytes
    reason: str
    at: int


@dataclass(frozen=True, slots=True)
class DueOrderEnd(Event):
    """The order's deadline has come."""

    order_id: bytes
    at: int


@dataclass(frozen=True, slots=True)
class LoggedOrderCancelled(ChainEvent):
    """An account took an order back; it counts only for its own."""

    account: bytes
    order_id: bytes


# --- trades: one event for each log of the market that names a contract -----------------------------------------------
# `time` is the timestamp of the log's block, which the contract's own waits count from; 0 in journals of before.


@dataclass(frozen=True, slots=True)
class LoggedMatched(ChainEvent):
    contract_id: bytes
    seller: bytes
    buyer: bytes
    offer: bytes
    request: bytes
    wh: int
    price: int
    amount: int
    escrowed: bool
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedProvisioned(ChainEvent):
    contract_id: bytes
    account: bytes
    wh: int
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedDelivered(ChainEvent):
    """What counts as delivered, and what is owed for it."""

    contract_id: bytes
    wh: int
    due: int
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedPaid(ChainEvent):
    contract_id: bytes
    amount: int
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedConfirmed(ChainEvent):
    contract_id: bytes
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedReminded(ChainEvent):
    contract_id: bytes
    number: int
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedClaimIssued(ChainEvent):
    contract_id: bytes
    owed: int
    held: int
    evidence: bytes
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedClaimCured(ChainEvent):
    contract_id: bytes
    amount: int
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedDisputed(ChainEvent):
    contract_id: bytes
    reason: bytes
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedRuled(ChainEvent):
    contract_id: bytes
    owed: int
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedCollected(ChainEvent):
    contract_id: bytes
    amount: int
    left: int
    time: int = 0


@dataclass(frozen=True, slots=True)
class LoggedContractCancelled(ChainEvent):
    contract_id: bytes
    by: bytes
    fee: int
    time: int = 0


@dataclass(frozen=True, slots=True)
class RequestedTradeWord(Event):
    """At an asset: a signed message about contracts of its own, for the market `peer`, which brings it onto the chain.

    `contracts` are all that it names; `kind` is its EIP-712 type, with the number of a reminder; `until` its deadline.
    """

    contracts: tuple[bytes, ...]
    kind: str
    digest: bytes
    body: str
    until: int
    peer: Peer
    at: int


@dataclass(frozen=True, slots=True)
class RequestedRefusal(Event):
    """At the market: tell the asset that signed a message that the chain did not take it. `body` is the parcel's."""

    digest: bytes
    peer: Peer
    body: str
    until: int
    at: int


@dataclass(frozen=True, slots=True)
class RequestedTradeNotice(Event):
    """At the market: tell a partner what became of a contract, once. `name` is the parcel's kind and what it is about,
    `kind` is the parcel's kind, `body` its contents.
    """

    contract_id: bytes
    name: str
    peer: Peer
    kind: str
    body: str
    until: int
    at: int


@dataclass(frozen=True, slots=True)
class RequestedTradeProgress(Event):
    """At an asset: what its own meter counted for a contract so far (Wh), at the meter's time, during the delivery."""

    contract_id: bytes
    account: bytes
    wh: int
    meter_time: int
    at: int


@dataclass(frozen=True, slots=True)
class Waits:
    """What a contract's next steps wait for: the time of delivery (seconds UTC) and the terms' waits (seconds)."""

    start: int
    end: int
    start_grace: int
    provision_grace: int
    payment_due: int
    reminder_every: int
    dispute_window: int
    ruling_window: int


@dataclass(frozen=True, slots=True)
class RequestedTradeWatch(Event):
    """This node has a part in a contract and wants to be told when something of it falls due.

    `seller`, `buyer`: an asset of this node is that partner; `operator`: this node's market made the contract.
    """

    contract_id: bytes
    waits: Waits
    seller: bool
    buyer: bool
    operator: bool
    at: int


@dataclass(frozen=True, slots=True)
class DueTradeStep(Event):
    """What the contract waits for has fallen due."""

    contract_id: bytes
    at: int


# --- sources ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoggedSourceRegistered(ChainEvent):
    source: bytes
    owner: bytes
    device: bytes
    initial_counter: int
    max_power_w: int
    shares: int


@dataclass(frozen=True, slots=True)
class LoggedSharesIssued(ChainEvent):
    source: bytes
    owner: bytes
    shares: int


@dataclass(frozen=True, slots=True)
class LoggedMeterReset(ChainEvent):
    source: bytes
    device: bytes
    index: int
    old_final: int
    new_initial: int
    max_power_w: int


@dataclass(frozen=True, slots=True)
class LoggedSourcePauseSet(ChainEvent):
    source: bytes
    account: bytes
    paused: bool


@dataclass(frozen=True, slots=True)
class LoggedProduced(ChainEvent):
    """A reading was taken: `counter_wh` less the one before, times 1,000, was minted."""

    source: bytes
    index: int
    counter_wh: int
    meter_time: int


@dataclass(frozen=True, slots=True)
class RequestedReading(Event):
    """At the gateway: its device signed a reading of the counter, to be sent to the community `peer`."""

    source: bytes
    index: int
    counter_wh: int
    meter_time: int
    signature: bytes
    body: str
    peer: Peer
    at: int


SETTLEMENT_EVENTS: tuple[type[Event], ...] = (
    ReceivedOrder,
    RequestedOrder,
    ReceivedRefusal,
    DueOrderEnd,
    LoggedOrderCancelled,
    LoggedMatched,
    LoggedProvisioned,
    LoggedDelivered,
    LoggedPaid,
    LoggedConfirmed,
    LoggedReminded,
    LoggedClaimIssued,
    LoggedClaimCured,
    LoggedDisputed,
    LoggedRuled,
    LoggedCollected,
    LoggedContractCancelled,
    RequestedTradeWord,
    RequestedTradeWatch,
    DueTradeStep,
    RequestedRefusal,
    RequestedTradeNotice,
    RequestedTradeProgress,
    LoggedSourceRegistered,
    LoggedSharesIssued,
    LoggedMeterReset,
    LoggedSourcePauseSet,
    LoggedProduced,
    RequestedReading,
)
