"""What every aggregate is made of: the three base classes, the step, ids, blocks and the signs for "none"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

__all__ = [
    "ADDRESS_ZERO",
    "ALL_STREAMS",
    "AggregateId",
    "Block",
    "ChainEvent",
    "Deadline",
    "Effect",
    "Event",
    "Peer",
    "State",
    "StateIndex",
    "Step",
]

ADDRESS_ZERO = bytes(20)
ALL_STREAMS = bytes(32)
"""`sid` of a Revoke that ends the whole grant."""


class Event:
    """An input: something was logged, received, requested, or fell due. Time, ids and chance are inside it."""

    __slots__ = ()


class Effect:
    """An output: something to be sent, published, submitted or told. It never comes back as an input."""

    __slots__ = ()


class State:
    """The state of one aggregate; frozen."""

    __slots__ = ()


S = TypeVar("S", bound=State, covariant=True)


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """What a reducer returned. Callers keep `state`; the one they passed in has not changed."""

    state: S
    effects: tuple[Effect, ...] = ()


class AggregateId(NamedTuple):
    """`kind` is one of the names in `aggregates.KINDS`; `key` is that aggregate's own id in bytes."""

    kind: str
    key: bytes

    def __str__(self) -> str:
        return f"{self.kind}/{self.key.hex()}"


@dataclass(frozen=True, slots=True)
class Block:
    """Where on the chain a fact stands: block number and the 32-byte block hash."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class ChainEvent(Event):
    """A log of one of the contracts, at the block that holds it. Delivered in chain order."""

    block: Block


@dataclass(frozen=True, slots=True)
class Peer:
    """Another node: the address that signs its parcels, where it listens, and its 1216-byte sealing key."""

    address: bytes
    url: str
    sealing_key: bytes


@dataclass(frozen=True, slots=True)
class Deadline:
    """A time (seconds UTC) at which `aggregates.due_event(id, name, at)` is to be reduced; at most one per name."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class StateIndex:
    """What a store must be able to look up without decoding states.

    `status`: name of the status. `top_block`: number of the highest block whose removal would change the state.
    `unsettled`: number of the lowest block that waits for finality. `chain_deadline`: chain time after which a final
    block changes the state. `links`: pairs of a name and bytes (owner, reader, sid) to find the aggregate by.
    """

    status: str
    top_block: int | None = None
    unsettled: int | None = None
    chain_deadline: int | None = None
    links: tuple[tuple[str, bytes], ...] = ()
