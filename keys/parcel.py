"""Parcels: sealed, signed messages from node to node, for any carrier that moves bytes.

    parcel  = version u16 | HPKE(canonical JSON of the fields below), info = label || chain id || recipient key hash
    fields  = body, expires_at, kind, nonce, recipient, sender, sent_at, signature, version
    signed  = EIP-712 ParcelSeal under the parcel domain; the parcel's id is its digest

The signature is inside, so nobody but the recipient learns who wrote, and it names the recipient's key, so a
recipient cannot pass the parcel on as if it had been written to somebody else. One canonical encoding (RFC 8785)
only. Sizes are checked before any cryptography, so a flood of junk costs next to nothing. Not promised: that a parcel
arrives, or arrives once; the receiver remembers ids (see `Parcel.forget_after`). Numbers in a body are integers: 0.1
has no one spelling, and money and energy are integers anyway.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import rfc8785

from keys.eip712 import keccak256
from keys.errors import (
    MessageError,
    ParcelForeign,
    ParcelForged,
    ParcelMalformed,
    ParcelTooLarge,
    ParcelUntimely,
    SealError,
    SignatureError,
)
from keys.messages import ParcelSeal, parcel_domain, verify
from keys.sealing import OVERHEAD, SealingKey, open_sealed, reader_key_hash, seal
from keys.signers import Signer

__all__ = ["CLOCK_TOLERANCE", "MAX_DEPTH", "MAX_LIFETIME", "MAX_SIZE", "VERSION", "Parcel", "pack", "unpack"]

VERSION = 1
MAX_SIZE = 64 * 1024
CLOCK_TOLERANCE = 120  # seconds by which two nodes' clocks may differ
MAX_LIFETIME = 7 * 86400  # bounds how long a receiver has to remember ids
MAX_DEPTH = 32  # levels of lists and objects; parsers recurse, and where each of them ends is its own affair
_BODY_DEPTH = MAX_DEPTH - 1  # the fields around the body are a level, too

_HEAD = VERSION.to_bytes(2, "big")
# Strict: integers up to 2^53 - 1 only, which every reader of JSON has exactly (RFC 8785).
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_CONTAINERS = (dict, list, tuple)
_ONE_SPELLING = frozenset({*_CONTAINERS, str, int, bool, type(None)})
_ASTRAL = 0xF0  # the first byte in UTF-8 of a character beyond the basic plane; no other byte is as large
_BODY = b'{"body":'
_FIELDS = {"version", "sender", "recipient", "nonce", "kind", "body", "sent_at", "expires_at", "signature"}


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel that was opened and verified. `id` is 32 bytes and its own; sender 20 bytes; times in seconds."""

    sender: bytes
    kind: str
    body: dict[str, Any]
    id: bytes
    sent_at: int
    expires_at: int

    @property
    def forget_after(self) -> int:
        """Remember `id` until this time and refuse it when it comes again; later the parcel is refused by its dates."""
        return self.expires_at + CLOCK_TOLERANCE


def _check(document: object, depth: int) -> None:
    """Levels, and kinds that have one spelling. Raises ParcelMalformed."""
    level = [document]
    for _ in range(depth + 1):
        for kind in {*map(type, level)} - _ONE_SPELLING:
            if not issubclass(kind, (str, int, *_CONTAINERS)):
                raise ParcelMalformed(f"a {kind.__name__} has no canonical JSON form")
        containers = [each for each in level if isinstance(each, _CONTAINERS)]
        if not containers:
            return
        level = []
        for each in containers:
            level += each.values() if isinstance(each, dict) else each
    raise ParcelMalformed(f"nested deeper than {depth} levels")


