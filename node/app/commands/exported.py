"""The content of an export, typed, and its spelling in JSON.

::

    headers  {"number", "hash", "parent", "timestamp", "linked"}   ascending; `linked`: the parent is the entry before
    events   {"event", "block_number", "block_hash", ...}          in chain order; fields as in the ABI, snake_case
    log      {"kind": "stream_key", "ed25519", "ml_dsa", "signed_envelopes"}   whose hash the chain has
             {"kind": "commit" | "envelope" | "checkpoint", "data"}            channels.md 3, in the order of the log

Bytes are 0x and lower-case digits, numbers are numbers. Headers hold what a node keeps, which is not enough to compute
a block's hash: whoever wants to be sure compares the last hash of each linked run with the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Final

from pydantic import JsonValue

from node.errors import InvalidInput
from node.projection.base import Block
from node.projection.events import (
    ChainEvent,
    LoggedCommitted,
    LoggedStreamRegistered,
    LoggedStreamTransferred,
    LoggedWriterSet,
)
from node.types import ADDRESS_BYTES, HASH_BYTES, from_hex, to_hex

__all__ = [
    "EVENTS",
    "ChannelLog",
    "ExportedHeader",
    "ExportedStreamKey",
    "event_from_json",
    "event_to_json",
    "header_from_json",
    "header_to_json",
    "log_from_json",
    "log_to_json",
]

EVENTS: Final[Mapping[str, type[ChainEvent]]] = MappingProxyType(
    {
        "StreamRegistered": LoggedStreamRegistered,
        "WriterSet": LoggedWriterSet,
        "StreamTransferred": LoggedStreamTransferred,
        "Committed": LoggedCommitted,
    }
)
"""The events that concern one stream, by their names in the ABI."""

_NAMES: Final = {kind: name for name, kind in EVENTS.items()}
_ADDRESSES: Final = frozenset({"owner", "new_owner", "writer"})
_NUMBERS: Final = frozenset({"genesis", "slot_seconds", "epoch"})
_LARGEST: Final = 2**64 - 1
_KINDS: Final = ("commit", "envelope", "checkpoint")


@dataclass(frozen=True, slots=True)
class ExportedHeader:
    """One block. `linked`: it follows the entry before; where not, a run of the chain is left out."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    linked: bool


@dataclass(frozen=True, slots=True)
class ExportedStreamKey:
    """Public keys behind a streamKeyHash; `ml_dsa` is empty in suite 1."""

    ed25519: bytes
    ml_dsa: bytes = b""
    signed_envelopes: bool = False


@dataclass(frozen=True, slots=True)
class ChannelLog:
    """The records of one stream as messages, each kind in the order of the log."""

    keys: tuple[ExportedStreamKey, ...] = ()
    commits: tuple[bytes, ...] = ()
    envelopes: tuple[bytes, ...] = ()
    checkpoints: tuple[bytes, ...] = ()


def header_to_json(header: ExportedHeader) -> dict[str, JsonValue]:
    return {
        "number": header.number,
        "hash": to_hex(header.hash),
        "parent": to_hex(header.parent),
        "timestamp": header.timestamp,
        "linked": header.linked,
    }


def header_from_json(entry: Mapping[str, Any], place: str) -> ExportedHeader:
    """Raises InvalidInput with the place."""
    found = _Entry(entry, place)
    header = ExportedHeader(
        found.number("number"),
        found.data("hash", HASH_BYTES),
        found.data("parent", HASH_BYTES),
        found.number("timestamp"),
        found.flag("linked"),
    )
    found.end()
    return header


def event_to_json(event: ChainEvent) -> dict[str, JsonValue]:
    """Only for the types in EVENTS."""
    document: dict[str, JsonValue] = {
        "event": _NAMES[type(event)],
        "block_number": event.block.number,
        "block_hash": to_hex(event.block.hash),
    }
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name != "block":
            document[field.name] = to_hex(value) if isinstance(value, bytes) else value
    return document


def event_from_json(entry: Mapping[str, Any], place: str) -> ChainEvent:
    """Raises InvalidInput with the place."""
    found = _Entry(entry, place)
    name = found.take("event")
    kind = EVENTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InvalidInput(f"{place} names no event of a stream.", remedy="Export again.", field=f"{place}.event")
    block = Block(found.number("block_number"), found.data("block_hash", HASH_BYTES))
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in _NUMBERS:
            values[field.name] = found.number(field.name)
        elif field.name != "block":
            values[field.name] = found.data(field.name, ADDRESS_BYTES if field.name in _ADDRESSES else HASH_BYTES)
    found.end()
    return kind(block=block, **values)


def log_to_json(log: ChannelLog) -> list[dict[str, JsonValue]]:
    entries: list[dict[str, JsonValue]] = [
        {
            "kind": "stream_key",
            "ed25519": to_hex(key.ed25519),
            "ml_dsa": to_hex(key.ml_dsa),
            "signed_envelopes": key.signed_envelopes,
        }
        for key in log.keys
    ]
    for kind, messages in zip(_KINDS, (log.commits, log.envelopes, log.checkpoints), strict=True):
        entries += [{"kind": kind, "data": to_hex(data)} for data in messages]
    return entries


def log_from_json(entries: Iterable[Mapping[str, Any]]) -> ChannelLog:
    """The kinds may be mixed; the order within each is kept. Raises InvalidInput with the place."""
    keys: list[ExportedStreamKey] = []
    messages: dict[str, list[bytes]] = {kind: [] for kind in _KINDS}
    for index, entry in enumerate(entries):
        place = f"log[{index}]"
        found = _Entry(entry, place)
        kind = found.take("kind")
        if kind == "stream_key":
            key = ExportedStreamKey(
                found.data("ed25519", 32), found.data("ml_dsa", None), found.flag("signed_envelopes")
            )
            keys.append(key)
        elif isinstance(kind, str) and kind in messages:
            messages[kind].append(found.data("data", None))
        else:
            raise InvalidInput(f"{place} is of no known kind.", remedy="Export again.", field=f"{place}.kind")
        found.end()
    return ChannelLog(tuple(keys), *(tuple(messages[kind]) for kind in _KINDS))


class _Entry:
    """One JSON object, read strictly: a member that is missing, unknown or of another type names its place."""

    def __init__(self, entry: Mapping[str, Any], place: str) -> None:
        self._rest = dict(entry)
        self._place = place

    def _wrong(self, name: str, fault: str) -> InvalidInput:
        place = f"{self._place}.{name}"
        return InvalidInput(f"{place} {fault}.", remedy="Export again.", field=place)

    def take(self, name: str) -> Any:
        if name not in self._rest:
            raise self._wrong(name, "is missing")
        return self._rest.pop(name)

    def number(self, name: str) -> int:
        value = self.take(name)
        if type(value) is not int or not 0 <= value <= _LARGEST:
            raise self._wrong(name, "is not a number of 64 bits")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "is neither true nor false")
        return value

    def data(self, name: str, size: int | None) -> bytes:
        value = self.take(name)
        if not isinstance(value, str):
            raise self._wrong(name, "is not text")
        try:
            return from_hex(value, size)
        except ValueError as error:
            raise self._wrong(name, str(error)) from None

    def end(self) -> None:
        for name in self._rest:
            raise self._wrong(name, "is not known")
