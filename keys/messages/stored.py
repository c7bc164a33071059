"""Signed messages as a node keeps them: values alone, in the order of the type, without what the type says already.

`[1, type, [name, version, chain id, contract or null], [value, ...], [opening, ...]]` as JSON without spaces: bytes are
lower-case hex, integers are integers. The first number is the version of this form. What earlier versions kept, whole
EIP-712 documents, is read for ever. Wallets and other nodes are given `typed_data`, never this.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from keys.eip712 import Domain, Field
from keys.errors import KeysError, MessageError
from keys.messages.base import Message, struct_values
from keys.messages.table import STRUCTS, from_typed_data

__all__ = ["Opening", "StoredCall", "call_from_stored", "from_stored", "opening_of", "stored_form", "stored_form_of"]

Opening: TypeAlias = bytes | Message
"""What a contract's function takes beside a message: bytes, or another message that is shown to it (its values alone:
the contract knows its domain)."""

_VERSION: Final = 1
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class StoredCall(NamedTuple):
    """A message, the contract it is for, and what that contract's function takes beside it."""

    message: Message
    domain: Domain
    opening: tuple[Opening, ...] = ()


def stored_form(message: Message, domain: Domain, opening: Sequence[Opening] = ()) -> str:
    """The text to keep; equal messages have equal texts."""
    name, values = _written(message)
    beside = [_hex(each) if isinstance(each, bytes) else "[{},{}]".format(*_written(each)) for each in opening]
    return f"[{_VERSION},{name},{_place(domain)},{values},[{','.join(beside)}]]"


def from_stored(text: str) -> tuple[Message, Domain]:
    """The message and the contract it was signed for. Raises MessageError naming what is wrong."""
    found = call_from_stored(text)
    return found.message, found.domain


@lru_cache(maxsize=2_048)  # a contract's words are looked at again and again while it moves; what raises is not kept
def call_from_stored(text: str) -> StoredCall:
    """The same with the opening. Raises MessageError naming what is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError("stored message: not JSON") from error
    return _compact(document) if isinstance(document, list) else _whole(document)


def stored_form_of(text: str) -> str:
    """What an earlier version kept, as this one keeps it; unchanged where it is no message."""
    try:
        return stored_form(*call_from_stored(text))
    except KeysError:
        return text


def opening_of(raw: bytes) -> Opening:
    """An opening as it comes from outside: the message whose EIP-712 document it is, else the bytes themselves."""
    if not raw.startswith(b"{"):
        return raw
    try:
        return from_typed_data(json.loads(raw))[0]
    except (KeysError, ValueError, RecursionError):
        return raw


def _compact(document: list[Any]) -> StoredCall:
    if len(document) != 5:
        raise MessageError(f"stored message: expected 5 parts, got {len(document)}")
    version, name, where, values, opening = document
    if type(version) is not int or version != _VERSION:
        raise MessageError(f"stored message: version {str(version)[:40]} is not known to this program")
    message = _message(name, values)
    if not isinstance(opening, list):
        raise MessageError("opening: expected a list")
    return StoredCall(message, _domain(where), tuple([_opening(at, each) for at, each in enumerate(opening)]))


def _whole(document: object) -> StoredCall:
    """`{"typed": document, "opening": [hex]}`, or the document alone."""
    if not isinstance(document, dict) or "typed" not in document:
        return StoredCall(*from_typed_data(document))
    opening = document.get("opening", [])
    if not isinstance(opening, list):
        raise MessageError("opening: expected a list")
    shown = [opening_of(_unhex(f"opening[{at}]", each)) for at, each in enumerate(opening)]
    return StoredCall(*from_typed_data(document["typed"]), tuple(shown))


def _opening(at: int, value: object) -> Opening:
    if not isinstance(value, list):
        return _unhex(f"opening[{at}]", value)
    if len(value) != 2:
        raise MessageError(f"opening[{at}]: expected a type and its values")
    return _message(*value)


def _domain(value: object) -> Domain:
    if not isinstance(value, list) or len(value) != 4 or any(isinstance(each, list | dict) for each in value):
        raise MessageError("EIP712Domain: expected name, version, chain id and contract")
    return _known_domain(*value)


@lru_cache(maxsize=64, typed=True)  # a program meets few; what raises is not kept
def _known_domain(name: Any, version: Any, chain_id: Any, contract: object) -> Domain:
    address = None if contract is None else _unhex("EIP712Domain.verifyingContract", contract)
    return Domain(name, version, chain_id, address)


@lru_cache(maxsize=64)
def _place(domain: Domain) -> str:
    contract = "null" if domain.verifying_contract is None else _hex(domain.verifying_contract)
    return f"[{_JSON(domain.name)},{_JSON(domain.version)},{domain.chain_id},{contract}]"


def _message(name: object, values: object) -> Message:
    known = _READERS.get(name) if isinstance(name, str) else None
    if known is None:
        raise MessageError(f"stored message: unknown message type {str(name)[:40]!r}")
    kind, readers = known
    if not isinstance(values, list):
        raise MessageError(f"{name}: expected a list")
    if len(values) < len(readers):
        raise MessageError(f"{readers[len(values)][0]} is missing")
    if len(values) > len(readers):
        raise MessageError(f"{name}: {len(values)} values where the type has {len(readers)}")
    # The message checks each value against its type.
    return kind(*[read(where, value) for (where, read), value in zip(readers, values, strict=True)])


def _hex(value: bytes) -> str:
    return f'"{value.hex()}"'


def _unhex(where: str, value: object) -> bytes:
    if isinstance(value, str):
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            raw = b""
        # fromhex alone would take spaces and capitals too.
        if raw.hex() == value:
            return raw
    raise MessageError(f"{where}: expected lower-case hex")


def _unhex_all(where: str, value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list):
        raise MessageError(f"{where}: expected a list")
    return tuple([_unhex(f"{where}[{at}]", each) for at, each in enumerate(value)])


def _as_it_is(where: str, value: object) -> object:
    return value


_TEXTS: Mapping[str, tuple[Callable[[Any], str], Callable[[str, object], Any]]] = MappingProxyType(
    {
        "address": (_hex, _unhex),
        "bytes32": (_hex, _unhex),
        "bytes32[]": (lambda value: f"[{','.join([_hex(each) for each in value])}]", _unhex_all),
        "bool": (_JSON, _as_it_is),
        "string": (_JSON, _as_it_is),
    }
)
_INTEGER: Final = (int.__repr__, _as_it_is)


def _texts(field: Field) -> tuple[Callable[[Any], str], Callable[[str, object], Any]]:
    """How a field's value is written, and read before it is checked."""
    return _TEXTS.get(field.type.name, _INTEGER)


_WRITERS: Mapping[type[Message], tuple[str, tuple[Callable[[Any], str], ...]]] = MappingProxyType(
    {kind: (_JSON(each.name), tuple(_texts(field)[0] for field in each.fields)) for kind, each in STRUCTS.items()}
)
_READERS: Mapping[str, tuple[type[Message], tuple[tuple[str, Callable[[str, object], Any]], ...]]] = MappingProxyType(
    {
        each.name: (kind, tuple((f"{each.name}.{field.name}", _texts(field)[1]) for field in each.fields))
        for kind, each in STRUCTS.items()
    }
)


def _written(message: Message) -> tuple[str, str]:
    """The name of the type and the list of the values, as JSON."""
    known = _WRITERS.get(type(message))
    if known is None:
        raise MessageError(f"{type(message).__name__} is not a message that is signed")
    name, writers = known
    texts = [write(value) for write, value in zip(writers, struct_values(message), strict=True)]
    return name, f"[{','.join(texts)}]"
