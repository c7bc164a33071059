"""The operation of the digital twin of a contract: every party's log, and whether all copies agree (M-81, M-82)."""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import Field

from node.api.operations import Call, Operation, Parameter
from node.api.values import AddressHex, HashHex, UnixTime, View
from node.errors import NotFound

__all__ = ["TWIN_OPERATIONS", "FieldView", "ForkView", "TwinEntryView", "TwinFacade", "TwinView"]


class TwinEntryView(View):
    """One entry of one party's log, opened. Its signature was verified, or it would not be here."""

    author: AddressHex
    party: str = Field(description="market, seller or buyer")
    seq: int
    at: UnixTime = Field(description="by the author's clock")
    hash: HashHex
    message: dict[str, Any] = Field(description="what the author wrote; `event` tells what happened")
    signature: str = Field(description="EIP-712, by the author, over the hash of the entry")
    anchored: int | None = Field(description="block with a root that covers this entry, proven by its path")
    on_chain: bool | None = Field(description="whether the block that it names is the chain's; null without a block")


class FieldView(View):
    """One field of the contract in every copy that knows it."""

    field: str
    values: dict[str, Any]
    agrees: bool


class ForkView(View):
    """Two signed entries of one author that contradict each other."""

    author: AddressHex
    first: str
    second: str


class TwinView(View):
    """The digital twin of a contract beside database and chain."""

    contract: HashHex
    agrees: bool = Field(description="nothing differs, is forked, missing or damaged; every block is the chain's")
    fields: tuple[FieldView, ...]
    entries: tuple[TwinEntryView, ...] = Field(description="in the order that every holder finds")
    missing: tuple[str, ...] = Field(description="entries that others have seen and that are not here")
    unproven: tuple[HashHex, ...] = Field(description="roots that the market named and the chain does not have")
    contradicted: tuple[str, ...] = Field(description="entries of which one tells of another than its author wrote")
    fork: ForkView | None
    damage: str | None = Field(description="why the logs that are stored here cannot be read, if so")


class TwinFacade(Protocol):
    """Errors as in `node.api.facade`."""

    async def twin(self, contract: bytes) -> TwinView:
        """Raises NotFound for a contract of which this node holds no twin."""
        ...


async def _twin(call: Call) -> TwinView:
    if call.settlement is None:
        raise NotFound("This node settles nothing.")
    facade: TwinFacade = call.settlement.twins
    return await facade.twin(call.values["contract"])


# fmt: off
TWIN_OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/api/v1/market/trades/{contract}/twin", "getTwin", "read",
              "The digital twin of a contract, compared with database and chain", _twin, TwinView, tag="market",
              parameters=(Parameter("contract", "hash", "id of the contract", "path"),)),
)
# fmt: on
