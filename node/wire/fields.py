"""Field types of message bodies: bytes inside, hex or Base64 in JSON, each of one exact width."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from keys.stream_key import STREAM_PUBLIC_SIZES

__all__ = ["Address", "Body", "Hash", "PublicKey", "Seconds", "Signature", "StreamPublic", "Url"]

XWING_PUBLIC_BYTES = 1216


def _hex(*widths: int) -> Any:
    wanted = " or ".join(map(str, widths))

    def read(value: object) -> bytes:
        if isinstance(value, bytes) and len(value) in widths:
            return value
        if not isinstance(value, str) or not value.startswith("0x"):
            raise ValueError(f"must be {wanted} bytes in hex, with 0x in front")
        try:
            raw = bytes.fromhex(value[2:])
        except ValueError:
            raise ValueError("has characters that are not hex") from None
        if len(raw) not in widths:
            raise ValueError(f"must be {wanted} bytes, is {len(raw)}")
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
StreamPublic = _hex(*STREAM_PUBLIC_SIZES)  # Ed25519, in suite 2 with the ML-DSA-65 key behind it
Seconds = Annotated[int, Field(ge=0, lt=2**40)]
Url = Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s/@]+(/[^\s]*)?$")]


class Body(BaseModel):
    """A body is frozen and knows all its fields: what it does not know it refuses."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    def to_json(self) -> dict[str, Any]:
        """The body as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)
