"""The inputs of orders, trades and sources: what the market and the energy token log, and what parties ask for.

Names of widths and units are those of `events`. Energy is in Wh, money in minor units, prices in minor units per kWh.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.projection.base import ChainEvent, Event, Peer

__all__ = [
    "SETTLEMENT_EVENTS",
    "DueOrderEnd",
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
    "RequestedOrder",
    "RequestedReading",
    "RequestedTradeWord",
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
    """At the market: an asset's signed offer or request, verified. `peer` is the asset's node."""

    order_id: bytes
    terms: OrderTerms
    body: str
    signature: bytes
    peer: Peer
    at: int


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


@dataclass(frozen=True, slots=True)
class DueOrderEnd(Event):
    """The order's deadline has come; what is not filled by now stays so."""

    order_id: bytes
    at: int


@dataclass(frozen=True, slots=True)
class LoggedOrderCancelled(ChainEvent):
    """An account took an order back; it counts only for its own."""

    account: bytes
    order_id: bytes


# --- trades: one event for each log of the market that names a contract -----------------------------------------------


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


@dataclass(frozen=True, slots=True)
class LoggedProvisioned(ChainEvent):
    contract_id: bytes
    account: bytes
    wh: int


@dataclass(frozen=True, slots=True)
class LoggedDelivered(ChainEvent):
    """What counts as delivered, and what is owed for it."""

    contract_id: bytes
    wh: int
    due: int


@dataclass(frozen=True, slots=True)
class LoggedPaid(ChainEvent):
    contract_id: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class LoggedConfirmed(ChainEvent):
    contract_id: bytes


@dataclass(frozen=True, slots=True)
class LoggedReminded(ChainEvent):
    contract_id: bytes
    number: int


@dataclass(frozen=True, slots=True)
class LoggedClaimIssued(ChainEvent):
    contract_id: bytes
    owed: int
    held: int
    evidence: bytes


@dataclass(frozen=True, slots=True)
class LoggedClaimCured(ChainEvent):
    contract_id: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class LoggedDisputed(ChainEvent):
    contract_id: bytes
    reason: bytes


@dataclass(frozen=True, slots=True)
class LoggedRuled(ChainEvent):
    contract_id: bytes
    owed: int


@dataclass(frozen=True, slots=True)
class LoggedCollected(ChainEvent):
    contract_id: bytes
    amount: int
    left: int


@dataclass(frozen=True, slots=True)
class LoggedContractCancelled(ChainEvent):
    contract_id: bytes
    by: bytes
    fee: int


@dataclass(frozen=True, slots=True)
class RequestedTradeWord(Event):
    """At an asset: a signed message about contracts of its own, for the market `peer`, which brings it onto the chain.

    `contracts` are all that it names; `kind` is its EIP-712 type, `until` its deadline.
    """

    contracts: tuple[bytes, ...]
    kind: str
    digest: bytes
    body: str
    until: int
    peer: Peer
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
    LoggedSourceRegistered,
    LoggedSharesIssued,
    LoggedMeterReset,
    LoggedSourcePauseSet,
    LoggedProduced,
    RequestedReading,
)
