"""The kinds of values that settings have: addresses, listeners, URLs, times, lists given as text."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_settings import NoDecode

from node.types import Address, address_from_text, address_to_text

__all__ = [
    "AddressText",
    "BrokerUrl",
    "Listen",
    "ListenText",
    "NetworkText",
    "RpcUrl",
    "TextList",
    "Time",
    "TopicRule",
    "WebUrl",
    "parse_listen",
    "parse_topic_rule",
]


class Listen(NamedTuple):
    """A host (name, IPv4 or IPv6 address) and a TCP port; port 0 asks the system for a free one."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect. A host name other than localhost counts as the world."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _listen(value: object) -> object:
    if isinstance(value, Listen):
        return value
    match = (
        re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([^\[\]:/\s]+)):([0-9]{1,5})", value) if isinstance(value, str) else None
    )
    if match is None or int(match[3]) > 65535:
        raise ValueError('must be "host:port", for instance "127.0.0.1:8750" or "[::1]:8750"')
    return Listen(match[1] or match[2], int(match[3]))


def parse_listen(text: str) -> Listen:
    """A "host:port" as it stands in the config file. Raises ValueError."""
    found = _listen(text)
    assert isinstance(found, Listen)  # noqa: S101 (anything else raised)
    return found


ListenText = Annotated[
    Listen,
    NoDecode,
    BeforeValidator(_listen),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]


def _network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        # strict: "192.168.1.7/24" is either the host or the network, and one of them was meant
        return ip_network(value) if isinstance(value, str) else ip_network("")
    except ValueError:
        raise ValueError('must be a network or one address: "192.168.1.0/24", "fd00:1::/64" or "10.0.0.7"') from None


NetworkText = Annotated[
    IPv4Network | IPv6Network,
    BeforeValidator(_network),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]


def _address(value: object) -> object:
    if isinstance(value, str):
        return address_from_text(value)
    if isinstance(value, bytes):
        return value
    raise ValueError("must be an address in quotes: 0x and 40 hexadecimal digits")


AddressText = Annotated[
    Address,
    BeforeValidator(_address),
    PlainSerializer(address_to_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}),
]


def _url(value: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(value)
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    if parts.scheme not in schemes or not parts.hostname or re.search(r"\s", value):
        raise ValueError(f"must be a URL that begins with {wanted} and names a host")
    if parts.port is not None and parts.port == 0:
        raise ValueError("port 0 cannot be connected to")
    return value


WebUrl = Annotated[
    str, AfterValidator(lambda v: _url(v, ("http", "https"))), WithJsonSchema({"type": "string", "format": "uri"})
]
RpcUrl = Annotated[
    str,
    AfterValidator(lambda v: _url(v, ("http", "https", "ws", "wss"))),
    WithJsonSchema({"type": "string", "format": "uri"}),
]
BrokerUrl = Annotated[
    str,
    AfterValidator(lambda v: _url(v, ("mqtt", "mqtts", "http", "https"))),
    WithJsonSchema({"type": "string", "format": "uri"}),
]


def _time(value: object) -> object:
    """TOML dates arrive as datetime, environment variables as text."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+", value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a time such as 2026-01-01T00:00:00Z, or seconds since 1970") from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("must name its offset from UTC: 2026-01-01T00:00:00Z")
        return int(value.astimezone(UTC).timestamp())
    return value


Time = Annotated[
    int,
    BeforeValidator(_time),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]}),
]


def _from_text(value: object) -> object:
    """Environment variables give a list as JSON, or as words between commas."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            parsed: Any = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"is not valid JSON: {error.msg} at character {error.pos + 1}") from None
        return parsed
    return [word.strip() for word in value.split(",") if word.strip()]


# To be put around a tuple type: Annotated[tuple[str, ...], *TextList].
TextList = (NoDecode, BeforeValidator(_from_text))

_RULE = re.compile(r"(read|write|readwrite) ([^\s\x00]+)")


def parse_topic_rule(text: str) -> tuple[str, str]:
    """`read topic/filter` as (access, MQTT topic filter). Raises ValueError for a filter that MQTT does not allow."""
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError('must be "read", "write" or "readwrite" and a topic filter: "read wattpact/v1/+/data"')
    levels = match[2].split("/")
    for number, level in enumerate(levels):
        misplaced = (level == "#" and number != len(levels) - 1) or (len(level) > 1 and ("#" in level or "+" in level))
        if misplaced:
            raise ValueError("has a wildcard where MQTT does not allow one: + stands for a whole level, # comes last")
    return match[1], match[2]


def _rule(text: str) -> str:
    parse_topic_rule(text)
    return text


TopicRule = Annotated[str, AfterValidator(_rule)]
