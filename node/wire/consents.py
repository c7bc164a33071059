"""Asking for consent, the answer, and what follows: `consent.request`, `.granted`, `.denied`, `.revoked`, `.key`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from node.wire.fields import Address, Body, Hash, InboxUrl, PublicKey, Seconds, Signature, StreamPublic

__all__ = [
    "Category",
    "ConsentDenied",
    "ConsentGranted",
    "ConsentRequest",
    "ConsentRevoked",
    "GrantFields",
    "PartyCard",
    "RefreshedKey",
    "StreamAccess",
]


Category = Annotated[str, Field(pattern=r"^[a-z]+(-[a-z]+)?/[0-9]+(s|min|h)$", max_length=40)]
Words = Annotated[str, Field(min_length=1, max_length=200)]


class PartyCard(Body):
    """Who asks (permissions.md 1): shown to the person, and part of what is accepted."""

    name: Words
    domain: Annotated[str, Field(max_length=253)] = ""
    contact: Annotated[str, Field(max_length=200)] = ""
    policy_url: Annotated[str, Field(max_length=512)] = ""
    address: Address
    sealing_key: PublicKey
    inbox_url: InboxUrl


class ConsentRequest(Body):
    """A provider asks a household. Times are seconds UTC; `end` OPEN_END means until revoked."""

    request_id: Hash
    card: PartyCard
    reader: Address
    reader_key: PublicKey
    streams: Annotated[tuple[Category, ...], Field(min_length=1, max_length=16)]
    start: Seconds
    end: Seconds
    purpose: Annotated[str, Field(min_length=1, max_length=500)]
    purpose_tag: Annotated[int, Field(ge=0, lt=2**32)] = 0
    expires: Seconds

    @model_validator(mode="after")
    def _ordered(self) -> ConsentRequest:
        if self.start >= self.end:
            raise ValueError("start must be before end")
        if len(set(self.streams)) != len(self.streams):
            raise ValueError("streams names one stream twice")
        return self


class GrantFields(Body):
    """The signed Grant, field by field, so that the reader can check the digest itself."""

    owner: Address
    reader: Address
    reader_key_hash: Hash
    sids: tuple[Hash, ...]
    start: Seconds
    end: Seconds
    purpose_tag: int
    text_hash: Hash
    nonce: Annotated[str, Field(pattern=r"^[0-9]{1,78}$")]
    deadline: Seconds


class StreamAccess(Body):
    """Where a granted stream is found and what its reader needs to check it."""

    sid: Hash
    category: Category
    genesis: Seconds
    slot_seconds: Annotated[int, Field(ge=60, lt=2**32)]
    writer: Address
    stream_key: StreamPublic
    broker_url: Annotated[str, Field(max_length=300, pattern=r"^(mqtt|http)s?://[^\s@/]+$")]
    broker_user: Annotated[str, Field(max_length=120)] = ""
    broker_password: Annotated[str, Field(max_length=200)] = ""
    signed_envelopes: bool = False


class ConsentGranted(Body):
    """The household's yes: names granted streams only, and the exact text that was accepted."""

    request_id: Hash
    grant_id: Hash
    grant: GrantFields
    signature: Signature
    streams: tuple[StreamAccess, ...]
    text: Annotated[str, Field(max_length=20_000)]


class ConsentDenied(Body):
    """The household's no, with the reason it chose to give."""

    request_id: Hash
    reason: Annotated[str, Field(max_length=500)] = ""


class ConsentRevoked(Body):
    """A signed Revoke handed over directly, for whoever must act before the chain says so."""

    account: Address
    grant_id: Hash
    sid: Hash
    signature: Signature


class RefreshedKey(Body):
    """A reader's new key in full; its hash goes on chain. `consent.key` to the home, `stream.key` to the writer."""

    grant_id: Hash
    reader_key: PublicKey
