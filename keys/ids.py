"""Ids and hashes that chain, channel and pairing agree on, 32 bytes each.

abi.encode of static types is their 32-byte words in a row (Solidity ABI specification).
"""

from __future__ import annotations

from keys.eip712 import keccak256
from keys.errors import MessageError

__all__ = ["device_hash", "name_hash", "stream_id"]


def _sized(what: str, value: bytes, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise MessageError(f"{what}: expected {size} bytes")
    return value


def _address_word(what: str, value: bytes) -> bytes:
    return bytes(12) + _sized(what, value, 20)


def name_hash(salt: bytes, name: str) -> bytes:
    """keccak256(salt || name in UTF-8): all the chain holds of a name; the salt keeps it from being guessed."""
    try:
        text = name.encode("utf-8")
    except UnicodeEncodeError:
        raise MessageError("name: not valid Unicode text") from None
    return keccak256(_sized("salt", salt, 32) + text)


def stream_id(chain_id: int, registry: bytes, owner: bytes, hashed_name: bytes) -> bytes:
    """sid = keccak256(abi.encode(uint256 chainId, address registry, address owner, bytes32 nameHash))."""
    if not 0 <= chain_id < 1 << 256:
        raise MessageError("chainId: does not fit uint256")
    words = [_address_word("registry", registry), _address_word("owner", owner), _sized("nameHash", hashed_name, 32)]
    return keccak256(chain_id.to_bytes(32, "big") + b"".join(words))


def device_hash(salt: bytes, owner: bytes, device: bytes) -> bytes:
    """keccak256(abi.encode(bytes32 salt, address owner, address device)): only who knows the salt sees the pair."""
    return keccak256(_sized("salt", salt, 32) + _address_word("owner", owner) + _address_word("device", device))
