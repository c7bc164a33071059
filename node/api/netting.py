"""Netting, at a market and at an asset: days and their batches, contracts, mandates and money (part of `market`)."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import Field

from node.api.operations import Call, Operation
from node.api.settlementviews import DepositForm
from node.api.values import AddressHex, Form, HashHex, UnixTime, View
from node.api.views import ActionView, Items
from node.errors import NotFound

__all__ = ["NETTING_OPERATIONS", "MandateForm", "NetContractView", "NetDayView", "NetLeftView", "NettingFacade"]


class MandateForm(Form):
    """What a market may take of this asset's account a day, for netting; 0 revokes."""

    market: str = Field(pattern=r"^https?://", max_length=512, description="address of the market's node")
    most_a_day: int = Field(ge=0, lt=2**88, description="minor units")
    valid_until: UnixTime


class NetDayView(View):
    """One day's netting at a market."""

    day: str = Field(description="UTC, 2026-01-31")
    state: Literal["open", "sent", "settled", "released", "void", "idle"]
    contracts: int
    lines: int
    left: int = Field(description="lines that no mandate or balance covered; they stay owed by themselves")
    total: int = Field(description="minor units that the batch moves")
    deposit_short: int = Field(description="what the operator's deposit lacks for the batch")


class NetContractView(View):
    """A contract that is netted, as this node knows it."""

    id: HashHex
    seller: AddressHex
    buyer: AddressHex
    wh: int
    price: int = Field(description="minor units per kWh")
    start: UnixTime
    end: UnixTime
    reported_wh: int | None = Field(description="what this asset reported; null at a market")
    delivered_wh: int | None = Field(description="what counts; null before it is settled, and at an asset")
    due: int | None


class NetLeftView(View):
    """A line that a day's netting left out: it is owed by itself, and becomes a contract once both partners signed."""

    id: HashHex = Field(description="the line's leaf")
    day: str = Field(description="UTC, 2026-01-31")
    seller: AddressHex
    buyer: AddressHex
    wh: int
    price: int = Field(description="minor units per kWh")
    amount: int
    owed: int = Field(description="what stays of the amount, set off against other lines that were left out of its day")
    reminders: int
    claimed: bool
    state: Literal["owed", "signed", "contracted", "closed", "set_off"] = Field(
        description="signed: by both at a market, by this asset at a gateway; closed: its contract is over; "
        "set_off: nothing of it is owed"
    )
    contract: HashHex | None = Field(description="`wattpact market trades --id` shows it")
    waits: str = Field(description="why this asset has not signed, or what the line waits for; empty for nothing")
    until: UnixTime | None = Field(
        description="its buyer waits no longer than this for what it sold itself that day; null where it does not wait"
    )
    awaited: UnixTime | None = Field(
        description="its seller waits no longer than this for it before it pays what it owes itself; null where nobody "
        "waits"
    )


class NettingFacade(Protocol):
    """Errors as in `node.api.facade`."""

    async def days(self) -> tuple[NetDayView, ...]:
        """Market: the newest first."""
        ...

    async def contracts(self) -> tuple[NetContractView, ...]:
        """Market: those of days that are not netted; asset: its own, the newest first."""
        ...

    async def left(self) -> tuple[NetLeftView, ...]:
        """What was left out, the newest first."""
        ...

    async def mandate(self, form: MandateForm) -> ActionView: ...

    async def deposit(self, form: DepositForm) -> ActionView: ...


def _facade(call: Call) -> NettingFacade:
    found = getattr(call.settlement, "netting", None)
    if found is None:
        raise NotFound("This node nets nothing.")
    facade: NettingFacade = found
    return facade


async def _days(call: Call) -> Items[NetDayView]:
    return Items(items=await _facade(call).days())


async def _contracts(call: Call) -> Items[NetContractView]:
    return Items(items=await _facade(call).contracts())


async def _left(call: Call) -> Items[NetLeftView]:
    return Items(items=await _facade(call).left())


async def _mandate(call: Call) -> ActionView:
    return await _facade(call).mandate(call.form(MandateForm))


async def _deposit(call: Call) -> ActionView:
    return await _facade(call).deposit(call.form(DepositForm))


_API = "/api/v1/market/netting"

# fmt: off
NETTING_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", f"{_API}/days", "listNetDays", "read", "What was netted, day by day (market)", _days,
              Items[NetDayView], tag="market"),
    Operation("GET", f"{_API}/contracts", "listNetContracts", "read", "Contracts that are netted", _contracts,
              Items[NetContractView], tag="market"),
    Operation("GET", f"{_API}/left", "listNetLeft", "read", "Lines that the netting left out", _left,
              Items[NetLeftView], tag="market"),
    Operation("POST", f"{_API}/mandates", "giveNetMandate", "admin",
              "Let a market take so much a day for netting (gateway)", _mandate, ActionView, MandateForm, 202,
              tag="market"),
    Operation("POST", f"{_API}/deposits", "depositForNetting", "admin",
              "Put money into a market's book of the net settlement (gateway, or the market for itself)", _deposit,
              ActionView, DepositForm, 202, tag="market"),
)
# fmt: on
