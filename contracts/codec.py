"""ABI bytes to Python values and back, for the generated bindings.

Inside, addresses are 20 bytes and never text; eth_abi returns them as hex, so every address is converted on the way in.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_abi.grammar import BasicType, TupleType, parse
from eth_utils.address import to_canonical_address

from contracts.errors import ContractError, MalformedData, MalformedLog, Misfit, UnknownEvent
from contracts.packing import packer_of
from contracts.words import reader_of

__all__ = [
    "ErrorShape",
    "EventShape",
    "as_bytes",
    "decode_event",
    "decode_revert",
    "decode_values",
    "encode_call",
    "encode_values",
]

E = TypeVar("E", covariant=True)


@dataclass(frozen=True, slots=True)
class EventShape(Generic[E]):
    """How a log becomes an event: the class, and (ABI type, indexed) for each field."""

    make: Callable[..., E]
    fields: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, slots=True)
class ErrorShape:
    """How revert data becomes an error: its name, (name, ABI type) for each argument, one sentence for people."""

    name: str
    fields: tuple[tuple[str, str], ...]
    notice: str


def encode_call(selector: bytes, types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return calldata: selector, then the arguments. Raises eth_abi's EncodingError for a value that does not fit."""
    return selector + encode_values(types, values)


def encode_values(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """Return ABI data. Raises eth_abi's EncodingError for a value that does not fit its type."""
    pack = packer_of(tuple(types))
    if pack is not None:
        with contextlib.suppress(Misfit):
            return pack(values)
    return encode(types, values)


def decode_values(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Decode ABI data with addresses as eth_abi returns them; see `as_bytes`. Raises MalformedData."""
    try:
        return tuple(decode(types, data))
    except (DecodingError, OverflowError, UnicodeDecodeError) as error:
        raise MalformedData(f"{len(data)} bytes do not decode as ({','.join(types)}): {error}") from error


def as_bytes(kind: str, value: Any) -> Any:
    """Return a decoded value with every address as 20 bytes and every list as a tuple."""
    return _convert(parse(kind), value)


def _convert(kind: Any, value: Any) -> Any:
    if kind.is_array:
        return tuple(_convert(kind.item_type, part) for part in value)
    if isinstance(kind, TupleType):
        return tuple(_convert(part, item) for part, item in zip(kind.components, value, strict=True))
    if isinstance(kind, BasicType) and kind.base == "address":
        return bytes(to_canonical_address(value))
    return value


def decode_event(events: Mapping[bytes, EventShape[E]], topics: Sequence[bytes], data: bytes) -> E:
    """Read a log. Raises UnknownEvent, MalformedLog."""
    if not topics or bytes(topics[0]) not in events:
        raise UnknownEvent(f"no event has the topic {bytes(topics[0]).hex() if topics else '(none)'}")
    shape = events[bytes(topics[0])]
    indexed, plain = _kinds(shape.fields)
    if len(topics) != len(indexed) + 1:
        raise MalformedLog(f"{len(topics)} topics where {len(indexed) + 1} are expected")
    try:
        from_topics = [_read((kind,), bytes(topic))[0] for kind, topic in zip(indexed, topics[1:], strict=True)]
        from_data = _read(plain, data)
    except MalformedData as error:
        raise MalformedLog(str(error)) from error
    topic_values, data_values = iter(from_topics), iter(from_data)
    return shape.make(*[next(topic_values if is_topic else data_values) for _, is_topic in shape.fields])


@functools.cache
def _kinds(fields: tuple[tuple[str, bool], ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Types of the indexed and of the other fields."""
    indexed = tuple(kind for kind, is_topic in fields if is_topic)
    return indexed, tuple(kind for kind, is_topic in fields if not is_topic)


def _read(types: tuple[str, ...], data: bytes) -> tuple[Any, ...]:
    read = reader_of(types)
    if read is not None:
        return read(data)
    return tuple(as_bytes(kind, value) for kind, value in zip(types, decode_values(types, data), strict=True))


def decode_revert(errors: Mapping[bytes, ErrorShape], data: bytes) -> ContractError:
    """Return the error behind the data of a revert. Never raises: an unexplained revert is an answer too."""
    if not data:
        return ContractError("Empty", b"", {}, "The contract refused without a reason, or ran out of gas.")
    selector, body = data[:4], data[4:]
    unknown = ContractError("Unknown", selector, {"data": data}, "The contract refused for a reason not known here.")
    if selector not in errors:
        return unknown
    shape = errors[selector]
    types = [kind for _, kind in shape.fields]
    try:
        values = decode_values(types, body)
    except MalformedData:
        return unknown
    named = {name: as_bytes(kind, value) for (name, kind), value in zip(shape.fields, values, strict=True)}
    return ContractError(shape.name, selector, named, shape.notice)
