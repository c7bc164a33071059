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


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, StrEnum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {field.name: _encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise CodecError(f"cannot store a {type(value).__name__}")


def _decode(kind: Any, value: Any, place: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = [each for each in typing.get_args(kind) if each is not type(None)]
        return None if value is None else _decode(inner[0], value, place)
    if origin is tuple and isinstance(value, list):
        return tuple(_decode(typing.get_args(kind)[0], item, place) for item in value)
    if kind is bytes and isinstance(value, str):
        return _unhex(value, place)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(value, str):
        if value not in {member.value for member in kind}:
            raise CodecError(f"{place}: unknown status")
        return kind(value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return _build(kind, value, place)
    raise CodecError(f"{place}: wrong type")


def _unhex(value: str, place: str) -> bytes:
    if len(value) % 2 or any(letter not in "0123456789abcdef" for letter in value):
        raise CodecError(f"{place}: not lower-case hex")
    return bytes.fromhex(value)


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(kind: type[T], data: dict[str, Any], place: str) -> T:
    hints = _hints(typing.cast(Any, kind))
    if data.keys() != hints.keys():
        raise CodecError(f"{place}: fields {sorted(data.keys() ^ hints.keys())}")
    return kind(**{name: _decode(hints[name], data[name], f"{place}.{name}") for name in hints})


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
        document = {"type": name, "v": self._types[name][1], "data": _encode(value)}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

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
        value = _build(kind, data, name)
        if not isinstance(value, base):
            raise CodecError(f"{name} is no {base.__name__}")
        return value


CODEC = Codec({**dict.fromkeys((*EVENTS, *EFFECTS), 1), **{kind.state: 1 for kind in KINDS.values()}})
"""The stored types of this version, all of them."""
