"""The ConsentRegistry as the ledger uses it: logs become events, messages become calls, reverts become reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType

from contracts import items
from contracts.bindings import consent_registry as abi
from contracts.errors import ContractsError
from keys import messages as m
from node.ledger.errors import MessageMalformed
from node.ledger.gas import REVOKE_GAS
from node.ledger.reverts import Reason
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
        abi.Granted: LoggedGranted,
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
        make = _EVENTS.get(type(found))
        if make is None:
            return None
        block = Block(log.block_number, log.block_hash)
        return make(block=block, **{field.name: getattr(found, field.name) for field in fields(found)})


def rejections(logs: Sequence[RawLog]) -> dict[bytes, Reason]:
    """Return why items of a batch were rejected, by message digest, from the logs of its receipt."""
    found: dict[bytes, Reason] = {}
    for log in logs:
        if log.topics and log.topics[0] == abi.Rejected.TOPIC:
            event = abi.decode_log(log.topics, log.data)
            if isinstance(event, abi.Rejected):
                shape = abi.ERRORS.get(event.code)
                found[event.digest] = Reason(abi.error_name(event.code), (), shape.notice if shape else "")
    return found


def registry_reason(data: bytes) -> Reason | None:
    """Decode revert data with the errors that the registry declares."""
    if data[:4] not in abi.ERRORS:
        return None
    error = abi.decode_error(data)
    arguments = tuple((key, _text(value)) for key, value in error.arguments.items())
    return Reason(error.name, arguments, error.notice)


def _text(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def registry_call(
    registry: bytes, message: m.Message, signatures: Sequence[bytes], opening: Sequence[bytes] = ()
) -> Call:
    """Return the call that puts a signed message on chain.

    ``signatures`` in the order of the contract function; an empty one means that the sender is that signer.
    ``opening`` is what the function takes besides message and signatures: (device, salt) for PairDevice, (sid,) for
    RegisterKey, nothing for the others. Raises MessageMalformed.
    """
    shape = _CALLS.get(type(message))
    if shape is None:
        raise MessageMalformed(f"{type(message).__name__} is not a message of the registry")
    encode, signers, openings = shape
    name = type(message).__name__
    if len(signatures) != signers:
        raise MessageMalformed(f"{name} takes {signers} signature(s), got {len(signatures)}")
    if tuple(len(part) for part in opening) != openings:
        raise MessageMalformed(f"{name} takes {len(openings)} opening value(s) of {openings} bytes besides")
    data = encode(message, *opening, *signatures)
    gas = GAS[type(message)] + _GAS_PER_STREAM * len(getattr(message, "sids", ()))
    # A revocation may meet a grant that a reorganisation took away, which costs more than the estimate says.
    return Call(registry, data, gas=gas, least_gas=REVOKE_GAS if isinstance(message, m.Revoke) else 0)


def registry_item(message: m.Message, signatures: Sequence[bytes], opening: Sequence[bytes] = ()) -> bytes:
    """Return the message as an item of a batch, packed for `registry_batch`. Arguments as for `registry_call`."""
    item = _ITEMS[type(message)](message, *opening, *signatures)
    parts = (item.message, item.sig_a, item.sig_b)
    return bytes([item.kind]) + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def registry_batch(registry: bytes, calls: Sequence[Call]) -> Call:
    """Return the one call that carries the items of several. One refused item changes nothing for the others."""
    packed = [_unpacked(call.item) for call in calls]
    gas = sum(call.known_gas or call.gas for call in calls) + _BATCH_RESERVE
    return Call(registry, abi.encode_batch(packed), gas=gas, known_gas=gas)


def _unpacked(item: bytes) -> abi.Item:
    parts: list[bytes] = []
    at = 1
    while at < len(item):
        end = at + 4 + int.from_bytes(item[at : at + 4], "big")
        parts.append(item[at + 4 : end])
        at = end
    message, sig_a, sig_b = parts
    return abi.Item(item[0], message, sig_a, sig_b)


# The contract wants so much left before each item that nobody can starve one, and reverts the batch otherwise.
_BATCH_RESERVE = 300_000
_ITEMS: Mapping[type[m.Message], Callable[..., abi.Item]] = MappingProxyType(
    {
        m.RegisterStream: items.register_stream_item,
        m.SetWriter: items.set_writer_item,
        m.PairDevice: items.pair_device_item,
        m.UnpairDevice: items.unpair_device_item,
        m.Grant: items.grant_item,
        m.Revoke: items.revoke_item,
        m.RegisterKey: items.register_key_item,
        m.StreamCommit: items.commit_item,
        m.TransferStream: items.transfer_stream_item,
    }
)


def registry_signers(message: m.Message, opening: Sequence[bytes] = ()) -> tuple[bytes | None, ...]:
    """Return who must sign, in the order of the signatures; None for a stream's writer, whom only the chain knows."""
    match message:
        case m.RegisterStream() | m.SetWriter():
            return message.owner, message.writer
        case m.PairDevice():
            return message.owner, opening[0] if opening else None
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
        m.Grant: (abi.encode_grant, 1, ()),
        m.Revoke: (abi.encode_revoke, 1, ()),
        m.RegisterKey: (abi.encode_register_key, 1, (32,)),
        m.StreamCommit: (abi.encode_commit, 1, ()),
        m.TransferStream: (abi.encode_transfer_stream, 2, ()),
    }
)
