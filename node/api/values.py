"""How bytes and times look in JSON: the edge between the node's values and its REST interface."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from node.types import ADDRESS_BYTES, HASH_BYTES, SIGNATURE_BYTES, address_from_text, address_to_text, from_hex, to_hex

__all__ = ["AddressHex", "Form", "HashHex", "SignatureHex", "UnixTime", "View"]


class View(BaseModel):
    """A fact that the node shows. Made by the facade from bytes and integers; written as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Form(BaseModel):
    """What a caller sends. Unknown members are refused, so a misspelled limit never widens a consent."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


def _bytes(size: int) -> tuple[BeforeValidator, AfterValidator, PlainSerializer, WithJsonSchema]:
    def parse(value: object) -> object:
        return from_hex(value, size) if isinstance(value, str) else value

    def check(value: bytes) -> bytes:
        if len(value) != size:
            raise ValueError(f"must be {size} bytes, not {len(value)}")
        return value

    return (
        BeforeValidator(parse),
        AfterValidator(check),
        PlainSerializer(to_hex, return_type=str),
        WithJsonSchema({"type": "string", "pattern": f"^0x[0-9a-fA-F]{{{2 * size}}}$"}),
    )


def _parse_address(value: object) -> object:
    return address_from_text(value) if isinstance(value, str) else value


_address_checks = _bytes(ADDRESS_BYTES)

HashHex = Annotated[bytes, *_bytes(HASH_BYTES)]
SignatureHex = Annotated[bytes, *_bytes(SIGNATURE_BYTES)]
AddressHex = Annotated[
    bytes,
    BeforeValidator(_parse_address),
    _address_checks[1],
    PlainSerializer(address_to_text, return_type=str),
    _address_checks[3],
]
UnixTime = Annotated[int, Field(ge=0, lt=2**40, description="seconds since 1970 UTC")]
