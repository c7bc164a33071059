"""The erasure of a consent's data: the owner's request, and the reader's signed receipt (permissions.md 1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import Field, ValidationError

from keys.errors import KeysError
from keys.messages import Statement, parcel_domain, verify
from node.errors import Refused
from node.wire.fields import Address, Body, Hash, Seconds, Signature

__all__ = [
    "ErasedStream",
    "ErasureReceipt",
    "ErasureRequest",
    "SignedReceipt",
    "read_receipt",
    "receipt_statement",
]

TOPIC = "erasure receipt"
_FOR_EVER = 2**40 - 1
_Count = Annotated[int, Field(ge=0, lt=2**53)]


class ErasureRequest(Body):
    """The owner of a consent that is over asks its reader to destroy what it read."""

    grant_id: Hash
    reason: Annotated[str, Field(max_length=500)] = ""


class ErasedStream(Body):
    """What went from one stream, and the newest commitment on chain to what it was (epoch 0: there was none)."""

    sid: Hash
    readings: _Count
    envelopes: _Count
    checkpoints: _Count
    capsules: _Count
    alarms: _Count
    epoch: _Count
    commit_hash: Hash


class ErasureReceipt(Body):
    """What was erased, when, by whom and at whose wish, and what stays: the grant and the commits on chain, with the
    hash of the accepted text. `account` signs; `owner` and `reader` are those of the grant."""

    version: Literal[1] = 1
    grant_id: Hash
    chain_id: Annotated[int, Field(ge=0, lt=2**53)]
    registry: Address
    owner: Address
    reader: Address
    account: Address
    requested_by: Literal["owner", "reader"]
    reason: Annotated[str, Field(max_length=500)] = ""
    requested_at: Seconds
    erased_at: Seconds
    reader_key_hash: Hash
    text_hash: Hash
    streams: Annotated[tuple[ErasedStream, ...], Field(min_length=1, max_length=64)]


class SignedReceipt(Body):
    """The receipt with the signature of its account."""

    receipt: ErasureReceipt
    signature: Signature


def receipt_statement(receipt: ErasureReceipt) -> Statement:
    """What the account signs: the hash of the receipt in its one spelling (RFC 8785). It never runs out."""
    digest = hashlib.sha256(rfc8785.dumps(receipt.to_json())).digest()
    return Statement(receipt.account, TOPIC, digest, receipt.grant_id, receipt.erased_at, _FOR_EVER)


def read_receipt(document: Mapping[str, Any] | str, account: bytes | None = None) -> ErasureReceipt:
    """The receipt in a document or its JSON text. Raises Refused for what is none, or not signed by its account, or,
    where an `account` is expected, by another one."""
    try:
        found = SignedReceipt.model_validate(json.loads(document) if isinstance(document, str) else document)
    except (ValueError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("text",), "msg": "is not JSON"}
        place = ".".join(str(part) for part in first["loc"])
        raise Refused(f"This is no receipt of an erasure: {place}: {first['msg']}.") from error
    receipt = found.receipt
    try:
        verify(receipt_statement(receipt), parcel_domain(receipt.chain_id), found.signature, receipt.account)
    except KeysError as error:
        raise Refused("The receipt is not signed by the account it shows.", remedy="Do not rely on it.") from error
    if account is not None and receipt.account != account:
        raise Refused("The receipt is signed by another account.", remedy="Do not rely on it.")
    return receipt
