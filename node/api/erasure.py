"""Erasing the data of a consent that is over, and the past of a stream; signed receipts."""

from __future__ import annotations

from node.api.forms import EraseForm, ErasePastForm
from node.api.operations import Call, Operation, Parameter
from node.api.views import ErasureView, PastErasureView

__all__ = ["ERASURE_OPERATIONS"]


async def _erase(call: Call) -> ErasureView:
    return await call.facade.erase(call.values["grant_id"], call.form(EraseForm))


async def _erasure(call: Call) -> ErasureView:
    return await call.facade.erasure(call.values["grant_id"])


async def _erase_past(call: Call) -> PastErasureView:
    return await call.facade.erase_past(call.values["sid"], call.form(ErasePastForm))


async def _past_erasure(call: Call) -> PastErasureView:
    return await call.facade.past_erasure(call.values["sid"])


_SID = Parameter("sid", "hash", "id of a stream", "path")
_GRANT = Parameter("grant_id", "hash", "id of a consent", "path")

# fmt: off
ERASURE_OPERATIONS: tuple[Operation, ...] = (
    Operation("POST", "/api/v1/consents/{grant_id}/erase", "eraseConsent", "consent",
              "Destroy what was read under a consent that is over (either side)", _erase, ErasureView, EraseForm, 202,
              tag="consent", parameters=(_GRANT,)),
    Operation("GET", "/api/v1/consents/{grant_id}/erasure", "getErasure", "read",
              "How far an erasure is, and its signed receipt", _erasure, ErasureView, tag="consent",
              parameters=(_GRANT,)),
    Operation("POST", "/api/v1/streams/{sid}/erase", "eraseStreamPast", "admin",
              "Destroy a stream's past at its gateway and here; readers keep what they have read (home)", _erase_past,
              PastErasureView, ErasePastForm, 202, tag="streams", parameters=(_SID,)),
    Operation("GET", "/api/v1/streams/{sid}/erasure", "getStreamErasure", "read",
              "How far the newest erasure of a stream's past is, and its signed receipt", _past_erasure,
              PastErasureView, tag="streams", parameters=(_SID,)),
)
# fmt: on
