"""The marketplace's own addresses, by role: sealed parcels in, `{"success": ...}` out (M-1 to M-28).

They are names for what the inbox takes: one mechanism, and each address takes only what belongs there. A unit without
keys of its own may tell an asset what it made or used with a token of the scope `asset:meter` instead (M-8, M-9, M-85).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final, Protocol

from aiohttp import web
from pydantic import ConfigDict, Field, JsonValue, model_validator

from node.api.operations import Answer, Call, Operation
from node.api.values import Form, View
from node.errors import InvalidInput, NodeError, NotFound, Unauthenticated

__all__ = [
    "MARKETPLACE",
    "MARKETPLACE_OPERATIONS",
    "EncryptedForm",
    "MarketplaceFacade",
    "MeterForm",
    "SuccessView",
    "marketplace_error",
]

_EXAMPLES: Final[tuple[JsonValue, ...]] = ({"encrypted": "bxC9mdhuJU6RZrb7iy...LoPN8XCnfusy6W=="}, {"energy": 300})


class EncryptedForm(Form):
    """A parcel, sealed to this node and signed by its sender, in Base64."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLES[0]]})

    encrypted: str = Field(min_length=4, max_length=400_000, description="the parcel in Base64")

    def parcel(self) -> bytes:
        """Raises InvalidInput for what is no Base64."""
        return _decoded(self.encrypted)


class MeterForm(Form):
    """Energy of a unit: sealed like everything else, or in clear with a token of the scope `asset:meter`."""

    model_config = ConfigDict(json_schema_extra={"examples": list(_EXAMPLES)})

    encrypted: str | None = Field(default=None, min_length=4, max_length=400_000, description="the parcel in Base64")
    energy: int | None = Field(default=None, gt=0, lt=2**63, strict=True, description="watt-hours")

    @model_validator(mode="after")
    def _one(self) -> MeterForm:
        if (self.encrypted is None) == (self.energy is None):
            raise ValueError("either encrypted or energy")
        return self


class SuccessView(View):
    """`publicKey`: the asset's sealing key in Base64, in the answer to `/asset/init`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"success": True}, {"success": False, "error": "why"}]})

    success: bool
    error: str | None = None
    public_key: str | None = Field(default=None, serialization_alias="publicKey")


class MarketplaceFacade(Protocol):
    """What takes the parcels. Errors as in `node.api.facade`."""

    async def take(self, address: str, parcel: bytes, peer: str) -> None:
        """Takes a parcel at one of the addresses below; refuses one that does not belong there."""
        ...

    async def count(self, wh: int) -> None:
        """A unit with a token: so many Wh were made, below zero used."""
        ...

    async def public_key(self) -> str: ...


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("encrypted is not Base64.", field="encrypted") from None


def _facade(call: Call) -> MarketplaceFacade:
    found = getattr(call.settlement, "marketplace", None)
    if found is None:
        raise NotFound("This node takes no part in a marketplace.")
    facade: MarketplaceFacade = found
    return facade


def _sealed(path: str) -> Callable[[Call], Awaitable[Answer]]:
    async def take(call: Call) -> Answer:
        await _facade(call).take(path, call.form(EncryptedForm).parcel(), call.peer)
        return Answer({"success": True})

    return take


async def _init(call: Call) -> Answer:
    await _facade(call).take("/asset/init", call.form(EncryptedForm).parcel(), call.peer)
    return Answer({"success": True, "publicKey": await _facade(call).public_key()})


def _metered(path: str, sign: int) -> Callable[[Call], Awaitable[Answer]]:
    async def take(call: Call) -> Answer:
        form = call.form(MeterForm)
        if form.encrypted is not None:
            await _facade(call).take(path, _decoded(form.encrypted), call.peer)
        elif not call.caller:
            raise Unauthenticated("Energy in clear needs a token of the scope asset:meter.", remedy="Seal it instead.")
        else:
            await _facade(call).count(sign * (form.energy or 0))
        return Answer({"success": True})

    return take


def _operation(path: str, name: str, summary: str) -> Operation:
    return Operation("POST", path, name, "open", summary, _sealed(path), SuccessView, EncryptedForm, tag="marketplace")


# fmt: off
MARKETPLACE_OPERATIONS: tuple[Operation, ...] = (
    Operation("POST", "/asset/init", "assetInit", "open", "The owner sets an asset up, or changes it (M-1)", _init,
              SuccessView, EncryptedForm, tag="marketplace"),
    _operation("/asset/contract", "assetContract", "A contract was made (M-2)"),
    _operation("/asset/payment", "assetPayment", "A payment is requested (M-3)"),
    _operation("/asset/payment_sent", "assetPaymentSent", "The buyer has paid (M-4)"),
    _operation("/asset/payment_confirmed", "assetPaymentConfirmed", "The seller has seen the payment (M-5)"),
    _operation("/asset/payment_reminder", "assetPaymentReminder", "The seller reminds (M-20)"),
    _operation("/asset/cancel", "assetCancel", "A contract was cancelled (M-6)"),
    _operation("/asset/claim", "assetClaim", "The seller claims (M-7)"),
    Operation("POST", "/asset/produce", "assetProduce", "meter", "A unit made energy (M-8, M-85)",
              _metered("/asset/produce", 1), SuccessView, MeterForm, tag="marketplace"),
    Operation("POST", "/asset/consume", "assetConsume", "meter", "A unit used energy (M-9, M-85)",
              _metered("/asset/consume", -1), SuccessView, MeterForm, tag="marketplace"),
    _operation("/market/register", "marketRegister", "An asset registers, or changes (M-11)"),
    _operation("/market/offer", "marketOffer", "An asset offers energy (M-12)"),
    _operation("/market/request", "marketRequest", "An asset asks for energy (M-13)"),
    _operation("/market/provision", "marketProvision", "A partner reports what was delivered (M-15)"),
    _operation("/market/payment_processing", "marketPaymentProcessing", "The buyer pays (M-16)"),
    _operation("/market/payment_confirmation", "marketPaymentConfirmation", "The seller confirms (M-17)"),
    _operation("/market/payment_reminder", "marketPaymentReminder", "The seller reminds the buyer (M-20)"),
    _operation("/market/cancel", "marketCancel", "An order or a contract is taken back (M-18)"),
    _operation("/market/claim", "marketClaim", "The seller claims what was not paid (M-19)"),
    _operation("/bids/offer", "bidsOffer", "An offer for the book (M-23)"),
    _operation("/bids/request", "bidsRequest", "A request for the book (M-24)"),
    _operation("/bids/remove", "bidsRemove", "An order leaves the book (M-25)"),
    _operation("/user/fund", "userFund", "An asset lacks money for a contract (M-27)"),
    _operation("/user/notify_event", "userNotifyEvent", "What happened to a contract, for the owner's audit (M-28)"),
)
# fmt: on
MARKETPLACE: Final = frozenset(operation.path for operation in MARKETPLACE_OPERATIONS)
"""The addresses that answer `{"success": ...}`, errors included."""


def marketplace_error(error: NodeError) -> web.Response:
    """An error as the marketplace's clients know it, under its proper status."""
    body: dict[str, Any] = {"success": False, "error": error.message}
    headers = {"WWW-Authenticate": 'Bearer realm="wattpact"'} if error.status == HTTPStatus.UNAUTHORIZED else {}
    return web.json_response(body, status=error.status, headers=headers)
