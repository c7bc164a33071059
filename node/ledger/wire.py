"""JSON-RPC values to bytes and integers and back. An answer that does not parse is RpcGarbled, never a wrong value."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.ledger.bloom import SIZE as BLOOM_SIZE
from node.ledger.errors import RpcGarbled
from node.ledger.headers import Header

__all__ = [
    "Block",
    "RawLog",
    "Receipt",
    "Spent",
    "address_hex",
    "block",
    "data",
    "data_hex",
    "fixed",
    "log",
    "quantity",
    "quantity_hex",
    "receipt",
    "spent",
]


@dataclass(frozen=True, slots=True)
class Block:
    """A header with what the ledger needs once: ``bloom`` (256 bytes or empty), ``base_fee`` in wei (0 if none)."""

    header: Header
    bloom: bytes
    base_fee: int


@dataclass(frozen=True, slots=True)
class RawLog:
    """One log as the chain has it, not yet decoded. ``timestamp`` is its block's, once its header is known."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    index: int
    timestamp: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of an included transaction; ``ok`` is False when the call reverted. ``logs`` are its own."""

    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    ok: bool
    gas_used: int
    gas_price: int
    contract: bytes | None
    logs: tuple[RawLog, ...] = ()


@dataclass(frozen=True, slots=True)
class Spent:
    """A nonce that a block used: by whom (bytes20), and the hash of the transaction (bytes32)."""

    sender: bytes
    nonce: int
    hash: bytes


def quantity(value: Any) -> int:
    """Parse a JSON-RPC quantity. Raises RpcGarbled."""
    if isinstance(value, str) and value.startswith("0x") and len(value) <= 66:
        try:
            return int(value, 16)
        except ValueError:
            pass
    raise RpcGarbled(f"expected a quantity, got {_short(value)}")


def data(value: Any) -> bytes:
    """Parse JSON-RPC data. Raises RpcGarbled."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise RpcGarbled(f"expected data, got {_short(value)}")


def fixed(value: Any, size: int) -> bytes:
    """Parse data of exactly ``size`` bytes. Raises RpcGarbled."""
    parsed = data(value)
    if len(parsed) != size:
        raise RpcGarbled(f"expected {size} bytes, got {len(parsed)}")
    return parsed


def _again(value: Any, size: int) -> bytes:
    """`fixed` for what the logs of one answer repeat."""
    return _kept(value, size) if isinstance(value, str) else fixed(value, size)


@functools.lru_cache(maxsize=64)
def _kept(value: str, size: int) -> bytes:
    return fixed(value, size)


def quantity_hex(value: int) -> str:
    """Return the JSON-RPC form of an integer."""
    return hex(value)


def data_hex(value: bytes) -> str:
    """Return the JSON-RPC form of bytes."""
    return "0x" + value.hex()


address_hex = data_hex


def block(value: Any) -> Block:
    """Parse a block without transactions. Raises RpcGarbled."""
    doc = _mapping(value)
    header = Header(
        number=quantity(doc.get("number")),
        hash=fixed(doc.get("hash"), 32),
        parent=fixed(doc.get("parentHash"), 32),
        timestamp=quantity(doc.get("timestamp")),
    )
    bloom = fixed(doc["logsBloom"], BLOOM_SIZE) if doc.get("logsBloom") is not None else b""
    fee = doc.get("baseFeePerGas")
    return Block(header, bloom, quantity(fee) if fee is not None else 0)


def log(value: Any) -> RawLog:
    """Parse a log of an included block. Raises RpcGarbled (also for a log marked as removed)."""
    doc = _mapping(value)
    topics = doc.get("topics")
    if not isinstance(topics, list) or len(topics) > 4 or doc.get("removed"):
        raise RpcGarbled(f"expected a log, got {_short(value)}")
    return RawLog(
        address=_again(doc.get("address"), 20),
        topics=tuple([fixed(topic, 32) for topic in topics]),
        data=data(doc.get("data")),
        block_number=quantity(doc.get("blockNumber")),
        block_hash=_again(doc.get("blockHash"), 32),
        transaction_hash=_again(doc.get("transactionHash"), 32),
        index=quantity(doc.get("logIndex")),
    )


def receipt(value: Any) -> Receipt:
    """Parse a receipt. Raises RpcGarbled."""
    doc = _mapping(value)
    price = doc.get("effectiveGasPrice")
    contract = doc.get("contractAddress")
    return Receipt(
        transaction_hash=fixed(doc.get("transactionHash"), 32),
        block_number=quantity(doc.get("blockNumber")),
        block_hash=fixed(doc.get("blockHash"), 32),
        ok=quantity(doc.get("status")) == 1,
        gas_used=quantity(doc.get("gasUsed")),
        gas_price=quantity(price) if price is not None else 0,
        contract=fixed(contract, 20) if contract is not None else None,
        logs=tuple(log(entry) for entry in doc.get("logs") or ()),
    )


def spent(value: Any) -> tuple[Spent, ...]:
    """Parse the transactions of a block that was asked for with them. Raises RpcGarbled."""
    listed = _mapping(value).get("transactions")
    if not isinstance(listed, list):
        raise RpcGarbled("expected a block with its transactions")
    docs = [_mapping(each) for each in listed]
    return tuple(Spent(fixed(d.get("from"), 20), quantity(d.get("nonce")), fixed(d.get("hash"), 32)) for d in docs)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RpcGarbled(f"expected an object, got {_short(value)}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
