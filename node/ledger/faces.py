"""The contracts beside the registry, as the ledger uses them: one face for each, and all faces together.

A face knows the contract's address and domain, turns its logs into events, messages into calls and reverts into
reasons. The registry has views of its own and is not a face.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from keys import messages as m
from keys.eip712 import Domain
from node.ledger.errors import MessageMalformed
from node.ledger.ports import LogDecoder
from node.ledger.reverts import ErrorDecoder, Reason
from node.ledger.transaction import Call
from node.ledger.wire import RawLog
from node.projection.base import ChainEvent

__all__ = ["CallMaker", "Decoders", "Face", "Faces", "Silent"]


class CallMaker(Protocol):
    """Makes the call that brings a signed message onto the chain."""

    def __call__(
        self, address: bytes, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]
    ) -> Call:
        """`opening`: what the function takes beside message and signatures. Raises MessageMalformed."""
        ...


@dataclass(frozen=True, slots=True)
class Face:
    """One contract. `kinds` are the messages that it takes; those of the kinds in `shared` may go together in one
    transaction. `item` packs such a message, where a batch does not carry it as the call that it would be by itself."""

    domain: Domain
    kinds: frozenset[type[m.Message]]
    call: CallMaker
    decoder: LogDecoder[ChainEvent]
    reason: ErrorDecoder
    shared: frozenset[type[m.Message]] = frozenset()
    item: Callable[[m.Message, Sequence[bytes]], bytes] | None = None

    @property
    def address(self) -> bytes:
        """Where the contract is (bytes20)."""
        contract = self.domain.verifying_contract
        if contract is None:
            raise MessageMalformed("the domain names no contract")
        return contract


class Silent:
    """The decoder of a contract whose logs are looked up when they are needed, and not kept."""

    @property
    def topics(self) -> frozenset[bytes]:
        return frozenset()

    def decode(self, log: RawLog) -> ChainEvent | None:
        return None


class Faces:
    """All faces of a node, found by domain."""

    def __init__(self, faces: Iterable[Face] = ()) -> None:
        self._by_domain = {face.domain: face for face in faces}

    @property
    def all(self) -> tuple[Face, ...]:
        """The faces in the order in which they were given."""
        return tuple(self._by_domain.values())

    def of(self, domain: Domain, message: m.Message) -> Face | None:
        """The face for a domain; None for one that is not known. Raises MessageMalformed for a wrong kind."""
        face = self._by_domain.get(domain)
        if face is not None and type(message) not in face.kinds:
            raise MessageMalformed(f"{domain.name} takes no {type(message).__name__}")
        return face

    def reason(self, data: bytes) -> Reason | None:
        """Decode revert data with the first contract that declares the error."""
        return next((found for face in self.all if (found := face.reason(data)) is not None), None)


class Decoders:
    """A LogDecoder for several contracts: each log goes to the decoder of the contract that wrote it."""

    def __init__(self, by_address: Iterable[tuple[bytes, LogDecoder[ChainEvent]]]) -> None:
        self._by_address = dict(by_address)
        self._topics = frozenset(topic for each in self._by_address.values() for topic in each.topics)

    @property
    def topics(self) -> frozenset[bytes]:
        return self._topics

    def decode(self, log: RawLog) -> ChainEvent | None:
        """Return the event; None for a log that this version does not know."""
        decoder = self._by_address.get(log.address)
        return None if decoder is None else decoder.decode(log)
