"""The ConsentRegistry as the ledger uses it: logs become events, messages become calls, reverts become reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType

from contracts.bindings import consent_registry as abi
from contracts.calls import grant_call, granted_terms, revoke_call
from contracts.errors import ContractsError
from keys import messages as m
from node.ledger.errors import MessageMalformed
from node.ledger.gas import REVOKE_GAS
from node.ledger.openings import raw_in, raw_of
from node.ledger.reverts import Reason, reason_from, rejected_in
from node.ledger.transaction import Call
from node.ledger.wire import RawLog
from node.projection.base import Block
from node.projection.events import (
    ChainEvent,
    LoggedCommitted,
    LoggedDevicePaired,
    LoggedDeviceUnpaired,
    LoggedGranted,
    LoggedKeyRegistered,
    LoggedMessageRejected,
    LoggedRevoked,
    LoggedStreamRegistered,
    LoggedStreamTransferred,
    LoggedWriterSet,
)

__all__ = [
    "GAS",
    "RegistryDecoder",
    "registry_batch",
    "registry_call",
    "registry_item",
    "registry_reason",
    "registry_signers",
    "rejections",
]

# Contract event -> event of the projection with the same fields in the same order, after the block.
_EVENTS: Mapping[type, Callable[..., ChainEvent]] = MappingProxyType(
    {
        abi.StreamRegistered: LoggedStreamRegistered,
        abi.WriterSet: LoggedWriterSet,
        abi.Committed: LoggedCommitted,
        abi.StreamTransferred: LoggedStreamTransferred,
        abi.Revoked: LoggedRevoked,
        abi.KeyRegistered: LoggedKeyRegistered,
        abi.DevicePaired: LoggedDevicePaired,
        abi.DeviceUnpaired: LoggedDeviceUnpaired,
        abi.Rejected: LoggedMessageRejected,
    }
)

# Gas limits for endpoints that do not estimate: generous, unused gas is not paid for.
GAS: Mapping[type[m.Message], int] = MappingProxyType(
    {
        m.RegisterStream: 300_000,
        m.SetWriter: 250_000,
        m.PairDevice: 250_000,
        m.UnpairDevice: 250_000,
        m.Grant: 250_000,
        m.Revoke: 200_000,
        m.RegisterKey: 200_000,
        m.StreamCommit: 150_000,
        m.TransferStream: 250_000,
    }
)
_GAS_PER_STREAM = 35_000


class RegistryDecoder:
    """A LogDecoder for the ConsentRegistry; the event names the block that the log was found in."""

    @property
    def topics(self) -> frozenset[bytes]:
        return frozenset(abi.EVENTS)

    def decode(self, log: RawLog) -> ChainEvent | None:
        """Return the event of the projection, None for a log that this version does not know."""
        try:
            found = abi.decode_log(log.topics, log.data)
        except ContractsError:
            return None
        block = Block(log.block_number, log.block_hash)
        if isinstance(found, abi.Granted):
            return _granted(block, found)
        make = _EVENTS.get(type(found))
        if make is None:
            return None
        return make(block=block, **{field.name: getattr(found, field.name) for field in fields(found)})


def rejections(logs: Sequence[RawLog]) -> dict[bytes, Reason]:
    """Return why items of a batch were rejected, by message digest, from the logs of its receipt."""
    return rejected_in(logs, abi.Rejected.TOPIC, abi.decode_log, abi.error_name, abi.ERRORS)


def _granted(block: Block, found: abi.Granted) -> LoggedGranted:
    terms = granted_terms(found)
    return LoggedGranted(
        block=block,
        grant_id=found.grant_id,
        owner=found.owner,
        reader=found.reader,
        reader_key_hash=found.reader_key_hash,
        sids=found.sids,
        start=terms.start,
        end=terms.end,
        purpose_tag=terms.purpose_tag,
        text_hash=found.text_hash,
    )


def registry_reason(data: bytes) -> Reason | None:
    """Decode revert data with the errors that the registry declares."""
    return reason_from(abi.ERRORS, abi.decode_error, data)


def registry_call(
    registry: bytes,
    message: m.Message,
    signatures: Sequence[bytes],
    opening: Sequence[m.Opening] = (),
    sender: bytes = b"",
) -> Call:
    """Return the call that puts a signed message on chain.

    ``signatures`` in the order of the contract function; an empty one means that the sender is that signer.
    ``opening`` is what the function takes besides message and signatures: (device, salt) for PairDevice, (sid,) for
    RegisterKey, nothing for the others. ``sender`` is who will send it, where that is known: some calls are shorter for
    the account itself. Raises MessageMalformed.
    """
    shape = _CALLS.get(type(message))
    if shape is None:
        raise MessageMalformed(f"{type(message).__name__} is not a message of the registry")
    encode, signers, openings = shape
    name = type(message).__name__
    if len(signatures) != signers:
        raise MessageMalformed(f"{name} takes {signers} signature(s), got {len(signatures)}")
    shown = raw_in(opening)
    if tuple(len(part) for part in shown) != openings:
        raise MessageMalformed(f"{name} takes {len(openings)} opening value(s) of {openings} bytes besides")
    if isinstance(message, m.Revoke):
        data = revoke_call(message, signatures[0], sender)
    else:
        data = encode(message, *shown, *signatures)
    gas = GAS[type(message)] + _GAS_PER_STREAM * len(getattr(message, "sids", ()))
    # A revocation may meet a grant that a reorganisation took away, which costs more than the estimate says.
    return Call(registry, data, gas=gas, least_gas=REVOKE_GAS if isinstance(message, m.Revoke) else 0)


def registry_item(call: Call, message: m.Message, signatures: Sequence[bytes]) -> bytes:
    """Return the message as a batch carries it: the call that it would be from any sender. As for `registry_call`."""
    # Only a revocation has a shorter form for its own account.
    return abi.encode_revoke(message, signatures[0]) if isinstance(message, m.Revoke) else call.data


def registry_batch(registry: bytes, calls: Sequence[Call]) -> Call:
    """Return the one call that carries the items of several. One refused item changes nothing for the others."""
    gas = sum(call.known_gas or call.gas for call in calls) + _BATCH_RESERVE
    return Call(registry, abi.encode_batch([call.item for call in calls]), gas=gas, known_gas=gas)


# The contract wants so much left before each item that nobody can starve one, and reverts the batch otherwise.
_BATCH_RESERVE = 300_000


def registry_signers(message: m.Message, opening: Sequence[m.Opening] = ()) -> tuple[bytes | None, ...]:
    """Return who must sign, in the order of the signatures; None for a stream's writer, whom only the chain knows."""
    match message:
        case m.RegisterStream() | m.SetWriter():
            return message.owner, message.writer
        case m.PairDevice():
            return message.owner, raw_of(opening[0]) if opening else None
        case m.UnpairDevice() | m.Revoke():
            return (message.account,)
        case m.Grant():
            return (message.owner,)
        case m.RegisterKey():
            return (message.reader,)
        case m.TransferStream():
            return message.owner, message.new_owner
        case _:
            return (None,)


# Message -> (encoder of the call, number of signatures, sizes of the opening values in bytes).
_CALLS: Mapping[type[m.Message], tuple[Callable[..., bytes], int, tuple[int, ...]]] = MappingProxyType(
    {
        m.RegisterStream: (abi.encode_register_stream, 2, ()),
        m.SetWriter: (abi.encode_set_writer, 2, ()),
        m.PairDevice: (abi.encode_pair_device, 2, (20, 32)),
        m.UnpairDevice: (abi.encode_unpair_device, 1, ()),
        m.Grant: (grant_call, 1, ()),
        m.Revoke: (abi.encode_revoke, 1, ()),
        m.RegisterKey: (abi.encode_register_key, 1, (32,)),
        m.StreamCommit: (abi.encode_commit, 1, ()),
        m.TransferStream: (abi.encode_transfer_stream, 2, ()),
    }
)
