"""The one-time pairing code, as a person types it and as a QR code carries it.

Behind both is one random secret of 32 bytes, made by the gateway for one pairing. A QR code carries it whole. A typed
code is seven symbols derived from it (one-way, 34.7 bits) and a check symbol; SPAKE2 makes seven enough, since every
try costs an exchange and five wrong ones end it. The alphabet has 31 symbols without 0, 1, I, L and O: prime, so the
weighted sum finds every wrong symbol and every swap of two.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.services.pairing.errors import BadCode

__all__ = [
    "ALPHABET",
    "SECRET_SIZE",
    "Method",
    "QrCode",
    "TypedCode",
    "check_url",
    "parse_code",
    "qr_text",
    "typed_code",
    "typed_text",
]

ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
SECRET_SIZE = 32
_SYMBOLS = 7
_PREFIX = "WATTPACT-PAIR:1:"
_MAX_URL = 200
_FINGERPRINT_SIZE = 16


class Method(IntEnum):
    """How the home got the code; part of the transcript."""

    TYPED = 1
    QR = 2


@dataclass(frozen=True, slots=True)
class TypedCode:
    """The seven symbols that a person typed, check symbol verified and taken off."""

    symbols: str = field(repr=False)
    method: Method = Method.TYPED

    def password(self) -> bytes:
        return b"typed\x00" + self.symbols.encode("ascii")


@dataclass(frozen=True, slots=True)
class QrCode:
    """What a QR code says: where the gateway listens (empty: nowhere), 16 bytes of its fingerprint, the secret."""

    url: str
    fingerprint: bytes
    secret: bytes = field(repr=False)
    method: Method = Method.QR

    def password(self) -> bytes:
        return b"qr\x00" + self.secret


def _symbols_of(secret: bytes) -> str:
    wide = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"wattpact pairing typed code").derive(secret)
    number = int.from_bytes(wide, "big")  # 256 bits onto 31^7: the bias is beyond any meaning
    found = []
    for _ in range(_SYMBOLS):
        number, rest = divmod(number, len(ALPHABET))
        found.append(ALPHABET[rest])
    return "".join(found)


def _check_symbol(symbols: str) -> str:
    total = sum(weight * ALPHABET.index(symbol) for weight, symbol in enumerate(symbols, 2))
    return ALPHABET[-total % len(ALPHABET)]


def typed_code(secret: bytes) -> TypedCode:
    """The typed form of a secret."""
    return TypedCode(_symbols_of(secret))


def typed_text(secret: bytes) -> str:
    """What the gateway shows for typing, e.g. `K7PM-3XQD`; the last symbol checks the others."""
    symbols = _symbols_of(secret)
    text = symbols + _check_symbol(symbols)
    return f"{text[:4]}-{text[4:]}"


def qr_text(secret: bytes, fingerprint: bytes, url: str) -> str:
    """What the gateway's QR code says. `url` is empty where the two meet over a broker (`rendezvous`)."""
    if url:
        check_url(url)
    return f"{_PREFIX}{fingerprint.hex()}:{_base64(secret)}:{url}"


def _base64(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).decode("ascii").rstrip("=")


def check_url(url: str) -> None:
    """BadCode unless it is plain http(s) with a host and nothing hidden in it. Reachability rules are the caller's."""
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        raise BadCode("the address in the code is not a URL", field="url") from None
    printable = url.isascii() and url.isprintable() and " " not in url
    plain = parts.username is None and parts.password is None and not parts.fragment and not parts.query
    if parts.scheme not in ("http", "https") or not parts.hostname or not (port_ok and printable and plain):
        raise BadCode("the address in the code is not a plain http or https URL", field="url")
    if len(url) > _MAX_URL:
        raise BadCode(f"the address in the code is longer than {_MAX_URL} characters", field="url")


def parse_code(text: str) -> TypedCode | QrCode:
    """The code that a person typed, pasted or scanned; BadCode says what is wrong without repeating it."""
    text = text.strip()
    return _parse_qr(text) if text.upper().startswith("WATTPACT-PAIR") else _parse_typed(text)


def _parse_typed(text: str) -> TypedCode:
    # Only ASCII has one upper case: elsewhere one letter may become two that look typed.
    upper = text.upper() if text.isascii() else text
    symbols = "".join(symbol for symbol in upper if symbol not in " -")
    if len(symbols) != _SYMBOLS + 1:
        raise BadCode(f"a typed code has {_SYMBOLS + 1} letters and digits, not {len(symbols)}", field="code")
    for position, symbol in enumerate(symbols, 1):
        if symbol not in ALPHABET:
            raise BadCode(f"symbol {position} is not of a code; 0, 1, I, L and O never occur", field="code")
    if _check_symbol(symbols[:-1]) != symbols[-1]:
        raise BadCode("a symbol of the code is mistyped, or two are swapped", field="code")
    return TypedCode(symbols[:-1])


def _parse_qr(text: str) -> QrCode:
    if not text.startswith(_PREFIX):
        raise BadCode("the QR code is of a version that this program does not know", field="code")
    parts = text.removeprefix(_PREFIX).split(":", 2)
    if len(parts) != 3:
        raise BadCode("the QR code is incomplete", field="code")
    try:
        fingerprint = bytes.fromhex(parts[0])
        secret = base64.b64decode(parts[1] + "=", altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise BadCode("the QR code is damaged", field="code") from None
    one_spelling = (fingerprint.hex(), _base64(secret)) == (parts[0], parts[1])
    if len(fingerprint) != _FINGERPRINT_SIZE or len(secret) != SECRET_SIZE or not one_spelling:
        raise BadCode("the QR code is damaged", field="code")
    if parts[2]:
        check_url(parts[2])
    return QrCode(parts[2], fingerprint, secret)
