"""Field types of message bodies: bytes inside, hex or Base64 in JSON, each of one exact width."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from channels.twin import MAX_CONTENT
from keys.sealing import OVERHEAD
from keys.stream_key import STREAM_PUBLIC_SIZES

__all__ = [
    "DIGITS",
    "WIDE",
    "Address",
    "Body",
    "Hash",
    "InboxUrl",
    "Opening",
    "PublicKey",
    "SealedKey",
    "Seconds",
    "Signature",
    "StreamPublic",
    "TwinEntryBytes",
    "Url",
]

XWING_PUBLIC_BYTES = 1216
_DIGITS = re.compile("[0-9]{1,30}").fullmatch


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


def _hex_up_to(longest: int) -> Any:
    """Bytes of any number up to `longest`, as hex with 0x in front."""

    def read(value: object) -> bytes:
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str) or not value.startswith("0x") or len(value) > 2 + 2 * longest:
            raise ValueError("must be bytes in hex, with 0x in front")
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            raise ValueError("has characters that are not hex") from None

    return Annotated[bytes, BeforeValidator(read), PlainSerializer(lambda raw: "0x" + raw.hex())]


Address = _hex(20)
Hash = _hex(32)
Signature = _hex(65)
Opening = _hex_up_to(2_048)  # what a function of a contract takes besides the message
PublicKey = _base64(XWING_PUBLIC_BYTES)
SealedKey = _base64(32 + OVERHEAD)
StreamPublic = _hex(*STREAM_PUBLIC_SIZES)  # Ed25519, in suite 2 with the ML-DSA-65 key behind it
Seconds = Annotated[int, Field(ge=0, lt=2**40)]
# A parcel's JSON has no integer beyond 53 bits (RFC 8785), and money of 18 decimals soon has: such a one is a text of
# digits there. Read is either, by what is strict with `DIGITS`.
WIDE = PlainSerializer(lambda value: value if value < 2**53 else str(value))
DIGITS = BeforeValidator(lambda value: int(value) if isinstance(value, str) and _DIGITS(value) else value)
TwinEntryBytes = _hex_up_to(MAX_CONTENT + 2_048)
Url = Annotated[str, Field(max_length=512, pattern=r"^https?://[^\s/@]+(/[^\s]*)?$")]

# Empty: no address; parcels go to the mailbox of the sealing key, at the broker that both sides are connected to.
InboxUrl = Annotated[str, Field(max_length=512, pattern=r"^(https?://[^\s/@]+(/[^\s]*)?)?$")]


class Body(BaseModel):
    """A body is frozen and knows all its fields: what it does not know it refuses.

    Each is compiled when it is first used, not at import: a command needs few of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, defer_build=True)

    def to_json(self) -> dict[str, Any]:
        """The body as plain JSON values."""
        return self.model_dump(mode="json", by_alias=True)
