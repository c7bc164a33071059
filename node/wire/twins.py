"""The digital twin of a trade on its way between its holders: the key once, then entry by entry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from channels.twin import MAX_PARTIES
from node.wire.fields import Address, Body, Hash, InboxUrl, Opening, PublicKey, SealedKey, TwinEntryBytes

__all__ = ["MAX_PROVEN", "TwinAnchored", "TwinEntrySent", "TwinHolder", "TwinOpened"]

MAX_PROVEN = 1_024
"""Entries in one proof."""


class TwinHolder(Body):
    """A node that gets the entries of a twin. `address` signs its parcels; its account in the market is another one."""

    address: Address
    url: InboxUrl
    sealing_key: PublicKey


class TwinOpened(Body):
    """The key of a twin, sealed to the recipient, and who else holds it."""

    trade: Hash
    operator: Address
    parties: Annotated[tuple[Address, ...], Field(min_length=1, max_length=MAX_PARTIES)]
    holders: Annotated[tuple[TwinHolder, ...], Field(max_length=MAX_PARTIES)]
    sealed_key: SealedKey


class TwinEntrySent(Body):
    """One entry, as `channels.twin` encodes it."""

    trade: Hash
    entry: TwinEntryBytes


class TwinAnchored(Body):
    """A root over entries, the block in which the operator anchored it, and each entry's path to it."""

    trade: Hash
    root: Hash
    height: Annotated[int, Field(ge=0, lt=2**53)]
    hashes: Annotated[tuple[Hash, ...], Field(min_length=1, max_length=MAX_PROVEN)]
    paths: Annotated[tuple[Opening, ...], Field(min_length=1, max_length=MAX_PROVEN)]
