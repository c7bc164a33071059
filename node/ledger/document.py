"""A transaction as it is stored: what it does, written once, and what becomes of it, written at each of its steps."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from node.ledger.reverts import Reason
from node.ledger.transaction import Attempt, Call, Inclusion, Transaction, TxState
from node.storage.transactions import TransactionRow

__all__ = ["read", "row_of"]

# Documents of the first two have all of it.
_WHOLE = frozenset({1, 2})
_VERSION = 3
_WRITER = json.JSONEncoder(separators=(",", ":"))

# Version, whether the item is the data, to, value, three gas limits, how many members, the length of the data.
_HEAD = struct.Struct(">BB20s32sQQQII")
_CALL_VERSION = 1
_MEMBER = 32
# Stands in the signed bytes for the data of the call, where that is so long.
_DATA, _LONG = "~", 64


def row_of(tx: Transaction, known: Transaction | None = None) -> TransactionRow:
    """What is to be stored; without the call, if it is that of the one that is ``known`` to be stored."""
    same = known is not None and known.call == tx.call and known.members == tx.members
    return TransactionRow(
        chain_id=tx.chain_id,
        sender=tx.sender,
        key=tx.key,
        nonce=tx.nonce,
        status=tx.state.value,
        finished=tx.finished,
        created_at=tx.created_at,
        document=_steps(tx),
        call=None if same else _packed(tx.call, tx.members),
    )


def read(row: TransactionRow) -> Transaction:
    """Raises ValueError for another version, or what is damaged."""
    doc = json.loads(row.document)
    version = doc.get("v") if isinstance(doc, dict) else None
    if version not in _WHOLE and version != _VERSION:
        raise ValueError(f"a stored transaction of version {version}, this program reads up to {_VERSION}")
    try:
        return _whole(doc) if version in _WHOLE else _composed(row, doc)
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError, struct.error) as error:
        raise ValueError("a damaged stored transaction") from error


def _steps(tx: Transaction) -> str:
    """The document: what the row does not say, and only what is not as in the beginning."""
    doc: dict[str, object] = {"v": _VERSION, "order": tx.order}
    if tx.gas:
        doc["gas"] = tx.gas
    if tx.carrier is not None:
        doc["carrier"] = tx.carrier.hex()
    if tx.attempts:
        doc["attempts"] = [
            [_without(tx.call.data, a.raw), a.hash.hex(), str(a.max_fee), str(a.priority_fee), a.sent_at, a.cancels]
            for a in tx.attempts
        ]
    found, why = tx.inclusion, tx.reason
    if found is not None:
        doc["inclusion"] = [
            found.block_number,
            found.block_hash.hex(),
            found.transaction_hash.hex(),
            found.gas_used,
            str(found.gas_price),
            found.ok,
        ]
    if why is not None:
        doc["reason"] = [why.name, why.arguments, why.notice]
    try:
        text = orjson.dumps(doc)
    except orjson.JSONEncodeError:  # a number of more than 64 bits, or half a character, which somebody else has told
        return _WRITER.encode(doc)
    return text.decode() if text.isascii() else _WRITER.encode(doc)  # not every database takes every character


def _without(data: bytes, raw: bytes) -> str:
    """Signed bytes, which have the data of the call in one piece: that is stored already."""
    if len(data) < _LONG:
        return raw.hex()
    before, found, after = raw.partition(data)
    return f"{before.hex()}{_DATA}{after.hex()}" if found else raw.hex()


def _with(data: bytes, text: str) -> bytes:
    before, found, after = text.partition(_DATA)
    return bytes.fromhex(before) + (data + bytes.fromhex(after) if found else b"")


def _packed(call: Call, members: tuple[bytes, ...]) -> bytes:
    if len(call.to) != 20:
        raise ValueError("a call goes to an address of 20 bytes")
    if any(len(member) != _MEMBER for member in members):
        raise ValueError(f"a member of a batch has a key of {_MEMBER} bytes")
    twice = call.item == call.data
    head = _HEAD.pack(
        _CALL_VERSION,
        twice,
        call.to,
        call.value.to_bytes(32, "big"),
        call.gas,
        call.least_gas,
        call.known_gas,
        len(members),
        len(call.data),
    )
    return b"".join((head, *members, call.data, b"" if twice else call.item))


def _unpacked(packed: bytes) -> tuple[Call, tuple[bytes, ...]]:
    if packed[:1] == b"{":  # stored before calls had a place of their own
        doc = json.loads(packed)
        return _call(doc), _members(doc)
    version, twice, to, value, gas, least_gas, known_gas, count, size = _HEAD.unpack_from(packed)
    start = _HEAD.size + count * _MEMBER
    end = start + size
    if version != _CALL_VERSION:
        raise ValueError(f"a stored call of version {version}, this program reads up to {_CALL_VERSION}")
    if end > len(packed) or (twice and end < len(packed)):
        raise ValueError("a damaged stored call")
    members = tuple(packed[at : at + _MEMBER] for at in range(_HEAD.size, start, _MEMBER))
    data = packed[start:end]
    item = data if twice else packed[end:]
    return Call(to, data, int.from_bytes(value, "big"), gas, least_gas, known_gas, item), members


def _composed(row: TransactionRow, doc: Mapping[str, Any]) -> Transaction:
    if row.call is None:
        raise ValueError("a stored transaction without its call")
    call, members = _unpacked(row.call)
    carrier = doc.get("carrier")
    return Transaction(
        key=row.key,
        chain_id=row.chain_id,
        sender=row.sender,
        call=call,
        created_at=row.created_at,
        state=TxState(row.status),
        nonce=row.nonce,
        gas=doc.get("gas", 0),
        attempts=tuple(
            Attempt(bytes.fromhex(h), _with(call.data, raw), int(fee), int(tip), at, cancels)
            for raw, h, fee, tip, at, cancels in doc.get("attempts", ())
        ),
        inclusion=_inclusion(doc.get("inclusion")),
        reason=_reason(doc.get("reason")),
        order=doc["order"],
        carrier=None if carrier is None else bytes.fromhex(carrier),
        members=members,
    )


def _inclusion(found: Any) -> Inclusion | None:
    if found is None:
        return None
    number, block, transaction, used, price, ok = found
    return Inclusion(number, bytes.fromhex(block), bytes.fromhex(transaction), used, int(price), ok)


def _reason(why: Any) -> Reason | None:
    return None if why is None else Reason(why[0], tuple((str(k), str(v)) for k, v in why[1]), why[2])


# --- versions 1 and 2 -------------------------------------------------------------------------------------------------


def _call(doc: Mapping[str, Any]) -> Call:
    return Call(
        bytes.fromhex(doc["to"]),
        bytes.fromhex(doc["data"]),
        int(doc["value"]),
        doc["gas_fallback"],
        doc["least_gas"],
        doc.get("known_gas", 0),
        bytes.fromhex(doc.get("item", "")),
    )


def _members(doc: Mapping[str, Any]) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(member) for member in doc.get("members", ()))


def _whole(doc: Mapping[str, Any]) -> Transaction:
    return Transaction(
        key=bytes.fromhex(doc["key"]),
        chain_id=doc["chain_id"],
        sender=bytes.fromhex(doc["sender"]),
        call=_call(doc),
        created_at=doc["created_at"],
        state=TxState(doc["state"]),
        nonce=doc["nonce"],
        gas=doc["gas"],
        attempts=tuple(
            Attempt(bytes.fromhex(h), bytes.fromhex(raw), int(fee), int(tip), at, *cancels)
            for raw, h, fee, tip, at, *cancels in doc["attempts"]
        ),
        inclusion=_inclusion(doc["inclusion"]),
        reason=_reason(doc["reason"]),
        order=doc.get("order", 0),
        carrier=bytes.fromhex(doc["carrier"]) if doc.get("carrier") else None,
        members=_members(doc),
    )
