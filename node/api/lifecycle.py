"""What a person decides about orders and contracts, and what an owner lets an asset draw."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field

from node.api.operations import Call, Operation, Parameter
from node.api.settlementviews import JoinForm
from node.api.values import AddressHex, Form, UnixTime
from node.api.views import ActionView
from node.errors import NotFound

__all__ = ["LIFE_OPERATIONS", "AllowanceForm", "DisputeForm", "LifeFacade", "RulingForm", "WithdrawForm"]


class DisputeForm(Form):
    """Why a claim is contested. The text stays with this node; its hash is signed."""

    reason: str = Field(min_length=1, max_length=2_000)


class RulingForm(Form):
    """How much was delivered, as the arbiter of the contract's terms decides; never above the claim."""

    wh: int = Field(ge=0, lt=2**64, strict=True, description="watt-hours")
    operator: AddressHex | None = Field(default=None, description="whose market it is; by default this node's own")


class AllowanceForm(Form):
    """What this household lets an asset's account draw, in minor units; 0 a day ends it."""

    account: AddressHex = Field(description="the asset's account in the market")
    operator: AddressHex = Field(description="the market's operator")
    per_day: int = Field(ge=0, lt=2**88)
    per_contract: int = Field(ge=0, lt=2**88)
    valid_until: UnixTime
    total: int | None = Field(
        default=None,
        ge=0,
        lt=2**88,
        description="what the token lets go for all assets together; left as it is, or a day's where that is more",
    )


class WithdrawForm(Form):
    """Money of this gateway's asset out of a market's book."""

    market: str = Field(pattern=r"^https?://", max_length=512, description="address of the market's node")
    amount: int = Field(gt=0, lt=2**88, description="minor units")


class LifeFacade(Protocol):
    """Errors as in `node.api.facade`."""

    async def cancel_order(self, order: bytes) -> ActionView: ...

    async def cancel_contract(self, contract: bytes) -> ActionView: ...

    async def dispute(self, contract: bytes, form: DisputeForm) -> ActionView: ...

    async def evidence(self, contract: bytes) -> ActionView: ...

    async def rule(self, contract: bytes, form: RulingForm) -> ActionView: ...

    async def allow(self, form: AllowanceForm) -> ActionView: ...

    async def withdraw(self, form: WithdrawForm) -> ActionView: ...

    async def take_out(self, form: JoinForm) -> ActionView: ...


def _facade(call: Call) -> LifeFacade:
    found = getattr(call.settlement, "life", None)
    if found is None:
        raise NotFound("This node settles nothing.")
    facade: LifeFacade = found
    return facade


async def _cancel_order(call: Call) -> ActionView:
    return await _facade(call).cancel_order(call.values["order"])


async def _cancel_contract(call: Call) -> ActionView:
    return await _facade(call).cancel_contract(call.values["contract"])


async def _dispute(call: Call) -> ActionView:
    return await _facade(call).dispute(call.values["contract"], call.form(DisputeForm))


async def _evidence(call: Call) -> ActionView:
    return await _facade(call).evidence(call.values["contract"])


async def _rule(call: Call) -> ActionView:
    return await _facade(call).rule(call.values["contract"], call.form(RulingForm))


async def _allow(call: Call) -> ActionView:
    return await _facade(call).allow(call.form(AllowanceForm))


async def _withdraw(call: Call) -> ActionView:
    return await _facade(call).withdraw(call.form(WithdrawForm))


async def _take_out(call: Call) -> ActionView:
    return await _facade(call).take_out(call.form(JoinForm))


_API = "/api/v1/market"
_ORDER = Parameter("order", "hash", "id of an order", "path")
_CONTRACT = Parameter("contract", "hash", "id of a contract", "path")

# fmt: off
LIFE_OPERATIONS: tuple[Operation, ...] = (
    Operation("POST", f"{_API}/orders/{{order}}/cancel", "cancelOrder", "admin", "Take an order back (gateway, M-38)",
              _cancel_order, ActionView, status=202, tag="market", parameters=(_ORDER,)),
    Operation("POST", f"{_API}/trades/{{contract}}/cancel", "cancelContract", "admin",
              "End a contract before its delivery (gateway, A-15)", _cancel_contract, ActionView, status=202,
              tag="market", parameters=(_CONTRACT,)),
    Operation("POST", f"{_API}/trades/{{contract}}/dispute", "disputeClaim", "admin", "Contest a claim (gateway)",
              _dispute, ActionView, DisputeForm, 202, tag="market", parameters=(_CONTRACT,)),
    Operation("POST", f"{_API}/trades/{{contract}}/evidence", "showEvidence", "admin",
              "Show the own meter's signed counters where a delivery is contested (gateway, A-10)", _evidence,
              ActionView, status=202, tag="market", parameters=(_CONTRACT,)),
    Operation("POST", f"{_API}/trades/{{contract}}/ruling", "ruleDispute", "admin",
              "Decide a dispute (the arbiter of the terms)", _rule, ActionView, RulingForm, 202, tag="market",
              parameters=(_CONTRACT,)),
    Operation("POST", f"{_API}/allowances", "allowFunding", "admin",
              "Let an asset draw on this wallet within caps (home, A-29)", _allow, ActionView, AllowanceForm, 202,
              tag="market"),
    Operation("POST", f"{_API}/withdrawals", "withdraw", "admin",
              "Ask for money out of a market's book; it waits as the contract says (gateway)", _withdraw, ActionView,
              WithdrawForm, 202, tag="market"),
    Operation("POST", f"{_API}/withdrawals/out", "takeOut", "admin",
              "Take what was withdrawn to the asset's wallet (gateway)", _take_out, ActionView, JoinForm, 202,
              tag="market"),
)
# fmt: on
