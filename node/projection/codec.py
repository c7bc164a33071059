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
from itertools import accumulate, pairwise
from json.encoder import encode_basestring_ascii
from typing import Any, TypeVar

import orjson

from keys.messages import stored_form_of
from node.projection import settlement_events as s
from node.projection.aggregates import KINDS
from node.projection.base import Effect, Event, State
from node.projection.effects import EFFECTS, NotifyOrderChanged, SubmitMessage
from node.projection.errors import CodecError
from node.projection.events import EVENTS, RequestedSubmission
from node.projection.order import Order
from node.projection.submission import Submission
from node.projection.trade import Trade

__all__ = ["CODEC", "Codec", "Upgrade", "Written"]

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
T = TypeVar("T")
_OPEN = '{"data":'


@functools.cache
def _heads(kind: type[Any]) -> tuple[tuple[str, str], ...]:
    """The fields of a class in the order of their names, each with the text before its value: put together once, for a
    rebuild writes millions of values."""
    if not dataclasses.is_dataclass(kind):
        raise CodecError(f"cannot store a {kind.__name__}")
    return tuple((name, f'"{name}":') for name in sorted(field.name for field in dataclasses.fields(kind)))


def _text(value: Any) -> str:
    kind = type(value)
    writer = _WRITERS.get(kind)
    if writer is None:
        writer = _WRITERS[kind] = _enum_text if isinstance(value, StrEnum) else _class_text(kind)
    return writer(value)


def _bytes_text(value: bytes) -> str:
    return f'"{value.hex()}"'


def _bool_text(value: bool) -> str:
    return "true" if value else "false"


def _tuple_text(value: tuple[Any, ...]) -> str:
    return f"[{','.join([_text(item) for item in value])}]"


def _enum_text(value: StrEnum) -> str:
    return encode_basestring_ascii(value.value)


def _class_text(kind: type[Any]) -> Callable[[Any], str]:
    fields = _heads(typing.cast(Any, kind))

    def write(value: Any) -> str:
        return f"{{{','.join([head + _text(getattr(value, name)) for name, head in fields])}}}"

    return write


_WRITERS: dict[type[Any], Callable[[Any], str]] = {
    bytes: _bytes_text,
    int: int.__repr__,
    str: encode_basestring_ascii,
    bool: _bool_text,
    type(None): lambda _: "null",
    tuple: _tuple_text,
}


# A decoder takes a JSON value. One is made for each type and kept: a rebuild and a check of the journal decode millions
# of values. Where in the document it stands is worked out only for one that does not fit.
Decoder = Callable[[Any], Any]


class _Misfit(CodecError):
    """What is wrong with a value, and the fields that lead to it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.fields: list[str] = []


@functools.cache
def _decoder(kind: Any) -> Decoder:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = _decoder(next(each for each in typing.get_args(kind) if each is not type(None)))
        return lambda value: None if value is None else inner(value)
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


def _unhex(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _Misfit("wrong type")
    try:
        raw = bytes.fromhex(value)
    except ValueError:
        raise _Misfit("not lower-case hex") from None
    # fromhex alone would take spaces and capitals too.
    if raw.hex() != value:
        raise _Misfit("not lower-case hex")
    return raw


def _plain_decoder(kind: type[Any]) -> Decoder:
    def decode(value: Any) -> Any:
        if type(value) is not kind:
            raise _Misfit("wrong type")
        return value

    return decode


def _tuple_decoder(inner: Decoder) -> Decoder:
    def decode(value: Any) -> Any:
        if not isinstance(value, list):
            raise _Misfit("wrong type")
        return tuple([inner(item) for item in value])

    return decode


def _enum_decoder(kind: type[StrEnum]) -> Decoder:
    members = {member.value: member for member in kind}

    def decode(value: Any) -> Any:
        if not isinstance(value, str):
            raise _Misfit("wrong type")
        if value not in members:
            raise _Misfit("unknown status")
        return members[value]

    return decode


def _class_decoder(kind: type[Any]) -> Decoder:
    fields = {name: _decoder(hint) for name, hint in typing.get_type_hints(kind).items()}
    wanted, pairs = fields.keys(), tuple(fields.items())

    def decode(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Misfit("wrong type")
        if value.keys() != wanted:
            raise _Misfit(f"fields {sorted(value.keys() ^ wanted)}")
        try:
            return kind(**{name: inner(value[name]) for name, inner in pairs})
        except _Misfit as misfit:
            misfit.fields.insert(0, next(name for name, inner in pairs if not _fits(inner, value[name])))
            raise

    return decode


def _fits(decoder: Decoder, value: Any) -> bool:
    try:
        decoder(value)
    except _Misfit:
        return False
    return True


def _read(text: str) -> object:
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise CodecError("not JSON") from error
    return found


@dataclasses.dataclass(frozen=True, slots=True)
class Written:
    """A state, its text, and the places in it before, between and after its fields, in the order of their names; none
    where they are not known, as in a text that was read."""

    state: State
    text: str
    cuts: tuple[int, ...]


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
        return f"{_OPEN}{_text(value)}{self._close(value)}"

    def encode_again(self, value: State, before: Written | None) -> Written:
        """The text that `encode` gives. Of a field that holds the very object that it held `before`, the text is taken
        from there: most steps of a contract change two fields of seven. Raises CodecError for a foreign type."""
        fields = _heads(typing.cast(Any, type(value)))
        if before is None or not before.cuts or type(before.state) is not type(value):
            texts = [head + _text(getattr(value, name)) for name, head in fields]
        else:
            old, text = before.state, before.text
            texts = [
                text[start + 1 : end] if (field := getattr(value, name)) is getattr(old, name) else head + _text(field)
                for (name, head), (start, end) in zip(fields, pairwise(before.cuts), strict=True)
            ]
        cuts = tuple(accumulate([len(each) + 1 for each in texts], initial=len(_OPEN)))
        return Written(value, f"{_OPEN}{{{','.join(texts)}}}{self._close(value)}", cuts)

    def _close(self, value: Event | Effect | State) -> str:
        name = type(value).__name__
        kind, version = self._types.get(name, (None, 0))
        if kind is not type(value):
            raise CodecError(f"{name} is not a stored type")
        return f',"type":"{name}","v":{version}}}'

    def decode(self, text: str, base: type[T]) -> T:
        """The value, checked to be a `base`. Raises CodecError for anything that `encode` could not have written."""
        try:
            return self._decoded(orjson.loads(text), base)
        except (ValueError, CodecError):
            # Integers beyond 64 bits come as floats, which no type takes; half a surrogate pair does not come at all.
            return self._decoded(_read(text), base)

    def _decoded(self, document: object, base: type[T]) -> T:
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
        try:
            value = _decoder(typing.cast(Any, kind))(data)
        except _Misfit as misfit:
            raise CodecError(f"{'.'.join((name, *misfit.fields))}: {misfit.reason}") from None
        if not isinstance(value, base):
            raise CodecError(f"{name} is no {base.__name__}")
        return value


def _with_time(data: dict[str, Any]) -> dict[str, Any]:
    """The market's logs got the time of their block."""
    return {**data, "time": 0}


