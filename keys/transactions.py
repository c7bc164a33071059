"""EIP-1559 transactions as bytes: what is hashed for the signature, and what is broadcast (EIP-2718, EIP-1559).

The general library builds and checks a whole typed object for each transaction, which costs most of the time that a
sender of thousands has. This writes the one form that a node sends, and the tests compare it with that library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rlp

from keys.eip712 import keccak256

__all__ = ["DynamicFee"]

_TYPE = b"\x02"
_FIELDS = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas")
_KNOWN = frozenset({"type", "to", "value", "data", *_FIELDS})
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def _integer(value: int) -> bytes:
    """RLP's scalar: big endian without leading zeros, zero is empty."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _rlp(parts: list[Any]) -> bytes:
    # Everything is bytes already; guessing a serializer for each field costs more than the encoding.
    return bytes(rlp.encode(parts, infer_serializer=False))


@dataclass(frozen=True, slots=True)
class DynamicFee:
    """An unsigned transaction of type 2 without access list; `fields` are RLP strings in the order of EIP-1559."""

    fields: tuple[bytes, ...]

    @classmethod
    def of(cls, transaction: Mapping[str, Any]) -> DynamicFee | None:
        """From JSON-RPC names with `to` as checksummed text and `data` as bytes; None for any other form.

        What this does not know is left to the general library, which also names what is wrong with it.
        """
        to, data, value = transaction.get("to"), transaction.get("data", b""), transaction.get("value", 0)
        numbers = [transaction.get(name, 0) for name in _FIELDS]
        if transaction.get("type") != 2 or not set(transaction) <= _KNOWN or not isinstance(data, bytes):
            return None
        if not isinstance(to, str) or not _ADDRESS.fullmatch(to):
            return None
        if not all(type(number) is int and 0 <= number < 1 << 256 for number in (*numbers, value)):
            return None
        return cls((*map(_integer, numbers), bytes.fromhex(to[2:]), _integer(value), data))

    @property
    def hash(self) -> bytes:
        """What the sender signs."""
        return keccak256(_TYPE + _rlp([*self.fields, []]))

    def signed(self, signature: bytes) -> bytes:
        """The raw transaction; `signature` is r || s || y parity (0 or 1), 65 bytes."""
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        parts = [*self.fields, [], _integer(signature[64]), _integer(r), _integer(s)]
        return _TYPE + _rlp(parts)
