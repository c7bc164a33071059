"""Field types of message bodies: bytes inside, hex or Base64 in JSON, each of one exact width."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

__all__ = ["Address", "Body", "Hash", "PublicKey", "Seconds", "Signature", "Url"]

XWING_PUBLIC_BYTES = 1216
ED25519_BYTES = 32


def _hex(width: int) -> Any:
    def read(value: object) -> bytes:
        if isinstance(value, bytes) and len(value) == width:
            return value
        if not isinstance(value, str) or not value.startswith("0x"):
            raise ValueError(f"must be {width} bytes in hex, with 0x in front")
        try:
            raw = bytes.fromhex(value[2:])
        except ValueError:
            raise ValueError("has characters that are not hex") from None
        if len(raw) != width:
            raise ValueError(f"must be {width} bytes, is {len(raw)}")
        return raw

    return Annotated[bytes, BeforeValidator(read), PlainSerializer(lambda raw: "0x" + raw.hex())]


def _base64(width: int) -> Any:
    def read(value: object) -> bytes:
        if isinstance(value, bytes) and len(value) == width:
            return value
        if not isinstance(value, str):
            raise ValueError("must be Base64 text")
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("is not Base64") from None
        if len(raw) != width:
            raise ValueError(f"must be {width} bytes, is {len(raw)}")
        return raw

    return Annotated[bytes, BeforeValidator(read), PlainSerializer(lambda raw: base64.b64encode(raw).decode())]


Address = _hex(20)
Hash = _hex(32)
Signature = _hex(65)
PublicKey = _base64(XWING_PUBLIC_BYTES)
Seconds = Annotated[int, Field(ge=0, lt=2**40)]
Url = Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s/@]+(/[^\s]*)?$")]


class Body(BaseModel):
    """A body is frozen and knows all its fields: what it does not know it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    def to_json(self) -> dict[str, Any]:
        """The body as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)
