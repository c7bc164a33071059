"""What callers send to the node."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from node.api.tokens import Scope
from node.api.values import AddressHex, Form, HashHex, SignatureHex, UnixTime
from node.config import StreamName

__all__ = [
    "ConsentRequestForm",
    "DenyForm",
    "EraseForm",
    "ErasePastForm",
    "ExternalSignature",
    "GrantForm",
    "GrantScope",
    "PairForm",
    "RelayForm",
    "RevokeForm",
    "RevokeScope",
    "TokenForm",
]


class GrantScope(Form):
    """How much of a request is granted. What is left out stays as it was asked for; nothing can be widened."""

    streams: tuple[str, ...] | None = Field(default=None, min_length=1, max_length=64, description="sids or names")
    start: UnixTime | None = Field(default=None, description="not before the requested start")
    end: UnixTime | None = Field(default=None, description="not after the requested end")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ValueError("end must be later than start")
        return self


class ExternalSignature(Form):
    """A wallet's signature of the typed data that the node prepared, and that typed data as the wallet showed it."""

    signature: SignatureHex
    typed_data: dict[str, Any] | None = Field(default=None, description="by default what the node prepared last")


class GrantForm(GrantScope):
    """Grant with the node's key, or with `signature` from a wallet."""

    external: ExternalSignature | None = None


class DenyForm(Form):
    reason: str = Field(default="", max_length=500)


class RevokeScope(Form):
    """`sid` null: all streams of the grant."""

    sid: HashHex | None = None


class RevokeForm(RevokeScope):
    """Revoke with the node's key, or with `signature` from a wallet. Final."""

    external: ExternalSignature | None = None


class EraseForm(Form):
    """Why; told to the other side and part of the receipt."""

    reason: str = Field(default="", max_length=500)


class ErasePastForm(Form):
    """Either a moment, before which everything goes, or `everything` that is sealed by now."""

    before: UnixTime | None = Field(default=None, description="a slot that reaches beyond it goes as a whole")
    everything: bool = False
    reason: str = Field(default="", max_length=500, description="part of the receipt, which the readers get as well")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.before is not None) == self.everything:
            raise ValueError("say either before when, or everything")
        return self


class TransferForm(Form):
    """`to`: the new owner's public URL, or the topic of its mailbox when it is outbound-only."""

    to: str = Field(min_length=1, max_length=500)
    owner: AddressHex | None = Field(
        default=None, description="wallet expected there; otherwise the card there decides"
    )


class ConsentRequestForm(Form):
    """A provider asks a home. `home` is the home's public URL, or the topic of its mailbox when it is outbound-only."""

    home: str = Field(min_length=1, max_length=500)
    owner: AddressHex | None = Field(
        default=None, description="wallet expected there; otherwise the home's card decides"
    )
    streams: tuple[StreamName, ...] = Field(min_length=1, max_length=16)
    purpose: str = Field(min_length=1, max_length=500)
    purpose_tag: int = Field(default=0, ge=0, lt=2**32)
    start: UnixTime | None = Field(
        default=None, description="by default the time of the request; earlier includes history"
    )
    end: UnixTime | None = Field(default=None, description="none: until revoked")
    valid_for_s: int = Field(default=604_800, ge=60, le=31_536_000, description="the request expires after this")

    # Of one field each, so that a form can show what is wrong where it is.

    @field_validator("streams")
    @classmethod
    def _each_once(cls, streams: tuple[StreamName, ...]) -> tuple[StreamName, ...]:
        if len(set(streams)) != len(streams):
            raise ValueError("one stream is named twice")
        return streams

    @field_validator("end")
    @classmethod
    def _in_order(cls, end: int | None, known: ValidationInfo) -> int | None:
        start = known.data.get("start")
        if start is not None and end is not None and start >= end:
            raise ValueError("end must be later than start")
        return end


class PairForm(Form):
    """A typed code with the gateway's URL, or the whole text of its QR code as `code`."""

    code: str = Field(min_length=4, max_length=2_000)
    url: str | None = Field(default=None, max_length=500, pattern=r"^https?://")


class RelayForm(Form):
    """An EIP-712 message that wallets signed, to be sent to the registry at this node's expense."""

    typed_data: dict[str, Any]
    signatures: tuple[SignatureHex, ...] = Field(min_length=1, max_length=2)


class TokenForm(Form):
    """A new bearer token."""

    name: str = Field(min_length=1, max_length=80)
    scopes: tuple[Scope, ...] = Field(min_length=1)
    lifetime_s: int | None = Field(default=None, ge=60, le=315_360_000, description="none: until revoked")
