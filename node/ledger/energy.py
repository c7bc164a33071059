"""The EnergyToken as the ledger uses it: logs become events, messages become calls, and its views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

from contracts.bindings import energy_token as abi
from contracts.errors import ContractsError
from contracts.readings import pack_reading
from keys import messages as m
from node.ledger.answers import ask, decoded
from node.ledger.errors import MessageMalformed, RpcRefused
from node.ledger.faces import Face
from node.ledger.reader import At, ChainReader
from node.ledger.reverts import Reason, reason_from, rejected_in
from node.ledger.transaction import Call
from node.ledger.wire import RawLog
from node.projection.base import Block, ChainEvent
from node.projection.settlement_events import (
    LoggedMeterReset,
    LoggedProduced,
    LoggedSharesIssued,
    LoggedSourcePauseSet,
    LoggedSourceRegistered,
)

__all__ = [
    "EnergyDecoder",
    "EnergyViews",
    "Position",
    "energy_batch",
    "energy_call",
    "energy_face",
    "energy_lane",
    "energy_rejections",
    "source_key",
]

T = TypeVar("T")
SOURCE_BYTES = 8
_WHAT = "the energy token"


def source_key(source: int) -> bytes:
    """The number of a source as the projection names it."""
    return source.to_bytes(SOURCE_BYTES, "big")


def _event(found: object, block: Block) -> ChainEvent | None:
    match found:
        case abi.SourceRegistered(source, owner, device, counter, power, shares):
            return LoggedSourceRegistered(block, source_key(source), owner, device, counter, power, shares)
        case abi.SharesIssued(source, owner, shares):
            return LoggedSharesIssued(block, source_key(source), owner, shares)
        case abi.MeterWasReset(source, device, index, old, new, power):
            return LoggedMeterReset(block, source_key(source), device, index, old, new, power)
        case abi.SourcePauseSet(source, account, paused):
            return LoggedSourcePauseSet(block, source_key(source), account, paused)
        case abi.Produced(source, index, counter, meter_time):
            return LoggedProduced(block, source_key(source), index, counter, meter_time)
        case _:
            return None


class EnergyDecoder:
    """A LogDecoder for one EnergyToken. Transfers of tokens and shares are read from the chain where they are shown."""

    @property
    def topics(self) -> frozenset[bytes]:
        return frozenset(
            each.TOPIC
            for each in (abi.SourceRegistered, abi.SharesIssued, abi.MeterWasReset, abi.SourcePauseSet, abi.Produced)
        )

    def decode(self, log: RawLog) -> ChainEvent | None:
        """Return the event of the projection, None for a log that it has no use for."""
        try:
            found = abi.decode_log(log.topics, log.data)
        except ContractsError:
            return None
        return _event(found, Block(log.block_number, log.block_hash))


# Message -> (encoder of the call, number of signatures, gas where nobody estimates).
_CALLS: Mapping[type[m.Message], tuple[Callable[..., bytes], int, int]] = MappingProxyType(
    {
        m.RegisterSource: (abi.encode_register_source, 3, 400_000),
        m.IssueShares: (abi.encode_issue_shares, 1, 200_000),
        m.MeterReset: (abi.encode_reset_meter, 3, 300_000),
        m.PauseSource: (abi.encode_pause_source, 1, 150_000),
        m.Reading: (abi.encode_mint_reading, 1, 150_000),
        m.TransferShares: (abi.encode_transfer_shares, 1, 250_000),
        m.ClaimEnergy: (abi.encode_claim_energy, 0, 150_000),
    }
)


def energy_call(address: bytes, message: m.Message, signatures: Sequence[bytes], opening: Sequence[m.Opening]) -> Call:
    """The call that brings a signed message onto the chain. Raises MessageMalformed."""
    shape = _CALLS.get(type(message))
    name = type(message).__name__
    if shape is None:
        raise MessageMalformed(f"{name} is not a message of the energy token")
    encode, signers, gas = shape
    if len(signatures) != signers or opening:
        raise MessageMalformed(f"{name} takes {signers} signature(s) and nothing besides")
    return Call(address, encode(message, *signatures), gas=gas)


def _reading_item(message: m.Message, signatures: Sequence[bytes]) -> bytes:
    """A reading as `submitReadings` takes it. Raises MessageMalformed."""
    if not isinstance(message, m.Reading):
        raise MessageMalformed("only readings share a transaction")
    try:
        return pack_reading(message, signatures[0])
    except ContractsError as error:
        raise MessageMalformed(str(error)) from error


def energy_lane(item: bytes) -> bytes:
    """Readings of one source mint one after the other: two in one block would be energy made in no time, which the
    contract refuses."""
    return item[:8]


def energy_batch(address: bytes, calls: Sequence[Call]) -> Call:
    """The one call that mints by many readings. One that is refused changes nothing for the others."""
    gas = sum(call.known_gas or call.gas for call in calls) + _BATCH_RESERVE
    return Call(address, abi.encode_submit_readings(b"".join(call.item for call in calls)), gas=gas, known_gas=gas)


# The contract wants 100,000 left before each reading, and reverts the batch otherwise.
_BATCH_RESERVE = 200_000


def energy_rejections(logs: Sequence[RawLog]) -> dict[bytes, Reason]:
    """Why readings of a batch were refused, by message digest, from the logs of its receipt."""
    return rejected_in(logs, abi.Rejected.TOPIC, abi.decode_log, abi.error_name, abi.ERRORS)


def _reason(data: bytes) -> Reason | None:
    return reason_from(abi.ERRORS, abi.decode_error, data)


def energy_face(chain_id: int, address: bytes) -> Face:
    """The face of the EnergyToken at an address."""
    return Face(
        m.energy_domain(chain_id, address),
        frozenset(_CALLS),
        energy_call,
        EnergyDecoder(),
        _reason,
        frozenset({m.Reading}),
        _reading_item,
    )


@dataclass(frozen=True, slots=True)
class Position:
    """What an account has of a source: its shares, the mWh that they earned and that it has not claimed, and the shares
    of everybody."""

    shares: int
    claimable: int
    all_shares: int


class EnergyViews:
    """What one EnergyToken says of accounts and sources. mWh, shares; all raise RpcError."""

    def __init__(self, reader: ChainReader, address: bytes) -> None:
        self.address = address
        self._reader = reader

    async def supply(self, *, at: At = "latest") -> int:
        """All energy that was ever minted, in mWh, claimed or not."""
        return await self._ask(abi.encode_total_supply(), abi.decode_total_supply, at)

    async def balance(self, account: bytes, *, at: At = "latest") -> int:
        """mWh that an account has claimed or received."""
        return await self._ask(abi.encode_balance_of(account), abi.decode_balance_of, at)

    async def claimable(self, source: int, account: bytes, *, at: At = "latest") -> int:
        """mWh that the shares of an account earned and that it has not claimed."""
        return await self._ask(abi.encode_claimable(source, account), abi.decode_claimable, at)

    async def positions(self, sources: Sequence[int], account: bytes, *, at: At = "latest") -> list[Position]:
        """What an account has of each source, asked for in one request."""
        asked = [
            data
            for source in sources
            for data in (
                abi.encode_position_of(source, account),
                abi.encode_claimable(source, account),
                abi.encode_source_of(source),
            )
        ]
        answers = await self._reader.call_many([(self.address, data) for data in asked], sender=account, at=at)
        return [self._position(*answers[first : first + 3]) for first in range(0, len(answers), 3)]

    def _position(self, held: bytes | RpcRefused, earned: bytes | RpcRefused, source: bytes | RpcRefused) -> Position:
        return Position(
            self._decoded(held, abi.decode_position_of).shares,
            self._decoded(earned, abi.decode_claimable),
            self._decoded(source, abi.decode_source_of).shares,
        )

    def _decoded(self, answer: bytes | RpcRefused, decode: Callable[[bytes], T]) -> T:
        if isinstance(answer, RpcRefused):
            raise answer
        return decoded(answer, decode, _WHAT)

    async def _ask(self, data: bytes, decode: Callable[[bytes], T], at: At = "latest") -> T:
        return await ask(self._reader, self.address, data, decode, _WHAT, at=at)
