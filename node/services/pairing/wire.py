"""The six messages of the exchange. Canonical, big endian, fixed widths; only the sealed part at the end may vary.

    hello    home:    ver u16 | 1 | attempt 16 | method u8 | chain id u64 | registry 20 | SPAKE2 element 33
    hello    gateway: ver u16 | 2 | attempt 16 | SPAKE2 element 33
    confirm  home:    ver u16 | 3 | attempt 16 | confirmation 32
    confirm  gateway: ver u16 | 4 | attempt 16 | confirmation 32 | sealed {identity, salt}
    finish   home:    ver u16 | 5 | attempt 16 | sealed {identity, nonce, deadline, owner's signature}
    finish   gateway: ver u16 | 6 | attempt 16 | sealed {device's signature}

What is sealed is canonical JSON (RFC 8785).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from keys.nesting import nesting
from node.services.pairing.code import Method
from node.services.pairing.errors import MalformedMessage
from node.services.pairing.models import PeerIdentity, Place

__all__ = [
    "ATTEMPT_SIZE",
    "ELEMENT_SIZE",
    "MAX_MESSAGE",
    "STEPS",
    "Frame",
    "Hello",
    "attempt_of",
    "frame",
    "identity_document",
    "identity_from",
    "integer",
    "pack_document",
    "pack_hello",
    "raw",
    "read_document",
    "read_frame",
    "read_hello",
    "to_json",
]

STEPS = ("hello", "confirm", "finish")
ATTEMPT_SIZE = 16
ELEMENT_SIZE = 33
MAX_MESSAGE = 8192  # checked before anything else

_VERSION = (1).to_bytes(2, "big")
_HEAD = len(_VERSION) + 1 + ATTEMPT_SIZE
_HELLO = _HEAD + 1 + 8 + 20 + ELEMENT_SIZE
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Hello:
    """The home's first message, read."""

    attempt: bytes
    method: Method
    place: Place
    element: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """Any other message, read: attempt, the part of fixed width, the sealed rest."""

    attempt: bytes
    fixed: bytes
    sealed: bytes


def _head(data: bytes, number: int) -> bytes:
    if len(data) > MAX_MESSAGE:
        raise MalformedMessage(f"{len(data)} bytes; a message has at most {MAX_MESSAGE}")
    if data[:2] != _VERSION:
        raise MalformedMessage("the version of the pairing message is not known")
    if len(data) < _HEAD or data[2] != number:
        raise MalformedMessage(f"expected message {number} of the exchange")
    return data[3:_HEAD]


def attempt_of(data: bytes, number: int) -> bytes:
    """The attempt that a message belongs to, its head checked."""
    return _head(data, number)


def pack_hello(hello: Hello) -> bytes:
    return b"".join(
        (
            frame(1, hello.attempt),
            bytes([hello.method]),
            hello.place.chain_id.to_bytes(8, "big"),
            hello.place.registry,
            hello.element,
        )
    )


def read_hello(data: bytes) -> Hello:
    attempt = _head(data, 1)
    if len(data) != _HELLO:
        raise MalformedMessage(f"the first message has {_HELLO} bytes, not {len(data)}")
    if data[_HEAD] not in (Method.TYPED, Method.QR):
        raise MalformedMessage("the way in which the code was given is not known")
    chain_id = int.from_bytes(data[_HEAD + 1 : _HEAD + 9], "big")
    place = Place(chain_id, data[_HEAD + 9 : _HEAD + 29])
    return Hello(attempt, Method(data[_HEAD]), place, data[_HEAD + 29 :])


def frame(number: int, attempt: bytes, fixed: bytes = b"", sealed: bytes = b"") -> bytes:
    """A message of the exchange."""
    return _VERSION + bytes([number]) + attempt + fixed + sealed


def read_frame(data: bytes, number: int, fixed: int, *, sealed: bool) -> Frame:
    """Read message `number` with `fixed` bytes before its sealed part; MalformedMessage for anything else."""
    attempt = _head(data, number)
    rest = data[_HEAD:]
    if len(rest) < fixed or (bool(rest[fixed:]) != sealed):
        raise MalformedMessage(f"message {number} of the exchange has a wrong length")
    return Frame(attempt, rest[:fixed], rest[fixed:])


def pack_document(document: Mapping[str, Any]) -> bytes:
    return bytes(rfc8785.dumps(dict(document)))


def read_document(data: bytes, fields: set[str]) -> dict[str, Any]:
    """A canonical JSON object with exactly these fields."""
    if nesting(data) > _MAX_DEPTH:
        raise MalformedMessage("the content is nested too deep")
    try:
        document = json.loads(data)
        canonical = rfc8785.dumps(document)
    except ValueError as error:
        raise MalformedMessage(f"the content is not JSON ({type(error).__name__})") from None
    if canonical != data or not isinstance(document, dict) or set(document) != fields:
        raise MalformedMessage("the content is not canonical or has other fields")
    return document


def raw(document: Mapping[str, Any], name: str, low: int, high: int) -> bytes:
    """Bytes of a Base64 field, between `low` and `high` of them."""
    value = document[name]
    if isinstance(value, str):
        try:
            found = base64.b64decode(value, validate=True)
        except (ValueError, binascii.Error):
            found = None
        if found is not None and low <= len(found) <= high and to_json(found) == value:
            return found
    raise MalformedMessage(f"expected {low} to {high} bytes in Base64", field=name)


def to_json(value: bytes) -> str:
    """Bytes as they stand in a document."""
    return base64.b64encode(value).decode("ascii")


def integer(document: Mapping[str, Any], name: str) -> int:
    """A non-negative integer field."""
    value = document[name]
    if type(value) is not int or value < 0:
        raise MalformedMessage("expected an integer", field=name)
    return value


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str):
        raise MalformedMessage("expected text", field=name)
    return value


def identity_document(identity: PeerIdentity) -> dict[str, Any]:
    return {
        "account": to_json(identity.account),
        "sealing_key": to_json(identity.sealing_key),
        "inbox_url": identity.inbox_url,
        "label": identity.label,
    }


def identity_from(value: object) -> PeerIdentity:
    if not isinstance(value, dict) or set(value) != {"account", "sealing_key", "inbox_url", "label"}:
        raise MalformedMessage("an identity has account, sealing_key, inbox_url and label", field="identity")
    return PeerIdentity(
        raw(value, "account", 20, 20),
        raw(value, "sealing_key", 1, 2000),
        _text(value, "inbox_url"),
        _text(value, "label"),
    )