def _canonical(value: object) -> bytes:
    """A body's text."""
    _check(value, _BODY_DEPTH)
    try:
        return _spelled(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParcelMalformed(f"the body has no canonical JSON form: {error}") from error


def _info(chain_id: int, recipient: bytes) -> bytes:
    return b"wattpact parcel v1" + chain_id.to_bytes(32, "big") + recipient


async def pack(
    sender: Signer,
    recipient_public: bytes,
    kind: str,
    body: Mapping[str, Any],
    *,
    chain_id: int,
    now: int,
    lifetime: int,
) -> bytes:
    """Seal a signed message to `recipient_public` (1,216 bytes).

    `body` is a JSON object of strings, integers up to 2^53 - 1, booleans, null, lists and objects, 31 levels of them at
    most; `now` and `lifetime` in seconds. Raises ParcelMalformed, ParcelTooLarge, ParcelUntimely (lifetime not in
    1..MAX_LIFETIME) or SealError.
    """
    if not 1 <= lifetime <= MAX_LIFETIME:
        raise ParcelUntimely(f"a parcel lives 1 to {MAX_LIFETIME} seconds, not {lifetime}")
    body_bytes = _canonical(dict(body))
    if len(body_bytes) > MAX_SIZE:
        raise ParcelTooLarge(f"the body has {len(body_bytes)} bytes; a parcel has at most {MAX_SIZE}")
    recipient = reader_key_hash(recipient_public)
    try:
        message = ParcelSeal(
            sender.address, recipient, os.urandom(32), kind, keccak256(body_bytes), now, now + lifetime
        )
        domain = parcel_domain(chain_id)
    except MessageError as error:
        raise ParcelMalformed(str(error)) from error
    signature = await sender.sign_message(message, domain)
    fields = {
        "version": VERSION,
        "sender": message.sender.hex(),
        "recipient": recipient.hex(),
        "nonce": message.nonce.hex(),
        "kind": kind,
        "sent_at": message.sent_at,
        "expires_at": message.expires_at,
        "signature": signature.hex(),
    }
    # "body" is the first of the names, and its text is canonical already.
    plain = _BODY + body_bytes + b"," + _spelled(fields)[1:]
    if len(_HEAD) + len(plain) + OVERHEAD > MAX_SIZE:
        raise ParcelTooLarge(f"sealed it would have {len(_HEAD) + len(plain) + OVERHEAD} bytes, more than {MAX_SIZE}")
    return _HEAD + seal(recipient_public, plain, _info(chain_id, recipient))


def unpack(key: SealingKey, data: bytes, *, chain_id: int, now: int) -> Parcel:
    """Open and verify; the errors are the leaves of ParcelError. The caller refuses an id that it has seen before."""
    if len(data) > MAX_SIZE:
        raise ParcelTooLarge(f"{len(data)} bytes; a parcel has at most {MAX_SIZE}")
    if data[:2] != _HEAD:
        raise ParcelMalformed("the version of the parcel is not known")
    recipient = key.key_hash()
    try:
        domain = parcel_domain(chain_id)
        plain = open_sealed(key, data[2:], _info(chain_id, recipient))
    except (SealError, MessageError) as error:
        raise ParcelForeign("not sealed to this key for this chain, or changed on the way") from error
    fields = _parse(plain)
    if set(fields) != _FIELDS or fields["version"] != VERSION or not isinstance(fields["body"], dict):
        raise ParcelMalformed("fields are missing or unknown")
    if _unhex("recipient", fields["recipient"], 32) != recipient:
        raise ParcelForeign("addressed to another key: somebody passes on what was written to him")
    try:
        message = ParcelSeal(
            _unhex("sender", fields["sender"], 20),
            recipient,
            _unhex("nonce", fields["nonce"], 32),
            fields["kind"],
            keccak256(_body_of(plain, fields)),
            fields["sent_at"],
            fields["expires_at"],
        )
    except MessageError as error:
        raise ParcelMalformed(str(error)) from error
    try:
        signed = verify(message, domain, _unhex("signature", fields["signature"], 65), message.sender)
    except SignatureError as error:
        raise ParcelForged(str(error)) from error
    _check_times(message, now)
    return Parcel(message.sender, message.kind, fields["body"], signed, message.sent_at, message.expires_at)


def _check_times(message: ParcelSeal, now: int) -> None:
    if not 0 < message.expires_at - message.sent_at <= MAX_LIFETIME:
        raise ParcelUntimely(f"lives {message.expires_at - message.sent_at} seconds; allowed are 1 to {MAX_LIFETIME}")
    if message.sent_at > now + CLOCK_TOLERANCE:
        raise ParcelUntimely(f"dated {message.sent_at - now} seconds in the future; check both clocks")
    if message.expires_at + CLOCK_TOLERANCE < now:
        raise ParcelUntimely(f"expired {now - message.expires_at} seconds ago; check both clocks or send it again")


def _spelled(value: object) -> bytes:
    """RFC 8785 of what `_check` let pass. Raises TypeError, ValueError, RecursionError."""
    text = orjson.dumps(value, option=_OPTIONS)
    # Names are sorted by code points here and by UTF-16 there; beyond the basic plane the order differs.
    return text if text.isascii() or max(text) < _ASTRAL else bytes(rfc8785.dumps(value))  # type: ignore[arg-type]


def _body_of(plain: bytes, fields: Mapping[str, Any]) -> bytes:
    """The body's bytes as they stand in the parcel: its text is canonical, and "body" is the first of its names."""
    rest = {name: value for name, value in fields.items() if name != "body"}
    return plain[len(_BODY) : -len(_spelled(rest))]


def _parse(data: bytes) -> dict[str, Any]:
    """A JSON object in its one canonical encoding, without floats."""
    try:
        document = orjson.loads(data)
        _check(document, MAX_DEPTH)
        canonical = _spelled(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise ParcelMalformed(f"not JSON as parcels carry it ({type(error).__name__})") from None
    # Also finds names that occur twice, of which two readers might take different ones.
    if canonical != data or not isinstance(document, dict):
        raise ParcelMalformed("not in canonical form (RFC 8785), or not an object")
    return document


def _unhex(name: str, value: object, size: int) -> bytes:
    if isinstance(value, str) and len(value) == 2 * size and value == value.lower():
        try:
            raw = bytes.fromhex(value)
        except ValueError:
            raw = b""
        if len(raw) == size:
            return raw
    raise ParcelMalformed(f"{name}: expected {size} bytes in lower-case hex")
