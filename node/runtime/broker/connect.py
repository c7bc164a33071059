"""The first packet of a connection, read strictly and without I/O (MQTT 3.1.1, section 3.1).

It is read here and not by the broker library, because the library changes the session that a client id names before it
has checked who is asking.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BAD_IDENTIFIER", "NOT_AUTHORIZED", "WRONG_VERSION", "BadConnect", "Connect", "parse_connect", "refusal"]

WRONG_VERSION = 1
BAD_IDENTIFIER = 2
NOT_AUTHORIZED = 5

_RESERVED, _CLEAN, _WILL, _PASSWORD, _USER = 0x01, 0x02, 0x04, 0x40, 0x80
_LEVEL = 4


@dataclass(frozen=True, slots=True)
class BadConnect:
    """The packet is no CONNECT that we take. `code` is the CONNACK code to answer, 0 for none."""

    reason: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class Connect:
    """A well-formed CONNECT of somebody with a name and a password."""

    client_id: str
    username: str
    password: str = field(repr=False)
    keepalive: int
    clean: bool


class _Fields:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def take(self, size: int) -> bytes:
        end = self._place + size
        if end > len(self._data):
            raise ValueError("short")
        self._place, start = end, self._place
        return self._data[start:end]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self) -> str:
        text = self.take(self.number(2)).decode()
        if "\0" in text:
            raise ValueError("null character")
        return text

    def end(self) -> None:
        if self._place != len(self._data):
            raise ValueError("trailing bytes")


def parse_connect(body: bytes) -> Connect | BadConnect:
    """Read the body (everything behind the fixed header) of a CONNECT."""
    fields = _Fields(body)
    try:
        if fields.text() != "MQTT":
            return BadConnect("another protocol")
        if fields.number(1) != _LEVEL:
            return BadConnect("another protocol version", WRONG_VERSION)
        flags = fields.number(1)
        keepalive = fields.number(2)
        client_id = fields.text()
        if flags & _RESERVED:
            return BadConnect("a reserved flag is set")
        if flags & _WILL:
            # A will is published by the broker when its author cannot be asked any more; nothing of ours needs one.
            return BadConnect("a will is not taken", NOT_AUTHORIZED)
        if not flags & _USER or not flags & _PASSWORD:
            return BadConnect("no user name or no password", NOT_AUTHORIZED)
        username, password = fields.text(), fields.text()
        fields.end()
    except (ValueError, UnicodeDecodeError):
        return BadConnect("malformed")
    if not client_id:
        return BadConnect("no client id", BAD_IDENTIFIER)
    return Connect(client_id, username, password, keepalive, bool(flags & _CLEAN))


def refusal(code: int) -> bytes:
    """A CONNACK that refuses."""
    return bytes((0x20, 0x02, 0x00, code))
