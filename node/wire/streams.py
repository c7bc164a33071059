"""Between a household and its gateway: `stream.offer`, `stream.grant`, `stream.revoke`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from node.wire.consents import Category, GrantFields
from node.wire.fields import Address, Body, Hash, PublicKey, Seconds, Signature, StreamPublic

__all__ = ["GrantForWriter", "OwnerKey", "StreamOffer"]


class StreamOffer(Body):
    """A paired gateway offers to write a stream: the RegisterStream it has signed as writer.

    The name and its salt stay between the two; the chain sees `keccak256(salt || name)` only.
    """

    category: Category
    salt: Hash
    writer: Address
    stream_key: StreamPublic
    stream_key_hash: Hash
    genesis: Seconds
    slot_seconds: Annotated[int, Field(ge=60, lt=2**32)]
    nonce: Annotated[str, Field(pattern=r"^[0-9]{1,78}$")]
    deadline: Seconds
    writer_signature: Signature


class OwnerKey(Body):
    """The key under which the household itself reads a stream, as leaf 0."""

    sid: Hash
    owner_key: PublicKey


class GrantForWriter(Body):
    """A grant's reader key in full: the chain holds its hash, the writer needs the key to seal the Welcome."""

    grant_id: Hash
    grant: GrantFields
    reader_key: PublicKey
    signature: Signature
