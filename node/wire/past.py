"""The erasure of a stream's past: what its owner asks of the gateway, and the receipt that its writer signs."""

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

__all__ = ["PastReceipt", "PastRequest", "SignedPast", "past_statement", "read_past"]

TOPIC = "stream erasure receipt"
_FOR_EVER = 2**40 - 1
_Count = Annotated[int, Field(ge=0, lt=2**53)]


class PastRequest(Body):
    """The owner wants everything destroyed that was sealed before a moment (seconds UTC), or with None all of it."""

    erasure_id: Hash
    sid: Hash
    before: Seconds | None = None
    reason: Annotated[str, Field(max_length=500)] = ""
    requested_at: Seconds


class PastReceipt(Body):
    """What went, when and at whose wish, and what stays. `account` is the stream's writer, as the chain names it.

    Slots below `before_slot` under the epochs up to `epoch` (2**32: all of them) can be derived by nobody from what
    the gateway has; `commit_hash` is the commit of that epoch, which stays on chain with those before it; zeros where
    this gateway never had one. `keys`: entries of the keystore that were destroyed. `copies`: stores that lost rows.
    """

    version: Literal[1] = 1
    erasure_id: Hash
    sid: Hash
    chain_id: Annotated[int, Field(ge=0, lt=2**53)]
    registry: Address
    owner: Address
    account: Address
    reason: Annotated[str, Field(max_length=500)] = ""
    before: Seconds | None = None
    requested_at: Seconds
    erased_at: Seconds
    epoch: _Count
    before_slot: Annotated[int, Field(ge=0, le=2**32)]
    commit_hash: Hash
    keys: _Count
    copies: _Count
    envelopes: _Count
    checkpoints: _Count
    capsules: _Count


class SignedPast(Body):
    """The receipt with the signature of its account."""

    receipt: PastReceipt
    signature: Signature


def past_statement(receipt: PastReceipt) -> Statement:
    """What the writer signs: the hash of the receipt in its one spelling (RFC 8785). It never runs out."""
    digest = hashlib.sha256(rfc8785.dumps(receipt.to_json())).digest()
    return Statement(receipt.account, TOPIC, digest, receipt.erasure_id, receipt.erased_at, _FOR_EVER)


def read_past(document: Mapping[str, Any] | str) -> PastReceipt:
    """The receipt in a document or its JSON text. Raises Refused for what is none, or not signed by its account."""
    try:
        found = SignedPast.model_validate(json.loads(document) if isinstance(document, str) else document)
    except (ValueError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("text",), "msg": "is not JSON"}
        place = ".".join(str(part) for part in first["loc"])
        raise Refused(f"This is no receipt of a stream's erasure: {place}: {first['msg']}.") from error
    receipt = found.receipt
    try:
        verify(past_statement(receipt), parcel_domain(receipt.chain_id), found.signature, receipt.account)
    except KeysError as error:
        raise Refused("The receipt is not signed by the account it shows.", remedy="Do not rely on it.") from error
    return receipt
