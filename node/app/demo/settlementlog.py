"""The logs of token and market read word by word, by the names that Solidity gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from eth_utils.crypto import keccak

from node.app.demo.evidence import Log, Settlement

__all__ = [
    "MadeContract",
    "Produced",
    "contracts",
    "delivered",
    "earned_by_shares",
    "initial_counter",
    "paid",
    "produced",
    "transactions",
]

_PRODUCED = keccak(text="Produced(uint64,uint32,uint64,uint40)")
_REGISTERED = keccak(text="SourceRegistered(uint64,address,address,uint64,uint48,uint64)")
_SHARES = keccak(text="Transfer(address,address,address,uint256,uint256)")  # ERC-6909
_MATCHED = keccak(text="Matched(bytes32,address,address,bytes32,bytes32,uint64,uint88,uint88,bool)")
_DELIVERED = keccak(text="Delivered(bytes32,uint64,uint88)")
_PAID = keccak(text="Paid(bytes32,uint88)")


@dataclass(frozen=True, slots=True)
class Produced:
    """A reading that minted: its number, the absolute counter in Wh, and the meter's time."""

    index: int
    counter: int
    meter_time: int


@dataclass(frozen=True, slots=True)
class MadeContract:
    """A contract as it was made; `amount` in minor units."""

    contract_id: bytes
    seller: bytes
    buyer: bytes
    offer: bytes
    request: bytes
    wh: int
    price: int
    amount: int


def _logs(found: Settlement, contract: bytes, topic: bytes) -> Iterator[Log]:
    return (log for where, log in found.logs if where == contract and log.topics and log.topics[0] == topic)


def _of_source(found: Settlement, topic: bytes) -> Iterator[Log]:
    return (log for log in _logs(found, found.energy, topic) if int.from_bytes(log.topics[1], "big") == found.source)


def initial_counter(found: Settlement) -> int | None:
    """The counter at which the source was registered; None where it is not."""
    return next((log.word(0) for log in _of_source(found, _REGISTERED)), None)


def produced(found: Settlement) -> list[Produced]:
    """The readings of the source, in the order of the chain."""
    return [Produced(log.word(0), log.word(1), log.word(2)) for log in _of_source(found, _PRODUCED)]


def earned_by_shares(found: Settlement) -> dict[bytes, Fraction]:
    """mWh by holder: each reading's energy in proportion to the shares as they were when it was taken."""
    shares: dict[bytes, int] = {}
    earned: dict[bytes, Fraction] = {}
    counter = initial_counter(found) or 0
    for where, log in found.logs:
        if where != found.energy or not log.topics:
            continue
        if log.topics[0] == _SHARES and int.from_bytes(log.topics[3], "big") == found.source:
            sender, receiver, amount = log.topics[1][12:], log.topics[2][12:], log.word(1)
            for holder, change in ((sender, -amount), (receiver, amount)):
                if any(holder):
                    shares[holder] = shares.get(holder, 0) + change
        elif log.topics[0] == _PRODUCED and int.from_bytes(log.topics[1], "big") == found.source:
            total, made = sum(shares.values()), (log.word(1) - counter) * 1_000
            counter = log.word(1)
            for holder, part in shares.items() if total else ():
                earned[holder] = earned.get(holder, Fraction(0)) + Fraction(made * part, total)
    return earned


def contracts(found: Settlement) -> list[MadeContract]:
    """Every contract of the market."""
    return [
        MadeContract(
            log.topics[1],
            log.topics[2][12:],
            log.topics[3][12:],
            log.word_bytes(0),
            log.word_bytes(1),
            *(log.word(index) for index in range(2, 5)),
        )
        for log in _logs(found, found.market, _MATCHED)
    ]


def delivered(found: Settlement) -> dict[bytes, tuple[int, int]]:
    """By contract: Wh that count as delivered, and minor units that are owed for them."""
    return {log.topics[1]: (log.word(0), log.word(1)) for log in _logs(found, found.market, _DELIVERED)}


def paid(found: Settlement) -> dict[bytes, list[int]]:
    """By contract: every payment, in minor units."""
    payments: dict[bytes, list[int]] = {}
    for log in _logs(found, found.market, _PAID):
        payments.setdefault(log.topics[1], []).append(log.word(0))
    return payments


def transactions(found: Settlement) -> set[bytes]:
    """The transactions that paid."""
    return {log.transaction for log in _logs(found, found.market, _PAID)}
