"""Signed messages on their way to whoever brings them onto the chain: orders, words about contracts, readings, sources.

The message itself is the record; the parcel around it only carries it. `typed` is its EIP-712 document, `signatures`
stand in the order of the contract's function, `opening` is what that function takes besides.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer

from node.wire.consents import PartyCard
from node.wire.fields import Body, Signature

__all__ = ["OrderPlaced", "SignedMessage", "SourceProposal"]

_LONGEST_OPENING = 2_048


def _read(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 2 + 2 * _LONGEST_OPENING:
        raise ValueError("must be bytes in hex, with 0x in front")
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise ValueError("has characters that are not hex") from None


Opening = Annotated[bytes, BeforeValidator(_read), PlainSerializer(lambda raw: "0x" + raw.hex())]


class SignedMessage(Body):
    """A message with its signatures, ready for the chain."""

    typed: dict[str, Any]
    signatures: Annotated[tuple[Signature, ...], Field(min_length=1, max_length=4)]
    opening: Annotated[tuple[Opening, ...], Field(max_length=4)] = ()


class OrderPlaced(Body):
    """A signed offer or request, and the card of the node that makes it."""

    typed: dict[str, Any]
    signature: Signature
    card: PartyCard


class SourceProposal(Body):
    """A source that somebody wants to have registered. It gathers signatures: the device's, then the owner's."""

    typed: dict[str, Any]
    device_signature: Signature
    owner_signature: Signature | None = None
    community: PartyCard