def _watched(data: dict[str, Any]) -> dict[str, Any]:
    """Contracts keep the times of their steps, and what this node waits for."""
    facts = {name: [_with_time(fact) for fact in data[name]] for name in ("made", "steps")}
    return {**data, **facts, "watch": None}


def _without_details(data: dict[str, Any]) -> dict[str, Any]:
    """Orders got details that their nonce commits to."""
    return {**data, "details": ""}


def _without_moment(data: dict[str, Any]) -> dict[str, Any]:
    """Orders keep when they were made or taken in."""
    return {**data, "at": 0}


def _not_refused(data: dict[str, Any]) -> dict[str, Any]:
    """Orders keep why their market did not take them."""
    return {**data, "refused": ""}


def _without_reason(data: dict[str, Any]) -> dict[str, Any]:
    """A change of an order is told with the reason of a refusal."""
    return {**data, "reason": ""}


def _without_progress(data: dict[str, Any]) -> dict[str, Any]:
    """Contracts keep what the own meter counted during the delivery."""
    return {**data, "progress": []}


def _kept(field: str) -> Upgrade:
    """Signed messages are kept in a shorter form; what cannot be read stays, and whoever reads it says so."""
    return lambda data: {**data, field: stored_form_of(text) if isinstance(text := data.get(field), str) else text}


def _named(data: dict[str, Any]) -> dict[str, Any]:
    """A message on its way is named, and read from its submission."""
    return {name: data.get(name) for name in ("digest", "kind")}


_DETAILED = (Order, s.ReceivedOrder, s.RequestedOrder)
_ORDERED = {Order: 4, s.ReceivedOrder: 2, s.RequestedOrder: 2}
_SIGNED = (RequestedSubmission, Submission)
_TIMED = (
    s.LoggedMatched,
    s.LoggedProvisioned,
    s.LoggedDelivered,
    s.LoggedPaid,
    s.LoggedConfirmed,
    s.LoggedReminded,
    s.LoggedClaimIssued,
    s.LoggedClaimCured,
    s.LoggedDisputed,
    s.LoggedRuled,
    s.LoggedCollected,
    s.LoggedContractCancelled,
)
_UPGRADES: Mapping[tuple[str, int], Upgrade] = {
    **{(kind.__name__, 1): _with_time for kind in _TIMED},
    **{(kind.__name__, 1): _without_details for kind in _DETAILED},
    **{(kind.__name__, 1): _kept("message") for kind in _SIGNED},
    ("Order", 2): _without_moment,
    ("Order", 3): _not_refused,
    **{(kind.__name__, version): _kept("body") for kind, version in _ORDERED.items()},
    ("NotifyOrderChanged", 1): _without_reason,
    ("SubmitMessage", 1): _named,
    ("Trade", 1): _watched,
    ("Trade", 2): _without_progress,
}
CODEC = Codec(
    {
        **dict.fromkeys((*EVENTS, *EFFECTS), 1),
        **{kind.state: 1 for kind in KINDS.values()},
        **dict.fromkeys((*_TIMED, *_DETAILED, *_SIGNED), 2),
        NotifyOrderChanged: 2,
        SubmitMessage: 2,
        **{kind: version + 1 for kind, version in _ORDERED.items()},
        Trade: 3,
    },
    _UPGRADES,
)
"""The stored types of this version, all of them."""
