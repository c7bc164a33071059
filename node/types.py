"""Names for the node's plain values, and the edge where bytes become text and text becomes bytes.

Inside the node addresses are 20 bytes, ids and hashes 32, signatures 65 (r || s || v, v in {27, 28}), time is integer
seconds UTC and energy integer Wh. Hex stands only in JSON, logs and on the command line.
"""

from __future__ import annotations

import functools
from typing import Final, NewType

from eth_utils.address import is_checksum_address, to_checksum_address

__all__ = [
    "ADDRESS_BYTES",
    "HASH_BYTES",
    "OPEN_END",
    "SIGNATURE_BYTES",
    "Address",
    "Epoch",
    "GrantId",
    "Hash32",
    "RequestId",
    "Seconds",
    "Sid",
    "Signature",
    "Slot",
    "WattHours",
    "address_from_text",
    "address_to_text",
    "ether_text",
    "from_hex",
    "short_id",
    "to_hex",
]

Address = NewType("Address", bytes)
Hash32 = NewType("Hash32", bytes)
Sid = NewType("Sid", bytes)
GrantId = NewType("GrantId", bytes)
Signature = NewType("Signature", bytes)
RequestId = NewType("RequestId", str)
Seconds = NewType("Seconds", int)
WattHours = NewType("WattHours", int)
Epoch = NewType("Epoch", int)
Slot = NewType("Slot", int)

ADDRESS_BYTES: Final = 20
HASH_BYTES: Final = 32
SIGNATURE_BYTES: Final = 65
# The registry stores times as uint40; its largest value means "no end".
OPEN_END: Final = Seconds(2**40 - 1)


_DIGITS: Final = frozenset("0123456789abcdefABCDEF")


def to_hex(value: bytes) -> str:
    """0x and two lower-case digits per byte."""
    return "0x" + value.hex()


def from_hex(text: str, size: int | None = None) -> bytes:
    """Bytes of `0x...`; with `size` exactly that many. Raises ValueError without the text: it may be a key."""
    if not text.startswith(("0x", "0X")):
        raise ValueError("must begin with 0x")
    digits = text[2:]
    # bytes.fromhex skips white space, so two spellings would mean one id.
    if not _DIGITS.issuperset(digits) or len(digits) % 2:
        raise ValueError("must be pairs of hexadecimal digits after 0x")
    value = bytes.fromhex(digits)
    if size is not None and len(value) != size:
        raise ValueError(f"must be {size} bytes ({2 * size} digits), not {len(value)}")
    return value


def address_to_text(address: bytes) -> str:
    """EIP-55 spelling of 20 bytes."""
    if len(address) != ADDRESS_BYTES:
        raise ValueError(f"an address has {ADDRESS_BYTES} bytes, not {len(address)}")
    return _checksummed(address)


@functools.lru_cache(maxsize=4_096)
def _checksummed(address: bytes) -> str:
    # A node spells the same few addresses for ever; each spelling costs a hash and forty comparisons.
    return str(to_checksum_address(address))


def short_id(value: bytes) -> str:
    """0x and eight digits, for logs: enough to find a contract by. A whole id looks like a key and is left out."""
    return "0x" + value[:4].hex()


def ether_text(wei: int) -> str:
    """Wei as ether, exact: integers only."""
    whole, rest = divmod(wei, 10**18)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")


def address_from_text(text: str) -> Address:
    """20 bytes of a hex address; mixed case must be a right EIP-55 checksum. Raises ValueError."""
    value = from_hex(text, ADDRESS_BYTES)
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(text):
        raise ValueError("the upper and lower case letters do not match the address checksum (EIP-55)")
    return Address(value)
