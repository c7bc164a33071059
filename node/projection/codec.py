"""States, events and effects as versioned JSON, strictly: exact keys, exact types, lower-case hex, nothing unknown.

Shape: `{"type": name, "v": version, "data": {field: value}}`. Bytes are hex without prefix, tuples lists, an enum its
value. A changed class gets a new version and one upgrade function that turns the older `data` into the newer; stored
journals are read for ever.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

from node.projection.aggregates import KINDS
from node.projection.base import Effect, Event, State
from node.projection.effects import EFFECTS
from node.projection.errors import CodecError
from node.projection.events import EVENTS

__all__ = ["CODEC", "Codec", "Upgrade"]

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
T = TypeVar("T")
_PLAIN = frozenset({int, str, bool, type(None)})
_HEX = frozenset("0123456789abcdef")
# Keys are put in order where the objects are made, once for each class.
_WRITER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True)


@functools.cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    if not dataclasses.is_dataclass(kind):
        raise CodecError(f"cannot store a {kind.__name__}")
    return tuple(sorted(field.name for field in dataclasses.fields(kind)))


def _encode(value: Any) -> Any:
    kind = type(value)
    if kind is bytes:
        return value.hex()
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return [_encode(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    names = _names(typing.cast(Any, kind))
    return {name: _encode(getattr(value, name)) for name in names}


# A decoder takes a JSON value and the place to name in an error. One is made for each type and kept: a rebuild and a
# check of the journal decode millions of values.
Decoder = Callable[[Any, str], Any]


@functools.cache
def _decoder(kind: Any) -> Decoder:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = _decoder(next(each for each in typing.get_args(kind) if each is not type(None)))
        return lambda value, place: None if value is None else inner(value, place)
    if origin is tuple:
        return _tuple_decoder(_decoder(typing.get_args(kind)[0]))
    if kind is bytes:
        return _unhex
    if kind in (int, str, bool):
        return _plain_decoder(kind)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _enum_decoder(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _class_decoder(kind)
    raise CodecError(f"{kind} cannot be stored")


def _unhex(value: Any, place: str) -> bytes:
    if not isinstance(value, str):
        raise CodecError(f"{place}: wrong type")
    # fromhex alone would take spaces and capitals too.
    if len(value) % 2 or not _HEX.issuperset(value):
        raise CodecError(f"{place}: not lower-case hex")
    return bytes.fromhex(value)


def _plain_decoder(kind: type[Any]) -> Decoder:
    def decode(value: Any, place: str) -> Any:
        if type(value) is not kind:
            raise CodecError(f"{place}: wrong type")
        return value

    return decode


def _tuple_decoder(inner: Decoder) -> Decoder:
    def decode(value: Any, place: str) -> Any:
        if not isinstance(value, list):
            raise CodecError(f"{place}: wrong type")
        return tuple([inner(item, place) for item in value])

    return decode


def _enum_decoder(kind: type[StrEnum]) -> Decoder:
    members = {member.value: member for member in kind}

    def decode(value: Any, place: str) -> Any:
        if not isinstance(value, str):
            raise CodecError(f"{place}: wrong type")
        if value not in members:
            raise CodecError(f"{place}: unknown status")
        return members[value]

    return decode


def _class_decoder(kind: type[Any]) -> Decoder:
    fields = {name: _decoder(hint) for name, hint in typing.get_type_hints(kind).items()}
    wanted = fields.keys()

    def decode(value: Any, place: str) -> Any:
        if not isinstance(value, dict):
            raise CodecError(f"{place}: wrong type")
        if value.keys() != wanted:
            raise CodecError(f"{place}: fields {sorted(value.keys() ^ wanted)}")
        return kind(**{name: inner(value[name], f"{place}.{name}") for name, inner in fields.items()})

    return decode


class Codec:
    """`types` maps each class to its version; `upgrades` maps (name, older version) to the step to the next one."""

    __slots__ = ("_types", "_upgrades")

    def __init__(
        self, types_: Mapping[type[Any], int], upgrades: Mapping[tuple[str, int], Upgrade] | None = None
    ) -> None:
        self._types = {kind.__name__: (kind, version) for kind, version in types_.items()}
        self._upgrades = dict(upgrades or {})

    def encode(self, value: Event | Effect | State) -> str:
        """One line of JSON with sorted keys, so equal values have equal text. Raises CodecError for a foreign type."""
        name = type(value).__name__
        if self._types.get(name, (None, 0))[0] is not type(value):
            raise CodecError(f"{name} is not a stored type")
        document = {"data": _encode(value), "type": name, "v": self._types[name][1]}
        return _WRITER.encode(document)

    def decode(self, text: str, base: type[T]) -> T:
        """The value, checked to be a `base`. Raises CodecError for anything that `encode` could not have written."""
        try:
            document = json.loads(text)
        except ValueError as error:
            raise CodecError("not JSON") from error
        if not isinstance(document, dict) or set(document) != {"type", "v", "data"}:
            raise CodecError("not a stored value")
        name, version, data = document["type"], document["v"], document["data"]
        if not isinstance(name, str) or name not in self._types or not isinstance(data, dict):
            raise CodecError("unknown type")
        kind, newest = self._types[name]
        if type(version) is not int or not 1 <= version <= newest:
            raise CodecError(f"{name}: version {version} is not known to this program")
        for older in range(version, newest):
            data = self._upgrades[name, older](data)
        value = _decoder(typing.cast(Any, kind))(data, name)
        if not isinstance(value, base):
            raise CodecError(f"{name} is no {base.__name__}")
        return value


CODEC = Codec({**dict.fromkeys((*EVENTS, *EFFECTS), 1), **{kind.state: 1 for kind in KINDS.values()}})
"""The stored types of this version, all of them."""
