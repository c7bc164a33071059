"""Messages that no contract ever sees: parcels between nodes, statements about documents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from keys.eip712 import Domain, Struct
from keys.messages.base import Message

__all__ = [
    "ParcelSeal",
    "Statement",
    "parcel_domain",
]


@dataclass(frozen=True, slots=True)
class ParcelSeal(Message):
    """Off chain: what the sender of a sealed node-to-node message signs. The parcel's id is this message's digest."""

    STRUCT: ClassVar[Struct] = Struct(
        "ParcelSeal(address sender,bytes32 recipientKeyHash,bytes32 nonce,string kind,bytes32 bodyHash,"
        "uint40 sentAt,uint40 expiresAt)"
    )

    sender: bytes
    recipient_key_hash: bytes
    nonce: bytes
    kind: str
    body_hash: bytes
    sent_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Statement(Message):
    """Off chain: an account vouches for a document (a party card, a receipt, a request for a resync) by its hash."""

    STRUCT: ClassVar[Struct] = Struct(
        "Statement(address account,string topic,bytes32 bodyHash,bytes32 nonce,uint40 signedAt,uint40 expiresAt)"
    )

    account: bytes
    topic: str
    body_hash: bytes
    nonce: bytes
    signed_at: int
    expires_at: int


@lru_cache(maxsize=16)
def parcel_domain(chain_id: int) -> Domain:
    """The domain of messages between nodes, which no contract ever sees."""
    return Domain("Wattpact Parcel", "1", chain_id)
