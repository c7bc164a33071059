"""Between a household and its gateway: `stream.offer`, `stream.grant`, and what hands a stream to another gateway.

`stream.take` asks the new gateway to write, `stream.writer` is its signature, `stream.last` the old one's last words,
`stream.handover` passes them on; `stream.key_changed` tells the readers.

`stream.gift` is the owner's to another household, to which it gives a stream away; `stream.heir` is that one's to the
gateway, once it is the owner.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from node.wire.consents import Category, GrantFields
from node.wire.fields import Address, Body, Hash, InboxUrl, PublicKey, Seconds, Signature, StreamPublic

__all__ = [
    "GrantForWriter",
    "Handover",
    "NodePlace",
    "OwnerKey",
    "ResyncGiven",
    "StreamGift",
    "StreamHeir",
    "StreamKeyChanged",
    "StreamOffer",
    "StreamTake",
    "WriterSigned",
]


class StreamOffer(Body):
    """A paired gateway offers to write a stream: the RegisterStream it has signed as writer.

    The name and its salt stay between the two; the chain sees `keccak256(salt || name)` only. `signed_envelopes`: the
    stream key signs each one.
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
    signed_envelopes: bool = False


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


class StreamTake(Body):
    """The owner wants this gateway to write a stream that another one has written; name and slots stay as they are.

    `generation` above 0 asks for keys that this gateway never had before: those it has may be stolen. `first_owner`:
    whose address made the stream's id, where that is another household that gave it away.
    """

    sid: Hash
    category: Category
    salt: Hash
    genesis: Seconds
    slot_seconds: Annotated[int, Field(ge=60, lt=2**32)]
    owner_key: PublicKey
    generation: Annotated[int, Field(ge=0, lt=2**32)] = 0
    first_owner: Address | None = None
    signed_envelopes: bool = False


class WriterSigned(Body):
    """SetWriter as the new gateway has signed it; the owner signs as well and puts it on chain."""

    sid: Hash
    writer: Address
    stream_key: StreamPublic
    nonce: Annotated[str, Field(pattern=r"^[0-9]{1,78}$")]
    deadline: Seconds
    writer_signature: Signature


class Handover(Body):
    """Where the former writer stopped: newest commit, live leaves as (start, count), the last envelope.

    `through`: meter time of the last reading that the household has of it, 0 where it has none.
    """

    sid: Hash
    epoch: Annotated[int, Field(ge=0, lt=2**63)]
    head: Hash
    depth: Annotated[int, Field(ge=0, le=32)]
    live: Annotated[tuple[tuple[int, int], ...], Field(max_length=50_000)]
    last_epoch: Annotated[int, Field(ge=0, lt=2**63)]
    last_slot: Annotated[int, Field(ge=0, lt=2**32)]
    last_seq: Annotated[int, Field(ge=0, lt=2**63)]
    last_hash: Hash
    through: Seconds = 0


class ResyncGiven(Body):
    """A reader that had lost its state was let in again, from the epoch after `since_epoch` on."""

    sid: Hash
    grant_id: Hash
    request_id: Hash
    at: Seconds
    since_epoch: Annotated[int, Field(ge=0, lt=2**63)]


class StreamKeyChanged(Body):
    """The key that signs checkpoints and capsules of a stream from now on; the chain holds its hash."""

    sid: Hash
    stream_key: StreamPublic


class NodePlace(Body):
    """Where a node takes parcels."""

    address: Address
    sealing_key: PublicKey
    inbox_url: InboxUrl


class StreamGift(Body):
    """The owner of a stream gives it away: the TransferStream that it has signed, and what the new owner has to know.

    `offer`: the stream as its gateway offered it, with name and salt; `first_owner`: whose address its id is made from;
    `gateway` goes on writing it.
    """

    sid: Hash
    owner: Address
    nonce: Annotated[str, Field(pattern=r"^[0-9]{1,78}$")]
    deadline: Seconds
    owner_signature: Signature
    offer: StreamOffer
    first_owner: Address
    gateway: NodePlace


class StreamHeir(Body):
    """The sender has become the owner of a stream: its key as leaf 0, and where it takes parcels."""

    sid: Hash
    owner_key: PublicKey
    place: NodePlace
